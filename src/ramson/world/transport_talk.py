"""What a pluggable transport says on its standard output, and how the arguments of a bridge are handed to it.

Pure: text in, values out.  Spec: pluggable transport specification 1 (pt-spec), §3.2 (environment), §3.3 (the program's
messages), §3.5 (arguments in the SOCKS login).

Theory of operation.  The program says one thing a line.  `VERSION 1` comes first; then a `CMETHOD` or `CMETHOD-ERROR`
for each transport that was asked for, and `CMETHODS DONE`.  After that, and before, it may say `LOG` and `STATUS` as
often as it likes, which is not kept, and words that this version does not know, which mean nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.world.http import Endpoint

MAX_LINE: Final = 16 * 1024  # bytes
MAX_ARGUMENTS: Final = 510  # bytes: what a SOCKS5 user name and password hold together
_HALF: Final = 255

_METHOD: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SPECIAL_IN_KEY: Final = re.compile(r"[\\=;]")
_SPECIAL_IN_VALUE: Final = re.compile(r"[\\;]")


class Startup:
    """What has been heard of a program that starts: `methods` by name, `done` when it has said all."""

    def __init__(self) -> None:
        self.methods: dict[str, Endpoint] = {}
        self.done = False
        self._version = False

    def hear(self, line: bytes) -> None:
        """Take in one line, with or without its end.  Raises ParseError when the program cannot be used."""
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        keyword, _, rest = text.partition(" ")
        match keyword:
            case "VERSION":
                if rest != "1":
                    raise ParseError("the transport chose a version that nobody offered")
                self._version = True
            case "VERSION-ERROR" | "ENV-ERROR" | "PROXY-ERROR":
                raise ParseError(f"the transport cannot work here ({keyword})")
            case "CMETHOD":
                self._method(rest.split(" "))
            case "CMETHODS":
                if rest != "DONE" or not self._version:
                    raise ParseError("the transport speaks another protocol")
                self.done = True

    def _method(self, words: Sequence[str]) -> None:
        if not self._version or len(words) < 3 or not _METHOD.fullmatch(words[0]):
            raise ParseError("the transport speaks another protocol")
        name, kind, address = words[:3]
        if kind != "socks5":
            return  # SOCKS4 cannot carry what bridges need, and no program in use offers it any more
        self.methods[name] = _loopback(address)


def _loopback(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ParseError("the transport listens at no address") from None
    if not address.is_loopback:
        raise ParseError("the transport does not listen on this machine")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise ParseError("the transport listens at no port")
    return Endpoint(host, int(port))


def environment(methods: Sequence[str], state: str) -> dict[str, str]:
    """Return the variables that tell a program what is wanted of it as a client."""
    return {
        "TOR_PT_MANAGED_TRANSPORT_VER": "1",
        "TOR_PT_STATE_LOCATION": state,
        "TOR_PT_EXIT_ON_STDIN_CLOSE": "1",
        "TOR_PT_CLIENT_TRANSPORTS": ",".join(methods),
    }


def login(arguments: Mapping[str, str]) -> tuple[str, str]:
    """Return the SOCKS5 user name and password that carry a bridge's arguments; empty without arguments.

    What fits the user name leaves a NUL as the password, for RFC 1929 knows no empty one.  Raises LocalError.
    """
    text = ";".join(
        f"{_escape(_SPECIAL_IN_KEY, key)}={_escape(_SPECIAL_IN_VALUE, arguments[key])}" for key in arguments
    )
    if not text.isascii() or "\0" in text:
        raise LocalError("the bridge's arguments hold characters that a transport does not take")
    if len(text) > MAX_ARGUMENTS:
        raise LocalError("the bridge's arguments are too long for a transport")
    return text[:_HALF], text[_HALF:] or ("\0" if text else "")


def _escape(special: re.Pattern[str], text: str) -> str:
    return special.sub(lambda found: "\\" + found[0], text)

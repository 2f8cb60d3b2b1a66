"""A lasting connection to a daemon that was chosen by its address: oxend, or a seed of the network.

Unlike a peer link it never listens, has one far end, need not know that end's key, and tells when the
connection comes and goes.  Spec: oxend-interface.md §1 *Addresses*, §2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from ramson.errors import LocalError, ParseError
from ramson.protocol.key_text import LENGTHS, parse_key
from ramson.world.http import Endpoint

_REMEDY: Final = "write tcp://HOST:PORT, ipc://PATH, curve://HOST:PORT/KEY or ipc+curve://PATH/KEY"


class BadDaemonAddress(LocalError):
    """What was given is not the address of a daemon."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy=_REMEDY)


class MissingExtra(LocalError):
    """This installation lacks a library that only some need; the remedy says how to install it."""


@dataclass(frozen=True, slots=True)
class DaemonAddress:
    """Where a daemon listens: a TCP endpoint or the path of a socket, and its X25519 key if it wants CURVE."""

    place: Endpoint | str
    key: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> DaemonAddress:
        """Read `tcp://h:p`, `ipc://path`, `curve://h:p/KEY` or `ipc+curve://path/KEY`.  Raises BadDaemonAddress."""
        scheme, _, rest = text.partition("://")
        match scheme:
            case "tcp":
                return cls(_endpoint(rest))
            case "curve":
                place, _, key = rest.partition("/")
                return cls(_endpoint(place), _key(key))
            case "ipc":
                return cls(_path(rest))
            case "ipc+curve":
                return cls(*_path_and_key(rest))
        raise BadDaemonAddress("not the address of a daemon")

    @property
    def url(self) -> str:
        """The place as ZeroMQ writes it, without the key."""
        return f"ipc://{self.place}" if isinstance(self.place, str) else f"tcp://{self.place}"

    def __str__(self) -> str:
        if self.key is None:
            return self.url
        return f"{'ipc+curve' if isinstance(self.place, str) else 'curve'}://{self.place}/{self.key.hex()}"


def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 2**16:
        raise BadDaemonAddress("the daemon's address lacks a host or a port")
    return Endpoint(host, int(port))


def _path(text: str) -> str:
    if not text:
        raise BadDaemonAddress("the daemon's address lacks the path of its socket")
    return text


def _path_and_key(text: str) -> tuple[str, bytes]:
    """Split at the slash after which a key follows: a path has slashes too, and so may a key in base64."""
    for length in LENGTHS:
        if text[-length - 1 : -length] == "/":
            with suppress(ParseError):
                return _path(text[: -length - 1]), parse_key(text[-length:])
    raise BadDaemonAddress("the daemon's address lacks its key")


def _key(text: str) -> bytes:
    try:
        return parse_key(text)
    except ParseError as error:
        raise BadDaemonAddress(f"the daemon's address: {error}") from None


# Told True whenever the connection is there, False whenever it is lost; reconnecting happens by itself.
ConnectionWatcher = Callable[[bool], None]

# Called for each message that comes, before it is read.
Heard = Callable[[], None]


def unheard() -> None:
    """Do nothing about a message that comes."""


class DaemonLink(Protocol):
    """One connection, renewed as often as it breaks."""

    @property
    def connected(self) -> bool:
        """Whether the connection is there now."""
        ...

    async def request(
        self,
        name: str,
        parts: Sequence[bytes] = (),
        *,
        timeout: float,  # noqa: ASYNC109 - the promise to the caller, with an error of its own
    ) -> list[bytes]:
        """Send a request and return the reply's data parts.

        Raises PeerTimeout after `timeout` seconds, waiting for the connection included, or as soon as the
        connection breaks; PeerRefused when the daemon's OxenMQ layer says no.
        """
        ...

    async def close(self) -> None:
        """Drop the connection and fail every request that still waits."""
        ...

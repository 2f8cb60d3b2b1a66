"""A bridge behind a pluggable transport, as one line: what people hand on.

    obfs4 192.0.2.7:443 cert=AbC… iat-mode=0
    obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbC… iat-mode=0

That is the form in which Tor writes bridges; a fingerprint is accepted and means nothing here.  The line is a secret:
no repr shows more than the method.  Spec: pluggable transport specification 1, §3.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ramson.errors import LocalError
from ramson.world import Endpoint

MAX_LINE: Final = 2000
METHOD: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")

_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REMEDY: Final = "Write METHOD ADDRESS:PORT and then KEY=VALUE as often as needed, as it was given to you."


class BadTransportLine(LocalError):
    """Not the line of a bridge behind a transport; the text quotes nothing of it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy=_REMEDY)


@dataclass(frozen=True, slots=True)
class TransportLine:
    """The method, where the bridge listens, and what the transport wants to know of it."""

    method: str
    bridge: Endpoint = field(repr=False)
    arguments: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> TransportLine:
        """Read a line, with or without `Bridge` before it.  Raises BadTransportLine."""
        words = text.split()
        if words[:1] == ["Bridge"]:
            words = words[1:]
        if len(text) > MAX_LINE or len(words) < 2:
            raise BadTransportLine("not the line of a bridge")
        method, address, *rest = words
        if not METHOD.fullmatch(method):
            raise BadTransportLine("the bridge's line begins with no transport's name")
        if rest and _FINGERPRINT.fullmatch(rest[0]):
            rest = rest[1:]
        arguments: dict[str, str] = {}
        for word in rest:
            key, equals, value = word.partition("=")
            if not equals or not value or not _KEY.fullmatch(key) or key in arguments:
                raise BadTransportLine("the bridge's line holds something that is not KEY=VALUE")
            arguments[key] = value
        return cls(method, _endpoint(address), MappingProxyType(arguments))


def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or len(host) > 255 or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 2**16:
        raise BadTransportLine("the bridge's line names no address and port")
    return Endpoint(host, int(port))

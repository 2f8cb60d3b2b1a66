"""Proxies and pluggable transports as values: how they are named, and what running one means.

Nothing here connects.  Which way is taken is decided in `ramson.reach`; how, in the two furnishings of the world.
Spec: RFC 1928 and 1929 (SOCKS5), RFC 9110 §9.3.6 (CONNECT), pluggable transport specification 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from ramson.errors import LocalError, RemoteError
from ramson.world.http import Endpoint

if TYPE_CHECKING:
    from ramson.world.world import Net

_REMEDY: Final = "Write socks5://HOST:PORT, socks5://USER:PASSWORD@HOST:PORT, tor://HOST:PORT or http://HOST:PORT."
_LONGEST: Final = 255  # bytes of a SOCKS5 user name or password; RFC 1929 §2


class ProxyKind(StrEnum):
    """How a proxy is spoken to."""

    SOCKS5 = "socks5"
    HTTP = "http"  # CONNECT


class BadProxyAddress(LocalError):
    """What was given is not the address of a proxy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy=_REMEDY)


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A proxy and what opens it.

    With `isolate`, which takes a SOCKS5 proxy without a user, each far end is asked for under a name of its own,
    drawn at random: Tor then takes a circuit of its own for each.
    """

    kind: ProxyKind
    endpoint: Endpoint = field(repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    isolate: bool = False

    def __post_init__(self) -> None:
        if len(self.user.encode()) > _LONGEST or len(self.password.encode()) > _LONGEST:
            raise BadProxyAddress("the proxy's user name or password is too long")
        if self.isolate and (self.user or self.kind is not ProxyKind.SOCKS5):
            raise BadProxyAddress("only a SOCKS5 proxy without a user can be asked to keep circuits apart")
        if self.kind is ProxyKind.HTTP and ":" in self.user:
            raise BadProxyAddress("an HTTP proxy's user name holds no colon")
        if self.password and not self.user:
            raise BadProxyAddress("the proxy's password lacks a user name")

    @classmethod
    def parse(cls, url: str) -> ProxyAddress:
        """Read `socks5://`, `socks5h://`, `tor://` or `http://`, with user and password percent-encoded.

        Names are always left to the proxy.  Raises BadProxyAddress, without repeating what was given.
        """
        try:
            parts = urlsplit(url.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise BadProxyAddress("not the address of a proxy") from None
        if not host or not port or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise BadProxyAddress("not the address of a proxy")
        kinds = {
            "socks5": ProxyKind.SOCKS5,
            "socks5h": ProxyKind.SOCKS5,
            "tor": ProxyKind.SOCKS5,
            "http": ProxyKind.HTTP,
        }
        kind = kinds.get(parts.scheme)
        if kind is None:
            raise BadProxyAddress("a proxy of this kind cannot be used")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(kind, Endpoint(host, port), user, password, isolate=parts.scheme == "tor")


class TransportFailed(RemoteError):
    """A pluggable transport could not be started, or ended."""


@dataclass(frozen=True, slots=True)
class TransportProgram:
    """A program that speaks the pluggable transport protocol, as a client.

    `command` is the program (an absolute path, or a name to look for) and its arguments; `methods` the names of
    the transports wanted of it, such as `obfs4`; `state` the directory it may keep state in.
    """

    command: tuple[str, ...]
    methods: tuple[str, ...]
    state: str


class RunningTransport(Protocol):
    """A transport program that runs, and is started anew when it ends, until it is closed."""

    def through(self, method: str, bridge: Endpoint, arguments: Mapping[str, str]) -> Net:
        """Return a `Net` whose requests all go to a bridge, through one of its methods and with these arguments.

        Whatever endpoint is asked of it, the connection leads to what stands behind the bridge; the endpoint is only
        what the request names.  Its requests raise NetError with stage PROXY while the program does
        not run or does not offer the method.  The caller closes it.
        """
        ...

    async def close(self) -> None:
        """End the program."""
        ...

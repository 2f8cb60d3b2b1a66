"""HTTP as both worlds speak it: requests and replies as frozen values, and what can go wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import msgspec

from ramson.errors import LocalError, RemoteError


class Endpoint(msgspec.Struct, frozen=True):  # a key of look-ups made for every message: structs hash quickly
    """A host (name or address) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HttpRequest(msgspec.Struct, frozen=True):  # a struct is made in a tenth of a dataclass's time
    """One request.  Header names are lower case.  `peer` is the caller's address as the listener saw it."""

    method: str
    target: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    peer: str = ""

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} with {len(self.body)} bytes>"  # the rest may identify somebody

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class HttpResponse(msgspec.Struct, frozen=True):
    """One reply.  Header names are lower case when it came from a peer; a listener sends them as given."""

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<HttpResponse {self.status} with {len(self.body)} bytes>"


# A handler may answer at once or later; the first way costs no task.  A handler that answers later is
# never cancelled because its client went away (it may be storing something): only a listener that closes
# cancels it, after a grace.  So a handler bounds its own time.
HttpHandler = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a listener tolerates before a handler is asked.

    `max_body` is in bytes; a larger announced length is answered at once with 413 `too_large` and the
    connection is closed.  For targets in `bodyless` the body is thrown away unread and never refused.
    Times are seconds: `head_timeout` for a whole request head, `body_timeout` for a whole body,
    `idle_timeout` between requests of one connection.  `max_head` is in bytes.  `max_held` bounds, over
    all connections together, the bytes of half-read bodies (what would go beyond is answered 503) and,
    separately, of replies that clients do not take (the client that took nothing for longest is dropped).
    `max_connections` and, for one IPv4 address or IPv6 network of 64 bits, `max_connections_per_address` bound
    connections: beyond them a newcomer pushes out the one that has waited for longest, of the address that has most.
    """

    max_body: int = 10 * 1024 * 1024
    max_head: int = 16 * 1024
    max_held: int = 512 * 1024 * 1024
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    head_timeout: float = 10.0
    body_timeout: float = 60.0
    idle_timeout: float = 75.0
    bodyless: frozenset[str] = frozenset()
    server: str = ""
    too_large: str = "Request body too large"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A listener's certificate chain and private key, both PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client trusts the server it dials.

    With `pins` (SHA-256 digests of a SubjectPublicKeyInfo) only a certificate with one of those keys is
    accepted.  Otherwise `verify` asks for a chain to a public authority and the right name; without
    either, any certificate will do, as between nodes, where identity comes from onion encryption.
    """

    pins: frozenset[bytes] = frozenset()
    verify: bool = False
    server_name: str = ""


class Stage(StrEnum):
    """What an outgoing request failed at."""

    NAME = "name"
    CONNECT = "connect"
    PROXY = "proxy"  # the proxy or transport on the way cannot be used, or refuses
    TLS = "tls"
    REPLY = "reply"
    TIMEOUT = "timeout"


class NetError(RemoteError):
    """A request did not reach its server or no proper reply came back; `stage` says what went wrong.

    `reached` is the stage in which it went wrong, and differs from `stage` only for a time-out: it never is
    TIMEOUT.  `received` counts the bytes that had come from the far end on this connection, TLS included, since it
    was opened: 0 in stage TLS means that nothing answered our hello.  `replied` counts those of this request's reply,
    without TLS: with a time-out, some mean that the reply stopped on its way.  `denied` where it is this machine itself
    that forbids the connection.
    """

    def __init__(
        self,
        stage: Stage,
        message: str,
        *,
        remedy: str = "",
        reached: Stage | None = None,
        received: int = 0,
        replied: int = 0,
        denied: bool = False,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.stage = stage
        self.reached = reached or (Stage.REPLY if stage is Stage.TIMEOUT else stage)
        self.received = received
        self.replied = replied
        self.denied = denied


class AddressRefused(NetError):
    """The name was found, but the caller's `allow` refused every address it stands for."""

    def __init__(self) -> None:
        super().__init__(Stage.NAME, "every address of the host was refused")


class CannotListen(LocalError):
    """The address to listen at is taken, is not ours or may not be used."""


class Listener(Protocol):
    """Something that accepts connections until it is closed."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        ...

    @property
    def connections(self) -> int:
        """How many connections are open or in their handshake."""
        ...

    async def close(self) -> None:
        """Accept no more, let requests in progress finish, close the connections."""
        ...

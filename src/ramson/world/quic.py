"""QUIC as nodes speak it: requests with an endpoint's name and a body, over connections that prove the node's key.

The callers are nobody in particular: a node does not ask who they are.  Spec: storage-rpc.md §1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ramson.world.http import Endpoint
from ramson.world.peers import Origin


class QuicRoute(NamedTuple):
    """The way back along one incoming connection."""

    number: int


@dataclass(frozen=True, slots=True)
class QuicAnswer:
    """What a request came to: the body of a reply, or of an error."""

    body: bytes
    failed: bool = False


# Gets who asks, for which endpoint, and the body.  It may answer at once or later, and bounds its own time.
QuicHandler = Callable[[Origin, str, bytes], QuicAnswer | Awaitable[QuicAnswer]]


@dataclass(frozen=True, slots=True)
class QuicLimits:
    """What a listener tolerates.

    `connections` in all and `per_caller` (an IPv4 address or an IPv6 /64); beyond them a newcomer pushes out the one
    that has been silent for longest.  A caller may make `burst` connections at once and `pace` a second.  From
    `strangers` unfinished handshakes on, newcomers have to show that they receive at the address they write from.
    Times are seconds: for a handshake, for a whole frame, for taking the next piece of a reply, and without a packet.
    Bytes: `unfinished_in_all` of frames that are not whole, `unsent` and `unsent_in_all` of replies that have not been
    taken.  `calls` are requests of one connection at work at a time; more are answered with the error `busy`.
    """

    connections: int = 1_000
    per_caller: int = 50
    burst: int = 50
    pace: float = 10.0
    strangers: int = 16
    handshake_timeout: float = 10.0
    frame_timeout: float = 60.0
    stall_timeout: float = 30.0
    idle_timeout: float = 30.0
    unfinished_in_all: int = 64 * 1024 * 1024
    unsent: int = 20 * 1024 * 1024
    unsent_in_all: int = 128 * 1024 * 1024
    calls: int = 32
    busy: bytes = b"busy"


class QuicListener(Protocol):
    """Something that answers over QUIC until it is closed."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        ...

    @property
    def connections(self) -> int:
        """How many connections are open or in their handshake."""
        ...

    def push(self, origin: Origin, name: str, body: bytes) -> bool:
        """Send a command back along a connection; False when that is gone or takes no more."""
        ...

    async def close(self) -> None:
        """Accept no more, let requests in progress finish, close the connections."""
        ...

"""What a `World` is made of."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.world.daemon import ConnectionWatcher, DaemonAddress, DaemonLink, Heard, unheard
from ramson.world.http import (
    Certificate,
    Endpoint,
    HttpHandler,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    Listener,
    Tls,
)
from ramson.world.outlets import ProxyAddress, RunningTransport, TransportProgram
from ramson.world.peers import Command, PeerLink
from ramson.world.quic import QuicAnswer, QuicHandler, QuicLimits, QuicListener

T = TypeVar("T")


class Clock(Protocol):
    """What time it is.  To wait, use `asyncio.sleep`."""

    def now(self) -> int:
        """Wall time in Unix milliseconds.  It may jump and may be wrong."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class Disk(Protocol):
    """Where blocking work is done.  One `Disk` runs one piece of work at a time, in the order given."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` off the event loop and return what it returns or raise what it raises."""
        ...

    async def close(self) -> None:
        """Finish what was given and stop."""
        ...


class Net(Protocol):
    """The network: the only thing that opens sockets."""

    async def request(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - the promise to the caller, with an error of its own
        max_reply: int = 16 * 1024 * 1024,
        allow: Callable[[str], bool] | None = None,
    ) -> HttpResponse:
        """Send one HTTP/1.1 request, keeping connections for reuse, and return the reply.

        `timeout` (seconds) covers everything from name to last byte.  No redirect is followed.
        A reply over `max_reply` bytes is refused.  With `allow`, each IP address the host stands for (after
        resolving a name, or the host itself) is shown to it first, and only an address it accepted is
        connected to, that very one; if it accepts none, AddressRefused.  Raises NetError.
        """
        ...

    async def listen(
        self, endpoint: Endpoint, handler: HttpHandler, *, certificate: Certificate | None, limits: HttpLimits
    ) -> Listener:
        """Serve HTTP (with a certificate: HTTPS) at `endpoint`; port 0 takes a free one.  Raises CannotListen."""
        ...

    async def link(
        self,
        identity: X25519KeyPair,
        commands: Mapping[str, Command],
        *,
        listen: Endpoint | None,
        max_message: int = 10 * 1024 * 1024,
    ) -> PeerLink:
        """Make an OxenMQ endpoint with this key, listening at `listen` if given, serving `commands`."""
        ...

    async def dial(
        self,
        address: DaemonAddress,
        commands: Mapping[str, Command],
        *,
        identity: X25519KeyPair | None = None,
        watcher: ConnectionWatcher | None = None,
        heard: Heard = unheard,
        max_message: int = 16 * 1024 * 1024,
    ) -> DaemonLink:
        """Connect to a daemon, or a node, and stay connected; what it says unasked goes to `commands`.

        `identity` is the key shown to one that wants CURVE; without it, a passing key is made.  `heard` is told of
        each message that comes, whatever it is.  Raises LocalError for an address that can never be connected to.
        """
        ...

    async def listen_quic(
        self, endpoint: Endpoint, identity: Ed25519KeyPair, handler: QuicHandler, *, limits: QuicLimits
    ) -> QuicListener:
        """Answer over QUIC at the UDP port of `endpoint`, proving `identity`.

        Raises CannotListen, and LocalError where there is no QUIC.
        """
        ...

    async def ask_quic(
        self,
        endpoint: Endpoint,
        key: bytes,
        name: str,
        body: bytes,
        *,
        identity: Ed25519KeyPair,
        timeout: float,  # noqa: ASYNC109 - the promise to the caller, with an error of its own
    ) -> QuicAnswer:
        """Ask the node that has this Ed25519 key one thing over QUIC, over a connection of its own.

        `identity` is shown to a node that wants to know who asks.  `timeout` (seconds) covers everything.  Raises
        NetError, and LocalError where there is no QUIC.
        """
        ...

    async def close(self) -> None:
        """Close idle client connections."""
        ...


class Outlets(Protocol):
    """The ways out of this machine, for clients that may not be able to take the straight one.

    Each call makes a `Net` that goes out in one way and no other; nothing falls back to the straight way.  Of such a
    `Net` only `request` and `close` can be used: whoever listens or links uses `World.net`.  The caller closes it.
    """

    def direct(self) -> Net:
        """Go straight."""
        ...

    def split(self) -> Net:
        """Go straight, with each TLS ClientHello cut over two records and two segments.

        The cut lies inside the server name, or in the middle of the hello where it names none.
        """
        ...

    def through(self, proxy: ProxyAddress) -> Net:
        """Go through a proxy, which resolves the names; `allow` is refused with LocalError.

        A proxy that fails or refuses raises NetError with stage PROXY; what it says of the far end becomes NAME or
        CONNECT.
        """
        ...

    async def start(self, program: TransportProgram) -> RunningTransport:
        """Run a pluggable transport.  Raises TransportFailed."""
        ...

    def gateway(self) -> str:
        """Return an opaque name for the network this machine is in now: other network, other name.

        Empty if it cannot be told.  It is a hash of the addresses of this machine's routes: to be kept on this
        machine only, and encrypted.
        """
        ...


@dataclass(frozen=True, slots=True)
class World:
    """Time, randomness, blocking work and the network, handed to everything above this room.

    `entropy` is a `random.Random`: in the real world a `SystemRandom`, fit for keys; in the simulated
    world a generator seeded by the run.  `disk` makes a new, independent `Disk`.  `net` goes straight out; clients
    reach the network through `ramson.reach`, which chooses among `outlets`.
    """

    clock: Clock
    entropy: random.Random
    net: Net
    disk: Callable[[], Disk]
    outlets: Outlets

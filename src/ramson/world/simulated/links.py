"""Authenticated connections that carry messages between two hosts of the simulation: the transport under `OmqEngine`.

Theory of operation.  A connection has two ends, each a `Route` of the transport that holds it.  Dialling
takes two round trips (TCP and the CURVE handshake) and succeeds when the dialled address listens with the
dialled key; until then what is sent waits, and dialling is tried again, each time after a longer pause,
while a reply is still expected.  So a message can arrive long after its sender gave up on it, as with
ZeroMQ.  Messages of one direction arrive in the order they were sent.  When a host crashes, the other ends
of its connections learn of it a delay later.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from ramson.crypto.keys import X25519KeyPair
from ramson.world.http import Endpoint
from ramson.world.omq_engine import FrameReceiver
from ramson.world.peers import Origin, PeerAddress

if TYPE_CHECKING:
    from ramson.world.simulated.host import Incarnation

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between attempts to connect; oxend-interface.md §1 Timing
IDLE = 30.0  # seconds after which an unused connection is closed by who dialled it; ibid.
FRAME_BYTES = 60  # what packets and encryption add to a message
IN_ORDER = 2e-6  # seconds between two arrivals on one connection


class Route:
    """One end of a connection.  `key` and `address` are those of the far host."""

    def __init__(self, transport: SimulatedTransport, key: bytes, address: str) -> None:
        self.transport = transport
        self.key = key
        self.address = address
        self.open = True
        self.far: Route | None = None  # the other end, once connected
        self.waiting: list[tuple[bytes, ...]] = []
        self.last_arrival = 0.0
        self.used_at = 0.0
        self._number = transport.next_number()

    def __hash__(self) -> int:  # as of tasks: so that no order hangs on memory addresses
        return self._number


class SimulatedTransport:
    """The connections of one OxenMQ endpoint."""

    def __init__(self, life: Incarnation, identity: X25519KeyPair, endpoint: Endpoint | None, max_message: int) -> None:
        self.key = identity.public
        self.endpoint = endpoint
        self._life = life
        self._fabric = life.fabric
        self.here = life.host.address
        self._max_message = max_message
        self._receiver: FrameReceiver | None = None
        self._dialled: dict[PeerAddress, Route] = {}
        self._routes: dict[Route, None] = {}

    def start(self, receiver: FrameReceiver) -> None:
        """Deliver to `receiver` from now on."""
        self._receiver = receiver

    def connect(self, peer: PeerAddress) -> Hashable:
        """Return the route to `peer`, beginning to connect if there is none."""
        route = self._dialled.get(peer)
        if route is None:
            route = Route(self, peer.x25519, self._fabric.names.get(peer.endpoint.host, peer.endpoint.host))
            route.open = self._life.alive
            if route.open:
                self._dialled[peer] = route
                self._routes[route] = None
                route.used_at = self._fabric.loop.time()
                self._dial(route, peer, FIRST_PAUSE)
                self._fabric.later(IDLE, self._close_idle, route)
        return route

    def send(self, route: Hashable, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False if the route is gone."""
        if not isinstance(route, Route) or not route.open:
            return False
        message = tuple(frames)
        route.used_at = self._fabric.loop.time()
        if route.far is None:
            route.waiting.append(message)
        else:
            self._transmit(route.far, message)
        return True

    def close(self, route: Hashable) -> None:
        """Drop one route; the other end learns of it a delay later."""
        if isinstance(route, Route) and route.open:
            self._forget(route)
            if route.far is not None:
                self._fabric.later(self._delay(route), route.far.transport.closed_by_peer, route.far)

    async def stop(self) -> None:
        """Drop all, and listen no more."""
        self.lose()

    def lose(self) -> None:
        """Drop all: the link was closed or the host crashed."""
        if self.endpoint is not None:
            self._life.net.release(self.endpoint.port, self)
        for route in list(self._routes):
            self.close(route)

    def next_number(self) -> int:
        """Return a number no other route has."""
        return self._fabric.loop.next_number()

    # ---- what the other end does

    def accept(self, key: bytes, address: str) -> Route:
        """Hold the far end of a connection that was dialled to us."""
        route = Route(self, key, address)
        self._routes[route] = None
        return route

    def closed_by_peer(self, route: Route) -> None:
        """Learn that the other end is gone."""
        if route.open:
            self._fabric.note("link-closed", route.address, self.here)
            self._forget(route)
            if self._receiver is not None:
                self._life.context().run(self._receiver.route_closed, route)

    def arrive(self, route: Route, message: tuple[bytes, ...]) -> None:
        """Take a message that reached our end."""
        if not route.open:
            return
        if self._fabric.parted(route.address, self.here):
            self._fabric.fault("parted", route.address, self.here, *message)
            return
        if sum(map(len, message)) > self._max_message:
            self._fabric.fault("link-oversize", route.address, self.here)
            self.close(route)
            return
        self._fabric.note("peer", route.address, self.here, *message)
        route.used_at = self._fabric.loop.time()
        if self._receiver is not None:
            origin = Origin(route.key, route, route.address)
            self._life.context().run(self._receiver.frames_received, origin, message)

    # ---- dialling

    def _dial(self, route: Route, peer: PeerAddress, pause: float) -> None:
        if not route.open:
            return
        if route.address not in self._fabric.hosts:
            self._retry(route, peer, pause)
        else:
            self._fabric.later(4 * self._delay(route), self._connected, route, peer, pause)

    def _connected(self, route: Route, peer: PeerAddress, pause: float) -> None:
        if not route.open:
            return
        far = self._fabric.hosts[route.address].life.net.bound(peer.endpoint.port)
        if self._fabric.parted(self.here, route.address):
            self._fabric.fault("parted", self.here, route.address)
            self._retry(route, peer, pause)
        elif not isinstance(far, SimulatedTransport) or far.key != peer.x25519:
            self._fabric.fault("link-refused", self.here, route.address)
            self._retry(route, peer, pause)
        else:
            route.far = far.accept(self.key, self.here)
            route.far.far = route
            waiting, route.waiting = route.waiting, []
            for message in waiting:
                self._transmit(route.far, message)

    def _retry(self, route: Route, peer: PeerAddress, pause: float) -> None:
        if self._expects_reply(route):
            self._fabric.later(pause, self._dial, route, peer, min(2 * pause, LONGEST_PAUSE))
        else:
            self.closed_by_peer(route)

    def _close_idle(self, route: Route) -> None:
        if not route.open:
            return
        left = route.used_at + IDLE - self._fabric.loop.time()
        if left <= 0 and not self._expects_reply(route):
            self.close(route)
        else:
            self._fabric.later(max(left, 1.0), self._close_idle, route)

    def _expects_reply(self, route: Route) -> bool:
        return self._receiver is not None and self._receiver.is_waiting(route.key)

    # ---- on the way

    def _transmit(self, far: Route, message: tuple[bytes, ...]) -> None:
        if self._fabric.draw(self._fabric.model.peer_loss):
            self._fabric.fault("peer-lost", self.here, far.transport.here, *message)
            return
        size = FRAME_BYTES + sum(map(len, message))
        delay = self._fabric.delay(self.here, far.transport.here, size)
        far.last_arrival = max(self._fabric.loop.time() + delay, far.last_arrival + IN_ORDER)
        self._fabric.at(far.last_arrival, far.transport.arrive, far, message)

    def _delay(self, route: Route) -> float:
        return self._fabric.delay(self.here, route.address)

    def _forget(self, route: Route) -> None:
        route.open = False
        route.waiting.clear()
        self._routes.pop(route, None)
        for peer in [peer for peer, dialled in self._dialled.items() if dialled is route]:
            del self._dialled[peer]

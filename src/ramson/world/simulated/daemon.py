"""Lasting connections to OxenMQ listeners of the simulation: the transport under `Net.dial`.

Theory of operation.  The transport dials until it is connected, with the pauses of ZeroMQ, and dials again when
the connection is lost; nothing waits for a connection here, and nothing is closed for being idle.  A connection that a
partition cuts is lost when heartbeats have been missing for as long as ZeroMQ would wait.  The daemons themselves are
what listens in a simulation: nodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from ramson.crypto.keys import X25519KeyPair
from ramson.world.daemon import ConnectionWatcher, Heard
from ramson.world.omq_engine import FrameReceiver
from ramson.world.peers import PeerAddress
from ramson.world.simulated.links import FIRST_PAUSE, LONGEST_PAUSE, Route, SimulatedTransport

if TYPE_CHECKING:
    from ramson.world.simulated.host import Incarnation

HEARTBEAT, MISSED = 15.0, 3  # seconds between heartbeats, and how many may be missed; oxend-interface.md §1 Timing


class LastingTransport(SimulatedTransport):
    """A FrameTransport with one route, renewed as often as it breaks."""

    def __init__(
        self,
        life: Incarnation,
        identity: X25519KeyPair,
        peer: PeerAddress,
        max_message: int,
        *,
        watcher: ConnectionWatcher,
        heard: Heard,
    ) -> None:
        super().__init__(life, identity, None, max_message)
        self._peer = peer
        self._watcher = watcher
        self._heard = heard
        self._ended = False

    def start(self, receiver: FrameReceiver) -> None:
        """Deliver to `receiver` from now on."""
        super().start(receiver)
        self._begin()

    def connect(self, peer: PeerAddress) -> Hashable:
        """Return the present route."""
        return self._dialled.get(peer)

    def send(self, route: Hashable, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False while there is no connection."""
        return isinstance(route, Route) and route.far is not None and super().send(route, frames)

    def close(self, route: Hashable) -> None:
        """Drop the connection; another one is made, unless this is the end."""
        super().close(route)
        if isinstance(route, Route):
            self._lost(route)

    def closed_by_peer(self, route: Route) -> None:
        """Learn that the other end is gone."""
        super().closed_by_peer(route)
        self._lost(route)

    def lose(self) -> None:
        """Drop the connection for good."""
        self._ended = True
        super().lose()

    def arrive(self, route: Route, message: tuple[bytes, ...]) -> None:
        """Take a message that reached our end."""
        if route.open:
            self._life.context().run(self._heard)
        super().arrive(route, message)

    def _begin(self) -> None:
        if self._ended or not self._life.alive:
            return
        host = self._peer.endpoint.host
        route = Route(self, self._peer.x25519, self._fabric.names.get(host, host))
        self._dialled[self._peer] = route
        self._routes[route] = None
        self._dial(route, self._peer, FIRST_PAUSE)

    def _connected(self, route: Route, peer: PeerAddress, pause: float) -> None:
        super()._connected(route, peer, pause)
        if route.far is not None:
            self._fabric.later(HEARTBEAT, self._beat, route, 0)
            self._life.context().run(self._watcher, True)

    def _retry(self, route: Route, peer: PeerAddress, pause: float) -> None:
        self._fabric.later(pause, self._dial, route, peer, min(2 * pause, LONGEST_PAUSE))

    def _beat(self, route: Route, missed: int) -> None:
        if not route.open:
            return
        missed = missed + 1 if self._fabric.parted(self.here, route.address) else 0
        if missed == MISSED:
            self._fabric.fault("link-silent", self.here, route.address)
            self.close(route)
        else:
            self._fabric.later(HEARTBEAT, self._beat, route, missed)

    def _lost(self, route: Route) -> None:
        """Tell of a lost connection and make another one."""
        if route.far is None:
            return
        route.far = None
        if self._receiver is not None:
            self._life.context().run(self._receiver.route_closed, route)
        if self._ended or not self._life.alive:
            return
        self._life.context().run(self._watcher, False)
        self._fabric.later(FIRST_PAUSE, self._begin)

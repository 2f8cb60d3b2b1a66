"""OxenMQ's connections over ZeroMQ: one ROUTER that listens, one DEALER per peer dialled, CURVE on both.

It moves frames and decides nothing; the conversation is `world.omq_engine`.  Options and timings:
oxend-interface.md §1, defaults.md (OxenMQ).

Theory of operation
-------------------
How messages get in and out of a socket is in `watched`, who may be connected in `omq_gate`.

The ROUTER names a connection by a routing id that the far end chooses; nodes choose `L` and their key,
so that a reconnecting node takes its old name over (handover).  Whose connection it is, only the key
proven to CURVE tells, which the ZAP handler attaches to every message as its User-Id.  libzmq hands a name over
without asking for keys; but whoever speaks under the name of a key that has been here, with another key, is
dropped, and so is the connection it cut off, whose owner then takes its name back.

Large replies are not copied but counted until ZeroMQ has let go of them: a client that asks for much and
reads nothing could otherwise make a node keep gigabytes for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import zmq

from ramson.crypto.keys import X25519KeyPair
from ramson.world.http import CannotListen, Endpoint
from ramson.world.omq_engine import FrameReceiver
from ramson.world.peers import Origin, PeerAddress
from ramson.world.real.omq_gate import Gate, GateLimits
from ramson.world.real.watched import MAX_FRAMES, Watched
from ramson.world.real.zap import SharedContext, share

logger = logging.getLogger(__name__)

IDLE = 30.0  # seconds after which an outgoing connection is closed
LARGE = 8 * 1024  # bytes; a message with a part of this size is sent without copying and counted
MAX_QUEUED = 32 * 1024 * 1024  # bytes of large messages one route may have on its way out
MAX_QUEUED_IN_ALL = 512 * 1024 * 1024
CURVE_OVERHEAD = 33  # bytes that encryption adds to a part, which ZeroMQ's limit counts
QUEUE_IN = 64  # messages ZeroMQ reads ahead per connection
QUEUE_OUT = 1000

MAX_ORIGINS = 4096  # senders remembered

_SOURCE = int(zmq.SRCFD)  # of a message: the descriptor it came over


class Route(NamedTuple):
    """A connection: of the ROUTER, by routing id, or an outgoing one, by peer."""

    incoming: bytes | None
    peer: PeerAddress | None


@dataclass(slots=True)
class _Outflow:
    """The large messages a route has on their way out."""

    parts: list[tuple[zmq.MessageTracker, int]] = field(default_factory=list)

    def queued(self) -> int:
        self.parts = [part for part in self.parts if not part[0].done]
        return sum(size for _, size in self.parts)


@dataclass(slots=True)
class _Dialled:
    """An outgoing connection; `unanswered` counts bytes sent since anything came back."""

    origin: Origin
    watched: Watched
    last_used: float
    unanswered: int = 0


class ZmqTransport:
    """A FrameTransport with one identity.  Make and `start` it inside the event loop that serves it."""

    def __init__(
        self, identity: X25519KeyPair, *, listen: Endpoint | None, source: str | None, max_message: int
    ) -> None:
        self._identity = identity
        self._source = source
        self._max_message = max_message
        self._loop = asyncio.get_running_loop()
        self._dialled: dict[PeerAddress, _Dialled] = {}
        self._outflows: dict[bytes, _Outflow] = {}
        self._origins: dict[tuple[bytes, str, str], Origin] = {}
        self._queued = 0  # bytes in all outflows, of which some may have left since they were counted
        self._receiver: FrameReceiver
        self._named: set[bytes] = set()  # routing ids that their keys' owners have used
        self._router: Watched | None = None
        self._gate: Gate | None = None
        self._shared: SharedContext = share(self._loop)
        self._endpoint: Endpoint | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopped = False
        if listen is not None:
            try:
                self._listen(listen)
            except BaseException:
                self._shared.release_soon()
                raise

    # ---- FrameTransport

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, with the port that was really bound."""
        return self._endpoint

    def start(self, receiver: FrameReceiver) -> None:
        """Deliver to `receiver` from now on."""
        self._receiver = receiver
        self._sweeper = self._loop.call_later(IDLE / 6, self._sweep)

    def connect(self, peer: PeerAddress) -> Hashable:
        """Return the route to `peer`, beginning to connect if there is none."""
        dialled = self._dialled.get(peer)
        if dialled is not None:
            return dialled.origin.route
        if not self._stopped:
            try:
                self._dial(peer)
            except zmq.ZMQError as error:  # an address or key that cannot be, or no socket left
                logger.info("a peer cannot be dialled: %s", error.strerror)
        return Route(None, peer)

    def send(self, route: Hashable, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False if the route is gone or takes no more."""
        if not isinstance(route, Route) or self._stopped:
            return False
        if route.peer is not None:
            return self._send_out(route.peer, frames)
        router = self._router
        if router is None or route.incoming is None:
            return False
        size = max(map(len, frames), default=0)
        if size < LARGE:
            return router.send([route.incoming, *frames])
        return self._send_large(router, [route.incoming, *frames])

    def close(self, route: Hashable) -> None:
        """Drop one route; of the ROUTER's only the far end can drop one."""
        if isinstance(route, Route) and route.peer is not None:
            self._hang_up(route.peer)

    async def stop(self) -> None:
        """Drop all, giving what is on its way out to clients a moment to leave."""
        if self._stopped:
            return
        self._stopped = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for dialled in self._dialled.values():
            dialled.watched.close(0)
        self._dialled.clear()
        if self._gate is not None:
            self._gate.close()
        if self._router is not None:
            self._router.close(1000)
        await self._shared.release()

    # ---- listening

    def _listen(self, endpoint: Endpoint) -> None:
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.copy_threshold = 0  # or pyzmq would copy, and not track, the small parts of a large message
        socket.setsockopt(zmq.BACKLOG, 1024)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._identity.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, b"i0e")  # the bencoded index of the listener
        if ":" in endpoint.host:
            socket.setsockopt(zmq.IPV6, 1)
        try:
            socket.bind(f"tcp://{Endpoint(endpoint.host, endpoint.port) if endpoint.port else _any_port(endpoint)}")
        except zmq.ZMQError as error:
            socket.close(0)
            raise CannotListen(
                f"cannot listen at {endpoint}: {error.strerror}",
                remedy="choose an address of this machine and a free port",
            ) from error
        bound = cast("bytes", socket.get(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        self._endpoint = Endpoint(endpoint.host, int(bound.rpartition(":")[2]))
        self._router = Watched(socket, self._incoming)
        self._gate = Gate(self._router, GateLimits(unfinished=2 * self._max_message))

    def _incoming(self, frames: list[zmq.Frame]) -> None:
        gate = self._gate
        if len(frames) < 2 or gate is None:
            return
        first = frames[1]
        try:
            sender = frames[0].bytes, str(first.get("User-Id")), str(first.get("Peer-Address"))
            descriptor = first.get(_SOURCE)
            origin = self._origins.get(sender) or self._remember(sender)
        except (zmq.ZMQError, ValueError):
            return
        gate.heard(descriptor, sender[0])
        if origin is None:
            logger.warning("a connection under another node's name was dropped")
            gate.drop_named(sender[0])
            return
        if len(frames) == MAX_FRAMES:
            gate.drop(descriptor)
            return
        self._receiver.frames_received(origin, [frame.bytes for frame in frames[1:]])

    def _remember(self, sender: tuple[bytes, str, str]) -> Origin | None:
        """Return the origin that a routing id, a key in hex and an address stand for, and keep it.

        None if the routing id is that of another key which has been here.
        """
        routing_id, key, address = sender
        if len(self._origins) >= MAX_ORIGINS:
            self._origins.clear()
            self._named.clear()
        raw = bytes.fromhex(key)
        if routing_id == b"L" + raw and routing_id not in self._named:
            self._named.add(routing_id)
            for other in [other for other in self._origins if other[0] == routing_id]:
                del self._origins[other]  # whoever had the name before its owner came
        elif routing_id in self._named and routing_id != b"L" + raw:
            return None
        origin = self._origins[sender] = Origin(raw, Route(routing_id, None), address)
        return origin

    # ---- dialling

    def _dial(self, peer: PeerAddress) -> None:
        socket = self._socket(zmq.DEALER)
        try:
            socket.setsockopt(zmq.ROUTING_ID, b"L" + self._identity.public)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self._identity.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._identity.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, peer.x25519)
            socket.setsockopt(zmq.RECONNECT_IVL, 250)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 5000)
            if ":" in peer.endpoint.host:
                socket.setsockopt(zmq.IPV6, 1)
            source = f"{Endpoint(self._source, 0)};" if self._source else ""
            socket.connect(f"tcp://{source}{peer.endpoint}")
        except zmq.ZMQError:
            socket.close(0)
            raise
        origin = Origin(peer.x25519, Route(None, peer), peer.endpoint.host)

        def take(frames: list[zmq.Frame]) -> None:
            dialled = self._dialled.get(peer)
            if dialled is not None:
                dialled.last_used = self._loop.time()
                dialled.unanswered = 0
            self._receiver.frames_received(origin, [frame.bytes for frame in frames])

        self._dialled[peer] = _Dialled(origin, Watched(socket, take), self._loop.time())

    def _send_out(self, peer: PeerAddress, frames: Sequence[bytes]) -> bool:
        dialled = self._dialled.get(peer)
        if dialled is None:
            return False
        size = sum(map(len, frames))
        if dialled.unanswered + size > MAX_QUEUED:
            return False
        dialled.last_used = self._loop.time()
        dialled.unanswered += size
        return dialled.watched.send(frames)

    def _hang_up(self, peer: PeerAddress) -> None:
        dialled = self._dialled.pop(peer, None)
        if dialled is not None:
            dialled.watched.close(0)
            self._receiver.route_closed(Route(None, peer))

    def _sweep(self) -> None:
        """Hang up connections that have been idle too long, forget outflows that have ended."""
        before = self._loop.time() - IDLE
        for peer, dialled in list(self._dialled.items()):
            if dialled.last_used < before and not self._receiver.is_waiting(peer.x25519):
                self._hang_up(peer)
        self._count_queued()
        self._sweeper = self._loop.call_later(IDLE / 6, self._sweep)

    # ---- both

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._shared.context.socket(kind)
        for option, value in (
            (zmq.MAXMSGSIZE, self._max_message + CURVE_OVERHEAD),
            (zmq.HANDSHAKE_IVL, 10_000),
            (zmq.HEARTBEAT_IVL, 15_000),
            (zmq.HEARTBEAT_TIMEOUT, 30_000),
            (zmq.LINGER, 5000),
            (zmq.RCVHWM, QUEUE_IN),
            (zmq.SNDHWM, QUEUE_OUT),
        ):
            socket.setsockopt(option, value)
        return socket

    def _send_large(self, router: Watched, frames: Sequence[bytes]) -> bool:
        size = sum(map(len, frames))
        if self._queued + size > MAX_QUEUED_IN_ALL:
            self._count_queued()
        outflow = self._outflows.setdefault(frames[0], _Outflow())
        if self._queued + size > MAX_QUEUED_IN_ALL or (outflow.parts and outflow.queued() + size > MAX_QUEUED):
            return False
        try:
            tracker = router.socket.send_multipart(frames, zmq.NOBLOCK, copy=False, track=True)
        except zmq.ZMQError:
            return False
        finally:
            router.look()
        outflow.parts.append((cast("zmq.MessageTracker", tracker), size))
        self._queued += size
        return True

    def _count_queued(self) -> None:
        """Forget the large messages that have left."""
        self._outflows = {route: outflow for route, outflow in self._outflows.items() if outflow.queued()}
        self._queued = sum(outflow.queued() for outflow in self._outflows.values())


def _any_port(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:*"

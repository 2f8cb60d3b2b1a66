"""OxenMQ's connections over ZeroMQ: one ROUTER that listens, one DEALER per peer dialled, CURVE on both.

It moves frames and decides nothing; the conversation is `world.omq_engine`.  Options and timings:
oxend-interface.md §1, defaults.md (OxenMQ).

Theory of operation
-------------------
The event loop watches each socket's descriptor.  ZeroMQ signals it when the socket's state *changes*, not
while it is readable, and any call on the socket may swallow the signal.  So a signal means "read until
nothing is left", and after anything was sent the socket is looked at once more on the next turn of the loop.
Reading stops after a batch, to let others have the loop, and goes on at its next turn.
pyzmq's multipart calls and its exception for "nothing there" cost several times what the frames do, so frames
are moved one by one, and the socket is asked before it is read.

The ROUTER names a connection by a routing id that the far end chooses; nodes choose `L` and their key,
so that a reconnecting node takes its old name over (handover).  Whose connection it is, only the key
proven to CURVE tells, which the ZAP handler attaches to every message as its User-Id.

Large replies are not copied but counted until ZeroMQ has let go of them: a client that asks for much and
reads nothing could otherwise make a node keep gigabytes for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import zmq

from ramson.crypto.keys import X25519KeyPair
from ramson.world.http import CannotListen, Endpoint
from ramson.world.omq_engine import FrameReceiver
from ramson.world.peers import Origin, PeerAddress
from ramson.world.real.zap import SharedContext, share

logger = logging.getLogger(__name__)

BATCH = 100  # messages taken from one socket before others get the loop
IDLE = 30.0  # seconds after which an outgoing connection is closed
LARGE = 8 * 1024  # bytes; a message with a part of this size is sent without copying and counted
MAX_QUEUED = 32 * 1024 * 1024  # bytes of large messages one route may have on its way out
MAX_QUEUED_IN_ALL = 512 * 1024 * 1024
CURVE_OVERHEAD = 33  # bytes that encryption adds to a part, which ZeroMQ's limit counts
QUEUE_IN = 64  # messages ZeroMQ reads ahead per connection
QUEUE_OUT = 1000

# As plain integers: pyzmq's flags are enums, whose every `|` makes a new one.
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)

MAX_ORIGINS = 4096  # senders remembered


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


class Watched:
    """A socket whose messages are handed to `take` as they come."""

    def __init__(self, socket: zmq.Socket[bytes], take: Callable[[list[zmq.Frame]], None]) -> None:
        self.socket = socket
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._descriptor = cast("int", socket.get(zmq.FD))
        self._next_turn: asyncio.Handle | None = None
        self._closed = False
        self._loop.add_reader(self._descriptor, self._read)
        self.look()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send one message without waiting; False if nobody is there or its queue is full."""
        send = self.socket.send
        try:
            for frame in frames[:-1]:
                send(frame, _MORE)
            send(frames[-1], _LAST)
        except zmq.ZMQError:
            return False
        finally:
            self.look()
        return True

    def look(self) -> None:
        """Read what has come on the loop's next turn, whatever the descriptor says."""
        if self._next_turn is None and not self._closed:
            self._next_turn = self._loop.call_soon(self._read)

    def _read(self) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        for _ in range(BATCH):
            if self._closed:
                return
            try:
                frames = self._receive()
            except zmq.ZMQError as error:
                logger.warning("receiving failed: %s", error.strerror)
                return
            if not frames:
                return
            self._take(frames)
        self.look()

    def _receive(self) -> list[zmq.Frame]:
        """Return the frames of the next message; none when nothing has come."""
        if not cast("int", self.socket.get(_EVENTS)) & _READABLE:
            return []
        receive = self.socket.recv
        frame = receive(_LAST, copy=False)
        frames = [frame]
        while frame.more:
            frame = receive(_LAST, copy=False)
            frames.append(frame)
        return frames

    def close(self, linger_ms: int) -> None:
        """Watch no more, and close the socket; what is on its way out has `linger_ms` to leave."""
        self._closed = True
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._loop.remove_reader(self._descriptor)
        self.socket.close(linger_ms)


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
        self._router: Watched | None = None
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

    def _incoming(self, frames: list[zmq.Frame]) -> None:
        if len(frames) < 2:
            return
        first = frames[1]
        try:
            sender = frames[0].bytes, str(first.get("User-Id")), str(first.get("Peer-Address"))
            origin = self._origins.get(sender) or self._remember(sender)
        except (zmq.ZMQError, ValueError):
            return
        self._receiver.frames_received(origin, [frame.bytes for frame in frames[1:]])

    def _remember(self, sender: tuple[bytes, str, str]) -> Origin:
        """Return the origin that a routing id, a key in hex and an address stand for, and keep it."""
        routing_id, key, address = sender
        if len(self._origins) >= MAX_ORIGINS:
            self._origins.clear()
        origin = self._origins[sender] = Origin(bytes.fromhex(key), Route(routing_id, None), address)
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

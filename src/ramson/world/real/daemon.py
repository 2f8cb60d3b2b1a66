"""The connection to a daemon over ZeroMQ: one DEALER, with CURVE or without, and the news whether it is connected.

Theory of operation.  ZeroMQ reconnects by itself, but says nothing about it, and a daemon that was restarted has
forgotten what this end subscribed to.  So the socket's monitor is read: a finished handshake means connected,
a disconnection means that the requests under way will never be answered, and they fail at once.  Nothing is
queued while there is no connection (`ZMQ_IMMEDIATE`): a request waits for the connection instead, so that a
daemon that comes back after hours is not met by hours of old requests.  A message that never ends costs the
connection (`inflow`).

Spec: oxend-interface.md §1.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError
from ramson.world.daemon import ConnectionWatcher, DaemonAddress, Heard
from ramson.world.daemon_link import LastingLink
from ramson.world.http import Endpoint
from ramson.world.omq_engine import FrameReceiver
from ramson.world.peers import Command, Origin, PeerAddress
from ramson.world.real.inflow import Inflow
from ramson.world.real.omq import QUEUE_IN
from ramson.world.real.watched import Watched
from ramson.world.real.zap import SharedContext, share

logger = logging.getLogger(__name__)

QUEUE_OUT: Final = 1000  # messages

_ROUTE: Final = "daemon"
# The engine knows peers by their key, and dials those that have a port; here is only one.
_PEER: Final = PeerAddress(Endpoint(_ROUTE, 1), b"")
_ORIGIN: Final = Origin(_PEER.x25519, _ROUTE)


class DaemonTransport:
    """A FrameTransport with one route.  Make and `start` it inside the event loop that serves it."""

    endpoint: Endpoint | None = None

    def __init__(
        self,
        address: DaemonAddress,
        identity: X25519KeyPair,
        *,
        source: str | None,
        watcher: ConnectionWatcher,
        heard: Heard,
        max_message: int,
    ) -> None:
        self._receiver: FrameReceiver
        self._watcher = watcher
        self._heard = heard
        self._shared: SharedContext = share(asyncio.get_running_loop())
        socket = self._shared.context.socket(zmq.DEALER)
        monitor = socket.get_monitor_socket(
            zmq.Event.CONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED
        )
        try:
            _configure(socket, address, identity, max_message)
            socket.connect(_url(address, source))
        except zmq.ZMQError as error:
            monitor.close(0)
            socket.close(0)
            self._shared.release_soon()
            raise LocalError(
                f"cannot connect to a daemon at {address}: {error.strerror}", remedy="check the address"
            ) from error
        self.connected = False
        self._inflow = Inflow(2 * max_message)
        self._watched = Watched(socket, self._take)
        self._monitor = Watched(monitor, self._observe)
        self._stopped = False

    def start(self, receiver: FrameReceiver) -> None:
        """Deliver to `receiver` from now on."""
        self._receiver = receiver

    def connect(self, peer: PeerAddress) -> Hashable:  # noqa: ARG002 - of FrameTransport
        """Return the only route."""
        return _ROUTE

    def send(self, route: Hashable, frames: Sequence[bytes]) -> bool:  # noqa: ARG002 - of FrameTransport
        """Send without waiting; False while there is no connection."""
        if self._stopped:
            return False
        try:
            self._watched.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        finally:
            self._watched.look()
        return True

    def close(self, route: Hashable) -> None:
        """Do nothing: a daemon that says BYE closes its end, and this one is to last."""

    async def stop(self) -> None:
        """Drop the connection."""
        if self._stopped:
            return
        self._stopped = True
        self._inflow.close()
        self._watched.socket.disable_monitor()
        self._monitor.close(0)
        self._watched.close(0)
        await self._shared.release()

    def _take(self, frames: list[zmq.Frame]) -> None:
        self._inflow.heard()
        self._heard()
        self._receiver.frames_received(_ORIGIN, [frame.bytes for frame in frames])

    def _observe(self, frames: list[zmq.Frame]) -> None:
        told = parse_monitor_message([frame.bytes for frame in frames])
        if told["event"] == zmq.Event.CONNECTED:
            self._inflow.connected(told["value"])
            return
        connected = told["event"] == zmq.Event.HANDSHAKE_SUCCEEDED
        # Asking makes the socket take notice of its new connection; otherwise it may find out a moment too late.
        self._watched.socket.get(zmq.EVENTS)
        self._watched.look()
        if connected == self.connected:
            return
        self.connected = connected
        if not connected:
            self._receiver.route_closed(_ROUTE)
        self._watcher(connected)


def dial(
    address: DaemonAddress,
    commands: Mapping[str, Command],
    *,
    identity: X25519KeyPair | None,
    source: str | None,
    watcher: ConnectionWatcher | None,
    heard: Heard,
    max_message: int,
    entropy: random.Random,
) -> LastingLink:
    """Make a DaemonLink over a DaemonTransport; `source` is the local address to call from.  Raises LocalError."""
    identity = identity or X25519KeyPair.generate(entropy)

    def make(changed: ConnectionWatcher) -> DaemonTransport:
        return DaemonTransport(address, identity, source=source, watcher=changed, heard=heard, max_message=max_message)

    return LastingLink(make, _PEER, commands, watcher=watcher, entropy=entropy)


def _url(address: DaemonAddress, source: str | None) -> str:
    """Return where to connect to, and from which address of this machine if that matters there."""
    if source is not None and isinstance(address.place, Endpoint):
        with suppress(ValueError):  # a name
            far = ip_address(address.place.host)
            if not far.is_loopback and far.version == ip_address(source).version:
                return f"tcp://{Endpoint(source, 0)};{address.place}"
    return address.url


def _configure(socket: zmq.Socket[bytes], address: DaemonAddress, identity: X25519KeyPair, max_message: int) -> None:
    for option, value in (
        (zmq.IMMEDIATE, 1),
        (zmq.MAXMSGSIZE, max_message),
        (zmq.HANDSHAKE_IVL, 10_000),
        (zmq.HEARTBEAT_IVL, 15_000),
        (zmq.HEARTBEAT_TIMEOUT, 30_000),
        (zmq.RECONNECT_IVL, 250),
        (zmq.RECONNECT_IVL_MAX, 5000),
        (zmq.LINGER, 0),
        (zmq.RCVHWM, QUEUE_IN),
        (zmq.SNDHWM, QUEUE_OUT),
    ):
        socket.setsockopt(option, value)
    if isinstance(address.place, Endpoint) and ":" in address.place.host:
        socket.setsockopt(zmq.IPV6, 1)
    if address.key is not None:
        socket.setsockopt(zmq.CURVE_PUBLICKEY, identity.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, identity.secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, address.key)

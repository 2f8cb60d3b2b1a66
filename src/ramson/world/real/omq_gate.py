"""Who may be connected to the OxenMQ listener: ZeroMQ accepts everybody, and this drops what is too much.

It never reads or answers a message.  oxend-interface.md §1; docs/threat-model.md says what it cannot prevent.

Theory of operation
-------------------
libzmq bounds neither the number of connections it accepts, nor how many parts a message has, of which it hands over
nothing before the last has come.  But it tells through a monitor socket which descriptor it accepted and which it has
lost, and says of each message over which descriptor it came.  A descriptor is enough to see the far end's address, to
ask the kernel how many bytes have come (Linux only), and to shut the connection down, after which libzmq clears it
away as if the far end had done so.  So from the moment of its acceptance, long before it has shown a key, a
connection counts:

* each caller (an IPv4 address, or an IPv6 /64) may have so many, and may make so many a second;
* there are so many in all.  Beyond it one goes that never said anything, or else one that was silent for longest, of
  the caller that has most (`crowd`);
* what has come on one since its last whole message is bounded, on each and on all together.  It is looked at
  once a second, so a little more may come at the speed of the network.

A connection whose bytes libzmq leaves with the kernel from one look to the next was cut off, because another one took
its routing id over (`ROUTER_HANDOVER`).  It is shut down, so that its owner notices at once and connects again.

How a connection is looked at that libzmq may close at any time is in `tcp_state`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from dataclasses import dataclass
from typing import Final

import zmq

from ramson.world.callers import Paces, caller
from ramson.world.real import tcp_state
from ramson.world.real.crowd import MOVING, WAITING, leavers, places
from ramson.world.real.descriptors import allowed
from ramson.world.real.watched import Watched

logger = logging.getLogger(__name__)

LOOK: Final = 1.0  # seconds between two looks at all connections
TELL: Final = 60.0  # seconds between two log lines about what was dropped

_ACCEPTED, _DISCONNECTED = int(zmq.EVENT_ACCEPTED), int(zmq.EVENT_DISCONNECTED)


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What is tolerated: connections in all and of one caller, those it may make at once and a second, bytes.

    `unfinished` bounds what has come on one connection since its last whole message, `unfinished_in_all` that of all.
    """

    connections: int = 8_000
    per_caller: int = 500
    burst: int = 500
    pace: float = 50.0
    unfinished: int = 20 * 1024 * 1024
    unfinished_in_all: int = 256 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Incoming:
    """An accepted connection; `since` is when it was made or last said something, in seconds."""

    descriptor: int
    addresses: tcp_state.Addresses
    caller: str
    since: float
    worth: int = WAITING
    routing_id: bytes = b""
    spoke: bool = False  # since the last look
    finished: int = 0  # bytes that had come when it last spoke, as far as a look found out
    waiting: int = 0  # bytes that the kernel had at the last look
    taken: int = 0  # bytes that libzmq had taken by then


class Gate:
    """Watches the connections of `router`; `watched` reads its messages."""

    def __init__(self, watched: Watched, limits: GateLimits) -> None:
        self._watched = watched
        self._limits = limits
        self._most = allowed(limits.connections, share=0.2)
        self._loop = asyncio.get_running_loop()
        self._incoming: dict[int, Incoming] = {}
        self._by_caller: dict[str, dict[Incoming, None]] = {}
        self._paces = Paces(limits.burst, limits.pace)
        self._dropped = 0
        self._told = -TELL
        monitor = watched.socket.get_monitor_socket(_ACCEPTED | _DISCONNECTED)
        self._monitor = Watched(monitor, self._observe)
        self._timer = self._loop.call_later(LOOK, self._look)

    def __len__(self) -> int:
        return len(self._incoming)

    def close(self) -> None:
        """Watch no more."""
        self._timer.cancel()
        self._monitor.read()  # a full monitor would hold libzmq up while it is told to stop
        self._watched.socket.disable_monitor()
        self._monitor.close(0)

    def heard(self, descriptor: int, routing_id: bytes) -> None:
        """Learn that a whole message came over a descriptor."""
        one = self._incoming.get(descriptor)
        if one is None:  # its acceptance has not been told yet
            self._monitor.read()
            one = self._incoming.get(descriptor)
            if one is None:
                return
        one.since = self._loop.time()
        one.worth, one.spoke, one.routing_id = MOVING, True, routing_id

    def drop(self, descriptor: int) -> None:
        """Drop the connection with this descriptor."""
        one = self._incoming.get(descriptor)
        if one is not None:
            self._drop(one)

    def drop_named(self, routing_id: bytes) -> None:
        """Drop the connections over which messages came under this routing id."""
        for one in [one for one in self._incoming.values() if one.routing_id == routing_id]:
            self._drop(one)

    # ---- what libzmq tells

    def _observe(self, frames: list[zmq.Frame]) -> None:
        event, value = struct.unpack_from("=Hi", frames[0].bytes)
        known = self._incoming.get(value)
        if known is not None:
            self._forget(known)
        if event == _ACCEPTED:
            self._accepted(value)

    def _accepted(self, descriptor: int) -> None:
        try:
            with tcp_state.duplicate(descriptor) as far:
                addresses = tcp_state.addresses(far)
        except OSError:
            return  # it has gone already
        who, limits = caller(addresses[0][0]), self._limits
        one = Incoming(descriptor, addresses, who, self._loop.time())
        self._incoming[descriptor] = one
        mine = self._by_caller.setdefault(who, {})
        mine[one] = None
        if not self._paces.allows(who, self._loop.time()):
            self._drop(one)
        elif len(mine) > limits.per_caller:
            self._drop_some({who: mine}, places(limits.per_caller))
        elif len(self._incoming) > self._most:
            self._drop_some(self._by_caller, places(self._most))

    # ---- looking at all

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK, self._look)
        self._watched.read()  # what is whole has arrived
        unfinished: list[tuple[int, Incoming]] = []
        for one in list(self._incoming.values()):
            try:
                with tcp_state.grasp(one.descriptor, one.addresses) as far:
                    received, waiting = tcp_state.received(far), tcp_state.waiting(far)
            except OSError:
                self._forget(one)
                continue
            if received is None:
                continue
            taken = received - waiting
            is_left = waiting > 0 and one.waiting > 0 and taken == one.taken
            if one.spoke:
                one.finished = received
            elif is_left or received - one.finished > self._limits.unfinished:
                self._drop(one)
                continue
            else:
                unfinished.append((received - one.finished, one))
            one.waiting, one.taken, one.spoke = waiting, taken, False
        total = sum(size for size, _ in unfinished)
        for size, one in sorted(unfinished, key=lambda pair: -pair[0]):
            if total <= self._limits.unfinished_in_all:
                break
            self._drop(one)
            total -= size
        if self._dropped and self._loop.time() - self._told >= TELL:
            logger.warning("crowded: %d OxenMQ connections were dropped, %d are open", self._dropped, len(self))
            self._dropped, self._told = 0, self._loop.time()

    # ---- dropping

    def _drop_some(self, held: dict[str, dict[Incoming, None]], wanted: int) -> None:
        for one in leavers(held, wanted):
            self._drop(one)

    def _drop(self, one: Incoming) -> None:
        self._forget(one)
        self._dropped += 1
        try:
            with tcp_state.grasp(one.descriptor, one.addresses) as far:
                far.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has gone already

    def _forget(self, one: Incoming) -> None:
        if self._incoming.get(one.descriptor) is one:
            del self._incoming[one.descriptor]
        mine = self._by_caller.get(one.caller, {})
        mine.pop(one, None)
        if not mine:
            self._by_caller.pop(one.caller, None)

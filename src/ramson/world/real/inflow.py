"""Bounds what comes on an outgoing connection of ZeroMQ before a message of it is whole.

libzmq keeps all parts of a message until the last has come, however many there are, so that a far end could fill the
memory.  It is looked at once a second, so a little more may come at the speed of the network; on other systems than
Linux the bytes are not known and not bounded.  Incoming connections are watched by `omq_gate`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from ramson.world.real import tcp_state

logger = logging.getLogger(__name__)

LOOK: Final = 1.0  # seconds
LEAST: Final = 1024 * 1024  # bytes; heartbeats of days come to less


class Inflow:
    """Shuts a connection down on which more than `limit` bytes have come since its last whole message."""

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, LEAST)
        self._loop = asyncio.get_running_loop()
        self._connection: tuple[int, tcp_state.Addresses] | None = None
        self._finished = 0  # bytes that had come when it last spoke
        self._spoke = True
        self._timer: asyncio.TimerHandle | None = None

    def connected(self, descriptor: int) -> None:
        """Watch the connection with this descriptor."""
        try:
            with tcp_state.duplicate(descriptor) as far:
                self._connection = descriptor, tcp_state.addresses(far)
        except OSError:
            return  # it has gone already
        self._spoke = True
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK, self._look)

    def heard(self) -> None:
        """Learn that a whole message has come."""
        self._spoke = True

    def close(self) -> None:
        """Watch no more."""
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._connection is None:
            return
        try:
            with tcp_state.grasp(*self._connection) as far:
                received = tcp_state.received(far)
                if received is None:
                    return
                if not self._spoke and received - self._finished > self._limit:
                    logger.warning("a connection on which a message did not end was dropped")
                    far.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._connection = None
            return
        if self._spoke:
            self._finished, self._spoke = received, False
        self._timer = self._loop.call_later(LOOK, self._look)

"""One QUIC connection on an event loop: bytes from the socket in, bytes to the socket out, and its timer.

What is said is its owner's business; `quic` listens, `quic_client` asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from aioquic.quic.events import QuicEvent

from ramson.world.real.quic_tls import RawKeyConnection

# What strangers do wrong is no matter for a log, and aioquic would write a line about it each time.
logging.getLogger("quic").setLevel(logging.CRITICAL)

_FAILED: Final = "a QUIC connection failed"
SPARE: Final = 1024 * 1024  # bytes waiting for the socket, beyond which datagrams are dropped, to be sent again

logger = logging.getLogger(__name__)


def give(transport: asyncio.DatagramTransport | None, data: bytes, address: Any = None) -> None:
    """Send a datagram, unless the socket takes no more for now: QUIC sends again what is lost."""
    if transport is None or transport.is_closing():
        return
    if cast("asyncio.WriteTransport", transport).get_write_buffer_size() < SPARE:  # it has this, if not by its type
        transport.sendto(data, address)


class Talk:
    """Moves one connection on; `happened` is told of its events, and may ask for more to be sent."""

    def __init__(
        self,
        quic: RawKeyConnection,
        send: Callable[[bytes, Any], None],
        happened: Callable[[QuicEvent], None],
        broke: Callable[[], None],
    ) -> None:
        self.quic = quic
        self._send = send
        self._happened = happened
        self._broke = broke
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._moving = False
        self.ended = False

    def received(self, data: bytes, address: Any) -> None:
        """Take a datagram.  Nothing that is in it raises."""
        try:
            self.quic.receive_datagram(data, address, now=self._loop.time())
            self.move()
        except Exception:
            logger.exception(_FAILED)  # a defect of aioquic or of what is built upon it costs one connection
            self._give_up()

    def move(self) -> None:
        """Tell of what happened, send what is to be sent, and wake up when it is time."""
        if self._moving:  # an event led to something that is to be sent; it is, when all events are told
            return
        self._moving = True
        try:
            while not self.ended and (event := self.quic.next_event()) is not None:
                self._happened(event)
        finally:
            self._moving = False
        if self.ended:
            return
        for data, address in self.quic.datagrams_to_send(now=self._loop.time()):
            self._send(data, address)
        due = self.quic.get_timer()
        if due != self._due or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._loop.call_at(due, self._wake)

    def end(self, reason: str) -> None:
        """Say good-bye and be done with it; nothing is waited for."""
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            self.quic.close(reason_phrase=reason)
            for data, address in self.quic.datagrams_to_send(now=self._loop.time()):
                self._send(data, address)
        except Exception:
            logger.exception(_FAILED)

    def _wake(self) -> None:
        self._timer = None
        try:
            self.quic.handle_timer(now=max(self._loop.time(), self._due or 0.0))
            self.move()
        except Exception:
            logger.exception(_FAILED)  # a defect of aioquic or of what is built upon it costs one connection
            self._give_up()

    def _give_up(self) -> None:
        self.end("internal error")
        self._broke()

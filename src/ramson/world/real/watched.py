"""A ZeroMQ socket of the event loop: whole messages in as they come, whole messages out without waiting.

Theory of operation
-------------------
The event loop watches each socket's descriptor.  ZeroMQ signals it when the socket's state *changes*, not
while it is readable, and any call on the socket may swallow the signal.  So a signal means "read until
nothing is left", and after anything was sent the socket is looked at once more on the next turn of the loop.
Reading stops after a batch, to let others have the loop, and goes on at its next turn.
pyzmq's multipart calls and its exception for "nothing there" cost several times what the frames do, so frames
are moved one by one, and the socket is asked before it is read.

ZeroMQ hands a message over when its last part has come, however many parts that are.  Those beyond the widest message
the protocol allows are thrown away as they are read; the taker sees from their number that it was too wide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, cast

import zmq

from ramson.protocol.omq import MAX_PARTS

logger = logging.getLogger(__name__)

BATCH: Final = 100  # messages taken from one socket before others get the loop
MAX_FRAMES: Final = MAX_PARTS + 2  # kept of a message: a routing id, the parts, and one that says there were more

# As plain integers: pyzmq's flags are enums, whose every `|` makes a new one.
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


class Watched:
    """A socket whose messages are handed to `take` as they come."""

    def __init__(self, socket: zmq.Socket[bytes], take: Callable[[list[zmq.Frame]], None]) -> None:
        self.socket = socket
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._descriptor = cast("int", socket.get(zmq.FD))
        self._next_turn: asyncio.Handle | None = None
        self._closed = False
        self._loop.add_reader(self._descriptor, self.read)
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
            self._next_turn = self._loop.call_soon(self.read)

    def read(self) -> None:
        """Read what has come, as far as a batch goes."""
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
            if len(frames) < MAX_FRAMES:
                frames.append(frame)
        return frames

    def close(self, linger_ms: int) -> None:
        """Watch no more, and close the socket; what is on its way out has `linger_ms` to leave."""
        self._closed = True
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._loop.remove_reader(self._descriptor)
        self.socket.close(linger_ms)

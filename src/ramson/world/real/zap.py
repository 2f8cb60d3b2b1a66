"""The ZeroMQ context of an event loop and the ZAP handler in it, shared by all links of that loop.

ZeroMQ asks the handler about every CURVE connection before it is let in.  Any valid key is: what a key may
do is decided per command.  The handler attaches the key, in hex, as User-Id to all the connection's messages.
oxend-interface.md §1 (Server authentication).
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import zmq

logger = logging.getLogger(__name__)

ADDRESS = "inproc://zeromq.zap.01"
MAX_SOCKETS = 10_000
KEY_SIZE = 32


class SharedContext:
    """A context with its handler, alive while somebody holds it.  Get one with `share`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._holders = 0
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._handler = self.context.socket(zmq.REP)
        self._handler.bind(ADDRESS)
        self._descriptor = cast("int", self._handler.get(zmq.FD))
        loop.add_reader(self._descriptor, self._answer)

    def hold(self) -> None:
        """Keep it alive until a matching `release`."""
        self._holders += 1

    async def release(self) -> None:
        """Let go; the last to do so ends the context, waiting for what still leaves its sockets."""
        if self._last_gone():
            # waits for lingering messages, at most the sockets' linger time
            await asyncio.to_thread(self.context.term)

    def release_soon(self) -> None:
        """Let go of a context in which nothing was sent."""
        if self._last_gone():
            self.context.term()

    def _last_gone(self) -> bool:
        self._holders -= 1
        if self._holders:
            return False
        del _contexts[self._loop]
        self._loop.remove_reader(self._descriptor)
        self._handler.close(0)
        return True

    def _answer(self) -> None:
        while True:
            try:
                request = self._handler.recv_multipart(zmq.NOBLOCK)
                self._handler.send_multipart(judge(request), zmq.NOBLOCK)
            except zmq.Again:
                return
            except zmq.ZMQError as error:
                logger.warning("a connection could not be judged: %s", error.strerror)
                return


def judge(request: list[bytes]) -> list[bytes]:
    """Answer a ZAP request (version, request id, domain, address, identity, mechanism, credentials)."""
    request_id = request[1] if len(request) > 1 else b""
    if len(request) == 7 and request[0] == b"1.0" and request[5] == b"CURVE" and len(request[6]) == KEY_SIZE:
        return [b"1.0", request_id, b"200", b"OK", request[6].hex().encode(), b""]
    return [b"1.0", request_id, b"400", b"only CURVE is spoken here", b"", b""]


_contexts: dict[asyncio.AbstractEventLoop, SharedContext] = {}


def share(loop: asyncio.AbstractEventLoop) -> SharedContext:
    """Hold the context of this event loop, making it if need be."""
    shared = _contexts.get(loop)
    if shared is None:
        shared = _contexts[loop] = SharedContext(loop)
    shared.hold()
    return shared

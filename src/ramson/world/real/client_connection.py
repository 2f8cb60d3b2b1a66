"""One client connection: one exchange at a time, the reply bounded while it is read.

A reply's body ends where its framing says; without framing (HTTP/1.0) it ends with the connection.
Interim replies (1xx) are skipped.  A connection that did anything unexpected is not used again.
"""

# ruff: noqa: D102 - callbacks, named by asyncio and httptools; the class says so

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from ramson.world.http import HttpResponse, NetError, Stage
from ramson.world.real.headers import LazyHeaders

MAX_HEAD = 64 * 1024


class Died(Exception):
    """The connection ended before a byte of the reply came."""


class _Enough(Exception):
    """Stops the parser from within a callback."""


class ClientConnection(asyncio.BufferedProtocol):
    """The protocol object of one outgoing connection to `address` (an IP address).

    Methods without a docstring are called by the event loop (asyncio.BufferedProtocol) or by the parser
    (httptools).  `received` counts the bytes that came, TLS included, `replied` those of the present reply,
    without.  `buffer` is shared with other connections: what was read is parsed at once.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_framed",
        "_gone",
        "_head_done",
        "_head_size",
        "_headers_only",
        "_max_reply",
        "_parser",
        "_raw",
        "_received",
        "_reply",
        "_size",
        "_transport",
        "address",
        "alive",
        "idle_since",
        "received",
        "replied",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, buffer: memoryview) -> None:
        self.address = address
        self._buffer = buffer
        self.alive = False
        self.idle_since = 0.0
        self.received = self.replied = 0
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._gone: asyncio.Future[None] = loop.create_future()
        self._reply: asyncio.Future[HttpResponse] | None = None
        self._raw: dict[bytes, bytes] = {}

    # ---- for the client

    async def exchange(self, message: bytes, headers_only: bool, max_reply: int) -> HttpResponse:  # noqa: FBT001
        """Send a request and return its reply.  Raises Died or NetError.

        Afterwards `alive` says whether the connection can be used again.
        """
        if not self.alive:
            raise Died
        self._headers_only = headers_only
        self._max_reply = max_reply
        self.replied = 0
        self._received = self._head_done = self._framed = False
        self._head_size = self._size = 0
        self._body = bytearray()
        self._raw.clear()
        self._reply = self._gone.get_loop().create_future()
        self._transport.write(message)
        try:
            return await self._reply
        except BaseException:
            self.abort()
            raise
        finally:
            self._reply = None

    def certificate(self) -> bytes | None:
        """Return the server's certificate, DER."""
        tls = self._transport.get_extra_info("ssl_object")
        return cast("bytes | None", tls.getpeercert(binary_form=True)) if tls is not None else None

    def close(self) -> None:
        """Close in good order."""
        self.alive = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    async def gone(self) -> None:
        """Wait until the connection is closed."""
        await self._gone

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self.alive = True

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        self.received += size
        self.feed(size)

    def feed(self, size: int) -> None:
        """Take `size` bytes that are in the buffer; the TLS layer, which counts by itself, calls it."""
        if self._reply is None or self._reply.done():  # nobody asked: whatever this is, it is no reply
            self.abort()
            return
        self._received = True
        self.replied += size
        if not self._head_done:
            self._head_size += size
        try:
            self._parser.feed_data(self._buffer[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the reply is malformed")
        else:
            if not self._head_done and self._head_size > MAX_HEAD:
                self._fail("the reply's head is too large")

    def eof_received(self) -> bool:
        self._ended()
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self._ended()
        del self._parser  # breaks the cycle with the parser's callbacks
        if not self._gone.done():
            self._gone.set_result(None)

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.done():  # a second reply to one request
            self.alive = False
            raise _Enough

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw[name] = value
        if self._head_done:  # trailers
            self._size += len(name) + len(value)
            self._bound()
            return
        lower = name.lower()
        if lower == b"content-length":
            self._framed = True
            if int(value) > self._max_reply and not self._headers_only:
                self._too_large()
        elif lower == b"transfer-encoding":
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            self._fail("the server switched protocols")
            raise _Enough
        if 100 <= status < 200:
            return
        self._head_done = True
        if self._headers_only:
            # llhttp cannot be told that no body follows, so this connection ends here
            self._finish(status, reusable=False)
            raise _Enough

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._bound()
        self._body += chunk

    def on_message_complete(self) -> None:
        if not self._head_done:  # an interim reply
            self._raw.clear()
            self._framed = False
            return
        self._finish(self._parser.get_status_code(), reusable=self._parser.should_keep_alive())

    # ---- the outcome

    def _bound(self) -> None:
        if self._size > self._max_reply:
            self._too_large()

    def _too_large(self) -> None:
        self._fail(f"the reply is larger than {self._max_reply} bytes")
        raise _Enough

    def _finish(self, status: int, *, reusable: bool) -> None:
        if not reusable:
            self.alive = False
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(HttpResponse(status, LazyHeaders(self._raw.copy()), bytes(self._body)))

    def _fail(self, text: str) -> None:
        self.alive = False
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(NetError(Stage.REPLY, text, received=self.received, replied=self.replied))

    def _ended(self) -> None:
        self.alive = False
        reply = self._reply
        if reply is None or reply.done():
            return
        if not self._received:
            reply.set_exception(Died())
        elif self._head_done and not self._framed:
            self._finish(self._parser.get_status_code(), reusable=False)
        else:
            self._fail("the connection broke in the middle of the reply")

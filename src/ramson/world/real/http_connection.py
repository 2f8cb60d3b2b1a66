"""One connection of an HTTP listener: bytes in, requests to the handler, replies out in order.

Theory of operation (storage-rpc.md §1 and §5; CORRECTIONS.md on 413)
----------------------------------------------------------------------
llhttp calls back while it is fed.  A callback never answers: it puts what it understood on `_waiting`, a
queue of *turns*.  A turn is a request for the handler or, for what a handler never sees (too large,
malformed, too slow), a finished reply.  `_pump` takes the turns in order, one at a time, so replies
leave in the order of the requests.

    phase     a message is …                        limit in time
    IDLE      not begun                             idle_timeout
    HEAD      begun, its head not complete          head_timeout
    BODY      announced, its body not complete      body_timeout
    DEAF      ignored: the connection is ending     linger (in all), quiet (since the last byte)

While a handler works (`_busy`) the handler's own time limits hold and at most one more read is taken in;
while the client does not take its replies (`_stalled`) no request is handled and the client must keep
taking some of them.  Ending a connection in mid-message lingers: what the client still writes is read
and dropped for a while, or the reset caused by unread bytes would destroy the reply before it is read.

Times are in ticks of the listener, which asks each connection whether its `deadline` has passed: no
timer is made for a request, and no clock is read.
"""

# ruff: noqa: D102 - callbacks, named by asyncio and httptools; the class says so

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from inspect import iscoroutine
from typing import TYPE_CHECKING, Protocol, cast

import httptools
import msgspec

from ramson.world.faults import describe
from ramson.world.http import HttpHandler, HttpLimits, HttpRequest, HttpResponse
from ramson.world.real.crowd import MOVING, WAITING, WORKING
from ramson.world.real.headers import LazyHeaders

if TYPE_CHECKING:
    from ramson.world.real.ticks import Ticks

logger = logging.getLogger(__name__)

NEVER = 1 << 62
MAX_WAITING = 64
ONE_WRITE = 16 * 1024  # up to here one write of head and body costs less than two

_PLAIN: Mapping[str, str] = {"Content-Type": "text/plain"}
_METHODS = {name.encode(): name for name in ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")}


IDLE, HEAD, BODY, DEAF = range(4)  # the phases; bare numbers, for they are looked at many times a request


class Turn(msgspec.Struct):
    """Something to be answered in its turn: `reply`, or else what the handler makes of `request`."""

    request: HttpRequest | None
    reply: HttpResponse | None
    keep_alive: bool
    headers_only: bool = False
    announce_keep_alive: bool = False


class Server(Protocol):
    """What a connection needs of its listener."""

    handler: HttpHandler
    limits: HttpLimits
    loop: asyncio.AbstractEventLoop
    heads: dict[int, str]
    ticks: Ticks
    held: int
    unsent: int
    buffer: memoryview
    answers: set[asyncio.Future[HttpResponse]]

    def opened(self, connection: Connection) -> None:
        """Count the connection in."""

    def closed(self, connection: Connection) -> None:
        """Count the connection out."""

    def relieve(self) -> None:
        """Drop the connection that has taken nothing for longest."""


class _Enough(Exception):
    """Stops the parser from within a callback."""


class Connection(asyncio.BufferedProtocol):
    """The protocol object of one accepted connection.

    Methods without a docstring are called by the event loop (asyncio.BufferedProtocol) or by the parser
    (httptools).  All connections of a listener read into one buffer, for what was read is parsed before
    anybody else reads: with a buffer of its own, each read would be given 256 KiB by the event loop.
    """

    __slots__ = (
        "_body",
        "_busy",
        "_completed",
        "_continue_due",
        "_discarding",
        "_gone",
        "_head_size",
        "_judged",
        "_limits",
        "_linger_end",
        "_parser",
        "_peer",
        "_phase",
        "_raw",
        "_read_now",
        "_reading",
        "_request_raw",
        "_server",
        "_silent",
        "_size",
        "_stalled",
        "_transport",
        "_unsent",
        "_url",
        "_waiting",
        "caller",
        "deadline",
        "on_header",
        "since",
    )

    def __init__(self, server: Server, peer: str, caller: str) -> None:
        self._server = server
        self._limits = server.limits
        self._peer = peer
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._gone = False
        self._phase = IDLE
        self._waiting: list[Turn] = []
        self._busy: Turn | None = None
        self._reading = True
        self._stalled = False
        self._unsent = 0
        self._linger_end = 0
        self._raw: dict[bytes, bytes] = {}
        # called by the parser once a header line; a repeated header overwrites
        self.on_header = self._raw.__setitem__
        self._request_raw: dict[bytes, bytes] = {}
        self._url = b""
        # not a list of pieces: pieces of two bytes would take twenty times what they hold
        self._body: bytes | bytearray = b""
        self._size = 0
        self._head_size = 0
        self._silent = 0
        self._read_now = 0
        self._judged = False
        self._completed = False
        self._discarding = False
        self._continue_due = False
        self.deadline = NEVER
        self.caller = caller
        self.since = server.ticks.now  # when the connection, or what is being received on it, last came a step further

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        ticks = self._server.ticks
        self.since = ticks.now
        self.deadline = ticks.now + ticks.head
        self._server.opened(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._phase = DEAF
        self._waiting.clear()
        self._release()
        self._count_unsent(0)
        del self._parser  # breaks the cycle with the parser's callbacks
        self._gone = True
        self.deadline = NEVER
        self._server.closed(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, size: int) -> None:
        before = self._phase
        if before == DEAF:
            if self._linger_end:
                self.deadline = min(self._linger_end, self._server.ticks.now + self._server.ticks.quiet)
            return
        self._completed = False
        self._read_now = size
        progress = self._size
        try:
            self._parser.feed_data(self._server.buffer[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._phase != DEAF:
                self._refuse(400, "Bad Request")
        else:
            if self._phase == BODY and not self._judged:
                self._judge()
            if self._completed:
                self._head_size = self._silent = 0
            elif self._phase == BODY:
                # chunk sizes, extensions and trailers may not go on for ever either
                self._silent = 0 if self._size != progress or before != BODY else self._silent + size
                if self._silent > self._limits.max_head:
                    self._refuse(400, "Bad Request")
            elif self._phase != DEAF:
                self._phase = HEAD
                self._head_size += size
                if self._head_size > self._limits.max_head:
                    self._refuse(431, "Request Header Fields Too Large")
        if self._waiting and not self._busy and not self._stalled:
            self._pump()
        if self._busy or self._stalled or self._phase == DEAF:
            if self._waiting and self._reading:
                self._reading = False
                self._transport.pause_reading()
        elif self._completed or self._phase != before:
            self._rearm()

    def eof_received(self) -> bool:
        # A client that half-closes still gets the replies it waits for; TLS knows no half-closing.
        if (self._busy or self._waiting) and self._transport.can_write_eof():
            self.finish()
            return True
        return False

    def pause_writing(self) -> None:
        self._stalled = True
        ticks = self._server.ticks
        self.deadline = ticks.now + ticks.body
        self._count_unsent(self._transport.get_write_buffer_size())
        if self._server.unsent > self._limits.max_held:
            self._server.relieve()

    def resume_writing(self) -> None:
        self._stalled = False
        self._count_unsent(0)
        if self._busy:
            self.deadline = NEVER
        elif self._phase == DEAF and not self._waiting:
            ticks = self._server.ticks
            self.deadline = ticks.now + ticks.linger
        else:
            self._carry_on()

    # ---- what the parser calls

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_headers_complete(self) -> None:
        raw = self._raw
        limits = self._limits
        self._phase = BODY
        self._judged = False
        if self._head_size + self._read_now > limits.max_head and self._head_bytes() > limits.max_head:
            self._refuse(431, "Request Header Fields Too Large")
            raise _Enough
        if self._parser.should_upgrade():  # CONNECT, h2c, websocket
            self._refuse(400, "Bad Request")
            raise _Enough
        self._request_raw = raw.copy()
        raw.clear()
        if limits.bodyless and self._url.partition(b"?")[0].decode("latin-1") in limits.bodyless:
            self._discarding = True
            self._enqueue()

    def on_body(self, chunk: bytes) -> None:
        if not self._size and not self._discarding:
            self._body = chunk
        elif self._discarding:
            self._size += len(chunk)
            return
        elif isinstance(self._body, bytearray):
            self._body += chunk
        else:
            self._body = bytearray(self._body) + chunk
        self._size += len(chunk)
        server = self._server
        server.held += len(chunk)
        if self._size > self._limits.max_body:
            self._refuse(413, self._limits.too_large)
            raise _Enough
        if server.held > self._limits.max_held:
            self._refuse(503, "Service Unavailable")
            raise _Enough

    def on_message_complete(self) -> None:
        self._completed = True
        self._phase = IDLE
        if not self._discarding:
            self._enqueue()
        self._release()
        self._url = self._body = b""
        self._discarding = self._continue_due = False
        self._raw.clear()  # trailers
        if len(self._waiting) > MAX_WAITING:
            self._refuse(503, "Service Unavailable")
        if self._phase == DEAF:
            raise _Enough

    # ---- what is announced

    def _head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._raw.items())

    def _judge(self) -> None:
        """Look at what the head announces about a body that did not come with it."""
        self._judged = True
        if self._discarding:
            return
        for name, value in self._request_raw.items():
            match name.lower():
                case b"content-length" if int(value) > self._limits.max_body:
                    self._refuse(413, self._limits.too_large)
                    return
                case b"expect":
                    self._continue_due = value.lower() == b"100-continue"
        if self._continue_due and not self._busy and not self._waiting:
            self._continue()

    # ---- turns

    def _release(self) -> None:
        if not self._discarding:
            self._server.held -= self._size
        self._size = 0

    def _enqueue(self) -> None:
        parser = self._parser
        method = parser.get_method()
        keep_alive = parser.should_keep_alive()
        url = self._url
        if url[:1] != b"/" and b"://" in url:  # the absolute form
            url = b"/" + url.split(b"/", 3)[3] if url.count(b"/") > 2 else b"/"
        body, raw = self._body, self._request_raw
        request = HttpRequest(
            _METHODS.get(method) or method.decode("latin-1"),
            url.decode("latin-1"),
            LazyHeaders(raw),
            bytes(body),
            self._peer,
        )
        if not keep_alive:
            self._phase = DEAF
        old = keep_alive and (b"Connection" in raw or b"connection" in raw) and parser.get_http_version() == "1.0"
        self._waiting.append(Turn(request, None, keep_alive, method == b"HEAD", old))

    def _refuse(self, status: int, text: str) -> None:
        """Answer for the handler when the turn comes, hear nothing more and end the connection."""
        self._phase = DEAF
        self._body = b""
        self._release()
        self._waiting.append(Turn(None, HttpResponse(status, _PLAIN, text.encode()), keep_alive=False))

    def _continue(self) -> None:
        self._continue_due = False
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pump(self) -> None:
        waiting = self._waiting
        while waiting and self._busy is None and not self._stalled:
            turn = waiting.pop(0)
            reply = turn.reply
            if reply is None:
                try:
                    answer = self._server.handler(cast("HttpRequest", turn.request))
                    if not isinstance(answer, HttpResponse):
                        # what `ensure_future` finds out about its argument takes as long as making the task
                        self._await(
                            turn,
                            self._server.loop.create_task(answer)
                            if iscoroutine(answer)
                            else asyncio.ensure_future(answer),
                        )
                        return
                    reply = answer
                except Exception as error:  # noqa: BLE001 - a handler's fault must not stop the listener
                    reply = _failed(error)
            self._send(turn, reply)

    def _await(self, turn: Turn, future: asyncio.Future[HttpResponse]) -> None:
        self._busy = turn
        self.deadline = NEVER
        self._server.answers.add(future)
        future.add_done_callback(self._answer)

    def _answer(self, future: asyncio.Future[HttpResponse]) -> None:
        server = self._server
        server.answers.discard(future)
        turn, self._busy = cast("Turn", self._busy), None
        if future.cancelled():
            reply = HttpResponse(503, _PLAIN, b"Service Unavailable")
        elif (error := future.exception()) is not None:
            reply = _failed(error)
        else:
            reply = future.result()
        if self._gone:
            return
        self._send(turn, reply)
        if not self._stalled:
            self._carry_on()

    def _carry_on(self) -> None:
        """Take the next turns, and read again when all are taken."""
        self._pump()
        if self._busy or self._stalled or self._gone:
            return
        if self._phase == DEAF:
            return  # the last turn ended the connection and set the deadline
        if self._continue_due:
            self._continue()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._rearm()

    def _send(self, turn: Turn, reply: HttpResponse) -> None:
        try:
            head = self._head(turn, reply)
        except (ValueError, TypeError, AttributeError) as error:
            reply = _failed(error)
            head = self._head(turn, reply)
        body = reply.body
        write = self._transport.write
        if turn.headers_only or not body:
            write(head)
        elif len(body) <= ONE_WRITE:
            write(head + body)
        else:
            write(head)
            write(body)
        if not turn.keep_alive:
            self._end(linger=turn.request is None or self._discarding)

    def _head(self, turn: Turn, reply: HttpResponse) -> bytes:
        heads = self._server.heads
        head = heads.get(reply.status)
        if head is None:
            head = heads[reply.status] = _status_line(reply.status, self._limits.server)
        for name, value in reply.headers.items():
            if "\n" in value or "\r" in value:
                raise ValueError("a header value with a line break")
            head += f"{name}: {value}\r\n"
        if reply.status >= 200 and reply.status not in {204, 304}:
            head += f"Content-Length: {len(reply.body)}\r\n"
        if not turn.keep_alive:
            head += "Connection: close\r\n"
        elif turn.announce_keep_alive:
            head += "Connection: keep-alive\r\n"
        return (head + "\r\n").encode("latin-1")

    def _count_unsent(self, size: int) -> None:
        self._server.unsent += size - self._unsent
        self._unsent = size

    # ---- time and the end

    @property
    def stalled(self) -> bool:
        """Whether the client does not take its replies."""
        return self._stalled

    @property
    def worth(self) -> int:
        """How much would be lost with this connection: see `crowd`."""
        if self._busy:
            return WORKING
        return MOVING if self._waiting or self._stalled or self._phase == BODY else WAITING

    def _rearm(self) -> None:
        ticks = self._server.ticks
        phase = self._phase
        self.since = ticks.now
        self.deadline = ticks.now + (ticks.idle if phase == IDLE else ticks.head if phase == HEAD else ticks.body)

    def expire(self) -> None:
        """Act on a deadline that has passed."""
        ticks = self._server.ticks
        if self._stalled:
            size = self._transport.get_write_buffer_size()
            if size >= self._unsent:
                self._transport.abort()
            else:
                self._count_unsent(size)
                self.deadline = ticks.now + ticks.body
        elif self._phase == DEAF:
            if self._transport.is_closing():
                self._transport.abort()
            else:
                self.shut()
        elif self._phase == IDLE or self._discarding:  # what is discarded was answered long ago
            self.shut()
        else:
            self._refuse(408, "Request Timeout")
            self._pump()

    def shut(self) -> None:
        """Close, giving replies already written a moment to leave."""
        self._phase = DEAF
        ticks = self._server.ticks
        self.deadline = ticks.now + ticks.linger
        self._transport.close()

    def finish(self) -> None:
        """End when the requests already read are answered; at once when there are none."""
        if self._busy or self._waiting:
            self._phase = DEAF
            last = self._waiting[-1] if self._waiting else self._busy
            cast("Turn", last).keep_alive = False
        else:
            self.shut()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _end(self, *, linger: bool) -> None:
        """Close after the last reply, or `linger` for a client that may still be writing."""
        self._phase = DEAF
        self._waiting.clear()
        if not linger:
            self.shut()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        ticks = self._server.ticks
        self._linger_end = ticks.now + ticks.linger
        self.deadline = ticks.now + ticks.quiet


def _status_line(status: int, server: str) -> str:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    return f"HTTP/1.1 {status} {reason}\r\n" + (f"Server: {server}\r\n" if server else "")


def _failed(error: BaseException) -> HttpResponse:
    """Say `request failed` to the client and what and where to the log."""
    logger.error("request handler failed: %s", describe(error))
    return HttpResponse(500, _PLAIN, b"request failed")

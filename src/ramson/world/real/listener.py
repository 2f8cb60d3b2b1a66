"""The HTTP(S) listener: accepts connections, bounds their number and watches their deadlines.

What happens on a connection is in `http_connection`.  Accepting is done here by hand, because an event
loop's own server neither counts nor limits the connections that are still in their TLS handshake.
storage-rpc.md §1; defaults.md (limits).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl

from ramson.world.http import CannotListen, Certificate, Endpoint, HttpHandler, HttpLimits, HttpResponse
from ramson.world.real.http_connection import Connection
from ramson.world.real.ticks import Ticks
from ramson.world.real.tls import server_context

logger = logging.getLogger(__name__)

BACKLOG = 4096
READ = 64 * 1024  # bytes taken from a connection at once
ACCEPT_AT_ONCE = 64
GRACE = 10.0  # seconds for requests in progress when the listener closes
TLS_GOODBYE = 2.0  # seconds for the client's close_notify
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpListener:
    """One listening socket and its connections.  Make it with `listen`."""

    def __init__(
        self, sock: socket.socket, handler: HttpHandler, tls: ssl.SSLContext | None, limits: HttpLimits
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.heads: dict[int, str] = {}
        self.ticks = Ticks.of(limits)
        self.held = 0
        self.unsent = 0
        self.buffer = memoryview(bytearray(READ))
        self.answers: set[asyncio.Future[HttpResponse]] = set()
        self._socket = sock
        self._tls = tls
        self.loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._opening: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._empty = asyncio.Event()
        host, port = sock.getsockname()[:2]
        self._endpoint = Endpoint(host, port)
        self.loop.add_reader(sock.fileno(), self._accept)
        self._timer = self.loop.call_later(self.ticks.interval, self._tick)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._endpoint

    @property
    def connections(self) -> int:
        """How many connections are open or in their handshake."""
        return len(self._connections) + len(self._opening)

    async def close(self) -> None:
        """Accept no more, let requests in progress finish (10 s at most), close the connections."""
        if self._closing:
            return
        self._closing = True
        self.loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(GRACE):
                await self._gone()
        except TimeoutError:
            for answer in list(self.answers):
                answer.cancel()
            for connection in list(self._connections):
                connection.abort()
            await self._gone()
        finally:
            self._timer.cancel()

    async def _gone(self) -> None:
        """Wait until no connection and no handler is left."""
        while self._connections:
            self._empty.clear()
            await self._empty.wait()
        await asyncio.gather(*self._tasks, *self.answers, return_exceptions=True)

    # ---- what connections report

    def opened(self, connection: Connection) -> None:
        """Count a connection in."""
        self._opening.discard(connection)
        self._connections.add(connection)
        if self._closing:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def relieve(self) -> None:
        """Drop the connection that has taken nothing of its replies for longest."""
        stalled = [connection for connection in self._connections if connection.stalled]
        if stalled:
            min(stalled, key=lambda connection: connection.deadline).abort()

    # ---- accepting

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # the client gave up while it waited to be accepted
                logger.warning("no more connections can be accepted for now: %s", error.strerror)
                self.loop.remove_reader(self._socket.fileno())
                self.loop.call_later(self.ticks.interval, self._accept_again)
                return
            sock.setblocking(False)
            if self.connections >= self.limits.max_connections and not self._make_room():
                sock.close()
                continue
            peer = address[0].removeprefix("::ffff:")
            connection = Connection(self, peer)
            self._opening.add(connection)
            task = self.loop.create_task(self._open(sock, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _accept_again(self) -> None:
        if not self._closing:
            self.loop.add_reader(self._socket.fileno(), self._accept)

    def _make_room(self) -> bool:
        """Drop the connection that has been idle for longest; False when none is idle."""
        idle = [connection for connection in self._connections if connection.idle]
        if not idle:
            return False
        victim = min(idle, key=lambda connection: connection.deadline)
        victim.abort()
        return True

    async def _open(self, sock: socket.socket, connection: Connection) -> None:
        try:
            await self.loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self.limits.head_timeout if self._tls else None,
                ssl_shutdown_timeout=TLS_GOODBYE if self._tls else None,
            )
        except OSError:  # not TLS, too slow, or gone; the event loop has closed the socket
            logger.debug("a handshake failed")
        finally:
            self._opening.discard(connection)

    # ---- time

    def _tick(self) -> None:
        ticks = self.ticks
        ticks.now += 1
        now = ticks.now
        for connection in [c for c in self._connections if c.deadline <= now]:
            connection.expire()
        self._timer = self.loop.call_later(ticks.interval, self._tick)


async def listen(
    endpoint: Endpoint, handler: HttpHandler, *, certificate: Certificate | None, limits: HttpLimits
) -> HttpListener:
    """Serve HTTP, with a certificate HTTPS, at `endpoint`.  Raises CannotListen, CertificateError."""
    tls = server_context(certificate) if certificate else None
    sock = None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise CannotListen(
            f"cannot listen at {endpoint}: {error.strerror}", remedy="choose an address of this machine and a free port"
        ) from error
    return HttpListener(sock, handler, tls, limits)

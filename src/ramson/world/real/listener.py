"""The HTTP(S) listener: accepts connections, bounds their number and watches their deadlines.

What happens on a connection is in `http_connection`, who has to go when there are too many in `crowd`.  Accepting is
done here by hand, because an event loop's own server neither counts nor limits the connections that are still in their
TLS handshake.  storage-rpc.md §1; defaults.md (limits).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Collection, Mapping

from ramson.world.callers import caller
from ramson.world.http import CannotListen, Certificate, Endpoint, HttpHandler, HttpLimits, HttpResponse
from ramson.world.real.crowd import leavers, places
from ramson.world.real.descriptors import allowed
from ramson.world.real.http_connection import Connection
from ramson.world.real.ticks import Ticks
from ramson.world.real.tls import server_context

logger = logging.getLogger(__name__)

BACKLOG = 4096
READ = 64 * 1024  # bytes taken from a connection at once
ACCEPT_AT_ONCE = 64
GRACE = 10.0  # seconds for requests in progress when the listener closes
TLS_GOODBYE = 2.0  # seconds for the client's close_notify
TELL = 60.0  # seconds between two log lines about connections that were dropped
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
        self._most = allowed(limits.max_connections)
        if self._most < limits.max_connections:
            logger.warning("only %d connections at a time: the limit of open files is low", self._most)
        self._connections: set[Connection] = set()
        self._opening: dict[Connection, socket.socket] = {}  # those without a transport yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[str, dict[Connection, None]] = {}  # what counts, by caller, in the order it came
        self._count = 0
        self._dropped = 0
        self._told = -TELL
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
        return self._count

    async def close(self) -> None:
        """Accept no more, let requests in progress finish (10 s at most), close the connections."""
        if self._closing:
            return
        self._closing = True
        self.loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for sock in self._opening.values():
            _hang_up(sock)
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
        """Learn that a connection can be written to."""
        self._opening.pop(connection, None)
        self._connections.add(connection)
        if self._closing or connection not in self._held.get(connection.caller, ()):
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """Count a connection out."""
        self._forget(connection)
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
                self._drop(self._held, places(self._most))
                self.loop.remove_reader(self._socket.fileno())
                self.loop.call_later(self.ticks.interval, self._accept_again)
                return
            sock.setblocking(False)
            peer = address[0].removeprefix("::ffff:")
            connection = Connection(self, peer, caller(peer))
            if not self._admit(connection):
                self._dropped += 1
                sock.close()
                continue
            self._opening[connection] = sock
            task = self.loop.create_task(self._open(sock, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _accept_again(self) -> None:
        if not self._closing:
            self.loop.add_reader(self._socket.fileno(), self._accept)

    def _admit(self, connection: Connection) -> bool:
        """Count a connection in, making room if need be; False when there is none."""
        limit = self.limits.max_connections_per_address
        mine = self._held.get(connection.caller)
        if mine is not None and len(mine) >= limit and not self._drop({connection.caller: mine}, places(limit)):
            return False
        if self._count >= self._most and not self._drop(self._held, places(self._most)):
            return False
        self._held.setdefault(connection.caller, {})[connection] = None
        self._count += 1
        return True

    def _drop(self, held: Mapping[str, Collection[Connection]], wanted: int) -> bool:
        """Drop up to `wanted` of these connections; False when none of them can go."""
        chosen = leavers(held, wanted)
        for connection in chosen:
            self._forget(connection)
            sock = self._opening.get(connection)
            if sock is None:
                connection.abort()
            else:
                _hang_up(sock)
        self._dropped += len(chosen)
        return bool(chosen)

    def _forget(self, connection: Connection) -> None:
        """Count a connection out, if it was not yet."""
        mine = self._held.get(connection.caller)
        if mine is None or connection not in mine:
            return
        del mine[connection]
        if not mine:
            del self._held[connection.caller]
        self._count -= 1

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
            if self._opening.pop(connection, None) is not None:
                self._forget(connection)

    # ---- time

    def _tick(self) -> None:
        ticks = self.ticks
        ticks.now += 1
        now = ticks.now
        for connection in [c for c in self._connections if c.deadline <= now]:
            connection.expire()
        if self._dropped and self.loop.time() - self._told >= TELL:
            logger.warning("crowded: %d connections were dropped or refused, %d are open", self._dropped, self._count)
            self._dropped, self._told = 0, self.loop.time()
        self._timer = self.loop.call_later(ticks.interval, self._tick)


def _hang_up(sock: socket.socket) -> None:
    """End a connection that is still being set up, as if its far end had.

    Cancelling the set-up would not do: uvloop then may never tell the connection that it is lost.
    """
    with contextlib.suppress(OSError):  # it has gone already
        sock.shutdown(socket.SHUT_RDWR)


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

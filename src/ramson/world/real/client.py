"""The HTTP/1.1 client: connections kept for reuse, pins checked before a byte is sent, no header of its own.

Besides `Host`, `Content-Length` and what the caller gives, nothing is sent: a header that other clients
do not send identifies.  No redirect is followed, no cookie kept, no body decompressed.  What happens on a
connection is in `client_connection`, how a TCP connection comes about in `dialer`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from hmac import compare_digest

from ramson.errors import LocalError
from ramson.world.http import Endpoint, HttpRequest, HttpResponse, NetError, Stage, Tls
from ramson.world.pins import pin_of_der
from ramson.world.real.client_connection import ClientConnection, Died
from ramson.world.real.dialer import Dialer
from ramson.world.real.tls import client_context
from ramson.world.real.tls_layer import TlsLayer

IDLE_PER_SERVER = 8
IDLE_IN_ALL = 256
IDLE_SECONDS = 60.0
OPEN_IN_ALL = 1024
READ = 64 * 1024  # bytes taken from a connection at once

Server = tuple[Endpoint, Tls | None]


class _Trip:
    """How far one request has come."""

    def __init__(self) -> None:
        self.reached = Stage.NAME
        self._connection: ClientConnection | None = None

    @property
    def received(self) -> int:
        return self._connection.received if self._connection is not None else 0

    @property
    def replied(self) -> int:
        return self._connection.replied if self._connection is not None and self.reached is Stage.REPLY else 0

    def at(self, stage: Stage) -> None:
        self.reached = stage

    def on(self, connection: ClientConnection, stage: Stage) -> None:
        self._connection, self.reached = connection, stage


class HttpClient:
    """Requests over connections from one dialer, for one event loop; with `split` each ClientHello is cut."""

    def __init__(self, dialer: Dialer, *, split: bool = False) -> None:
        self._dialer = dialer
        self._split = split
        self._idle: dict[Server, list[ClientConnection]] = {}
        self._idle_count = 0
        self._buffer = memoryview(bytearray(READ))
        self._slots = asyncio.Semaphore(OPEN_IN_ALL)
        self._sweeper: asyncio.TimerHandle | None = None

    async def request(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - the promise made to the caller, with its own error
        max_reply: int,
        allow: Callable[[str], bool] | None = None,
    ) -> HttpResponse:
        """Do what `world.Net.request` promises."""
        message = render(endpoint, request, default_port=443 if tls else 80)
        server = (endpoint, tls)
        headers_only = request.method == "HEAD"
        trip = _Trip()
        try:
            async with asyncio.timeout(timeout), self._slots:
                connection = self._reusable(server, allow)
                if connection is not None:
                    trip.on(connection, Stage.REPLY)
                    try:
                        reply = await connection.exchange(message, headers_only, max_reply)
                    except Died:  # it had been closed while it lay idle: once more, on a new one
                        connection = None
                if connection is None:
                    connection = await self._open(server, allow, trip)
                    try:
                        reply = await connection.exchange(message, headers_only, max_reply)
                    except Died:
                        text = "the server closed the connection without a reply"
                        raise NetError(Stage.REPLY, text, received=connection.received) from None
        except TimeoutError:
            text = f"no reply within {timeout:g} s"
            raise NetError(
                Stage.TIMEOUT, text, reached=trip.reached, received=trip.received, replied=trip.replied
            ) from None
        self._keep(server, connection)
        return reply

    async def close(self) -> None:
        """Close the idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        closing = [connection for pool in self._idle.values() for connection in pool]
        self._idle.clear()
        self._idle_count = 0
        for connection in closing:
            connection.close()
        for connection in closing:
            await connection.gone()

    # ---- connections

    async def _open(self, server: Server, allow: Callable[[str], bool] | None, trip: _Trip) -> ClientConnection:
        endpoint, tls = server
        loop = asyncio.get_running_loop()
        sock = await self._dialer.connect(endpoint, allow, trip.at)
        try:
            connection = ClientConnection(loop, str(sock.getpeername()[0]), self._buffer)
        except OSError as error:  # the server went away since
            sock.close()
            raise NetError(Stage.CONNECT, "the connection was reset") from error
        trip.on(connection, Stage.REPLY if tls is None else Stage.TLS)
        if tls is None:
            await loop.create_connection(lambda: connection, sock=sock)  # the event loop owns the socket from here on
            return connection
        await self._encrypt(connection, sock, endpoint, tls)
        if tls.pins:
            _check_pins(connection, tls.pins)
        trip.at(Stage.REPLY)
        return connection

    async def _encrypt(self, connection: ClientConnection, sock: socket.socket, endpoint: Endpoint, tls: Tls) -> None:
        name = tls.server_name or endpoint.host  # an IP address is not sent as SNI
        try:
            layer = TlsLayer(connection, client_context(tls), name, split=self._split)
        except ValueError as error:
            sock.close()
            raise NetError(Stage.TLS, "the server's name cannot be one") from error
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: layer, sock=sock)
        try:
            await layer.ready
        except ssl.SSLCertVerificationError as error:
            text = f"the server's certificate is not trusted: {error.verify_message}"
            raise NetError(Stage.TLS, text, received=connection.received) from error
        except (OSError, ValueError) as error:
            text = f"the handshake failed: {type(error).__name__}"
            raise NetError(Stage.TLS, text, received=connection.received) from error
        except BaseException:
            transport.abort()
            raise

    def _reusable(self, server: Server, allow: Callable[[str], bool] | None) -> ClientConnection | None:
        pool = self._idle.get(server)
        while pool:
            connection = pool.pop()
            self._idle_count -= 1
            if connection.alive and (allow is None or allow(connection.address)):
                return connection
            connection.close()
        return None

    def _keep(self, server: Server, connection: ClientConnection) -> None:
        if not connection.alive:
            connection.close()
            return
        pool = self._idle.setdefault(server, [])
        if len(pool) >= IDLE_PER_SERVER or self._idle_count >= IDLE_IN_ALL:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        pool.append(connection)
        self._idle_count += 1
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle too long; look again while anything is idle."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for server, pool in list(self._idle.items()):
            fresh = [c for c in pool if c.alive and c.idle_since > oldest]
            for connection in pool:
                if connection not in fresh:
                    connection.close()
            self._idle_count -= len(pool) - len(fresh)
            if fresh:
                self._idle[server] = fresh
            else:
                del self._idle[server]
        self._sweeper = loop.call_later(IDLE_SECONDS / 2, self._sweep) if self._idle else None


def _check_pins(connection: ClientConnection, pins: frozenset[bytes]) -> None:
    """Close the connection and raise NetError unless the server showed a certificate with a pinned key."""
    certificate = connection.certificate()
    try:
        digest = pin_of_der(certificate) if certificate else b""
    except ValueError:
        digest = b""
    if not any(compare_digest(digest, pin) for pin in pins):
        connection.abort()
        raise NetError(
            Stage.TLS,
            "the server's key is not the pinned one",
            remedy="somebody may be intercepting the connection",
            received=connection.received,
        )


def render(endpoint: Endpoint, request: HttpRequest, *, default_port: int) -> bytes:
    """Return the bytes of a request.  Raises LocalError for what would break the message apart."""
    headers = request.headers
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    names = {name.lower() for name in headers}
    if "host" not in names:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        lines.append(f"Host: {host}" if endpoint.port == default_port else f"Host: {host}:{endpoint.port}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if (request.body or request.method not in {"GET", "HEAD"}) and "content-length" not in names:
        lines.append(f"Content-Length: {len(request.body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or lines[0].count(" ") != 2:
        raise LocalError("a header, the method or the target contains a line break or a blank")
    try:
        return head.encode("latin-1") + b"\r\n\r\n" + request.body
    except UnicodeEncodeError as error:
        raise LocalError("a header or the target contains a character that HTTP cannot carry") from error

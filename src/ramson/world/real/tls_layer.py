"""TLS of an outgoing connection, laid over its socket here and not by the event loop.

For two reasons: the ClientHello can be cut (`world.client_hello`), and it is known how far a connection came before
it failed.  Whom to trust is decided by the context it is given and by pins that the client checks afterwards.

Theory of operation.  OpenSSL works on two buffers.  What the socket brings goes into one; then the handshake, or
reading, is taken on as far as it goes; what OpenSSL wants to say comes out of the other and is written.
"""

# ruff: noqa: D102 - callbacks, named by asyncio; the class says so

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, cast

from ramson.world import client_hello

if TYPE_CHECKING:
    from ramson.world.real.client_connection import ClientConnection

PAUSE = 0.02  # seconds between the halves of a hello: two packets, also where the system would join them


class TlsLayer(asyncio.Protocol):
    """What the socket's transport takes for its protocol, and `inner` for its transport.

    Methods without a docstring are called by one of the two.
    """

    def __init__(self, inner: ClientConnection, context: ssl.SSLContext, server_name: str, *, split: bool) -> None:
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._split = split
        self._held: list[bytes] = []  # what is to be sent after the pauses
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._up = False
        self.ready: asyncio.Future[None] = self._loop.create_future()

    # ---- for the socket's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._shake_hands()

    def data_received(self, data: bytes) -> None:
        self._inner.received += len(data)
        self._incoming.write(data)
        if self._up:
            self._read()
        elif not self.ready.done():
            self._shake_hands()

    def eof_received(self) -> bool:
        self._incoming.write_eof()
        if self._up:
            self._read()
            self._inner.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._up:
            self._inner.connection_lost(error)
        elif not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError())

    # ---- for the connection inside

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def close(self) -> None:
        if self._transport.is_closing():
            return
        with contextlib.suppress(ssl.SSLError):  # the other side's goodbye is not waited for
            self._tls.unwrap()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._transport.get_extra_info(name, default)

    # ---- between the two

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError) as error:
            self._flush()  # the alert
            self.ready.set_exception(error)
            self._transport.close()
            return
        self._flush()
        self._up = True
        self._inner.connection_made(cast("asyncio.BaseTransport", self))
        self.ready.set_result(None)
        self._read()

    def _read(self) -> None:
        while True:
            buffer = self._inner.get_buffer(-1)
            try:
                # typeshed knows only bytearrays that are read into, and no count
                size = cast("int", self._tls.read(len(buffer), cast("bytearray", buffer)))
            except ssl.SSLWantReadError:
                self._flush()  # an answer to what was no data, such as a new key
                return
            except ssl.SSLError:
                size = 0
            if not size:  # the end, in good order or not: the connection inside knows whether its reply was whole
                self._inner.eof_received()
                self._transport.close()
                return
            self._inner.feed(size)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if not data or self._transport.is_closing():
            return
        pieces = client_hello.segments(data) if self._split and not self._up else [data]
        if self._timer is None:
            self._transport.write(pieces.pop(0))
        self._held += pieces
        self._send_later()

    def _send_later(self) -> None:
        if self._held and self._timer is None:
            self._timer = self._loop.call_later(PAUSE, self._send_held)

    def _send_held(self) -> None:
        self._timer = None
        if not self._transport.is_closing():
            self._transport.write(self._held.pop(0))
            self._send_later()

"""Asking a node something over QUIC: one connection for one request, closed afterwards.

Nodes test one another this way and rarely, and a connection that was kept would prove only that the far end could be
reached earlier.  The far end must prove the key it is asked under.  Spec: testing-and-uptime.md §1.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamDataReceived, StreamReset

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol.quic_frames import Frame, FrameReader, Kind, encode
from ramson.world.http import Endpoint, NetError, Stage
from ramson.world.quic import QuicAnswer
from ramson.world.real.quic_talk import Talk, give
from ramson.world.real.quic_tls import RawKeyConnection, configuration

IDLE: Final = 30.0  # seconds without a packet
_NUMBER: Final = 1


class _Asking(asyncio.DatagramProtocol):
    """One request on its way; `answer` is what comes of it."""

    def __init__(self, quic: RawKeyConnection, address: Any, name: str, body: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[QuicAnswer] = self._loop.create_future()
        self.reached = Stage.CONNECT
        self._quic = quic
        self._address = address
        self._asked = Frame(Kind.COMMAND, _NUMBER, body, name)
        self._reader = FrameReader()
        self._transport: asyncio.DatagramTransport | None = None
        self.talk = Talk(quic, self._send, self._happened, lambda: self._fail("the connection failed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's has another type
        self._quic.connect(self._address, now=self._loop.time())
        self.talk.move()

    def datagram_received(self, data: bytes, _address: Any) -> None:
        """Take a datagram of the far end: the socket is connected to it."""
        if self.reached is Stage.CONNECT:
            self.reached = Stage.TLS
        self.talk.received(data, self._address)

    def error_received(self, error: Exception) -> None:
        """Learn that nobody listens there."""
        self._fail(f"it cannot be reached: {type(error).__name__}")

    def _send(self, data: bytes, _address: Any) -> None:
        give(self._transport, data)

    def _happened(self, event: QuicEvent) -> None:
        match event:
            case HandshakeCompleted():
                self.reached = Stage.REPLY
                stream = self._quic.get_next_available_stream_id()
                self._quic.send_stream_data(stream, encode(self._asked))
            case StreamDataReceived(data=data):
                self._take(data)
            case StreamReset():
                self._fail("the stream was reset")
            case ConnectionTerminated(reason_phrase=reason):
                self._fail(f"the connection was closed: {reason[:100]!r}")

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                if frame.kind is not Kind.COMMAND and frame.number == _NUMBER and not self.answer.done():
                    self.answer.set_result(QuicAnswer(frame.body, failed=frame.kind is Kind.ERROR))
        except ParseError as error:
            self._fail(str(error))

    def _fail(self, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(NetError(self.reached, text))


async def ask(
    endpoint: Endpoint,
    key: bytes,
    name: str,
    body: bytes,
    *,
    identity: Ed25519KeyPair,
    source: str | None,
    seconds: float,
) -> QuicAnswer:
    """Send one request to the node with this Ed25519 key; `seconds` cover everything.  Raises NetError."""
    loop = asyncio.get_running_loop()
    quic = RawKeyConnection(configuration(identity, is_client=True, idle_seconds=IDLE), expected=key)
    address = (endpoint.host, endpoint.port)
    try:
        transport, asking = await loop.create_datagram_endpoint(
            lambda: _Asking(quic, address, name, body),
            remote_addr=address,
            local_addr=None if source is None else (source, 0),
        )
    except OSError as error:
        raise NetError(Stage.CONNECT, f"it cannot be reached: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds):
            return await asking.answer
    except TimeoutError:
        raise NetError(Stage.TIMEOUT, f"no answer within {seconds:g} s", reached=asking.reached) from None
    finally:
        asking.answer.cancel()
        asking.talk.end("")
        transport.close()

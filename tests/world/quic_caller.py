"""A QUIC client for tests that can misbehave: it sends what it is told and remembers what comes."""

from __future__ import annotations

import asyncio
import contextlib

from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived

from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.quic_frames import Frame, FrameReader, Kind, encode
from ramson.world.real.quic_talk import Talk, give
from ramson.world.real.quic_tls import RawKeyConnection, configuration

CLIENT = Ed25519KeyPair.from_seed(b"c" * 32)
CLIENTS = configuration(CLIENT, is_client=True, idle_seconds=30)


class Caller(asyncio.DatagramProtocol):
    """One connection to the node with this key; `ready` after the handshake, `over` when the node ended it."""

    def __init__(self, address, key):
        self.address = address
        self.quic = RawKeyConnection(CLIENTS, expected=key)
        self.talk = Talk(self.quic, lambda data, _: give(self.transport, data), self.happened, lambda: None)
        self.reader, self.frames = FrameReader(), []
        self.ready, self.over, self.news = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.deaf = False

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, address, key, *, ready=True):
        loop = asyncio.get_running_loop()
        transport, caller = await loop.create_datagram_endpoint(lambda: cls(address, key), remote_addr=address)
        try:
            if ready:
                await asyncio.wait_for(caller.ready.wait(), 10)
            yield caller
        finally:
            caller.talk.end("")
            transport.close()

    def connection_made(self, transport):
        self.transport = transport
        self.quic.connect(self.address, now=asyncio.get_running_loop().time())
        self.talk.move()

    def datagram_received(self, data, _address):
        if not self.deaf:
            self.talk.received(data, self.address)

    def happened(self, event):
        match event:
            case HandshakeCompleted():
                self.ready.set()
            case StreamDataReceived(data=data):
                self.frames += self.reader.feed(data)
                self.news.set()
            case ConnectionTerminated():
                self.over.set()

    def say(self, data, stream=0):
        self.quic.send_stream_data(stream, data)
        self.talk.move()

    def ask(self, number, name, body=b""):
        self.say(encode(Frame(Kind.COMMAND, number, body, name)))

    async def until(self, count):
        """Return all frames when there are so many."""
        while len(self.frames) < count:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 10)
        return self.frames

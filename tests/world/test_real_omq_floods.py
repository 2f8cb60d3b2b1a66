"""Floods at the OxenMQ listener: connections, half handshakes, endless messages, stolen names; others are served."""

import asyncio
import os
import random
from contextlib import asynccontextmanager

import pytest
import zmq
from zmq.utils import z85

from ramson.crypto.keys import X25519KeyPair
from ramson.world import Command, Endpoint
from ramson.world.real import omq, tcp_state
from ramson.world.real.net import RealNet
from ramson.world.real.omq_gate import GateLimits

NODE = X25519KeyPair.from_secret(b"\1" * 32)
GREETING = b"\xff" + bytes(8) + b"\x7f\3\1" + b"CURVE".ljust(20, b"\0") + bytes(32)


class Served:
    """A link with tight limits, and its gate."""

    def __init__(self, link, commands):
        self.port = link.endpoint.port
        self.gate = link._transport._gate
        self.asked = commands

    async def connections(self, wanted):
        for _ in range(500):
            if len(self.gate) == wanted:
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"{len(self.gate)} connections and not {wanted}")


@asynccontextmanager
async def serving(monkeypatch, max_message=100_000, **limits):
    monkeypatch.setattr(omq, "GateLimits", lambda unfinished: GateLimits(**{"unfinished": unfinished, **limits}))
    asked = []
    commands = {"storage.info": Command(lambda origin, _parts: asked.append(origin.address) or [b"info"])}
    net = RealNet(random.SystemRandom())
    link = await net.link(NODE, commands, listen=Endpoint("127.0.0.1", 0), max_message=max_message)
    try:
        yield Served(link, asked)
    finally:
        async with asyncio.timeout(10):
            await link.close()


class Client:
    """A CURVE DEALER that knows nothing but ZeroMQ, with an address of its choice."""

    def __init__(self, port, source="127.0.0.1", *, key=None, routing_id=None):
        self.key = key or X25519KeyPair.from_secret(os.urandom(32))
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if routing_id is not None:
            self.socket.routing_id = routing_id
        self.socket.curve_publickey = z85.encode(self.key.public)
        self.socket.curve_secretkey = z85.encode(self.key.secret)
        self.socket.curve_serverkey = z85.encode(NODE.public)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.socket.connect(f"tcp://{source}:0;127.0.0.1:{port}")

    async def say(self, *parts):
        await asyncio.to_thread(self.socket.send_multipart, parts)

    async def hears(self, seconds):
        if not await asyncio.to_thread(self.socket.poll, int(seconds * 1000)):
            return None
        return self.socket.recv_multipart()

    async def is_served(self, seconds=8.0):
        await self.say(b"storage.info", b"tag")
        while (heard := await self.hears(seconds)) == [b"REPLY", b"early", b"info"]:
            pass
        return heard == [b"REPLY", b"tag", b"info"]

    async def event(self, seconds=8.0):
        """Wait for a finished handshake, or a lost connection."""
        assert await asyncio.to_thread(self.monitor.poll, int(seconds * 1000)), "nothing happened"
        return zmq.Event(int.from_bytes(self.monitor.recv_multipart()[0][:2], "little"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
        self.context.term()


class Crowd:
    """Bare TCP connections."""

    def __init__(self, port):
        self.port = port
        self.open_ones = []

    async def open(self, source, said):
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        writer.write(said)
        self.open_ones.append(writer)
        return reader

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self.open_ones:
            writer.transport.abort()


async def ended(reader):
    async with asyncio.timeout(10):
        try:
            while await reader.read(1000):  # a greeting
                pass
        except ConnectionResetError:
            pass
    return True


@pytest.mark.parametrize(
    "said", [b"", GREETING, b"\x16\x03\x01 garbage"], ids=["silent", "half a handshake", "garbage"]
)
@pytest.mark.parametrize("one_address", [True, False], ids=["one address", "many addresses"])
async def test_half_open_connections_are_bounded_and_keep_nobody_out(monkeypatch, said, one_address):
    async with serving(monkeypatch, connections=20, per_caller=8) as served:
        with Client(served.port, "127.0.0.2") as mine, Crowd(served.port) as crowd:
            assert await mine.is_served()
            for n in range(50):
                await crowd.open("127.0.0.1" if one_address else f"127.0.1.{n}", said)
            with Client(served.port, "127.0.0.3") as other:
                assert await other.is_served()
                assert len(served.gate) <= (10 if one_address else 20)
                assert await mine.is_served()  # who speaks is not disturbed
        await served.connections(0)


async def test_the_oldest_that_says_nothing_goes_first(monkeypatch):
    async with serving(monkeypatch, per_caller=3) as served:
        with Crowd(served.port) as crowd:
            first = await crowd.open("127.0.0.1", b"")
            with Client(served.port) as speaking:
                assert await speaking.is_served()
                await crowd.open("127.0.0.1", b"")
                await served.connections(3)
                await crowd.open("127.0.0.1", b"")
                assert await ended(first)
                assert await speaking.is_served()
                await served.connections(3)


async def test_an_address_may_not_connect_too_often(monkeypatch):
    async with serving(monkeypatch, burst=3, pace=0.0) as served:
        with Crowd(served.port) as crowd:
            readers = [await crowd.open("127.0.0.1", b"") for _ in range(5)]
            assert await ended(readers[3])
            assert await ended(readers[4])
            await served.connections(3)
            with Client(served.port, "127.0.0.2") as other:
                assert await other.is_served()


async def test_after_a_flood_nothing_is_left_of_it(monkeypatch):
    async with serving(monkeypatch) as served:
        with Crowd(served.port) as crowd:
            for n in range(40):
                await crowd.open(f"127.0.1.{n}", GREETING)
            await served.connections(40)
        await served.connections(0)
        assert served.gate._by_caller == {}


async def test_a_message_of_too_many_parts_costs_the_connection(monkeypatch):
    async with serving(monkeypatch) as served:
        with Client(served.port) as bad, Client(served.port, "127.0.0.2") as other:
            assert await bad.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
            await bad.say(b"storage.info", b"tag", *[b""] * 62)  # as wide as a message may be
            assert await bad.hears(5) == [b"REPLY", b"tag", b"info"]
            await bad.say(b"storage.info", b"tag", *[b"x"] * 5000)
            assert await bad.event() is zmq.EVENT_DISCONNECTED
            assert await other.is_served()
    assert served.asked == ["127.0.0.1", "127.0.0.2"]


class Valve:
    """A relay on the way to the node that lets only so many bytes through, and then waits."""

    def __init__(self, port, most):
        self.port, self.most = port, most
        self.cut = asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.tasks = []
        return self.server.sockets[0].getsockname()[1]

    async def _relay(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def back():
            try:
                while data := await far_reader.read(65536):
                    writer.write(data)
            except ConnectionError:
                pass
            self.cut.set()
            writer.close()

        self.tasks.append(asyncio.ensure_future(back()))
        left = self.most
        while left and (data := await reader.read(min(left, 65536))):
            far_writer.write(data)
            left -= len(data)
        await self.cut.wait()
        far_writer.close()

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "limits", [{}, {"unfinished": 10**9, "unfinished_in_all": 150_000}], ids=["on one connection", "on all together"]
)
async def test_a_message_that_never_ends_costs_the_connection(monkeypatch, limits):
    """libzmq keeps all parts of it, and hands over none before the last."""
    async with serving(monkeypatch, max_message=100_000, **limits) as served:
        valve = Valve(served.port, 1_000_000)
        async with valve as port:
            with Client(port) as bad, Client(served.port, "127.0.0.2") as other:
                await bad.say(b"storage.info", b"tag", *[bytes(50_000)] * 60)
                async with asyncio.timeout(10):
                    await valve.cut.wait()
                assert await other.is_served()
    assert served.asked == ["127.0.0.2"]


async def test_a_slow_message_of_the_largest_size_is_let_through(monkeypatch):
    async with serving(monkeypatch, max_message=100_000) as served:
        with Client(served.port) as client:
            for _ in range(3):
                await client.say(b"storage.info", b"tag", bytes(100_000))
                assert await client.hears(5) == [b"REPLY", b"tag", b"info"]
                served.gate._look()


async def test_where_bytes_are_not_counted_connections_still_are(monkeypatch):
    monkeypatch.setattr(tcp_state, "COUNTS", False)
    async with serving(monkeypatch, per_caller=2) as served:
        with Client(served.port) as client, Crowd(served.port) as crowd:
            assert await client.is_served()
            first = await crowd.open("127.0.0.1", b"")
            await served.connections(2)
            served.gate._look()
            await crowd.open("127.0.0.1", b"")
            assert await ended(first)
            assert await client.is_served()


async def test_a_node_whose_name_is_stolen_has_it_back_at_once(monkeypatch, caplog):
    key = X25519KeyPair.from_secret(os.urandom(32))
    name = b"L" + key.public
    async with serving(monkeypatch) as served:
        with Client(served.port, "127.0.0.2", key=key, routing_id=name) as node:
            assert await node.is_served()
            assert await node.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
            with Client(served.port, "127.0.0.3", routing_id=name) as thief:
                thief.socket.reconnect_ivl = -1
                assert not await thief.is_served(1)
                assert await thief.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
                assert await thief.event() is zmq.EVENT_DISCONNECTED
                assert await node.event() is zmq.EVENT_DISCONNECTED
                assert await node.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
    assert "127.0.0.3" not in served.asked
    assert "another node's name" in caplog.text


async def test_who_had_a_name_before_its_owner_came_loses_it(monkeypatch):
    key = X25519KeyPair.from_secret(os.urandom(32))
    name = b"L" + key.public
    async with serving(monkeypatch) as served:
        with Client(served.port, "127.0.0.3", routing_id=name) as early:
            assert await early.is_served()
            assert await early.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
            early.socket.reconnect_ivl = -1
            with Client(served.port, "127.0.0.2", key=key, routing_id=name) as node:
                assert await node.is_served()
            await served.connections(1)
            with Client(served.port, "127.0.0.3", key=early.key, routing_id=name) as again:
                again.socket.reconnect_ivl = -1
                assert not await again.is_served(1)
                assert await again.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
                assert await again.event() is zmq.EVENT_DISCONNECTED


async def test_a_node_that_was_cut_off_in_silence_notices_within_seconds(monkeypatch):
    key = X25519KeyPair.from_secret(os.urandom(32))
    name = b"L" + key.public
    async with serving(monkeypatch) as served:
        with Client(served.port, "127.0.0.2", key=key, routing_id=name) as node:
            assert await node.is_served()
            assert await node.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
            with Client(served.port, "127.0.0.3", routing_id=name) as thief:
                assert await thief.event() is zmq.EVENT_HANDSHAKE_SUCCEEDED
                await asyncio.sleep(0.2)
                lost = asyncio.create_task(node.event(10))
                while not lost.done():  # it says on, as a node does: libzmq may have taken what came at once
                    await node.say(b"storage.info", b"early")
                    await asyncio.sleep(0.05)
                assert lost.result() is zmq.EVENT_DISCONNECTED
                assert await node.event(10) is zmq.EVENT_HANDSHAKE_SUCCEEDED
                assert await node.is_served()

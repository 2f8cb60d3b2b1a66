"""A node's QUIC listener and client on real sockets: who may come in, what is refused, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from pathlib import Path

import pytest
from aioquic.buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.quic_frames import Frame, Kind, encode
from ramson.world import CannotListen, Endpoint, NetError, QuicAnswer, QuicLimits, Stage
from ramson.world.real import quic
from ramson.world.real.quic import listen_quic
from ramson.world.real.quic_client import ask
from ramson.world.real.quic_tls import RawKeyConnection

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package

from quic_caller import CLIENT, CLIENTS, Caller

HOST = "127.0.0.1"
NODE = Ed25519KeyPair.from_seed(b"n" * 32)


def echo(_origin, name, body):
    return QuicAnswer(name.encode() + b"=" + body)


class Place:
    """Listeners and clients of one test; all are closed at its end."""

    def __init__(self):
        self.things = contextlib.AsyncExitStack()

    async def open(self, handler=echo, **limits):
        listener = await listen_quic(Endpoint(HOST, 0), NODE, handler, QuicLimits(**limits))
        self.things.push_async_callback(listener.close)
        return listener

    async def client(self, listener, *, ready=True):
        address = (HOST, listener.endpoint.port)
        return await self.things.enter_async_context(Caller.to(address, NODE.public, ready=ready))


@pytest.fixture
async def place(monkeypatch):
    monkeypatch.setattr(quic, "LOOK", 0.05)
    place = Place()
    async with place.things:
        yield place


async def put(listener, name="x", body=b"", *, key=NODE.public, seconds=10.0):
    return await ask(listener.endpoint, key, name, body, identity=CLIENT, source=None, seconds=seconds)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_a_request_is_answered(place):
    listener = await place.open()
    assert await put(listener, "store", b"data") == QuicAnswer(b"store=data")
    await until(lambda: listener.connections == 0)


async def test_an_answer_may_come_later_and_may_be_an_error(place):
    async def later(origin, name, body):
        await asyncio.sleep(0)
        return QuicAnswer(origin.address.encode(), failed=True)

    assert await put(await place.open(later)) == QuicAnswer(b"127.0.0.1", failed=True)


async def test_large_bodies_pass_both_ways(place):
    body = bytes(range(256)) * 12_000
    assert (await put(await place.open(), "x", body, seconds=30)).body == b"x=" + body


async def test_another_key_than_the_expected_one_ends_it_at_once(place):
    listener = await place.open()
    with pytest.raises(NetError) as caught:
        await put(listener, key=CLIENT.public)
    assert caught.value.reached is Stage.TLS


async def test_where_nobody_listens_the_client_says_so():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        silent = Endpoint(HOST, taken.getsockname()[1])
        with pytest.raises(NetError) as caught:
            await ask(silent, NODE.public, "x", b"", identity=CLIENT, source=None, seconds=0.2)
    assert (caught.value.stage, caught.value.reached) == (Stage.TIMEOUT, Stage.CONNECT)


async def test_a_port_that_is_taken_cannot_be_listened_at(place):
    listener = await place.open()
    with pytest.raises(CannotListen):
        await listen_quic(listener.endpoint, NODE, echo, QuicLimits())


async def test_one_connection_asks_many_things_and_is_told_what_it_did_not_ask(place):
    origins = []

    def handler(origin, name, body):
        origins.append(origin)
        return QuicAnswer(body)

    listener = await place.open(handler)
    client = await place.client(listener)
    data = b"".join(encode(Frame(Kind.COMMAND, i, b"%d" % i, "x")) for i in range(100))
    for i in range(0, len(data), 7):
        client.say(data[i : i + 7])
    assert await client.until(100) == [Frame(Kind.REPLY, i, b"%d" % i) for i in range(100)]
    assert listener.push(origins[0], "notify", b"news")
    assert (await client.until(101))[-1] == Frame(Kind.COMMAND, 1, b"news", "notify")
    client.talk.end("")
    await until(lambda: listener.connections == 0)
    assert not listener.push(origins[0], "notify", b"news")


async def test_what_is_no_frame_a_frame_too_large_and_a_second_stream_end_the_connection(place):
    listener = await place.open()
    for data, stream in ((b"GET / HTTP/1.1\r\n", 0), (b"10000001:l", 0), (b"3:lee", 0), (b"1:", 4), (b"x", 2)):
        client = await place.client(listener)
        client.say(data, stream)
        await asyncio.wait_for(client.over.wait(), 10)
    assert (await put(listener)).body == b"x="


async def test_datagrams_of_garbage_leave_nothing_behind(place):
    listener = await place.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for i in range(256):
            stranger.sendto(bytes([i]) * (i * 6), (HOST, listener.endpoint.port))
    assert (await put(listener)).body == b"x="
    await until(lambda: listener.connections == 0)


async def test_a_handshake_that_does_not_go_on_ends(place):
    listener = await place.open(handshake_timeout=0.2)
    client = await place.client(listener, ready=False)
    client.deaf = True
    await until(lambda: listener.connections == 1)
    await until(lambda: listener.connections == 0)


async def test_a_flood_with_forged_senders_gets_tokens_and_no_more(place):
    listener = await place.open(strangers=4)
    hellos = []
    for _ in range(40):
        one = RawKeyConnection(CLIENTS, expected=NODE.public)
        one.connect((HOST, 1), now=0.0)
        hellos.append(one.datagrams_to_send(now=0.0)[0][0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind((HOST, 0))
        forger.setblocking(False)
        for hello in hellos:
            forger.sendto(hello, (HOST, listener.endpoint.port))
        await until(lambda: listener.connections == 4)
        assert (await put(listener)).body == b"x="  # an honest client shows its token and gets in
        assert listener.connections <= 5
        retries = 0
        with contextlib.suppress(BlockingIOError):
            while data := forger.recv(2048):
                header = pull_quic_header(Buffer(data=data), host_cid_length=8)
                retries += header.packet_type is QuicPacketType.RETRY
                assert header.packet_type is not QuicPacketType.RETRY or len(data) < len(hellos[0])
        assert retries == 36


async def test_a_token_of_another_address_is_worth_nothing(place):
    listener = await place.open(strangers=0)
    assert (await put(listener)).body == b"x="
    hello = RawKeyConnection(CLIENTS, expected=NODE.public)
    hello.connect((HOST, listener.endpoint.port), now=0.0)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        first.bind((HOST, 0))
        first.setblocking(False)
        there = (HOST, listener.endpoint.port)
        first.sendto(hello.datagrams_to_send(now=0.0)[0][0], there)
        hello.receive_datagram(await asyncio.wait_for(loop.sock_recv(first, 2048), 10), there, now=0.1)
        again = hello.datagrams_to_send(now=0.1)[0][0]
        second.sendto(again, there)
        assert (await put(listener)).body == b"x="
        await until(lambda: listener.connections == 0)
        first.sendto(again, there)
        await until(lambda: listener.connections == 1)


async def test_a_caller_may_hold_so_many_and_make_so_many_a_second(place):
    listener = await place.open(per_caller=3, burst=6, pace=0.001)
    first = await place.client(listener)
    for _ in range(5):
        await place.client(listener)
    assert listener.connections == 3
    await asyncio.wait_for(first.over.wait(), 10)
    with pytest.raises(NetError):
        await put(listener, seconds=0.3)


async def test_a_connection_that_is_worked_for_stays_when_there_are_too_many(place):
    gate = asyncio.Event()

    async def slow(_origin, _name, body):
        await gate.wait()
        return QuicAnswer(body)

    listener = await place.open(slow, connections=2)
    busy = await place.client(listener)
    busy.ask(1, "x", b"kept")
    for _ in range(3):
        await place.client(listener)
    gate.set()
    assert await busy.until(1) == [Frame(Kind.REPLY, 1, b"kept")]


async def test_requests_at_work_are_bounded_for_each_connection(place):
    gate = asyncio.Event()

    async def slow(_origin, _name, body):
        await gate.wait()
        return QuicAnswer(body)

    client = await place.client(await place.open(slow, calls=2))
    for i in range(3):
        client.ask(i, "x")
    assert await client.until(1) == [Frame(Kind.ERROR, 2, b"busy")]
    gate.set()
    assert {frame.number for frame in await client.until(3)} == {0, 1, 2}


async def test_a_frame_must_come_in_time(place):
    client = await place.client(await place.open(frame_timeout=0.1))
    client.say(b"100:l")
    await asyncio.wait_for(client.over.wait(), 10)


async def test_half_frames_are_bounded_in_all(place):
    listener = await place.open(unfinished_in_all=300_000)
    clients = [await place.client(listener) for _ in range(2)]
    clients[0].say(b"9000000:l" + bytes(100_000))
    clients[1].say(b"9000000:l" + bytes(250_000))
    await asyncio.wait_for(clients[1].over.wait(), 10)
    assert not clients[0].over.is_set()


async def test_who_takes_no_replies_is_dropped(place):
    listener = await place.open(lambda *_: QuicAnswer(bytes(400_000)), unsent=1_000_000)
    client = await place.client(listener)
    client.deaf = True
    for i in range(4):
        client.ask(i, "x")
    await until(lambda: listener.connections == 0)


async def test_a_reply_that_is_not_taken_ends_the_connection_in_time(place):
    listener = await place.open(lambda *_: QuicAnswer(bytes(400_000)), stall_timeout=0.1)
    client = await place.client(listener)
    client.deaf = True
    client.ask(1, "x")
    await until(lambda: listener.connections == 0)


async def test_a_handler_that_fails_costs_one_reply(place, caplog):
    async def broken(_origin, name, _body):
        if name == "broken":
            raise ValueError("secret")
        return QuicAnswer(b"well")

    client = await place.client(await place.open(broken))
    client.ask(1, "broken")
    client.ask(2, "x")
    assert await client.until(1) == [Frame(Kind.REPLY, 2, b"well")]
    assert "secret" not in caplog.text


async def test_a_client_that_asks_and_wants_no_answer_is_hung_up_on(place, caplog):
    listener = await place.open()
    client = await place.client(listener)
    client.ask(1, "x")
    await client.until(1)
    client.quic.stop_stream(0, 0)  # in one datagram with the request
    client.ask(2, "x")
    await asyncio.wait_for(client.over.wait(), 10)
    other = await place.client(listener)
    other.say(b"1")
    other.quic.reset_stream(0, 0)
    other.talk.move()
    await asyncio.wait_for(other.over.wait(), 10)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_strangers_write_nothing_into_the_log(place, caplog):
    caplog.set_level(logging.INFO)
    listener = await place.open()
    client = await place.client(listener)
    client.say(b"no frame")
    await asyncio.wait_for(client.over.wait(), 10)
    with pytest.raises(NetError):
        await put(listener, key=CLIENT.public)
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


async def test_closing_lets_requests_in_progress_finish(place):
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(_origin, _name, body):
        begun.set()
        await gate.wait()
        return QuicAnswer(body)

    listener = await place.open(slow)
    asking = asyncio.create_task(put(listener, body=b"done"))
    await begun.wait()
    closing = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert await asking == QuicAnswer(b"done")
    with pytest.raises(NetError):
        await put(listener, seconds=0.2)

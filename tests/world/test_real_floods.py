"""Floods of connections at the HTTP listener, from one address and from many: all is bounded, and others are served."""

import asyncio
import gc
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ramson.world import Endpoint, HttpLimits, HttpResponse
from ramson.world.real.crowd import MOVING, WAITING, leavers, places
from ramson.world.real.descriptors import allowed
from ramson.world.real.listener import listen

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MOST = 30


def tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def serving(certificate=None, handler=lambda _request: HttpResponse(200, {}, b"ok"), **limits):
    listener = await listen(
        Endpoint("127.0.0.1", 0), handler, certificate=certificate, limits=HttpLimits(max_connections=MOST, **limits)
    )
    try:
        yield listener
    finally:
        async with asyncio.timeout(10):
            await listener.close()


class Crowd:
    """Connections from addresses of our choice."""

    def __init__(self, listener):
        self.port = listener.endpoint.port
        self.listener = listener
        self.open_ones = []

    async def open(self, source="127.0.0.1", context=None):
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0), ssl=context)
        self.open_ones.append(writer)
        return reader, writer

    async def ask(self, source="127.0.0.1", context=None):
        reader, writer = await self.open(source, context)
        await answered(reader, writer)
        return reader, writer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for writer in self.open_ones:
            writer.transport.abort()


async def answered(reader, writer):
    async with asyncio.timeout(10):
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"


async def ended(reader):
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


def worths(listener):
    return [one.worth for one in listener._connections]


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def many(n):
    return f"127.{n // 200 + 1}.{n % 200}.7"


NOTHING = b""
HALF_A_HEAD = b"GET / HTTP/1.1\r\nX-Slow: "
GARBAGE = os.urandom(3)  # too little for a TLS record to be judged
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.mark.parametrize("one_address", [True, False], ids=["one address", "many addresses"])
@pytest.mark.parametrize(
    ("with_tls", "said"),
    [(False, NOTHING), (False, HALF_A_HEAD), (True, NOTHING), (True, GARBAGE), (True, HALF_A_HELLO)],
    ids=["silent", "slow-loris", "no handshake", "garbage", "half a handshake"],
)
async def test_whoever_floods_with_beginnings_keeps_nobody_out(with_tls, said, one_address, certificate):
    async with serving(certificate if with_tls else None, head_timeout=60, max_connections_per_address=10) as listener:
        context = tls() if with_tls else None
        with Crowd(listener) as crowd:
            mine = await crowd.ask("127.0.0.99", context)
            files = open_files()
            for n in range(3 * MOST):
                _, writer = await crowd.open("127.0.0.1" if one_address else many(n))
                writer.write(said)
                assert listener.connections <= (11 if one_address else MOST)
            other = await crowd.ask("127.0.0.98", context)
            await answered(*other)
            if one_address:
                await answered(*mine)  # who was there before is not disturbed by one address
            # our ends of the flood, and no more of the listener's than it may have
            assert open_files() <= files + 3 * MOST + MOST + 5
            assert len(listener._opening) + len(listener._connections) <= 2 * MOST


async def test_idle_connections_of_many_make_room_the_longest_idle_first():
    async with serving() as listener:
        with Crowd(listener) as crowd:
            idle = [await crowd.ask(many(n)) for n in range(MOST)]
            now = listener.ticks.now
            await until(lambda: listener.ticks.now > now)
            for pair in idle[1:]:
                await answered(*pair)
            await crowd.ask("127.0.0.98")
            assert await ended(idle[0][0])
            for pair in idle[1:]:
                await answered(*pair)
            assert listener.connections == MOST


async def test_the_address_with_most_connections_loses_first():
    async with serving() as listener:
        with Crowd(listener) as crowd:
            few = [await crowd.ask("127.0.0.2") for _ in range(3)]
            greedy = [await crowd.ask("127.0.0.1") for _ in range(MOST - 3)]
            for n in range(10):
                await crowd.ask(many(n))
            for pair in few:
                await answered(*pair)
            assert all([await ended(reader) for reader, _ in greedy[:10]])
            await answered(*greedy[-1])


async def test_an_address_at_its_limit_gives_up_its_own_idle_connections():
    async with serving(max_connections_per_address=4) as listener:
        with Crowd(listener) as crowd:
            other = await crowd.ask("127.0.0.2")
            mine = [await crowd.ask() for _ in range(4)]
            await crowd.ask()
            assert await ended(mine[0][0])
            for pair in (*mine[1:], other):
                await answered(*pair)
            assert listener.connections == 5


@pytest.mark.parametrize("per_address", [3, MOST], ids=["at the address's limit", "at the listener's"])
async def test_requests_in_progress_are_never_pushed_out(per_address, monkeypatch):
    go = asyncio.Event()

    async def handler(_request):
        await go.wait()
        return HttpResponse(200, {}, b"ok")

    async with serving(None, handler, max_connections_per_address=per_address) as listener:
        with Crowd(listener) as crowd:
            at_work = [await crowd.open() for _ in range(per_address)]
            for _, writer in at_work:
                writer.write(GET)
            await until(lambda: len(listener.answers) == per_address)
            refused, _ = await crowd.open()
            assert await ended(refused)
            go.set()
            for reader, _ in at_work:
                async with asyncio.timeout(10):
                    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_uploads_give_way_only_when_nobody_idles():
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    async with serving(max_connections_per_address=2) as listener:
        with Crowd(listener) as crowd:
            sending, writer = await crowd.open()
            writer.write(head)
            await until(lambda: worths(listener) == [MOVING])
            idle, _ = await crowd.ask()
            third, other = await crowd.open()
            assert await ended(idle)
            other.write(head)
            await until(lambda: worths(listener) == [MOVING, MOVING])
            await crowd.ask()
            assert await ended(sending)
            other.write(b"hi")
            async with asyncio.timeout(10):
                assert (await third.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_after_a_flood_nothing_is_left_of_it(certificate):
    async with serving(certificate, head_timeout=0.3, max_connections_per_address=10) as listener:
        before = open_files()
        with Crowd(listener) as crowd:
            for n in range(2 * MOST):
                _, writer = await crowd.open(many(n % 40))
                writer.write(GARBAGE if n % 2 else NOTHING)
            await until(lambda: listener.connections == 0)
        await until(lambda: open_files() <= before + 3)  # the loop keeps one or two of its own
        assert [len(what) for what in (listener._opening, listener._connections, listener._held)] == [0, 0, 0]


async def test_what_is_dropped_as_it_is_accepted_is_closed(recwarn):
    async with serving(max_connections_per_address=1) as listener:
        with Crowd(listener) as crowd:
            readers = [reader for reader, _ in await asyncio.gather(*(crowd.open() for _ in range(20)))]
            done, _ = await asyncio.wait([asyncio.ensure_future(ended(reader)) for reader in readers[:-1]], timeout=10)
            assert len(done) == 19
            assert listener.connections == 1
    gc.collect()
    assert [str(warning.message) for warning in recwarn if "unclosed" in str(warning.message)] == []


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
async def test_closing_while_connections_are_being_set_up(with_tls, certificate):
    async with serving(certificate if with_tls else None) as listener:
        with Crowd(listener) as crowd:
            await asyncio.gather(*(crowd.open() for _ in range(20)))
            async with asyncio.timeout(8):
                await listener.close()
            assert [len(listener._opening), len(listener._connections), listener.connections] == [0, 0, 0]


async def test_a_flood_is_logged_once_a_minute_and_without_addresses(caplog):
    async with serving(max_connections_per_address=2) as listener:
        with Crowd(listener) as crowd:
            for _ in range(20):
                await crowd.ask()
            await until(lambda: caplog.records)
            for _ in range(20):
                await crowd.ask()
            await asyncio.sleep(1.5 * listener.ticks.interval)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["crowded"]
    assert "127.0.0" not in caplog.text


async def test_making_room_is_quick_among_ten_thousand():
    """A flood at the brim must not keep the loop busy: looking through all connections serves many newcomers."""

    class One:
        worth, since = WAITING, 0

    held = {n: [One() for _ in range(10)] for n in range(1000)}
    began = time.process_time()
    assert len(leavers(held, places(10_000))) == 156
    assert time.process_time() - began < 0.5


async def test_listening_at_ipv6_counts_networks():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    limits = HttpLimits(max_connections_per_address=2)
    listener = await listen(
        Endpoint("::1", 0), lambda _r: HttpResponse(200, {}, b"ok"), certificate=None, limits=limits
    )
    pairs = [await asyncio.open_connection("::1", listener.endpoint.port) for _ in range(3)]
    await answered(*pairs[2])
    assert await ended(pairs[0][0])
    assert list(listener._held) == ["::/64"]
    for _, writer in pairs:
        writer.transport.abort()
    await listener.close()


def test_sockets_take_a_share_of_the_open_files(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1024, 4096))
    assert allowed(10_000) == 716
    assert allowed(100) == 100
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert allowed(10_000) == 10_000

"""What strangers may do to the HTTP listener, and what they get for it."""

import asyncio
import logging
import ssl
import time

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from until import until

from ramson.world import CannotListen, Certificate, Endpoint, HttpLimits, HttpRequest, HttpResponse
from ramson.world.real.listener import listen

LOOPBACK = Endpoint("127.0.0.1", 0)
TEXT = {"Content-Type": "text/plain"}
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, TEXT, f"{request.method} {request.target} ".encode() + request.body)


class Served:
    """A listener and a raw client for it."""

    def __init__(self, handler=echo, certificate=None, **limits):
        self.handler, self.certificate, self.limits = handler, certificate, HttpLimits(**limits)

    async def __aenter__(self):
        self.listener = await listen(LOOPBACK, self.handler, certificate=self.certificate, limits=self.limits)
        self.writers = []
        return self

    async def __aexit__(self, *_):
        for writer in self.writers:
            writer.close()
        async with asyncio.timeout(5):
            await self.listener.close()

    async def open(self, context=None):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.endpoint.port, ssl=context)
        self.writers.append(writer)
        return reader, writer

    async def say(self, data: bytes, context=None) -> bytes:
        """Write, and read until the listener closes."""
        reader, writer = await self.open(context)
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()


async def reply(reader):
    """One reply: status, lower-case headers, body."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, body


async def test_one_connection_carries_many_requests():
    async with Served(server="Onion/1") as served:
        reader, writer = await served.open()
        for i in range(5):
            writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % i)
            status, headers, body = await reply(reader)
            assert (status, body) == (200, b"POST /a %d" % i)
            assert headers["server"] == "Onion/1"
            assert headers["content-type"] == "text/plain"
        assert served.listener.connections == 1


async def test_a_handler_sees_the_request():
    seen = []

    def handler(request):
        seen.append(request)
        return HttpResponse(200)

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(b"PUT /p?q=1 HTTP/1.1\r\nX-Loki-Long-Poll:  yes \r\nhost: x\r\nContent-Length: 2\r\n\r\nhi")
        await reply(reader)
    [request] = seen
    assert (request.method, request.target, request.path, request.body) == ("PUT", "/p?q=1", "/p", b"hi")
    assert request.headers["x-loki-long-poll"] == "yes"
    assert request.headers.get("none") is None
    assert request.peer == "127.0.0.1"


async def test_pipelined_requests_are_answered_in_order():
    async def handler(request):
        await asyncio.sleep(0.05 if request.target == "/0" else 0)
        return HttpResponse(200, {}, request.target.encode())

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(10)))
        assert [(await reply(reader))[2] for _ in range(10)] == [b"/%d" % i for i in range(10)]
        writer.write(GET)  # and it reads on afterwards
        assert (await reply(reader))[2] == b"/"


async def test_immediate_and_later_answers_keep_their_order():
    def handler(request):
        async def later():
            await asyncio.sleep(0.01)
            return HttpResponse(200, {}, request.target.encode())

        return later() if request.target in {"/1", "/3"} else HttpResponse(200, {}, request.target.encode())

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(5)))
        assert [(await reply(reader))[2] for _ in range(5)] == [b"/%d" % i for i in range(5)]


async def test_endless_pipelining_is_cut_off():
    async def handler(_request):
        await asyncio.sleep(0.01)
        return HttpResponse(200)

    async with Served(handler) as served:
        answer = await served.say(GET * 2000)
    assert answer.count(b"HTTP/1.1 200") <= 65
    assert b"HTTP/1.1 503" in answer


async def test_a_body_in_pieces():
    async with Served() as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\na")
        for piece in (b"b", b"cd", b"ef"):
            await asyncio.sleep(0.01)
            writer.write(piece)
        assert (await reply(reader))[2] == b"POST / abcdef"


async def test_a_chunked_body_and_its_trailers():
    seen = []

    def handler(request):
        seen.append(request)
        return echo(request)

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        writer.write(b"2;ext=1\r\nde\r\n0\r\nHost: other\r\n\r\n" + GET)
        assert (await reply(reader))[2] == b"POST / abcde"
        assert (await reply(reader))[0] == 200
    assert seen[0].headers["host"] == "x"  # a trailer is no header


async def test_a_body_in_tiny_chunks():
    async with Served() as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 30_000)
        writer.write(b"0\r\n\r\n" + GET)
        assert (await reply(reader))[2] == b"POST / " + b"ab" * 30_000
        assert (await reply(reader))[0] == 200


async def test_expect_continue():
    async with Served() as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reply(reader))[2] == b"POST / ok"


async def test_expect_continue_waits_for_its_turn():
    async def handler(request):
        await asyncio.sleep(0.05)
        return echo(request)

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(GET + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await reply(reader))[2] == b"GET / "
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reply(reader))[2] == b"POST / ok"


async def test_head_gets_the_length_but_no_body():
    async with Served() as served:
        reader, writer = await served.open()
        writer.write(b"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 8\r\n" in head
        assert (await reply(reader))[2] == b"GET / "


async def test_http_1_0():
    async with Served() as served:
        answer = await served.say(b"GET / HTTP/1.0\r\n\r\n")
        assert answer.endswith(b"Connection: close\r\n\r\nGET / ")
        reader, writer = await served.open()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            _, headers, body = await reply(reader)
            assert (headers["connection"], body) == ("keep-alive", b"GET / ")


async def test_connection_close_is_honoured_and_what_follows_is_ignored():
    async with Served() as served:
        answer = await served.say(b"GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"GET /1 ")


async def test_a_client_that_half_closes_gets_its_reply():
    async def handler(request):
        await asyncio.sleep(0.05)
        return echo(request)

    async with Served(handler) as served:
        reader, writer = await served.open()
        writer.write(GET)
        writer.write_eof()
        async with asyncio.timeout(5):
            assert (await reader.read()).endswith(b"GET / ")


async def test_the_absolute_form_of_a_target():
    async with Served() as served:
        reader, writer = await served.open()
        for target, path in ((b"http://h/a/b?c", b"/a/b?c"), (b"http://h", b"/"), (b"*", b"*")):
            writer.write(b"OPTIONS %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)
            assert (await reply(reader))[2] == b"OPTIONS %s " % path


async def test_204_has_no_length():
    async with Served(lambda _r: HttpResponse(204)) as served:
        reader, writer = await served.open()
        writer.write(GET)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"


# ---- sizes


async def test_413_comes_on_the_announced_length():
    async with Served(max_body=1000, too_large="Request body too large") as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        status, headers, body = await reply(reader)
        assert (status, body) == (413, b"Request body too large")
        assert (headers["connection"], headers["content-type"]) == ("close", "text/plain")
        assert await reader.read() == b""


async def test_exactly_max_body_is_read():
    async with Served(max_body=100_000) as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"z" * 100_000)
        assert len((await reply(reader))[2]) == 100_000 + len("POST / ")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_client_still_writing_sees_the_413(tls, certificate):
    body = b"x" * 8_000_000
    async with Served(max_body=1000, certificate=certificate if tls else None) as served:
        reader, writer = await served.open(anything() if tls else None)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for i in range(0, len(body), 400_000):
            writer.write(body[i : i + 400_000])
            await writer.drain()
            await asyncio.sleep(0.005)
        assert (await reply(reader))[0] == 413


async def test_413_for_a_chunked_body_that_grows_too_large():
    async with Served(max_body=1000) as served:
        answer = await served.say(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"100\r\n" + b"y" * 256 + b"\r\n") * 8
        )
        assert answer.startswith(b"HTTP/1.1 413")
        assert served.listener.held == 0


async def test_413_waits_for_its_turn():
    async def handler(request):
        await asyncio.sleep(0.05)
        return echo(request)

    async with Served(handler, max_body=10) as served:
        answer = await served.say(GET + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 413" in answer


async def test_targets_without_body_answer_at_once_and_never_413():
    async with Served(max_body=10, bodyless=frozenset({"/ping"})) as served:
        reader, writer = await served.open()
        writer.write(b"POST /ping?x HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        assert (await reply(reader))[2] == b"POST /ping?x "
        writer.write(b"b" * 5000 + GET)
        assert (await reply(reader))[2] == b"GET / "


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(400)) + b"\r\n",
        b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 3000,
        b"GET /" + b"a" * 3000,
    ],
    ids=["value", "count", "target", "unfinished value", "unfinished target"],
)
async def test_heads_are_bounded(head):
    async with Served(max_head=2000) as served:
        assert (await served.say(head)).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("tail", [b"1;" + b"x" * 500, b"0\r\nTrailer: " + b"t" * 500], ids=["extension", "trailer"])
async def test_what_surrounds_chunks_is_bounded(tail):
    async with Served(max_head=2000) as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + tail)
        for _ in range(10):
            await asyncio.sleep(0.01)
            writer.write(b"y" * 500)
        assert (await reply(reader))[0] == 400


async def test_half_read_bodies_are_bounded_over_all_connections():
    async with Served(max_held=3000) as served:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n"
        first, writer = await served.open()
        writer.write(head + b"1" * 1900)
        await until(lambda: served.listener.held)
        second, other = await served.open()
        other.write(head + b"2" * 1900)
        assert (await reply(second))[0] == 503
        writer.write(b"1" * 100)
        assert (await reply(first))[0] == 200
        assert served.listener.held == 0


# ---- time


async def test_a_slow_head_is_closed():
    async with Served(head_timeout=0.3) as served:
        reader, writer = await served.open()
        began = time.monotonic()

        async def drip():
            writer.write(b"GET / HTTP/1.1\r\nHost: ")
            while True:  # for as long as `reply` waits, were it not cut off
                writer.write(b"a")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        assert (await reply(reader))[0] == 408
        assert time.monotonic() - began > 0.25
        task.cancel()


async def test_a_slow_body_is_closed():
    async with Served(body_timeout=0.3) as served:
        reader, writer = await served.open()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert (await reply(reader))[0] == 408


async def test_silent_and_idle_connections_are_closed_without_a_word():
    async with Served(head_timeout=0.2, idle_timeout=0.2) as served:
        assert await served.say(b"") == b""
        answer = await served.say(GET)
        assert answer.endswith(b"GET / ")


async def test_a_slow_handler_is_not_cut_off():
    async def handler(request):
        await asyncio.sleep(0.6)
        return echo(request)

    async with Served(handler, head_timeout=0.1, idle_timeout=0.1, body_timeout=0.1) as served:
        reader, writer = await served.open()
        writer.write(GET)
        assert (await reply(reader))[0] == 200


async def test_a_client_that_does_not_take_its_reply_is_dropped():
    async with Served(lambda _r: HttpResponse(200, {}, b"x" * 20_000_000), body_timeout=0.3) as served:
        _, writer = await served.open()
        writer.transport.pause_reading()
        writer.write(GET)
        await until(lambda: served.listener.unsent)
        await until(lambda: served.listener.connections == 0)


async def test_a_client_that_takes_its_reply_slowly_gets_all_of_it():
    async with Served(lambda _r: HttpResponse(200, {}, b"x" * 6_000_000), body_timeout=0.2) as served:
        reader, writer = await served.open()
        writer.write(GET + GET)
        got = 0
        while got < 12_000_000:
            data = await asyncio.wait_for(reader.read(200_000), 5)
            assert data
            got += len(data)
            await asyncio.sleep(0.01)


async def test_replies_nobody_takes_are_bounded_over_all_connections():
    asked = []

    def handler(request):
        asked.append(request)
        return HttpResponse(200, {}, b"x" * 20_000_000)

    async with Served(handler, max_held=25_000_000, body_timeout=2) as served:
        made = []
        for number in (1, 2):
            reader, writer = await served.open()
            writer.transport.pause_reading()
            writer.write(GET)
            await until(lambda number=number: len(asked) == number and served.listener.unsent > 10_000_000)
            made.append((reader, writer))
            now = served.listener.ticks.now
            await until(lambda now=now: served.listener.ticks.now > now)  # who is older is known to a tick
        await until(lambda: served.listener.connections == 1)  # the older one has to go
        reader, writer = made[1]
        writer.transport.resume_reading()
        assert len((await reply(reader))[2]) == 20_000_000
        await until(lambda: served.listener.unsent == 0)


# ---- faults


async def test_a_failing_handler_is_500_and_logs_no_data(caplog):
    def handler(request):
        if request.target == "/later":
            return later()
        if request.target == "/none":
            return None
        if request.target == "/header":
            return HttpResponse(200, {"X": "a\r\nY: b"})
        raise ValueError("secret message")

    async def later():
        await asyncio.sleep(0)
        raise ValueError("secret message")

    with caplog.at_level(logging.DEBUG):
        async with Served(handler) as served:
            reader, writer = await served.open()
            for target in (b"/now", b"/later", b"/none", b"/header"):
                writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
                status, headers, body = await reply(reader)
                assert (status, body, headers["content-type"]) == (500, b"request failed", "text/plain")
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: x\r\n\r\n",
    ],
)
async def test_malformed_requests_are_400_and_close(garbage):
    calls = []
    async with Served(lambda r: calls.append(r) or HttpResponse(200)) as served:
        answer = await served.say(garbage)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Type: text/plain\r\n" in answer
    assert calls == []


async def test_good_requests_before_garbage_are_answered_first():
    async with Served() as served:
        answer = await served.say(GET + b"\x00\x01\x02\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in answer


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.binary(max_size=200) | st.sampled_from([GET, b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]))
)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_no_bytes_kill_the_listener(new_loop, pieces):
    async def run():
        async with Served(head_timeout=0.1, idle_timeout=0.1, body_timeout=0.1) as served:
            _, writer = await served.open()
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.close()
            reader, writer = await served.open()
            writer.write(GET)
            assert (await reply(reader))[2] == b"GET / "

    loop = new_loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


# ---- the end


async def test_a_handler_survives_its_client():
    begun, gone, stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_request):
        begun.set()
        await gone.wait()
        stored.set()
        return HttpResponse(200)

    async with Served(handler) as served:
        _, writer = await served.open()
        writer.write(GET)
        await begun.wait()
        writer.transport.abort()
        await asyncio.sleep(0.03)
        gone.set()
        await asyncio.wait_for(stored.wait(), 10)


async def test_closing_lets_requests_finish():
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handler(request):
        begun.set()
        await gate.wait()
        return echo(request)

    async with Served(handler) as served:
        idle, _ = await served.open()
        reader, writer = await served.open()
        writer.write(GET)
        await begun.wait()
        closing = asyncio.create_task(served.listener.close())
        await asyncio.sleep(0)
        gate.set()
        status, headers, _ = await reply(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await idle.read() == b""
        await closing
        with pytest.raises(OSError):
            await served.open()


async def test_closing_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr("ramson.world.real.listener.GRACE", 0.1)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_request):
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return HttpResponse(200)

    async with Served(handler) as served:
        _, writer = await served.open()
        writer.write(GET)
        await begun.wait()
        await served.listener.close()
        assert cancelled.is_set()


async def test_a_taken_port_is_the_callers_mistake():
    async with Served() as served:
        with pytest.raises(CannotListen, match="in use"):
            await listen(served.listener.endpoint, echo, certificate=None, limits=HttpLimits())


# ---- TLS


def anything():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_versions(version, certificate):
    context = anything()
    context.minimum_version = context.maximum_version = version
    async with Served(certificate=certificate) as served:
        reader, writer = await served.open(context)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("v1_", "v1.")
        writer.write(GET)
        assert (await reply(reader))[2] == b"GET / "


async def test_tls_1_1_is_refused(certificate):
    context = anything()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Served(certificate=certificate) as served:
        with pytest.raises((ssl.SSLError, OSError)):
            await served.open(context)


async def test_what_is_not_tls_is_dropped_and_stalled_handshakes_end(certificate):
    async with Served(certificate=certificate, head_timeout=0.3) as served:
        assert b"HTTP" not in await served.say(GET)
        reader, _ = await served.open()
        assert await asyncio.wait_for(reader.read(), 5) == b""  # far less than it would have by default
        await until(lambda: served.listener.connections == 0)


def test_reprs_tell_nothing():
    assert "SECRET" not in repr(Certificate(b"cert", b"SECRET"))
    assert "SECRET" not in repr(HttpRequest("GET", "/SECRET", {"a": "SECRET"}, b"SECRET", "SECRET"))
    assert "SECRET" not in repr(HttpResponse(200, {"a": "SECRET"}, b"SECRET"))

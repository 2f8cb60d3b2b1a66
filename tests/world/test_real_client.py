"""What the HTTP client sends, whom it trusts and how it fails."""

import asyncio
import hashlib
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from until import until

from ramson.errors import LocalError
from ramson.world import AddressRefused, Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError, Stage, Tls
from ramson.world.real.client import HttpClient, render
from ramson.world.real.dialer import DirectDialer
from ramson.world.real.listener import listen
from ramson.world.real.tls import server_context

LOOPBACK = Endpoint("127.0.0.1", 0)
POST = HttpRequest("POST", "/x", {"Content-Type": "text/plain"}, b"body")


class Talker:
    """A client with the defaults of these tests."""

    def __init__(self, dialer=None):
        self.client = HttpClient(dialer or DirectDialer())

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def ask(self, endpoint, request=POST, *, tls=None, **more):
        more = {"timeout": 5, "max_reply": 100_000, **more}
        return await self.client.request(endpoint, request, tls=tls, **more)

    async def fails(self, endpoint, request=POST, **how) -> NetError:
        with pytest.raises(NetError) as caught:
            await self.ask(endpoint, request, **how)
        return caught.value


class Raw:
    """A server that is scripted byte by byte; `replies` are written one per request head."""

    def __init__(self, *replies: bytes, close=True, context=None):
        self.replies, self.close, self.context = list(replies), close, context
        self.heads, self.connections = [], 0

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while self.replies:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.replies.pop(0))
                if self.close:
                    break
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.endpoint = Endpoint("127.0.0.1", self.server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_):
        self.server.close()


def greet(request):
    return HttpResponse(200, {"X-Seen": request.peer}, b"hello " + request.body)


async def serve(certificate=None, endpoint=LOOPBACK, handler=greet):
    return await listen(endpoint, handler, certificate=certificate, limits=HttpLimits())


def pin(certificate) -> bytes:
    key = x509.load_pem_x509_certificate(certificate.certificate).public_key()
    return hashlib.sha256(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).digest()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_nothing_is_sent_but_what_was_asked_for():
    async with Talker() as talker, Raw(OK, OK, close=False) as raw:
        reply = await talker.ask(raw.endpoint, POST)
        await talker.ask(raw.endpoint, HttpRequest("GET", "/y"))
        host = f"127.0.0.1:{raw.endpoint.port}".encode()
        assert raw.heads == [
            b"POST /x HTTP/1.1\r\nHost: " + host + b"\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n",
            # what the scripted server did not read of the first request
            b"bodyGET /y HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
        ]
        assert raw.connections == 1
        assert reply == HttpResponse(200, {"content-length": "2"}, b"ok")


def test_requests_as_bytes():
    render_ = lambda host, port, **more: render(Endpoint(host, port), HttpRequest("GET", "/", **more), default_port=443)  # noqa: E731
    assert render_("a.b", 443) == b"GET / HTTP/1.1\r\nHost: a.b\r\n\r\n"
    assert render_("a.b", 44) == b"GET / HTTP/1.1\r\nHost: a.b:44\r\n\r\n"
    assert render_("::1", 443) == b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"
    assert render_("a.b", 443, headers={"host": "c"}) == b"GET / HTTP/1.1\r\nhost: c\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "/ x"),
        HttpRequest("GET", "/\r\nX: y"),
        HttpRequest("GET", "/", {"A": "b\nc"}),
        HttpRequest("GET", "/", {"A\r": "b"}),
        HttpRequest("GET", "/€"),
    ],
)
def test_what_would_break_a_request_apart_is_refused(request_):
    with pytest.raises(LocalError):
        render(Endpoint("h", 1), request_, default_port=443)


async def test_connections_are_reused_and_close_ends_them():
    server = await serve()
    async with Talker() as talker:
        for _ in range(3):
            assert (await talker.ask(server.endpoint)).body == b"hello body"
        assert server.connections == 1
        await asyncio.gather(*(talker.ask(server.endpoint) for _ in range(20)))
        for _ in range(3):
            assert (await talker.ask(server.endpoint)).body == b"hello body"
        await until(lambda: server.connections == 8)  # of twenty, eight are kept
        await talker.client.close()
        await until(lambda: server.connections == 0)
    await server.close()


async def test_idle_connections_are_closed_in_time(monkeypatch):
    monkeypatch.setattr("ramson.world.real.client.IDLE_SECONDS", 0.1)
    server = await serve()
    async with Talker() as talker:
        await talker.ask(server.endpoint)
        assert server.connections == 1
        await until(lambda: server.connections == 0)
    await server.close()


async def test_a_restarted_server_is_reached_again():
    server = await serve()
    async with Talker() as talker:
        await talker.ask(server.endpoint)
        await server.close()
        server = await serve(endpoint=server.endpoint)
        assert (await talker.ask(server.endpoint)).status == 200
        await server.close()
        assert (await talker.fails(server.endpoint)).stage is Stage.CONNECT


async def test_only_a_reused_connection_is_tried_twice():
    async with Talker() as talker:
        async with Raw(OK, b"", b"", OK, close=False) as raw:
            raw.close = False
            await talker.ask(raw.endpoint)
            raw.close = True  # the idle connection dies on use, and so does the new one
            assert (await talker.fails(raw.endpoint)).stage is Stage.REPLY
            assert raw.connections == 2
        async with Raw(b"", OK) as raw:
            assert (await talker.fails(raw.endpoint)).stage is Stage.REPLY
            assert raw.connections == 1


async def test_a_reply_that_broke_off_is_not_asked_for_again():
    async with Talker() as talker, Raw(OK, b"HTTP/1.1 200 OK\r\nContent-Le", OK, close=False) as raw:
        await talker.ask(raw.endpoint)
        raw.close = True
        assert (await talker.fails(raw.endpoint)).stage is Stage.REPLY
        assert raw.connections == 1


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nT: u\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", b""),
    ],
    ids=["chunked", "until close", "interim", "no content", "not found", "no redirect"],
)
async def test_how_replies_end(wire, body):
    async with Talker() as talker, Raw(wire) as raw:
        assert (await talker.ask(raw.endpoint)).body == body


async def test_head_has_a_length_but_no_body():
    async with Talker() as talker, Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", close=False) as raw:
        reply = await talker.ask(raw.endpoint, HttpRequest("HEAD", "/"))
        assert (reply.headers["content-length"], reply.body) == ("9999999", b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n" + b"x" * 100_001,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"",
    ],
    ids=["short", "short chunk", "announced", "grows", "chunk grows", "head", "not http", "upgrade", "nothing"],
)
async def test_bad_replies(wire):
    async with Talker() as talker, Raw(wire) as raw:
        assert (await talker.fails(raw.endpoint)).stage is Stage.REPLY


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(OK[:-2].__add__))
def test_any_bytes_are_a_reply_or_a_net_error(wire):
    async def run():
        async with Talker() as talker, Raw(wire) as raw:
            try:
                await talker.ask(raw.endpoint, timeout=10)
            except NetError as error:
                assert error.stage is Stage.REPLY  # noqa: PT017 - a reply is as good

    asyncio.run(run())


async def test_what_nobody_asked_for_ends_the_connection():
    async with Talker() as talker, Raw(OK + OK, OK, close=False) as raw:
        await talker.ask(raw.endpoint)
        await asyncio.sleep(0.05)
        assert (await talker.ask(raw.endpoint)).body == b"ok"
        assert raw.connections == 2


# ---- time


async def test_the_timeout_covers_all_and_leaves_nothing_behind():
    async with Talker() as talker, Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", close=False) as raw:
        raw.replies.append(OK)
        for seconds in (0.1, 1, 10):  # a busy machine may take longer than the first to ask at all
            assert (await talker.fails(raw.endpoint, timeout=seconds)).stage is Stage.TIMEOUT
            if raw.heads:
                break
        raw.replies[:] = [OK]
        before = raw.connections
        assert (await talker.ask(raw.endpoint)).body == b"ok"
        assert raw.connections == before + 1


async def test_cancelling_drops_the_connection():
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handler(_request):
        begun.set()
        await gate.wait()
        return HttpResponse(200)

    server = await serve(handler=handler)
    async with Talker() as talker:
        task = asyncio.create_task(talker.ask(server.endpoint))
        await begun.wait()
        assert server.connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()  # the handler goes on to its end
        await until(lambda: server.connections == 0)
    await server.close()


# ---- names and addresses


async def test_names_are_resolved():
    server = await serve()
    async with Talker() as talker:
        assert (await talker.ask(Endpoint("localhost", server.endpoint.port))).status == 200
        error = await talker.fails(Endpoint("no-such-host.invalid", 1))
        assert error.stage is Stage.NAME
        assert (await talker.fails(Endpoint("x" * 300, 1))).stage is Stage.NAME
    await server.close()


async def test_the_source_address_can_be_chosen():
    server = await serve()
    async with Talker(DirectDialer("127.0.5.6")) as talker:
        assert (await talker.ask(server.endpoint)).headers["x-seen"] == "127.0.5.6"
    await server.close()


async def test_the_caller_can_veto_addresses():
    server = await serve()
    named = Endpoint("localhost", server.endpoint.port)
    shown = []
    async with Talker() as talker:
        with pytest.raises(AddressRefused) as caught:
            await talker.ask(named, allow=lambda ip: bool(shown.append(ip)))
        assert "127.0.0.1" in shown
        assert caught.value.stage is Stage.NAME
        with pytest.raises(AddressRefused):
            await talker.ask(server.endpoint, allow=lambda _ip: False)
        assert server.connections == 0
        assert (await talker.ask(named, allow=lambda ip: ip == "127.0.0.1")).status == 200
        with pytest.raises(AddressRefused):  # a connection made earlier is judged as well
            await talker.ask(named, allow=lambda _ip: False)
    await server.close()


def ignored(_stage):
    pass


async def test_only_allowed_addresses_are_tried(monkeypatch):
    server = await serve()
    port = server.endpoint.port
    loop = asyncio.get_running_loop()
    found = [(socket.AF_INET, 1, 6, "", ("127.0.0.2", port)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
    dialed = []

    class Resolver:
        """The loop, with a resolver of ours."""

        async def getaddrinfo(self, *_args, **_more):
            return found

        async def sock_connect(self, sock, address):
            dialed.append(address[0])
            await loop.sock_connect(sock, address)

    monkeypatch.setattr("ramson.world.real.dialer.asyncio.get_running_loop", Resolver)
    dialer = DirectDialer()
    sock = await dialer.connect(Endpoint("both", port), lambda ip: ip != "127.0.0.2", ignored)
    sock.close()
    assert dialed == ["127.0.0.1"]
    dialed.clear()
    sock = await dialer.connect(Endpoint("both", port), None, ignored)  # the first refuses, the second is tried
    sock.close()
    assert dialed == ["127.0.0.2", "127.0.0.1"]
    monkeypatch.undo()
    await server.close()


async def test_a_dialer_makes_the_way(certificate):
    server = await serve(certificate)

    class Detour(DirectDialer):
        async def connect(self, _endpoint, allow, at):
            return await super().connect(server.endpoint, allow, at)

    async with Talker(Detour()) as talker:
        reply = await talker.ask(Endpoint("hidden.example", 443), tls=Tls(pins=frozenset({pin(certificate)})))
        assert reply.body == b"hello body"
    await server.close()


async def test_a_server_that_is_gone_as_soon_as_it_was_reached():
    class Late(DirectDialer):
        async def connect(self, _endpoint, allow, at):
            return socket.socket()  # as a connection that was reset: it has no peer any more

    async with Talker(Late()) as talker:
        assert (await talker.fails(Endpoint("127.0.0.1", 1))).stage is Stage.CONNECT


# ---- trust


async def test_pins(certificate):
    seen = []
    server = await serve(certificate, handler=lambda r: seen.append(r) or HttpResponse(200))
    right, wrong = pin(certificate), bytes(32)
    async with Talker() as talker:
        assert (await talker.ask(server.endpoint, tls=Tls(pins=frozenset({wrong, right})))).status == 200
        seen.clear()
        error = await talker.fails(server.endpoint, tls=Tls(pins=frozenset({wrong})))
        assert error.stage is Stage.TLS
        assert error.remedy
        # pins outweigh authorities: `verify` does not weaken them, and they need no chain
        assert (await talker.fails(server.endpoint, tls=Tls(frozenset({wrong}), verify=True))).stage is Stage.TLS
        assert seen == []
        assert (await talker.ask(server.endpoint, tls=Tls(frozenset({right}), verify=True))).status == 200
    await server.close()


async def test_verification_and_any_certificate(certificate):
    server = await serve(certificate)
    async with Talker() as talker:
        named = Endpoint("localhost", server.endpoint.port)
        error = await talker.fails(named, tls=Tls(verify=True))
        assert error.stage is Stage.TLS
        assert "self-signed" in str(error)
        assert (await talker.ask(named, tls=Tls())).status == 200
    await server.close()


async def test_trust_is_not_shared_between_requests(certificate):
    server = await serve(certificate)
    async with Talker() as talker:
        await talker.ask(server.endpoint, tls=Tls())
        assert (await talker.fails(server.endpoint, tls=Tls(pins=frozenset({bytes(32)})))).stage is Stage.TLS
    await server.close()


@pytest.mark.parametrize(
    ("host", "server_name", "sni"),
    [("127.0.0.1", "", None), ("localhost", "", "localhost"), ("127.0.0.1", "front.example", "front.example")],
)
async def test_server_name(certificate, host, server_name, sni):
    names = []
    context = server_context(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with Talker() as talker, Raw(OK, context=context) as raw:
        await talker.ask(Endpoint(host, raw.endpoint.port), tls=Tls(server_name=server_name))
        assert names == [sni]
        assert raw.heads[0].splitlines()[1] == f"Host: {host}:{raw.endpoint.port}".encode()


async def test_tls_where_there_is_none_and_the_other_way_round(certificate):
    plain, tls = await serve(), await serve(certificate)
    async with Talker() as talker:
        assert (await talker.fails(plain.endpoint, tls=Tls())).stage is Stage.TLS
        assert (await talker.fails(tls.endpoint)).stage is Stage.REPLY
    await plain.close()
    await tls.close()


async def test_old_tls_is_not_spoken(certificate):
    context = server_context(certificate)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Talker() as talker, Raw(OK, context=context) as raw:
        assert (await talker.fails(raw.endpoint, tls=Tls())).stage is Stage.TLS


async def test_failed_handshakes_leave_no_socket_open(certificate):
    import gc
    import pathlib

    def descriptors():
        gc.collect()
        return len(list(pathlib.Path("/proc/self/fd").iterdir()))

    server = await serve(certificate)
    async with Talker() as talker:
        await talker.ask(server.endpoint, tls=Tls())
        before = descriptors()
        for _ in range(5):
            await talker.fails(server.endpoint, tls=Tls(verify=True))
            await talker.fails(server.endpoint, tls=Tls(pins=frozenset({bytes(32)})))
            await talker.fails(Endpoint("127.0.0.1", 1))
        await until(lambda: descriptors() <= before)
    await server.close()


async def test_that_this_machine_itself_forbids_a_connection_is_told_apart(monkeypatch):
    async def forbidden(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(DirectDialer, "_connect", forbidden)
    with pytest.raises(NetError) as caught:
        await DirectDialer().connect(Endpoint("127.0.0.1", 9), None, lambda _stage: None)
    assert (caught.value.stage, caught.value.denied) == (Stage.CONNECT, True)

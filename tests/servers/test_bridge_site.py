"""A site with a bridge is, byte for byte, the same site without one: raw sockets against both."""

import asyncio
import contextlib
import random
import re
import subprocess
import sys
import threading
import time
import wsgiref.simple_server
import wsgiref.validate
from pathlib import Path

import pytest

from ramson.errors import LocalError
from ramson.node import certificate
from ramson.protocol import bridge as protocol
from ramson.protocol import network_file
from ramson.protocol.bridge import Content, Forward, ListQuery, Refusal, Refused, Ticket, link
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.reach.bridge import BridgeRoute
from ramson.servers.bridge import asgi, config, cover, keys, wsgi
from ramson.servers.bridge.service import BridgeService, _Server, server_settings
from ramson.world import CannotListen, Endpoint, HttpLimits, HttpRequest, HttpResponse, Tls, real
from ramson.world.pins import pin_of

DATE = re.compile(rb"date: [^\r]*\r\n", re.IGNORECASE)
CLOCK = real.world().clock


class Place:
    """A bridge's directory, a site's files, and a guard on this machine."""

    def __init__(self, path: Path):
        self.home, self.site = path / "bridge", path / "site"
        self.secret = keys.add(self.home, "friends", random.Random(1)).secret
        self.site.mkdir()
        (self.site / "index.html").write_text("<h1>My holidays</h1>")
        (self.site / "404.html").write_text("<h1>No such photo</h1>")
        (self.site / "photo.jpg").write_bytes(random.Random(2).randbytes(5000))
        (self.site / "albums").mkdir()
        (self.site / "albums" / "index.html").write_text("albums")
        self.entropy = random.Random(3)
        self.guard = None

    def describe(self, endpoint):
        """Write the network's file: its one node is at `endpoint`."""
        self.guard = NodeRecord(bytes([7]) * 32, bytes([8]) * 32, bytes(32), endpoint.host, endpoint.port, 1, 0)
        file = self.home.parent / "network.json"
        file.write_bytes(network_file.encode(NetworkFile((NetworkNode("a", NodeState.ACTIVE, self.guard),))))
        return str(file)

    def config(self, **changes):
        values = {
            "directory": str(self.home),
            "cover": str(self.site),
            "listen": "127.0.0.1:0",
            "allow_private": True,
        }
        if "network" not in changes:
            values["network"] = self.describe(Endpoint("127.0.0.1", 9))
        return config.parse("", values | changes)

    def ticket(self, late_ms=0):
        return Ticket.make(self.secret, now_ms=CLOCK.now() + late_ms, nonce=self.entropy.randbytes(16))

    def question(self, ticket, request=None):
        message = request or ListQuery(1024, bytes(16))
        return post(f"/{ticket}", ticket.seal_request(protocol.encode_request(message)))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def post(path, body, *more):
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def talk(endpoint, *writes, seconds=3.0, end=False):
    """Send bytes, in pieces, and return all that comes until the server closes or nothing more does."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    got = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        for data in writes:
            writer.write(data)
            await writer.drain()
            if len(writes) > 1:
                await asyncio.sleep(0.02)
        if end:
            writer.write_eof()
        async with asyncio.timeout(seconds):
            while data := await reader.read(65536):
                got += data
                if complete(got):
                    break
    writer.close()
    return got


def complete(got):
    head, _, body = got.partition(b"\r\n\r\n")
    if got.startswith(b"HTTP/1.1 100"):
        return False
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(_) and found is not None and len(body) >= int(found[1])


@contextlib.asynccontextmanager
async def plain_site(directory):
    """The same server with the same site, and no bridge."""
    server = _Server(server_settings(cover.asgi_site(directory), Endpoint("127.0.0.1", 0)))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await server.serving.wait()
        yield Endpoint("127.0.0.1", server.port)
        server.should_exit = True


def strangers(place):
    """What people, crawlers and probers send."""
    good, used = place.ticket(), place.ticket()
    body = good.seal_request(protocol.encode_request(ListQuery(1024, bytes(16))))
    yesterday, other = place.ticket(-86_400_000), Ticket.make(bytes(32), now_ms=CLOCK.now(), nonce=bytes(16))
    yield "a page", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "a file", [b"GET /photo.jpg HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "a part of a file", [b"GET /photo.jpg HTTP/1.1\r\nHost: x\r\nRange: bytes=5-20\r\n\r\n"]
    yield "a directory", [b"GET /albums HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "nothing there", [b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "out of the site", [b"GET /../bridge/bridge_keys HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "encoded", [b"GET /%2e%2e/bridge/bridge_keys HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "head", [b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "options", [b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "options of a path", [b"OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "another method", [b"PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "connect", [b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "old", [b"GET / HTTP/1.0\r\n\r\n"]
    yield "very old", [b"GET /\r\n\r\n"]
    yield "no host", [b"GET / HTTP/1.1\r\n\r\n"]
    yield "two", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /albums/ HTTP/1.1\r\nHost: x\r\n\r\n"]
    yield "huge headers", [b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"]
    yield (
        "many headers",
        [b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(300)) + b"\r\n"],
    )
    yield "no http", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60)]
    yield "nonsense", [random.Random(5).randbytes(500)]
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    yield "websocket", [b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + key + b"\r\n"]
    yield "post", [post("/", b"a=b")]
    yield "post to a random path", [post("/" + "a" * 43, bytes(1024))]
    yield "a chunked post", [b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
    yield "a post that is cut off", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\nabc"]
    yield "a post that waits", [b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1024\r\n\r\n"]
    yield "a wrong length", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"]
    yield "two lengths", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"]
    yield "a ticket of yesterday", [place.question(yesterday)]
    yield "a ticket of another bridge", [place.question(other)]
    yield "a ticket with get", [f"GET /{good} HTTP/1.1\r\nHost: x\r\n\r\n".encode()]
    yield "a ticket with head", [f"HEAD /{good} HTTP/1.1\r\nHost: x\r\n\r\n".encode()]
    yield "a ticket with put", [post(f"/{good}", body).replace(b"POST", b"PUT")]
    yield "a ticket with options", [f"OPTIONS /{good} HTTP/1.1\r\nHost: x\r\n\r\n".encode()]
    yield "a ticket and no body", [post(f"/{good}", b"")]
    yield "a ticket and a short body", [post(f"/{good}", body[:-1])]
    yield "a ticket and a query", [post(f"/{good}?x", body)]
    yield "a ticket and a slash", [post(f"/{good}/", body)]
    head = f"POST /{good} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    yield "a ticket and chunks", [head + b"400\r\n" + body + b"\r\n0\r\n\r\n"]
    yield "the body of another ticket", [post(f"/{place.ticket()}", body)]
    yield "a body of zeros", [post(f"/{place.ticket()}", bytes(1024))]
    yield "a used ticket", [place.question(used)]
    yield (
        "a used ticket, its body to come",
        [f"POST /{used} HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n".encode()],
    )
    yield "a used ticket with get", [f"GET /{used} HTTP/1.1\r\nHost: x\r\n\r\n".encode()]
    place.used = used


async def test_every_stranger_gets_what_the_plain_site_gives(place):
    cases = list(strangers(place))
    async with BridgeService(real.world(), place.config()) as service, plain_site(place.site) as plain:
        assert b"200 OK" in await talk(service.endpoint, place.question(place.used))
        for name, writes in cases:
            for end in (False, True):
                with_bridge, without = await asyncio.gather(
                    talk(service.endpoint, *writes, seconds=0.6, end=end), talk(plain, *writes, seconds=0.6, end=end)
                )
                assert DATE.sub(b"", with_bridge) == DATE.sub(b"", without), name
        assert b"405 Method Not Allowed" in await talk(service.endpoint, place.question(place.used))
        assert b"My holidays" in await talk(service.endpoint, cases[0][1][0])


async def test_random_bytes_get_what_the_plain_site_gives(place):
    entropy = random.Random(9)
    pieces = [
        b"GET ",
        b"POST ",
        b"/",
        b" HTTP/1.1\r\n",
        b"Host: x\r\n",
        b"Content-Length: 1024\r\n",
        b"\r\n",
        bytes(1024),
    ]
    pieces += [b"Connection: close\r\n", b"Expect: 100-continue\r\n", str(place.ticket()).encode()]
    async with BridgeService(real.world(), place.config()) as service, plain_site(place.site) as plain:
        for _ in range(150):
            data = b"".join(entropy.choices(pieces, k=entropy.randint(1, 9))) + b"\r\n\r\n"
            answers = await asyncio.gather(
                *(talk(endpoint, data, seconds=2, end=True) for endpoint in (service.endpoint, plain))
            )
            assert DATE.sub(b"", answers[0]) == DATE.sub(b"", answers[1]), data


async def test_a_used_ticket_is_answered_as_fast_as_a_wrong_path(place):
    async def once(data):
        began = time.perf_counter()
        await talk(service.endpoint, data)
        return time.perf_counter() - began

    async with BridgeService(real.world(), place.config()) as service:
        used = place.question(place.ticket())
        assert b"200 OK" in await talk(service.endpoint, used)
        wrong = post("/" + "a" * 43, bytes(1024))
        times = {data: [] for data in (used, wrong)}
        for _ in range(60):
            for data, taken in times.items():
                taken.append(await once(data))
        # A look into the memory of used tickets is less than the noise of any network.  The quickest of each tell what
        # the work itself takes, whatever else this machine does.
        assert abs(min(times[used]) - min(times[wrong])) < 0.005


async def test_who_has_the_link_gets_through_under_every_server_version(place, caplog):
    world, asked = real.world(), []

    def guard(request):
        asked.append(request)
        return HttpResponse(200, {}, b"sealed reply")

    listener = await world.net.listen(
        Endpoint("127.0.0.1", 0), guard, certificate=certificate.create(CLOCK.now()), limits=HttpLimits()
    )
    settings = place.config(network=place.describe(listener.endpoint), metrics="127.0.0.1:0")
    async with BridgeService(world, settings) as service:
        for version in (b"1.1", b"1.0"):  # nginx asks with 1.0
            ticket = place.ticket()
            question = place.question(ticket, Forward(1024, bytes(16), place.guard.ed25519, 0, b"onion"))
            answer = await talk(service.endpoint, question.replace(b"HTTP/1.1", b"HTTP/" + version))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"server: uvicorn\r\ncontent-type: application/octet-stream\r\ncache-control: no-store" in head
            assert protocol.decode_reply(ticket.open_reply(body)) == Content(200, 12, b"sealed reply")
        assert [request.body for request in asked] == [b"onion", b"onion"]
        numbers = await world.net.request(service.metrics, HttpRequest("GET", "/metrics"), tls=None, timeout=5)
        assert b'ramson_bridge_requests_total{outcome="forwarded"} 8\n' in numbers.body
        nothing = await world.net.request(service.metrics, HttpRequest("GET", "/"), tls=None, timeout=5)
        assert nothing.status == 404
    await listener.close()
    await world.net.close()
    assert "127.0.0.1" not in caplog.text
    assert str(ticket) not in caplog.text


async def test_with_a_certificate_it_speaks_https_itself(place, tmp_path):
    made = certificate.create(CLOCK.now())
    (tmp_path / "chain.pem").write_bytes(made.certificate)
    (tmp_path / "key.pem").write_bytes(made.private_key)
    settings = place.config(certificate=str(tmp_path / "chain.pem"), private_key=str(tmp_path / "key.pem"))
    world = real.world()
    async with BridgeService(world, settings) as service:
        page = await world.net.request(service.endpoint, HttpRequest("GET", "/"), tls=Tls(), timeout=5)
        assert b"holidays" in page.body
    await world.net.close()


async def test_a_certificate_that_is_none_is_an_error_at_the_start(place, tmp_path):
    (tmp_path / "chain.pem").write_text("nonsense")
    settings = place.config(certificate=str(tmp_path / "chain.pem"), private_key=str(tmp_path / "chain.pem"))
    with pytest.raises(LocalError, match="cannot be loaded"):
        async with BridgeService(real.world(), settings):
            pass


async def test_without_a_certificate_it_is_not_shown_to_the_world(place):
    with pytest.raises(LocalError, match="behind a web server"):
        BridgeService(real.world(), place.config(listen="0.0.0.0:8080"))


async def test_a_port_that_is_taken_is_an_error_and_not_a_hang(place):
    async with BridgeService(real.world(), place.config()) as service:
        with pytest.raises(CannotListen):
            async with BridgeService(real.world(), place.config(listen=str(service.endpoint))):
                pass


class Meter:
    """Passes connections on and counts the bytes of each, both ways together."""

    def __init__(self, target):
        self.target, self.totals = target, []

    async def serve(self, reader, writer):
        number = len(self.totals)
        self.totals.append(0)
        onward = await asyncio.open_connection(self.target.host, self.target.port)

        async def pump(source, sink):
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    self.totals[number] += len(data)
                    sink.write(data)
                sink.close()

        await asyncio.gather(pump(reader, onward[1]), pump(onward[0], writer))


async def test_short_connections_are_short_on_the_wire(place, tmp_path):
    made = certificate.create(CLOCK.now())
    (tmp_path / "chain.pem").write_bytes(made.certificate)
    (tmp_path / "key.pem").write_bytes(made.private_key)
    world, answer = real.world(), random.Random(4).randbytes(40_000)
    guard = await world.net.listen(
        Endpoint("127.0.0.1", 0),
        lambda request: HttpResponse(200, {}, answer[: len(request.body)]),
        certificate=made,
        limits=HttpLimits(),
    )
    settings = place.config(
        network=place.describe(guard.endpoint),
        certificate=str(tmp_path / "chain.pem"),
        private_key=str(tmp_path / "key.pem"),
    )
    async with BridgeService(world, settings) as service:
        meter = Meter(service.endpoint)
        server = await asyncio.start_server(meter.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        known = link.make(f"https://localhost:{port}/", place.secret, "private", pin=pin_of(made))
        route = BridgeRoute(world, world.outlets.direct(), known, thrifty=True)
        reply = await route.post(place.guard, answer, timeout=30)
        assert reply.body == answer
        await route.close()
        server.close()
    assert len(meter.totals) == 14  # seven up, the last of them with the first answer, seven more down
    # The certificate of this test is one of 400 bytes or so; a usual chain has 3 KB more.
    assert max(meter.totals) < 11_000
    await guard.close()
    await world.net.close()


# Other people's servers.


def exchange(port, place, request):
    ticket = place.ticket()
    answer = asyncio.run(talk(Endpoint("127.0.0.1", port), place.question(ticket, request)))
    return protocol.decode_reply(ticket.open_reply(answer.partition(b"\r\n\r\n")[2]))


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_arguments):
        pass


@contextlib.contextmanager
def wsgi_server(app):
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_as_a_wsgi_application_it_hands_strangers_to_the_site(place):
    settings = {"directory": str(place.home), "cover": str(place.site), "allow_private": True}
    settings["network"] = place.describe(Endpoint("127.0.0.1", 9))
    app = wsgi.application(**settings)
    with wsgi_server(wsgiref.validate.validator(app)) as port:
        assert exchange(port, place, None) == Refused(Refusal.NO_LIST)
    with wsgi_server(app) as port, wsgi_server(cover.wsgi_site(place.site)) as plain:
        assert exchange(port, place, None) == Refused(Refusal.NO_LIST)
        unreachable = Forward(1024, bytes(16), place.guard.ed25519, 0, b"onion")
        assert exchange(port, place, unreachable) == Refused(Refusal.GUARD_UNREACHABLE)
        used = place.question(place.ticket())
        for data in (
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET /photo.jpg HTTP/1.0\r\n\r\n",
            b"GET /nothing HTTP/1.0\r\n\r\n",
            post("/" + "a" * 43, bytes(1024)),
            post(f"/{place.ticket()}", bytes(1024)),
            post("/", b"x"),
        ):
            answers = [asyncio.run(talk(Endpoint("127.0.0.1", each), data)) for each in (port, plain)]
            assert DATE.sub(b"", answers[0]) == DATE.sub(b"", answers[1])
        assert b" 200 " in asyncio.run(talk(Endpoint("127.0.0.1", port), used))
        assert b" 404 " in asyncio.run(talk(Endpoint("127.0.0.1", port), used))


def test_a_site_of_ones_own_gets_its_posts_as_they_came(place):
    seen = []

    def own(environ, start_response):
        seen.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("201 Created", [("Content-Length", "0")])
        return [b""]

    app = wsgi.application(own, directory=str(place.home), network=place.describe(Endpoint("127.0.0.1", 9)))
    with wsgi_server(app) as port:
        for data in (post("/", b"x"), post(f"/{place.ticket()}", bytes(1024))):
            assert b" 201 " in asyncio.run(talk(Endpoint("127.0.0.1", port), data))
    assert seen == [b"x", bytes(1024)]


async def test_an_asgi_site_of_ones_own_gets_its_posts_as_they_came(place):
    seen = []

    async def own(scope, receive, send):
        message = await receive()
        seen.append((scope["path"], message["body"], message["more_body"]))
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"mine"})

    app = asgi.application(own, directory=str(place.home), network=place.describe(Endpoint("127.0.0.1", 9)))
    server = _Server(server_settings(app, Endpoint("127.0.0.1", 0)))  # without a lifespan: it starts by itself
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        await server.serving.wait()
        endpoint = Endpoint("127.0.0.1", server.port)
        assert b" 201 " in await talk(endpoint, post("/x", b"x"), seconds=1)
        ticket = place.ticket()
        assert b"mine" in await talk(endpoint, post(f"/{ticket}", bytes(1024)), seconds=1)
        good = place.ticket()
        answer = await talk(endpoint, place.question(good))
        assert protocol.decode_reply(good.open_reply(answer.partition(b"\r\n\r\n")[2])) == Refused(Refusal.NO_LIST)
        server.should_exit = True
    assert seen == [("/x", b"x", False), (f"/{ticket}", bytes(1024), False)]


async def test_a_body_that_is_longer_than_it_announced_is_not_read_to_its_end():
    asked = 0

    async def endless():
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(1024), "more_body": True}

    body = asgi._Body(endless)
    assert not await body.read(4096)
    assert asked == 5
    assert [len((await body.again())["body"]) for _ in range(6)] == [1024] * 6


def test_under_the_uvicorn_command_it_is_set_up_by_the_environment(place, tmp_path):
    (tmp_path / "my_site.py").write_text("from ramson.servers.bridge import asgi\napp = asgi.application()\n")
    environment = {
        "RAMSON_BRIDGE_DIRECTORY": str(place.home),
        "RAMSON_BRIDGE_COVER": str(place.site),
        "RAMSON_BRIDGE_NETWORK": place.describe(Endpoint("127.0.0.1", 9)),
    }
    command = [sys.executable, "-m", "uvicorn", "my_site:app", "--port", "0", "--no-access-log"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        port = next(int(found[1]) for line in lines if (found := re.search(r"running on http://[\d.]+:(\d+)", line)))
        assert exchange(port, place, None) == Refused(Refusal.NO_LIST)
        assert b"holidays" in asyncio.run(talk(Endpoint("127.0.0.1", port), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    finally:
        process.terminate()
        rest = process.communicate(timeout=20)[1]
    assert "Finished server process" in rest
    assert "Traceback" not in rest


def test_a_volunteer_without_a_site_gets_a_page_to_write_on(tmp_path):
    tmp_path.joinpath("home").mkdir()
    made = cover.site_directory(None, tmp_path / "home", "example.org")
    assert "<h1>example.org</h1>" in (made / "index.html").read_text()
    (made / "index.html").write_text("mine")
    cover.site_directory(None, tmp_path / "home", "example.org")
    assert (made / "index.html").read_text() == "mine"

"""The connection to a daemon: with CURVE and without, when the daemon goes and comes back."""

import asyncio
import contextlib
import random
import sys
import threading
from base64 import b64encode

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from until import until

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol.key_text import parse_key
from ramson.protocol.nodes import base32z
from ramson.world import BadDaemonAddress, Command, DaemonAddress, Endpoint, MissingExtra, PeerRefused, PeerTimeout
from ramson.world.real import RealNet, inflow
from ramson.world.simulated import Simulation

KEY = bytes(range(1, 33))


class Daemon:
    """A plain ROUTER in a thread: echoes requests, and says what it is told to say unasked."""

    def __init__(self, url, secret=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        if secret:
            self.socket.curve_server = True
            self.socket.curve_secretkey = secret
        self.socket.bind(url)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        self.silent = False

    def serve(self):
        while not self.stopped.is_set():
            if not self.socket.poll(20):
                continue
            route, name, *parts = self.socket.recv_multipart()
            if self.silent:
                continue
            if name == b"test.unknown":
                self.socket.send_multipart([route, b"UNKNOWNCOMMAND", name])
            else:
                self.socket.send_multipart([route, b"notify.block", b"7", b"hash"])
                self.socket.send_multipart([route, b"REPLY", parts[0], name, *parts[1:]])

    async def stop(self):
        self.stopped.set()
        await asyncio.to_thread(self.thread.join)
        self.socket.close(0)
        await asyncio.to_thread(self.context.term)


async def dial(address, commands=None, **more):
    return await RealNet(random.SystemRandom()).dial(address, commands or {}, **more)


@pytest.fixture
def url(tmp_path):
    return f"ipc://{tmp_path}/d.sock"


async def test_asks_and_is_told_unasked(url):
    daemon, heard = Daemon(url), []
    told = Command(lambda _origin, parts: heard.append(parts), expects_reply=False)
    link = await dial(DaemonAddress.parse(url), {"notify.block": told})
    assert await link.request("rpc.echo", [b"1", b"2"], timeout=5) == [b"rpc.echo", b"1", b"2"]
    assert heard == [[b"7", b"hash"]]
    assert link.connected
    with pytest.raises(PeerRefused):
        await link.request("test.unknown", timeout=5)
    await link.close()
    await daemon.stop()


async def test_over_curve(tmp_path):
    secret = random.randbytes(32)
    key = X25519KeyPair.from_secret(secret).public
    daemon = Daemon(f"ipc://{tmp_path}/c.sock", secret)
    link = await dial(DaemonAddress.parse(f"ipc+curve://{tmp_path}/c.sock/{key.hex()}"))
    assert await link.request("rpc.echo", timeout=5) == [b"rpc.echo"]
    stranger = await dial(DaemonAddress.parse(f"ipc+curve://{tmp_path}/c.sock/{KEY.hex()}"))
    with pytest.raises(PeerTimeout, match="no connection"):
        await stranger.request("rpc.echo", timeout=0.2)
    await stranger.close()
    await link.close()
    await daemon.stop()


async def test_requests_wait_for_a_daemon_that_is_not_there_yet(url):
    link = await dial(DaemonAddress.parse(url))
    assert not link.connected
    with pytest.raises(PeerTimeout, match="no connection"):
        await link.request("rpc.echo", timeout=0.05)
    asking = asyncio.ensure_future(link.request("rpc.echo", timeout=10))
    await asyncio.sleep(0.05)
    daemon = Daemon(url)
    assert await asking == [b"rpc.echo"]
    await link.close()
    await daemon.stop()


async def test_comes_back_after_a_restart_and_says_so(url):
    news, daemon = [], Daemon(url)
    link = await dial(DaemonAddress.parse(url), watcher=news.append)
    await link.request("rpc.echo", timeout=5)
    daemon.silent = True
    lost = asyncio.ensure_future(link.request("rpc.echo", timeout=60))
    await asyncio.sleep(0.05)
    await daemon.stop()
    with pytest.raises(PeerTimeout, match="closed"):  # at once: nobody will ever answer it
        await asyncio.wait_for(lost, 5)
    daemon = Daemon(url)
    assert await link.request("rpc.echo", timeout=10) == [b"rpc.echo"]
    assert news == [True, False, True]
    await link.close()
    with pytest.raises(PeerTimeout):
        await link.request("rpc.echo", timeout=1)
    await link.close()
    await daemon.stop()


class Endless:
    """A daemon that takes connections, and says parts of one message that never ends (ZMTP 3.1, NULL security)."""

    GREETING = b"\xff" + bytes(8) + b"\x7f\3\0" + b"NULL".ljust(20, b"\0") + b"\1" + bytes(31)
    READY = b"\4\x1c\5READY\x0bSocket-Type\0\0\0\6ROUTER"

    def __init__(self):
        self.sent = 0
        self.cut = asyncio.Event()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def talk(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(self.GREETING)
            await reader.readexactly(64)
            writer.write(self.READY)
            while not self.cut.is_set():
                writer.write(b"\3" + (1000).to_bytes(8) + bytes(1000))  # long, more to come
                self.sent += 1000
                await writer.drain()
                await asyncio.sleep(0.0001)
                if reader.at_eof():
                    self.cut.set()
        self.cut.set()
        writer.close()

    async def __aexit__(self, *_):
        self.server.close()


async def test_a_message_that_never_ends_costs_the_connection(monkeypatch):
    news, daemon = asyncio.Queue(), Endless()
    monkeypatch.setattr(inflow, "LOOK", 0.1)
    monkeypatch.setattr(inflow, "LEAST", 100_000)
    async with daemon as port, asyncio.timeout(60):
        link = await dial(DaemonAddress(Endpoint("127.0.0.1", port)), watcher=news.put_nowait, max_message=4096)
        await daemon.cut.wait()
        assert [await news.get() for _ in range(2)] == [True, False]
        await link.close()
    assert daemon.sent > 100_000


async def test_whole_messages_are_let_through_however_many_bytes_they_are(monkeypatch):
    monkeypatch.setattr(inflow, "LOOK", 0.01)
    monkeypatch.setattr(inflow, "LEAST", 10_000)
    daemon = Daemon("tcp://127.0.0.1:*")
    news, heard = [], []
    at = daemon.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    address = DaemonAddress.parse(at)
    told = {"notify.block": Command(lambda _origin, _parts: None, expects_reply=False)}
    link = await dial(address, told, watcher=news.append, heard=lambda: heard.append(1), max_message=4096)
    for _ in range(50):
        await link.request("rpc.echo", [bytes(4000)], timeout=5)
        await asyncio.sleep(0.005)
    await link.close()
    await daemon.stop()
    assert news == [True]
    assert len(heard) == 100


async def test_a_silent_daemon(url):
    daemon = Daemon(url)
    daemon.silent = True
    link = await dial(DaemonAddress.parse(url))
    await until(lambda: link.connected)
    with pytest.raises(PeerTimeout, match="does not answer"):
        await link.request("rpc.echo", timeout=0.3)
    await link.close()
    await daemon.stop()


async def test_without_the_library_it_says_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "ramson.world.real.daemon", raising=False)
    monkeypatch.setitem(sys.modules, "zmq", None)
    with pytest.raises(MissingExtra, match="zmq is not installed") as caught:
        await dial(DaemonAddress(Endpoint("127.0.0.1", 1)))
    assert "ramson[node]" in caught.value.remedy


async def test_an_impossible_address():
    with pytest.raises(LocalError, match="cannot connect"):
        await dial(DaemonAddress("x" * 200))


def test_no_daemons_in_the_simulated_world():
    simulation = Simulation(1)
    world = simulation.world("10.0.0.1")
    with pytest.raises(LocalError, match="no daemon"):
        simulation.run(world.net.dial(DaemonAddress("x"), {}))


# ---- addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:22023", DaemonAddress(Endpoint("127.0.0.1", 22023))),
        ("tcp://[::1]:1", DaemonAddress(Endpoint("::1", 1))),
        ("ipc:///var/lib/oxen/oxend.sock", DaemonAddress("/var/lib/oxen/oxend.sock")),
        (f"curve://seed.example:22027/{KEY.hex()}", DaemonAddress(Endpoint("seed.example", 22027), KEY)),
        (f"curve://seed.example:22027/{base32z(KEY)}", DaemonAddress(Endpoint("seed.example", 22027), KEY)),
        (f"ipc+curve:///a/b.sock/{KEY.hex()}", DaemonAddress("/a/b.sock", KEY)),
        # a key full of slashes, and a path that could be taken for part of a key
        (f"ipc+curve:///a/b.sock/{'/' * 42}8=", DaemonAddress("/a/b.sock", b"\xff" * 32)),
        (f"ipc+curve:///a/c.socks/{b64encode(KEY).decode()}", DaemonAddress("/a/c.socks", KEY)),
    ],
)
def test_addresses(text, address):
    assert DaemonAddress.parse(text) == address
    assert DaemonAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oxend.sock",
        "http://127.0.0.1:1",
        "tcp://127.0.0.1",
        "tcp://:22",
        "tcp://h:0",
        "tcp://h:65536",
        "tcp://h:²",
        "ipc://",
        "curve://h:1",
        "curve://h:1/" + "0" * 63,
        "curve://h:1/" + "x" * 64,
        "ipc+curve:///a/b.sock",
        "ipc+curve:///" + "0" * 64,
    ],
)
def test_not_addresses(text):
    with pytest.raises(BadDaemonAddress) as caught:
        DaemonAddress.parse(text)
    assert "ipc://PATH" in caught.value.remedy


@given(st.text(max_size=90))
def test_any_text_is_an_address_or_a_bad_one(text):
    for scheme in ("tcp", "curve", "ipc", "ipc+curve"):
        try:
            address = DaemonAddress.parse(f"{scheme}://{text}")
        except BadDaemonAddress:
            continue
        assert address.url.startswith(("tcp://", "ipc://"))


@given(st.text(max_size=70))
def test_any_text_is_a_key_or_refused(text):
    with contextlib.suppress(ParseError):
        assert len(parse_key(text)) == 32

"""OxenMQ links over sockets: with each other, and with a client that knows nothing but ZeroMQ."""

import asyncio
import os
import pathlib
import random

import pytest
import zmq
from until import until
from zmq.utils import z85

from ramson.crypto.keys import X25519KeyPair
from ramson.world import CannotListen, Command, Endpoint, PeerAddress, PeerRefused, PeerTimeout
from ramson.world.real import RealNet
from ramson.world.real.zap import judge

LISTEN = Endpoint("127.0.0.1", 0)


def keys(n: int) -> X25519KeyPair:
    return X25519KeyPair.from_secret(bytes([n]) * 32)


class Links:
    """Links that are closed in the end."""

    def __init__(self):
        self.made = []

    async def make(self, n, commands=None, listen=LISTEN, source=None, **more):
        link = await RealNet(random.SystemRandom(), source=source).link(keys(n), commands or {}, listen=listen, **more)
        self.made.append(link)
        return link

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        async with asyncio.timeout(10):
            await asyncio.gather(*(link.close() for link in self.made))


def address(n, link):
    return PeerAddress(link.endpoint, keys(n).public)


def echo(_origin, parts):
    return parts


class Stranger:
    """A client as the conformance suite has it: a plain CURVE DEALER, in a thread of its own."""

    def __init__(self, n, link, secret=None, routing_id=None):
        secret = secret or os.urandom(32)
        self.public = X25519KeyPair.from_secret(secret).public
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if routing_id is not None:
            self.socket.routing_id = routing_id
        self.socket.curve_publickey = z85.encode(self.public)
        self.socket.curve_secretkey = z85.encode(secret)
        self.socket.curve_serverkey = z85.encode(keys(n).public)
        self.target = f"tcp://{link.endpoint}"
        if routing_id is None:
            self.connect()

    def connect(self, reconnect=True):
        if not reconnect:
            self.socket.reconnect_ivl = -1
        self.socket.connect(self.target)

    async def say(self, *parts):
        await asyncio.to_thread(self.socket.send_multipart, parts)

    async def hear(self, seconds=5):
        if not await asyncio.to_thread(self.socket.poll, seconds * 1000):
            raise TimeoutError
        return self.socket.recv_multipart()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.context.term()


# ---- with a plain ZeroMQ client


async def test_a_stranger_asks(caplog):
    seen = []

    def info(origin, parts):
        seen.append((origin.key, origin.address))
        return [b"info", *parts]

    refused = Command(echo, refuse=lambda _origin: b"FORBIDDEN_SN")
    async with Links() as links:
        node = await links.make(1, {"storage.info": Command(info), "sn.ping": refused})
        with Stranger(1, node) as stranger:
            await stranger.say(b"HI")
            assert await stranger.hear() == [b"HELLO"]
            await stranger.say(b"storage.info", b"tag", b"{}")
            assert await stranger.hear() == [b"REPLY", b"tag", b"info", b"{}"]
            assert seen == [(stranger.public, "127.0.0.1")]
            await stranger.say(b"sn.ping", b"t")
            assert await stranger.hear() == [b"FORBIDDEN_SN", b"REPLY", b"t"]
            await stranger.say(b"sn.ping")
            assert await stranger.hear() == [b"FORBIDDEN_SN", b"sn.ping"]
            await stranger.say(b"foo.bar", b"t", b"{}")
            assert await stranger.hear() == [b"UNKNOWNCOMMAND", b"foo.bar"]


async def test_many_requests_on_one_connection():
    async def info(_origin, parts):
        await asyncio.sleep(random.random() / 100)
        return parts

    async with Links() as links:
        node = await links.make(1, {"storage.info": Command(info)})
        with Stranger(1, node) as stranger:
            tags = [os.urandom(15) for _ in range(150)]
            for tag in tags:
                await stranger.say(b"storage.info", tag, b"{}")
            replies = [await stranger.hear() for _ in tags]
    assert {reply[1] for reply in replies} == set(tags)
    assert all(reply[0] == b"REPLY" and reply[2:] == [b"{}"] for reply in replies)


async def test_pushes_go_back_along_the_connection():
    origins = []
    async with Links() as links:
        node = await links.make(1, {"monitor.messages": Command(lambda origin, _p: origins.append(origin) or [b"ok"])})
        with Stranger(1, node) as stranger:
            await stranger.say(b"monitor.messages", b"t")
            await stranger.hear()
            for i in range(300):
                assert node.push(origins[0], "notify.message", [b"%d" % i])
            assert [(await stranger.hear())[1] for _ in range(300)] == [b"%d" % i for i in range(300)]
        for _ in range(50):
            if not node.push(origins[0], "notify.message", [b"x"]):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("a push to a connection that is gone went somewhere")


async def test_a_reconnecting_node_takes_its_routing_id_over():
    secret = os.urandom(32)
    routing_id = b"L" + X25519KeyPair.from_secret(secret).public
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(lambda _o, _p: [b"pong"])})
        with Stranger(1, node, secret, routing_id) as first, Stranger(1, node, secret, routing_id) as second:
            first.connect(reconnect=False)
            await first.say(b"sn.ping", b"1")
            assert await first.hear() == [b"REPLY", b"1", b"pong"]
            second.connect()  # while the first connection still stands
            await second.say(b"sn.ping", b"2")
            assert await second.hear() == [b"REPLY", b"2", b"pong"]


async def test_messages_over_the_limit_never_arrive():
    sizes = []
    async with Links() as links:
        node = await links.make(
            1, {"sn.data": Command(lambda _o, p: sizes.append(len(p[0])) or [])}, max_message=10_000
        )
        with Stranger(1, node) as stranger:
            await stranger.say(b"sn.data", b"t", bytes(10_000))
            await stranger.hear()
            await stranger.say(b"sn.data", b"t", bytes(10_001))
            with pytest.raises(TimeoutError):
                await stranger.hear(0.3)
        # the link lives on
        with Stranger(1, node) as stranger:
            await stranger.say(b"sn.data", b"t", b"x")
            await stranger.hear()
    assert sizes == [10_000, 1]


async def test_what_is_not_zeromq_does_no_harm():
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(lambda _o, _p: [b"pong"])})
        _, writer = await asyncio.open_connection("127.0.0.1", node.endpoint.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(200))
        with Stranger(1, node) as stranger:
            await stranger.say(b"sn.ping", b"t")
            assert await stranger.hear() == [b"REPLY", b"t", b"pong"]
        writer.close()


async def test_a_client_that_reads_nothing_is_not_kept_gigabytes_for():
    origins = []
    async with Links() as links:
        node = await links.make(1, {"monitor.messages": Command(lambda origin, _p: origins.append(origin) or [b"ok"])})
        with Stranger(1, node) as stranger:
            stranger.socket.set(zmq.RCVHWM, 1)
            await stranger.say(b"monitor.messages", b"t")
            await stranger.hear()
            big = bytes(8 * 1024 * 1024)
            taken = [node.push(origins[0], "notify.message", [big]) for _ in range(40)]
            assert 3 <= sum(taken) < 20
            assert node.push(origins[0], "notify.message", [b"small ones still go"])


# ---- with each other


async def test_two_links_talk_both_ways():
    async with Links() as links:
        origins = {}

        def answer(n):
            return Command(lambda origin, parts: origins.setdefault(n, origin) and [b"from %d" % n, *parts])

        ann = await links.make(1, {"sn.ping": answer(1)})
        ben = await links.make(2, {"sn.ping": answer(2)})
        assert await ann.request(address(2, ben), "sn.ping", [b"x", b""], timeout=5) == [b"from 2", b"x", b""]
        assert await ben.request(address(1, ann), "sn.ping", [], timeout=5) == [b"from 1"]
        assert (origins[2].key, origins[1].key) == (keys(1).public, keys(2).public)
        # and back along a connection the other end made
        assert ben.push(origins[2], "sn.ping", [b"no tag"])


async def test_many_links_in_one_process_and_large_parts():
    async with Links() as links:
        nodes = [await links.make(n, {"sn.data": Command(echo)}) for n in range(1, 6)]
        body = os.urandom(3_000_000)
        replies = await asyncio.gather(
            *(
                nodes[i].request(address(j + 1, nodes[j]), "sn.data", [body[i:]], timeout=20)
                for i in range(5)
                for j in range(5)
                if i != j
            )
        )
        assert all(reply[0] == body[-len(reply[0]) :] for reply in replies)


async def test_a_link_that_does_not_listen_can_ask():
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(echo)})
        client = await links.make(2, listen=None)
        assert client.endpoint is None
        assert await client.request(address(1, node), "sn.ping", [b"x"], timeout=5) == [b"x"]


async def test_refusals_reach_the_caller():
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(echo, refuse=lambda _o: b"FORBIDDEN_SN")})
        client = await links.make(2, listen=None)
        for name, code in (("sn.ping", b"FORBIDDEN_SN"), ("sn.nothing", b"UNKNOWNCOMMAND")):
            with pytest.raises(PeerRefused) as caught:
                await client.request(address(1, node), name, [], timeout=5)
            assert caught.value.code == code


async def test_a_dead_peer_times_out():
    async with Links() as links:
        client = await links.make(2, listen=None)
        with pytest.raises(PeerTimeout):
            await client.request(PeerAddress(Endpoint("127.0.0.1", 9), keys(1).public), "sn.ping", [], timeout=0.3)


async def test_a_peer_with_another_key_times_out():
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(echo)})
        client = await links.make(2, listen=None)
        with pytest.raises(PeerTimeout):
            await client.request(PeerAddress(node.endpoint, keys(9).public), "sn.ping", [], timeout=0.5)


async def test_a_restarted_peer_is_reached_again():
    async with Links() as links:
        # no free port is taken, which anybody else could have in between
        place = Endpoint(os.environ["RAMSON_TESTS_BLOCK"] + ".48.1", 22020)
        node = await links.make(1, {"sn.ping": Command(echo)}, listen=place)
        client = await links.make(2, listen=None)
        peer = address(1, node)
        assert await client.request(peer, "sn.ping", [b"1"], timeout=5) == [b"1"]
        await node.close()
        await asyncio.sleep(0.1)
        task = client.request(peer, "sn.ping", [b"2"], timeout=10)
        await asyncio.sleep(0.1)
        await links.make(1, {"sn.ping": Command(echo)}, listen=peer.endpoint)
        assert await task == [b"2"]


async def test_what_a_silent_peer_is_sent_is_bounded():
    async with Links() as links:
        client = await links.make(2, listen=None)
        dead = PeerAddress(Endpoint("127.0.0.1", 9), keys(1).public)
        big = bytes(8 * 1024 * 1024)
        requests = (client.request(dead, "sn.data", [big], timeout=0.3) for _ in range(6))
        outcomes = [str(outcome) for outcome in await asyncio.gather(*requests, return_exceptions=True)]
    assert (
        outcomes == ["no reply within 0.3 s"] * 3 + ["the peer cannot be dialled or its connection takes no more"] * 3
    )


@pytest.mark.parametrize(
    "peer",
    [PeerAddress(Endpoint("127.0.0.1", 0), bytes(32)), PeerAddress(Endpoint("127.0.0.1", 9), b"short")],
    ids=["port", "key"],
)
async def test_a_peer_that_cannot_be_is_as_one_that_does_not_answer(peer):
    async with Links() as links:
        client = await links.make(2, listen=None)
        with pytest.raises(PeerTimeout):
            await client.request(peer, "sn.ping", [], timeout=0.3)


async def test_idle_connections_are_hung_up(monkeypatch):
    monkeypatch.setattr("ramson.world.real.omq.IDLE", 0.12)
    slow = asyncio.Event()

    async def wait(_origin, _parts):
        await slow.wait()
        return [b"late"]

    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(echo), "sn.slow": Command(wait)})
        client = await links.make(2, listen=None)
        transport = client._transport
        await client.request(address(1, node), "sn.ping", [], timeout=5)
        assert len(transport._dialled) == 1
        await until(lambda: len(transport._dialled) == 0)
        task = client.request(address(1, node), "sn.slow", [], timeout=5)
        await asyncio.sleep(0.4)
        slow.set()  # whoever waits for a reply is not idle
        assert await task == [b"late"]


async def test_the_source_address_can_be_chosen():
    seen = []
    async with Links() as links:
        node = await links.make(1, {"sn.ping": Command(lambda origin, _p: seen.append(origin.address) or [])})
        client = await links.make(2, listen=None, source="127.0.5.6")
        await client.request(address(1, node), "sn.ping", [], timeout=5)
    assert seen == ["127.0.5.6"]


async def test_a_taken_port_is_the_callers_mistake():
    async with Links() as links:
        node = await links.make(1)
        with pytest.raises(CannotListen, match="in use"):
            await links.make(2, listen=node.endpoint)


async def test_the_last_link_ends_the_context():
    def threads():
        """Return those of ZeroMQ, of which a context has two."""
        names = [each.read_text() for each in pathlib.Path("/proc/self/task").glob("*/comm")]
        return sum(name.startswith("ZMQ") for name in names)

    before = threads()
    for _ in range(3):
        async with Links() as links:
            await links.make(1)
            await links.make(2)
            await until(lambda: threads() >= 2)  # each names itself, a moment after it began
    await until(lambda: threads() <= before)


# ---- ZAP


def test_zap_lets_every_curve_key_in_under_its_hex():
    key = bytes(range(32))
    request = [b"1.0", b"id", b"i0e", b"127.0.0.1", b"", b"CURVE", key]
    assert judge(request) == [b"1.0", b"id", b"200", b"OK", key.hex().encode(), b""]


@pytest.mark.parametrize(
    "request_",
    [
        [b"1.0", b"id", b"i0e", b"127.0.0.1", b"", b"NULL"],
        [b"1.0", b"id", b"i0e", b"127.0.0.1", b"", b"PLAIN", b"a", b"b"],
        [b"1.0", b"id", b"i0e", b"127.0.0.1", b"", b"CURVE", b"short"],
        [b"2.0", b"id", b"i0e", b"127.0.0.1", b"", b"CURVE", bytes(32)],
        [b"1.0"],
    ],
)
def test_zap_lets_nothing_else_in(request_):
    assert judge(request_)[2] == b"400"

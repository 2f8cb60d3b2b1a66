"""Nodes over QUIC, on sockets: what they answer, how they test one another, and that it is what OxenMQ says."""

import asyncio
import json
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.node import certificate, parts, reachability
from ramson.node.checkup import Checkup, Verdict
from ramson.node.config import NodeConfig
from ramson.node.counters import Counters, PeerTestOutcome
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.node.ratelimit import RateLimiter
from ramson.node.reachability import Probe, Reachability, Reached
from ramson.node.standing import Standing
from ramson.protocol import bt, onion, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.quic_frames import Frame, Kind
from ramson.protocol.storage import BY_NAME
from ramson.registry import FileRegistry
from ramson.world import Endpoint, NetError, PeerAddress, QuicAnswer, real

sys.path.insert(0, str(Path(__file__).parent.parent / "world"))  # tests are no package

from quic_caller import Caller

CERTIFICATE = certificate.create(1_700_000_000_000)
BLOCK = os.environ["RAMSON_TESTS_BLOCK"] + ".33"
STRANGER = Ed25519KeyPair.from_seed(b"s" * 32)
DAY = 86_400_000


class Pair:
    """Two nodes of one swarm; `quic` says which of them speak QUIC."""

    def __init__(self, place, *, quic=(True, True), hardfork=(19, 4)):
        self.place, self.quic = place, quic
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(2)]
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"{BLOCK}.{i + 1}", 22021, 22020, 7)
            for i, k in enumerate(self.keys)
        ]
        listed = tuple(NetworkNode(f"n{i}", NodeState.ACTIVE, record) for i, record in enumerate(self.records))
        self.registry = FileRegistry(NetworkFile(listed, hardfork=hardfork))
        self.world = real.world()
        self.stack = AsyncExitStack()

    def config(self, i):
        ip = self.records[i].ip
        return NodeConfig(
            Endpoint(ip, 22021), Endpoint(ip, 22020), self.place / f"{i}", test_peers=False, quic=self.quic[i]
        )

    async def __aenter__(self):
        self.nodes = [
            await self.stack.enter_async_context(
                Node(real.world(record.ip), self.keys[i], CERTIFICATE, self.config(i), self.registry)
            )
            for i, record in enumerate(self.records)
        ]
        self.link = await self.world.net.link(X25519KeyPair.generate(random.Random(9)), {}, listen=None)
        self.stack.push_async_callback(self.link.close)
        return self

    async def __aexit__(self, *_):
        await self.stack.aclose()

    async def ask(self, name, body=b"", i=0):
        record = self.records[i]
        place = Endpoint(record.ip, record.omq_port)
        return await self.world.net.ask_quic(place, record.ed25519, name, body, identity=STRANGER, timeout=10)

    async def ask_omq(self, method, body=b"", i=0):
        record = self.records[i]
        peer = PeerAddress(Endpoint(record.ip, record.omq_port), record.x25519)
        return await self.link.request(peer, f"storage.{method}", [body], timeout=10)

    async def probe(self, i, j, *, quic=True):
        probe = Probe(lambda: self.nodes[i]._link, real.world(self.records[i].ip).net, self.keys[i].ed25519)
        return await probe.test(self.records[j], quic=quic)


@pytest.fixture
async def pair(tmp_path):
    async with Pair(tmp_path) as pair:
        yield pair


# ---- pings


async def test_two_nodes_ping_one_another_over_all_transports(pair):
    assert await pair.probe(0, 1) == Reached(omq=True, https=True, quic=True)
    assert await pair.probe(1, 0) == Reached(omq=True, https=True, quic=True)
    assert pair.nodes[0].status().pinged == {"omq": True, "https": True, "quic": True}
    assert await pair.ask("snode_ping") == QuicAnswer(b"pong")


async def test_a_node_without_quic_fails_the_test_over_quic_alone(tmp_path):
    async with Pair(tmp_path, quic=(True, False)) as pair:
        assert await pair.probe(0, 1) == Reached(omq=True, https=True, quic=False)
        assert await pair.probe(1, 0, quic=False) == Reached(omq=True, https=True, quic=None)
        assert "quic" not in pair.nodes[1].status().silence


async def test_a_node_that_shows_another_key_fails(pair):
    pair.records[1] = replace(pair.records[1], ed25519=STRANGER.public)
    assert (await pair.probe(0, 1)).quic is False


async def test_before_hardfork_19_4_nobody_waits_for_pings_over_quic(tmp_path):
    async with Pair(tmp_path, hardfork=(19, 3)) as pair:
        assert set(pair.nodes[0].status().silence) == {"omq", "https"}
        assert await pair.ask("snode_ping") == QuicAnswer(b"pong")


class Daemon:
    def __init__(self):
        self.reports = []

    async def report_peer_status(self, legacy, *, passed):
        self.reports.append(passed)
        return True


@pytest.mark.parametrize(("hardfork", "asked"), [((19, 3), False), ((19, 4), True), ((20, 0), True)])
async def test_nobody_is_accused_for_quic_unless_others_answer_over_it(tmp_path, hardfork, asked, monkeypatch):
    """A machine that lets no UDP through must not report the whole network as unreachable."""
    pair = Pair(tmp_path, hardfork=hardfork)
    results, told = [], []

    class Scripted:
        async def test(self, _node, *, quic):
            told.append(quic)
            return Reached(omq=True, https=True, quic=results.pop(0))

    daemon, counters = Daemon(), Counters()
    tests = Reachability(
        clock=pair.world.clock,
        entropy=random.Random(1),
        standing=Standing(pair.registry, pair.records[0].ed25519),
        probe=Scripted(),
        reporter=daemon,
        distrusted=lambda _: False,
        counters=counters,
    )
    tests._follow()
    for result in (False, True, False):
        results.append(result)
        await tests._test(pair.records[1])
    monkeypatch.setattr(reachability, "QUIC_SECONDS", -1)
    results.append(False)
    await tests._test(pair.records[1])
    assert daemon.reports == [True, True, False, True]
    assert counters.peer_tests[PeerTestOutcome.NO_QUIC] == 1
    assert told == [asked] * 4


# ---- storage


def plain(value):
    """Leave out what differs from one answer to the next: times, and signatures over them."""
    if isinstance(value, dict):
        return {
            key: plain(item)
            for key, item in value.items()
            if (key.decode() if isinstance(key, bytes) else key) not in {"t", "timestamp", "signature", "h_t"}
        }
    return [plain(item) for item in value] if isinstance(value, list) else value


def read(body, *, bencoded):
    try:
        return plain(bt.decode(body) if bencoded else json.loads(body))
    except ValueError:
        return body


@pytest.mark.parametrize("body", [b"", b"{}", b"de", b'{"pubkey":', b"d1"])
async def test_every_method_says_over_quic_what_it_says_over_omq(pair, body):
    for name in BY_NAME:
        omq, quic = await pair.ask_omq(name, body), await pair.ask(name, body)
        bencoded = body[:1] == b"d"
        if len(omq) == 1:
            assert not quic.failed
            assert read(quic.body, bencoded=bencoded) == [200, read(omq[0], bencoded=bencoded)]
        else:
            head, _, text = quic.body.partition(b"\n\n")
            assert quic.failed
            assert (head.split()[0], text) == tuple(omq), name
            assert len(head.split()) > 1


async def test_a_messages_whole_life_over_quic_is_that_over_omq(pair):
    keys, now = AccountKeys.generate(random.Random(4)), int(time.time() * 1000)
    account = keys.id.raw
    store = storage.Store(account=account, data=b"hello", timestamp=now, expiry=now + DAY, namespace=0)
    stored = await pair.ask("store", body_of(store))
    code, reply = json.loads(stored.body)
    assert (code, len(reply["swarm"])) == (200, 2)
    [name] = {member["hash"] for member in reply["swarm"].values()}
    requests = [
        store,
        storage.Retrieve(account=account, namespace=0, timestamp=now),
        storage.GetExpiries(account=account, messages=(name,), timestamp=now),
        storage.Info(),
        storage.GetSwarm(account=account),
        storage.DeleteAll(account=account, namespace=0, timestamp=now),
    ]
    for request in requests:
        open_to_all = isinstance(request, storage.Store | storage.Info | storage.GetSwarm)
        signed = request if open_to_all else storage.sign(request, keys)
        omq = await pair.ask_omq(request.method.name, body_of(signed))
        if isinstance(request, storage.DeleteAll):
            assert name in omq[0].decode()
        quic = await pair.ask(request.method.name, body_of(signed))
        if not isinstance(request, storage.DeleteAll):
            assert read(quic.body, bencoded=False) == [200, read(omq[0], bencoded=False)]
        if isinstance(request, storage.Retrieve):
            assert [message["hash"] for message in json.loads(quic.body)[1]["messages"]] == [name]


def body_of(request):
    return json.dumps(storage.to_json(request)["params"]).encode()


async def test_what_is_no_endpoint_is_an_error(pair):
    for name in ("", "sn.ping", "storage.info", "nothing"):
        assert await pair.ask(name) == QuicAnswer(b"404 Not Found\n\nno such endpoint", failed=True)


async def test_the_rate_limit_is_that_of_omq(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "RateLimiter", partial(RateLimiter, depth=2, rate=0.001))
    async with Pair(tmp_path) as pair:
        assert len(await pair.ask_omq("info")) == 1
        assert not (await pair.ask("info")).failed
        assert await pair.ask("info") == QuicAnswer(b"429 Too Many Requests\n\nToo Many Requests\n", failed=True)
        assert b"Too Many Requests" in (await pair.ask("monitor", b"le")).body
        assert await pair.ask("snode_ping") == QuicAnswer(b"pong")
        assert pair.nodes[0].counters.rate_limited == 2


# ---- onions


async def test_an_onion_request_enters_over_quic(pair):
    hops = [onion.NodeHop(k.ed25519.public, k.x25519.public) for k in pair.keys]
    body = json.dumps(storage.to_json(storage.Info())).encode()
    for path in ([], hops[:1]):
        wrapped = onion.build(path, hops[len(path)], body, entropy=random.Random(1))
        answer = await pair.ask("onion_req", wrapped.body)
        assert not answer.failed
        reply = onion.open_node_reply(wrapped.reply, answer.body)
        assert reply.status == 200
        assert b"version" in (reply.body if isinstance(reply.body, bytes) else reply.body.encode())
    assert (await pair.ask("onion_req", b"?")).body.startswith(b"400 Bad Request\n\nError parsing onion request: ")


# ---- subscriptions


async def test_a_subscriber_is_told_of_new_messages(pair):
    keys, now = AccountKeys.generate(random.Random(4)), int(time.time())
    signature = keys.ed25519.sign(f"MONITOR{keys.id}{now}10".encode())
    wish = {"P": keys.ed25519.public, "n": [0], "d": 1, "t": now, "s": signature}
    record = pair.records[0]
    async with Caller.to((record.ip, record.omq_port), record.ed25519) as caller:
        caller.ask(1, "monitor", bt.encode(wish))
        assert (await caller.until(1))[0] == Frame(Kind.REPLY, 1, bt.encode({"success": 1}))
        caller.ask(2, "monitor", b"le")
        assert (await caller.until(2))[1] == Frame(Kind.REPLY, 2, b"le")
        store = storage.Store(
            account=keys.id.raw, data=b"news", timestamp=now * 1000, expiry=now * 1000 + DAY, namespace=0
        )
        await pair.ask_omq("store", body_of(store), i=0)
        pushed = (await caller.until(3))[2]
        assert (pushed.kind, pushed.number, pushed.endpoint) == (Kind.COMMAND, 1, "notify")
        notice = bt.decode(pushed.body)
        assert (notice[b"@"], notice[b"n"], notice[b"~"]) == (keys.id.raw, 0, b"news")
    assert pair.nodes[0].status().subscriptions == 1
    again = storage.Store(account=keys.id.raw, data=b"more", timestamp=now * 1000, expiry=now * 1000 + DAY, namespace=0)
    async with asyncio.timeout(10):
        while pair.nodes[0].status().quic_connections:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    await pair.ask_omq("store", body_of(again), i=0)
    assert pair.nodes[0].status().subscriptions == 0  # who is gone is forgotten with the first push


# ---- starting, stopping, checking


async def test_a_node_that_stops_answers_no_more_and_one_without_quic_never_did(tmp_path):
    async with Pair(tmp_path, quic=(True, False)) as pair:
        assert (await pair.ask("snode_ping")).body == b"pong"
        assert pair.nodes[0]._quic.endpoint == Endpoint(pair.records[0].ip, 22020)
    with pytest.raises(NetError):
        await asyncio.wait_for(pair.ask("snode_ping"), 12)


async def test_the_checkup_looks_at_the_udp_port(pair):
    async def quic_port(config):
        checkup = Checkup(pair.world, config, listed=pair.records[0], nodes=pair.registry.current())
        return {each.name: each async for each in checkup.run()}.get("QUIC port")

    pair.keys[0].save(pair.config(0).data_dir)
    config = pair.config(0)
    running = await quic_port(config)
    assert (running.verdict, "running and answers at UDP" in running.found) == (Verdict.OK, True)
    assert (await quic_port(replace(config, omq=Endpoint(config.omq.host, 22033)))).verdict is Verdict.FAIL
    free = await quic_port(replace(config, omq=Endpoint(f"{BLOCK}.8", 22020), https=Endpoint(f"{BLOCK}.8", 22021)))
    assert (free.verdict, "is free" in free.found) == (Verdict.OK, True)
    assert await quic_port(replace(config, quic=False)) is None

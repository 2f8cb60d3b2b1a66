"""What a node tells about itself: true numbers, to this machine only, and nothing about anybody."""

import asyncio
import json
import logging
import os
import random
import re
from base64 import b64encode
from dataclasses import replace

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.node import certificate, metrics
from ramson.node.config import NodeConfig
from ramson.node.counters import MAX_PEERS, OTHER_PEERS, Counters
from ramson.node.keys import NodeKeys
from ramson.node.metrics_server import MetricsServer
from ramson.node.node import Node
from ramson.protocol import onion, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.world import Endpoint, HttpRequest, Tls, real
from ramson.world.simulated import Simulation

CERTIFICATE = certificate.create(1_700_000_000_000)
DAY = 86_400_000
CLIENT = "10.99.88.77"

METRIC = re.compile(r'^[a-z][a-z0-9_]*(\{[a-z]+="[^"\\\n]*"\})? -?[0-9]+(\.[0-9]+)?$')


class Pair:
    """Two nodes of one swarm in virtual time, and a client."""

    def __init__(self, place, count=2):
        self.simulation = Simulation(4)
        self.place = place
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(count)]
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"10.0.{i}.1", 22021, 22020, 7)
            for i, k in enumerate(self.keys)
        ]
        self.registries, self.nodes = {}, {}
        self.client = self.simulation.world(CLIENT)
        for i in range(count):
            self.simulation.host(self.records[i].ip).start(lambda world, i=i: self.live(i, world))

    def file(self):
        return NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, record) for record in self.records))

    async def live(self, i, world):
        self.registries[i] = FileRegistry(self.file())
        config = NodeConfig(
            https=Endpoint("", 22021),
            omq=Endpoint("", 22020),
            data_dir=self.place / f"{i}",
            allow_private_relay=True,
        )
        async with Node(world, self.keys[i], CERTIFICATE, config, self.registries[i]) as node:
            self.nodes[i] = node
            await asyncio.Event().wait()

    async def post(self, i, path, body, headers=None):
        endpoint = Endpoint(self.records[i].ip, 22021)
        return await self.client.net.request(
            endpoint, HttpRequest("POST", path, headers or {}, body), tls=Tls(), timeout=40
        )

    async def rpc(self, i, request):
        return await self.post(i, "/storage_rpc/v1", json.dumps(storage.to_json(request)).encode())

    def store(self, keys, data):
        now = self.client.clock.now()
        return storage.Store(account=keys.id.raw, data=data, timestamp=now, expiry=now + DAY, namespace=0)

    def retrieve(self, keys):
        return storage.sign(storage.Retrieve(account=keys.id.raw, namespace=0, timestamp=self.client.clock.now()), keys)

    async def through(self, path, payload):
        hops = [onion.NodeHop(self.keys[i].ed25519.public, self.keys[i].x25519.public) for i in path]
        wrapped = onion.build(hops[:-1], hops[-1], payload, entropy=random.Random(len(payload)))
        return await self.post(path[0], "/onion_req/v2", wrapped.body)

    def run(self, scenario):
        self.simulation.run(scenario)

    def shown(self, i):
        """The metrics of a node, as name and labels → value."""
        text = metrics.write(self.nodes[i].status())
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if not line.startswith("#")
        }


ALICE = AccountKeys.generate(random.Random(1))


async def busy(pair):
    """Let a node do a bit of everything."""
    for i in range(5):
        assert (await pair.rpc(0, pair.store(ALICE, b"secret text %d" % i))).status == 200
    await pair.rpc(0, pair.store(ALICE, b"secret text 0"))
    await pair.rpc(0, pair.retrieve(ALICE))
    await pair.rpc(0, storage.sign(storage.Retrieve(account=ALICE.id.raw, namespace=0, timestamp=10**12), ALICE))
    body = json.dumps(storage.to_json(pair.retrieve(ALICE))).encode()
    await pair.through([0], body)
    await pair.through([1, 0], body)
    await pair.through([0, 1], body)
    await pair.post(0, "/onion_req/v2", b"nonsense")
    await pair.post(0, "/storage_rpc/v1", b"{}")
    await pair.rpc(0, storage.GetSwarm(account=ALICE.id.raw))
    for _ in range(3):
        await asyncio.gather(*(pair.rpc(0, storage.Info()) for _ in range(300)))


def test_the_numbers_are_those_of_what_happened(tmp_path):
    pair = Pair(tmp_path)

    async def scenario():
        await asyncio.sleep(1)
        await busy(pair)
        await asyncio.sleep(60)
        shown = pair.shown(0)
        want = {
            'ramson_storage_requests_total{method="store"}': 6,
            'ramson_storage_requests_total{method="retrieve"}': 4,
            'ramson_storage_requests_total{method="get_swarm"}': 1,
            'ramson_stored_messages_total{kind="new"}': 5,
            'ramson_stored_messages_total{kind="again"}': 1,
            'ramson_stored_messages_total{kind="failed"}': 0,
            "ramson_retrieved_messages_total": 15,
            "ramson_storage_refused_total": 1,
            'ramson_onion_layers_total{outcome="answered"}': 2,
            'ramson_onion_layers_total{outcome="passed_on"}': 1,
            'ramson_onion_layers_total{outcome="unreadable"}': 1,
            "ramson_mailbox_messages": 5,
            "ramson_mailbox_full": 0,
            "ramson_mailbox_turned_away_total": 0,
            "ramson_swarm_members": 2,
            "ramson_listed_nodes": 2,
            "ramson_ready": 1,
            "ramson_peers_failing": 0,
        }
        assert {name: shown[name] for name in want} == want
        assert shown["ramson_rate_limited_total"] > 0
        assert shown["ramson_mailbox_commit_operations_count"] >= 6
        assert shown["ramson_mailbox_commit_operations_sum"] >= shown["ramson_mailbox_commit_operations_count"]
        assert 3 <= shown['ramson_peer_tests_total{outcome="passed"}'] <= 9
        assert shown['ramson_ping_silence_seconds{transport="omq"}'] < 40
        assert pair.shown(1)["ramson_forwarded_total"] == 6
        assert shown["process_cpu_seconds_total"] > 0
        assert shown["process_resident_memory_bytes"] > 1e6
        assert shown["ramson_disk_free_bytes"] > 1e6

    pair.run(scenario())


def test_failures_of_members_are_counted_by_the_beginning_of_their_keys(tmp_path):
    pair = Pair(tmp_path)

    async def scenario():
        await asyncio.sleep(1)
        pair.simulation.crash(pair.records[1].ip)
        for i in range(3):
            await pair.rpc(0, pair.store(ALICE, b"%d" % i))
        await asyncio.sleep(120)
        name = pair.keys[1].ed25519.public.hex()[:8]
        shown = pair.shown(0)
        assert shown[f'ramson_replication_failures_total{{peer="{name}"}}'] == 3
        assert shown["ramson_peers_failing"] == 1
        (peer,) = pair.nodes[0].status().peers
        assert (peer.name, peer.replication_failures) == (name, 3)
        assert peer.failures > 0

    pair.run(scenario())


def test_swarm_changes_are_counted(tmp_path):
    pair = Pair(tmp_path)

    async def scenario():
        await asyncio.sleep(100)
        pair.records[0] = replace(pair.records[0], swarm_id=9)
        pair.registries[0].replace(pair.file())
        await asyncio.sleep(10)
        shown = pair.shown(0)
        assert shown["ramson_swarm_changes_total"] == 1
        assert shown["ramson_swarm_seconds"] == pytest.approx(10, abs=1)
        assert shown["ramson_uptime_seconds"] == pytest.approx(110, abs=1)

    pair.run(scenario())


def test_the_text_is_prometheus_format_and_every_metric_is_explained(tmp_path):
    pair = Pair(tmp_path)

    async def scenario():
        await asyncio.sleep(1)
        await busy(pair)
        text = metrics.write(pair.nodes[0].status())
        names, explained = set(), set()
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# HELP "):
                explained.add(line.split()[2])
            elif line.startswith("# TYPE "):
                assert line.split()[3] in {"counter", "gauge", "histogram"}
            else:
                assert METRIC.match(line) or line.startswith("ramson_mailbox_commit_operations"), line
                names.add(re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]))
        assert names <= explained
        assert names - {"ramson_info"} >= {"ramson_ready", "process_cpu_seconds_total"}
        buckets = [int(m[1]) for m in re.finditer(r"bucket\{le=\"[^\"]+\"\} (\d+)", text)]
        assert buckets == sorted(buckets)

    pair.run(scenario())


def test_neither_metrics_nor_status_nor_logs_tell_anything_about_users(tmp_path, caplog):
    """A busy node at the most talkative level: no account, no key, no address of a user, no hash, no text."""
    caplog.set_level(logging.DEBUG)
    pair = Pair(tmp_path)
    told = []

    async def scenario():
        await asyncio.sleep(1)
        await busy(pair)
        pair.simulation.crash(pair.records[1].ip)
        await pair.rpc(0, pair.store(ALICE, b"secret text while a member is away"))
        await asyncio.sleep(600)
        server = MetricsServer(pair.nodes[0].status)
        for path in ("/metrics", "/status"):
            told.append(server.handle(HttpRequest("GET", path, {"host": "localhost"})).body.decode())

    pair.run(scenario())
    told += [record.getMessage() for record in caplog.records]
    assert len(told) > 10
    everything = "\n".join(told)
    hashes = [message_hash(ALICE.id.raw, 0, b"secret text %d" % i) for i in range(5)]
    forbidden = [ALICE.id.hex, ALICE.id.hex[2:], b64encode(ALICE.id.raw).decode(), CLIENT, "secret text", *hashes]
    forbidden += [ALICE.ed25519.public.hex(), ALICE.ed25519.seed.hex()]
    for keys in pair.keys:
        forbidden += [keys.ed25519.seed.hex(), keys.legacy_scalar.hex(), keys.x25519.secret.hex()]
    assert [secret for secret in forbidden if secret in everything] == []
    peer = pair.keys[1]
    assert [
        k for k in (peer.ed25519.public.hex(), peer.x25519.public.hex(), peer.legacy.hex()) if k in everything
    ] == []


# ---- the port


def ask(server, path="/metrics", host="127.0.0.1:9100", method="GET"):
    return server.handle(HttpRequest(method, path, {"host": host} if host is not None else {}))


@pytest.fixture
def server(tmp_path):
    pair, kept = Pair(tmp_path), {}

    async def scenario():
        await asyncio.sleep(1)
        kept["status"] = pair.nodes[0].status()

    pair.run(scenario())
    return MetricsServer(lambda: kept["status"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9100", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:9100", "127.0.0.9:1"]
)
def test_this_machine_is_answered(server, host):
    reply = ask(server, host=host)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9100", "192.0.2.1", "", None, "localhost.evil.example", "[::2]:1", "0.0.0.0"]
)
def test_a_name_that_somebody_pointed_at_this_machine_is_not(server, host):
    for path in ("/metrics", "/status"):
        assert ask(server, path, host).status == 403


def test_there_are_two_pages_and_they_are_only_read(server):
    status = json.loads(ask(server, "/status").body)
    assert status["swarm"] == "7"
    assert status["counters"]["onions"]["answered"] == 0
    assert ask(server, "/").status == 404
    assert ask(server, "/metrics", method="POST").status == 404


async def test_the_port_is_opened_on_sockets(tmp_path):
    host = os.environ["RAMSON_TESTS_BLOCK"] + ".94.1"
    world = real.world(host)
    keys = NodeKeys.generate(random.Random(1))
    record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, host, 22021, 22020, 7)
    registry = FileRegistry(NetworkFile((NetworkNode("n", NodeState.ACTIVE, record),)))
    place = Endpoint(host, 22029)
    config = NodeConfig(Endpoint(host, 22021), Endpoint(host, 22020), tmp_path, metrics=place)
    async with Node(world, keys, CERTIFICATE, config, registry):
        reply = await world.net.request(place, HttpRequest("GET", "/metrics"), tls=None, timeout=5)
        assert reply.status == 200
        assert b"ramson_ready 1\n" in reply.body
        evil = HttpRequest("GET", "/metrics", {"Host": "evil.example"})
        assert (await world.net.request(place, evil, tls=None, timeout=5)).status == 403
    await world.net.close()


# ---- counters


def test_peers_counted_apart_are_bounded():
    counters = Counters()
    for i in range(MAX_PEERS + 50):
        counters.replication_failed(i.to_bytes(4, "big") * 8)
    assert len(counters.replication_failures) == MAX_PEERS + 1
    assert counters.replication_failures[OTHER_PEERS] == 50


def test_commits_fall_into_their_buckets():
    counters = Counters()
    for size in (1, 2, 3, 4, 5, 256, 300):
        counters.commit(size, 0.5)
    assert counters.commits == [1, 1, 2, 1, 0, 0, 0, 0, 2]
    assert counters.commit_operations == 571
    assert counters.commit_seconds == 3.5

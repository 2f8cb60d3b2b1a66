"""Whole nodes: the same scenarios on sockets and in the simulated world.

A town has a swarm of three nodes (0, 1, 2), a swarm of one (3), a swarm of a living node and a dead one (4, 5)
and a node without a swarm (6).
"""

import asyncio
import json
import os
import random
from contextlib import AsyncExitStack

import pytest
import uvloop

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.errors import RamsonError
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol import onion, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry
from ramson.world import Endpoint, HttpRequest, NetError, PeerAddress, PeerRefused, Tls, real
from ramson.world.simulated import Simulation

SWARMS = [0, 0, 0, 1 << 62, 1 << 63, 1 << 63, UNASSIGNED]
DEAD, ALONE, UNASSIGNED_NODE = 5, 4, 6
DAY = 86_400_000
CERTIFICATE = certificate.create(1_700_000_000_000)


class Town:
    """The nodes, their list, and what a client does with them."""

    def __init__(self, place, address):
        self.place = place
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(len(SWARMS))]
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, address(i), 22021, 22020, swarm_id)
            for i, (k, swarm_id) in enumerate(zip(self.keys, SWARMS, strict=True))
        ]
        self.registry = FileRegistry(self.file())

    def file(self):
        return NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, record) for record in self.records))

    def node(self, i, world):
        record = self.records[i]
        config = NodeConfig(
            https=Endpoint(record.ip, record.https_port),
            omq=Endpoint(record.ip, record.omq_port),
            data_dir=self.place / f"n{i}",
            allow_private_relay=True,
        )
        return Node(world, self.keys[i], CERTIFICATE, config, self.registry)

    def account(self, i):
        """An account whose swarm is that of node i."""
        chance = random.Random(i)
        while True:
            keys = AccountKeys.generate(chance)
            if self.registry.current().swarm_of(keys.id.raw)[0] == SWARMS[i]:
                return keys

    def now(self):
        return self.client.clock.now()

    def store(self, keys, data, **kw):
        return storage.Store(
            account=keys.id.raw, data=data, timestamp=self.now(), expiry=self.now() + DAY, namespace=0, **kw
        )

    def retrieve(self, keys):
        request = storage.Retrieve(account=keys.id.raw, namespace=0, timestamp=self.now())
        return storage.sign(request, keys)

    async def post(self, i, path, body, **kw):
        request = HttpRequest("POST", path, {}, body)
        record = self.records[i]
        endpoint = Endpoint(record.ip, record.https_port)
        return await self.client.net.request(endpoint, request, tls=Tls(), timeout=kw.get("timeout", 40))

    async def rpc(self, i, request):
        return await self.post(i, "/storage_rpc/v1", json.dumps(storage.to_json(request)).encode())

    async def data(self, i, keys):
        request = self.retrieve(keys)
        reply = await self.rpc(i, request)
        assert reply.status == 200, reply
        return [message.data for message in storage.read_reply(request, reply.body).messages]

    async def through(self, path, request):
        """Send a request through these nodes, the last of which is its destination."""
        *hops, last = (onion.NodeHop(self.keys[i].ed25519.public, self.keys[i].x25519.public) for i in path)
        body = json.dumps(storage.to_json(request)).encode()
        wrapped = onion.build(hops, last, body, entropy=random.Random(len(body)))
        reply = await self.post(path[0], "/onion_req/v2", wrapped.body)
        return onion.open_node_reply(wrapped.reply, reply.body) if reply.status == 200 else reply

    def ed(self, i):
        return self.keys[i].ed25519.public

    @property
    def running(self):
        return [i for i in range(len(SWARMS)) if i != DEAD]


class RealTown(Town):
    """Nodes on this machine's loopback addresses."""

    def __init__(self, place):
        block = os.environ["RAMSON_TESTS_BLOCK"]
        super().__init__(place, lambda i: f"{block}.{i + 1}.1")

    def run(self, scenario):
        uvloop.run(self._run(scenario))

    async def _run(self, scenario):
        self.client = real.world()
        self.worlds = {i: real.world(self.records[i].ip) for i in self.running}
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.client.net.close)
            for i in self.running:
                await stack.enter_async_context(self.node(i, self.worlds[i]))
            await scenario(self)


class SimulatedTown(Town):
    """Nodes in virtual time."""

    def __init__(self, place):
        super().__init__(place, lambda i: f"10.0.{i}.1")
        self.simulation = Simulation(1)
        self.simulation.host(self.records[DEAD].ip)  # a machine on which nothing runs

    def run(self, scenario):
        self.client = self.simulation.world("10.9.9.9")
        for i in self.running:
            self.simulation.host(self.records[i].ip).start(self.program(i))
        self.simulation.run(self._run(scenario))

    def program(self, i):
        return lambda world: self.node(i, world).run()

    async def _run(self, scenario):
        await asyncio.sleep(1)
        await scenario(self)


@pytest.fixture(params=[RealTown, SimulatedTown], ids=["real", "simulated"])
def town(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def simulated(tmp_path):
    return SimulatedTown(tmp_path)


def test_a_message_is_stored_by_the_whole_swarm_and_every_member_signs(town):
    async def scenario(town):
        alice = town.account(0)
        request = town.store(alice, b"\x00 hello \xff")
        reply = storage.read_reply(request, (await town.rpc(1, request)).body)
        assert set(reply.succeeded) == {town.ed(i) for i in (0, 1, 2)}
        assert reply.failed == {}
        for key, signed in reply.succeeded.items():
            assert storage.verify_entry(request, key, signed)
        assert reply.hash == message_hash(alice.id.raw, 0, request.data)
        for i in (0, 1, 2):
            assert await town.data(i, alice) == [request.data]

    town.run(scenario)


def test_an_account_of_another_swarm_is_421_with_the_right_nodes(town):
    async def scenario(town):
        alice = town.account(0)
        reply = await town.rpc(3, town.retrieve(alice))
        assert reply.status == 421
        assert {n["pubkey_ed25519"] for n in json.loads(reply.body)["snodes"]} == {town.ed(i).hex() for i in (0, 1, 2)}

    town.run(scenario)


def test_requests_through_one_two_and_three_nodes(town):
    async def scenario(town):
        alice = town.account(0)
        request = town.store(alice, b"through the onion")
        reply = await town.through([3, 4, 1], request)
        assert reply.status == 200
        assert len(storage.read_reply(request, reply.body).succeeded) == 3
        for path in ([2], [3, 2], [1, 3, 0], [0, 1, 2]):
            request = town.retrieve(alice)
            reply = await town.through(path, request)
            assert [m.data for m in storage.read_reply(request, reply.body).messages] == [b"through the onion"]
        assert (await town.through([0, 3], town.retrieve(alice))).status == 421

    town.run(scenario)


def test_many_onions_at_once_are_not_mixed_up(town):
    async def scenario(town):
        async def ask(i):
            alice = AccountKeys.generate(random.Random(i))
            reply = await town.through([3, 4, i % 3], storage.GetSwarm(account=alice.id.raw))
            want = town.registry.current().swarm_of(alice.id.raw)[0]
            assert json.loads(reply.body)["swarm"] == f"{want:x}"

        await asyncio.gather(*(ask(i) for i in range(40)))

    town.run(scenario)


def test_a_dead_member_fails_alone_after_five_seconds(town):
    async def scenario(town):
        bob = town.account(ALONE)
        request = town.store(bob, b"x")
        began = town.client.clock.monotonic()
        reply = await town.rpc(ALONE, request)
        took = town.client.clock.monotonic() - began
        assert took >= 4
        assert took <= 7 or isinstance(town, RealTown)  # real time goes on while the machine does something else
        assert json.loads(reply.body)["swarm"][town.ed(DEAD).hex()] == {"failed": True, "timeout": True}
        assert set(storage.read_reply(request, reply.body).succeeded) == {town.ed(ALONE)}
        assert await town.data(ALONE, bob) == [b"x"]

    town.run(scenario)


def test_a_dead_hop_is_504_after_thirty_seconds(simulated):
    async def scenario(town):
        began = town.client.clock.monotonic()
        reply = await town.through([0, DEAD], town.retrieve(town.account(0)))
        assert (reply.status, reply.body) == (504, b"Request time out")
        assert 29 <= town.client.clock.monotonic() - began <= 32

    simulated.run(scenario)


def test_a_node_without_a_swarm_answers_pings_and_says_that_it_is_not_ready(town):
    async def scenario(town):
        for path in ("/storage_rpc/v1", "/onion_req/v2"):
            reply = await town.post(UNASSIGNED_NODE, path, b"{}")
            assert (reply.status, reply.body) == (503, b"Service node is not ready: not in any swarm\n")
            assert reply.headers["server"] == "Oxen Storage Server/2.8.0"
        assert (await town.post(UNASSIGNED_NODE, "/ping_test/v1", b"")).status == 200
        reply = await town.through([0, UNASSIGNED_NODE], town.retrieve(town.account(0)))
        assert (reply.status, reply.body) == (503, b"Snode not ready: " + town.ed(UNASSIGNED_NODE).hex().encode())

    town.run(scenario)


def test_a_change_of_the_list_counts_at_once(town):
    async def scenario(town):
        town.records = [
            NodeRecord(r.ed25519, r.x25519, r.legacy, r.ip, r.https_port, r.omq_port, 0 if i == UNASSIGNED_NODE else s)
            for i, (r, s) in enumerate(zip(town.records, SWARMS, strict=True))
        ]
        town.registry.replace(town.file())
        alice = town.account(0)
        request = town.store(alice, b"x")
        reply = await town.through([3, UNASSIGNED_NODE], request)
        assert len(storage.read_reply(request, reply.body).succeeded) == 4

    town.run(scenario)


def test_peers_are_nodes_and_strangers_are_not(town):
    async def scenario(town):
        record = town.records[0]
        peer = PeerAddress(Endpoint(record.ip, record.omq_port), record.x25519)
        stranger = await town.client.net.link(NodeKeys.generate(random.Random(99)).x25519, {}, listen=None)
        try:
            (body,) = await stranger.request(peer, "storage.info", [b"{}"], timeout=5)
            assert json.loads(body)["version"] == [2, 8, 0]
            for name in ("sn.ping", "sn.storage_cc"):
                with pytest.raises(PeerRefused) as caught:
                    await stranger.request(peer, name, [b""], timeout=5)
                assert caught.value.code == b"FORBIDDEN_SN"
        finally:
            await stranger.close()

    town.run(scenario)


def test_expired_messages_are_swept(simulated):
    async def scenario(town):
        alice = town.account(0)
        request = storage.Store(
            account=alice.id.raw, data=b"x", timestamp=town.now(), expiry=town.now() + 20_000, namespace=0
        )
        await town.rpc(0, request)
        await asyncio.sleep(15)
        assert await town.data(0, alice) == [b"x"]
        await asyncio.sleep(20)
        assert [await town.data(i, alice) for i in (0, 1, 2)] == [[], [], []]

    simulated.run(scenario)


def test_a_node_that_crashes_loses_nothing_it_acknowledged(simulated):
    """Node 3 is alone in its swarm and is killed in the midst of stores, again and again."""

    async def scenario(town):
        carol, address = town.account(3), town.records[3].ip
        chance = random.Random(7)
        kept = set()

        async def store(number):
            data = b"%d" % number
            try:
                reply = await town.rpc(3, town.store(carol, data))
            except NetError:
                return
            if reply.status == 200 and town.ed(3).hex() in reply.body.decode() and b'"failed"' not in reply.body:
                kept.add(data)

        for round_ in range(5):
            stores = [asyncio.ensure_future(store(100 * round_ + i)) for i in range(30)]
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            town.simulation.crash(address)
            town.simulation.restart(address)
            await asyncio.gather(*stores)
            assert kept <= set(await town.data(3, carol))
        assert 20 < len(kept) < 150

    simulated.run(scenario)


async def test_stopping_finishes_what_was_begun_and_starting_again_finds_it(tmp_path):
    town = RealTown(tmp_path)
    town.client, carol = real.world(), town.account(3)
    async with town.node(3, real.world(town.records[3].ip)):
        stores = [asyncio.ensure_future(town.rpc(3, town.store(carol, b"%d" % i))) for i in range(20)]
        await asyncio.wait(stores, return_when=asyncio.FIRST_COMPLETED)
    answered = [s for s in await asyncio.gather(*stores, return_exceptions=True) if not isinstance(s, RamsonError)]
    assert answered
    assert {reply.status for reply in answered} == {200}
    async with town.node(3, real.world(town.records[3].ip)):
        assert len(await town.data(3, carol)) >= len(answered)
    await town.client.net.close()


async def test_a_port_in_use_is_said_and_leaves_nothing_open(tmp_path):
    town = RealTown(tmp_path)
    async with town.node(3, real.world()):
        with pytest.raises(RamsonError, match="listen"):
            await town.node(3, real.world()).__aenter__()
    async with town.node(3, real.world()):
        pass

"""The network room against whole nodes and a seed: the same scenarios on sockets and in virtual time."""

import asyncio
import hashlib
import os
import random
from contextlib import AsyncExitStack

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ramson.crypto.account import AccountKeys
from ramson.network import Light, MemoryCache, Network, NetworkProfile
from ramson.network.trace import PoolLoaded, Source
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.registry.seed import SeedService
from ramson.world import Endpoint, real
from ramson.world.simulated import Simulation

COUNT, SWARMS = 9, 2
DAY = 86_400_000
KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
CERTIFICATE = certificate.create(1_700_000_000_000)


def pin():
    key = x509.load_pem_x509_certificate(CERTIFICATE.certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class Town:
    """Nine nodes in two swarms, and a seed."""

    def __init__(self, place, address):
        self.place, self.address = place, address
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(COUNT)]
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, address(i + 1), 22021, 22020, i % SWARMS << 62)
            for i, k in enumerate(self.keys)
        ]
        self.file = NetworkFile(
            nodes=tuple(NetworkNode(f"n{i}", NodeState.ACTIVE, record) for i, record in enumerate(self.records)),
            seeds=(Seed(f"https://{address(200)}:4443/json_rpc", pin()),),
        )
        self.registry = FileRegistry(self.file)
        self.events = []

    def node(self, i, world):
        record = self.records[i]
        https, omq = Endpoint(record.ip, record.https_port), Endpoint(record.ip, record.omq_port)
        config = NodeConfig(https=https, omq=omq, data_dir=self.place / f"n{i}", testnet=True)
        return Node(world, self.keys[i], CERTIFICATE, config, self.registry)

    def seed(self, world):
        return SeedService(world, self.registry, Endpoint(self.address(200), 4443), CERTIFICATE)

    def network(self, world):
        profile = NetworkProfile.from_file(self.file)
        return Network(world, profile, MemoryCache(), trace=self.events.append)


class RealTown(Town):
    def __init__(self, place):
        block = os.environ["RAMSON_TESTS_BLOCK"]
        super().__init__(place, lambda i: f"{block}.{i}.2")

    def run(self, scenario):
        async def session():
            client = real.world()
            async with AsyncExitStack() as stack:
                stack.push_async_callback(client.net.close)
                for i in range(COUNT):
                    await stack.enter_async_context(self.node(i, real.world(self.records[i].ip)))
                await stack.enter_async_context(self.seed(real.world(self.address(200))))
                async with asyncio.timeout(60), self.network(client) as network:
                    return await scenario(network)

        return uvloop.run(session())


class SimulatedTown(Town):
    def __init__(self, place):
        super().__init__(place, lambda i: f"10.0.{i}.1")

    def run(self, scenario):
        simulation = Simulation(5)
        for i, record in enumerate(self.records):
            simulation.host(record.ip).start(lambda world, i=i: self.node(i, world).run())

        async def seed(world):
            async with self.seed(world):
                await asyncio.Event().wait()

        simulation.host(self.address(200)).start(seed)

        async def session():
            await asyncio.sleep(1)
            async with self.network(simulation.world("10.9.9.9")) as network:
                return await scenario(network)

        return simulation.run(session())


@pytest.fixture(params=[RealTown, SimulatedTown], ids=["real", "simulated"])
def town(request, tmp_path):
    return request.param(tmp_path)


def test_messages_go_in_and_come_out(town):
    swarm = {node.ed25519 for node in town.registry.current().swarm_of(KEYS.id.raw)[1]}

    async def scenario(network):
        receipts = [await network.store(KEYS.id, b"message %d" % i, ttl_ms=DAY) for i in range(5)]
        own = await network.store(KEYS.id, b"profile", ttl_ms=DAY, namespace=2, keys=KEYS)
        polled = await network.poll(KEYS, [0, 2], {})
        return [*receipts, own], polled

    receipts, polled = town.run(scenario)
    assert all({node.ed25519 for node in receipt.stored_by} == swarm for receipt in receipts)
    assert all(receipt.failed == () for receipt in receipts)
    assert {each.data for each in polled.messages[0]} == {b"message %d" % i for i in range(5)}
    assert [each.data for each in polled.messages[2]] == [b"profile"]
    assert [each.hash for each in polled.messages[2]] == [receipts[-1].hash]
    assert len(polled.answers) == 2


def test_what_is_ours_can_be_prolonged_and_deleted(town):
    async def scenario(network):
        first, second = [await network.store(KEYS.id, data, ttl_ms=DAY) for data in (b"a", b"b")]
        later = network.now() + 2 * DAY
        prolonged = await network.expire(KEYS, [first.hash, second.hash, "x" * 43], later, extend=True)
        known = await network.get_expiries(KEYS, [first.hash, second.hash])
        gone = await network.delete(KEYS, [second.hash])
        left = await network.retrieve(KEYS, [0], {})
        return first.hash, second.hash, later, prolonged, known, gone, [each.hash for each in left.messages[0]]

    first, second, later, prolonged, known, gone, left = town.run(scenario)
    assert prolonged.expiries == known == {first: later, second: later}
    assert prolonged.failed == ()
    assert gone.deleted == {second}
    assert left == [first]


def test_reading_goes_on_where_it_stopped(town):
    async def scenario(network):
        await network.store(KEYS.id, b"old", ttl_ms=DAY)
        before = await network.retrieve(KEYS, [0], {})
        await network.store(KEYS.id, b"new", ttl_ms=DAY)
        return await network.retrieve(KEYS, [0], {before.node.ed25519: before.last}, node=before.node)

    assert [each.data for each in town.run(scenario).messages[0]] == [b"new"]


def test_two_paths_stand_and_nodes_agree_with_the_seed(town):
    async def scenario(network):
        async for status in network.watch():
            if status.light is Light.GREEN:
                return status.paths, network.nodes
        raise AssertionError

    paths, nodes = town.run(scenario)
    assert len({hop for path in paths for hop in path.hops}) == 6
    assert {node.ed25519 for node in nodes} == {record.ed25519 for record in town.records}
    assert PoolLoaded(Source.SEEDS, COUNT) in town.events


def test_the_clock_of_a_client_that_is_wrong_does_not_matter(tmp_path):
    town = SimulatedTown(tmp_path)
    stores = []

    async def scenario(network):
        stores.append(await network.store(KEYS.id, b"from the past", ttl_ms=DAY))
        return await network.poll(KEYS, [0], {})

    original = town.network

    def late(world):
        from dataclasses import replace

        class Late:
            now = staticmethod(lambda: world.clock.now() - 7 * DAY)
            monotonic = staticmethod(world.clock.monotonic)

        return original(replace(world, clock=Late()))

    town.network = late
    assert [each.data for each in town.run(scenario).messages[0]] == [b"from the past"]

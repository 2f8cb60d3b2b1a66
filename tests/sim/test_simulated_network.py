"""The real seed, nodes and client network, in virtual time: messages survive what happens to nodes."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.errors import LocalError
from ramson.network import MemoryCache, Network, NetworkError
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import ROUGH, Simulation

TTL = 24 * 3600 * 1000


def client(network, number, **options):
    return Network(network.client_world(number, **options), network.profile, MemoryCache())


def account(network, number):
    return AccountKeys.generate(network.client_world(number).entropy)


async def hashes(through, keys):
    retrieved = await through.retrieve(keys, [0], {})
    return [message.hash for message in retrieved.messages[0]]


async def store(through, keys, data):
    """Store as an outbox does: what failed is tried again with its old timestamp, so that no copy is made."""
    timestamp = through.now()
    for _ in range(60):
        try:
            return await through.store(keys.id, data, ttl_ms=TTL, timestamp=timestamp)
        except NetworkError:
            await asyncio.sleep(2)
    raise AssertionError("the message could not be stored")


def members(network, keys):
    records = network.records
    return [records.index(record) for record in network.file.node_list().swarm_of(keys.id.raw)[1]]


def test_a_message_is_stored_by_the_whole_swarm_and_retrieved(tmp_path):
    sim = Simulation(1)
    network = SimulatedNetwork(sim, tmp_path)

    async def main():
        await network.up()
        bob = account(network, 1)
        async with client(network, 0) as sender, client(network, 1) as reader:
            await asyncio.gather(sender.ready(), reader.ready())
            receipt = await sender.store(bob.id, b"hello", ttl_ms=TTL)
            assert len(receipt.stored_by) == 4
            assert await hashes(reader, bob) == [receipt.hash]

    sim.run(main())


def test_a_client_with_a_wrong_clock_finds_the_network_time(tmp_path):
    sim = Simulation(2)
    network = SimulatedNetwork(sim, tmp_path)

    async def main():
        await network.up()
        bob = account(network, 0)
        async with client(network, 0, skew_ms=7 * 3600 * 1000) as late:
            await late.ready()
            receipt = await late.store(bob.id, b"hello", ttl_ms=TTL)
            assert await hashes(late, bob) == [receipt.hash]
            assert abs(late.now() - network.client_world(1).clock.now()) < 5_000

    sim.run(main())


def test_what_was_acknowledged_survives_the_crash_of_the_whole_network(tmp_path):
    sim = Simulation(3)
    network = SimulatedNetwork(sim, tmp_path, nodes=6, swarms=1)

    async def main():
        await network.up()
        bob = account(network, 0)
        async with client(network, 0) as sender:
            await sender.ready()
            stored = [(await sender.store(bob.id, b"%d" % number, ttl_ms=TTL)).hash for number in range(5)]
        for number in range(6):
            network.kill(number)
        await asyncio.sleep(60)
        for number in range(6):
            network.restart(number)
        await network.up()
        async with client(network, 1) as reader:
            await reader.ready()
            assert sorted(await hashes(reader, bob)) == sorted(stored)

    sim.run(main())
    assert sim.faults["crash"] == 6


def test_a_swarm_with_two_members_killed_still_takes_and_gives_messages(tmp_path):
    sim = Simulation(4)
    network = SimulatedNetwork(sim, tmp_path)

    async def main():
        await network.up()
        bob = account(network, 0)
        async with client(network, 0) as sender, client(network, 1) as reader:
            await asyncio.gather(sender.ready(), reader.ready())
            for number in members(network, bob)[:2]:
                network.kill(number)
            receipt = await store(sender, bob, b"hello")
            alive = {network.records[number].ed25519 for number in members(network, bob)[2:]}
            assert {record.ed25519 for record in receipt.stored_by} <= alive
            assert await hashes(reader, bob) == [receipt.hash]

    sim.run(main())
    assert sim.faults["crash"] == 2


def test_messages_arrive_over_a_rough_network(tmp_path):
    sim = Simulation(5, model=replace(ROUGH, http_loss=0.04, peer_loss=0.02))
    network = SimulatedNetwork(sim, tmp_path)

    async def main():
        await network.up()
        bob = account(network, 0)
        async with client(network, 0) as sender, client(network, 1) as reader:
            await asyncio.gather(sender.ready(), reader.ready())
            stored = {(await store(sender, bob, b"%d" % number)).hash for number in range(20)}
            found = set()
            for _ in range(8):
                found.update(await hashes(reader, bob))
            assert stored <= found

    sim.run(main())
    assert sim.faults["request-lost"] + sim.faults["reply-lost"] > 0
    assert sim.faults["peer-lost"] > 0


def test_a_swarm_whose_nodes_all_fell_out_of_the_pool_is_found_again_within_two_minutes(tmp_path):
    sim = Simulation(6)
    network = SimulatedNetwork(sim, tmp_path)

    async def main():
        await network.up()
        bob = account(network, 0)
        async with client(network, 0) as sender:
            await sender.ready()
            for number in members(network, bob):
                sender._routing.drop_node(network.records[number].ed25519, "a dead hop beside it")
            with pytest.raises(NetworkError):
                await sender.store(bob.id, b"hello", ttl_ms=TTL)
            await asyncio.sleep(120 - sim.now)
            assert (await sender.store(bob.id, b"hello", ttl_ms=TTL)).stored_by

    sim.run(main())


def test_a_network_needs_a_node_for_every_swarm(tmp_path):
    with pytest.raises(LocalError):
        SimulatedNetwork(Simulation(1), tmp_path, nodes=2, swarms=3)


PROGRAM = """
import asyncio, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_simulated_network import SimulatedNetwork, Simulation, ROUGH, account, client, hashes, store

sim = Simulation(11, model=ROUGH)
with tempfile.TemporaryDirectory() as directory:
    network = SimulatedNetwork(sim, Path(directory))

    async def main():
        await network.up()
        keys = [account(network, number) for number in range(3)]
        async with client(network, 0) as one, client(network, 1) as two:
            await asyncio.gather(one.ready(), two.ready())
            for number in range(12):
                if number == 6:
                    network.kill(2)
                    network.kill(7)
                await store(one, keys[number % 3], b"%d" % number)
                await hashes(two, keys[number % 3])

    sim.run(main())
print(len(sim.log), sim.log_digest())
"""


def test_one_seed_gives_one_log_in_every_process():
    def run(hash_seed):
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("0")
    assert first == run("4242")
    assert int(first.split()[0]) > 200

"""A whole network in the launcher's process: it serves, survives a node's end, and needs little memory."""

import asyncio
import gc
import os
import random
from dataclasses import dataclass

import pytest

from ramson.crypto.account import AccountKeys
from ramson.devnet import Devnet, DevnetError
from ramson.devnet.devnet import FILES
from ramson.devnet.residents import Resident
from ramson.messenger.files import Files
from ramson.network import MemoryCache, Network, NetworkProfile
from ramson.node.process import figures
from ramson.world import real

MIB = 1024 * 1024


async def test_messages_are_stored_and_nodes_end_and_return(tmp_path):
    world, alice = real.world(), AccountKeys.generate(random.Random(1))
    async with Devnet(world, tmp_path, nodes=8, swarms=2, in_process=True) as devnet:
        assert devnet.running("n0")
        assert devnet.pid("n0") == devnet.pid("n7") == os.getpid()
        profile = NetworkProfile.from_file(devnet.network)
        async with Network(world, profile, MemoryCache()) as network, asyncio.timeout(60):
            receipt = await network.store(alice.id, b"hello", ttl_ms=86_400_000)
            assert len(receipt.stored_by) == 4
        _, swarm = devnet.network.node_list().swarm_of(alice.id.raw)
        victim = devnet.node(swarm[0].ed25519).name
        await devnet.kill(victim)
        assert not devnet.running(victim)
        with pytest.raises(DevnetError):
            devnet.pid(victim)
        await devnet.restart(victim)
        assert devnet.running(victim)
    assert not devnet.running("n1")
    await world.net.close()


async def test_a_file_server_lives_there_too(tmp_path):
    world = real.world()
    async with Devnet(world, tmp_path, nodes=4, swarms=1, in_process=True, file_server=True) as devnet:
        assert devnet.pid(FILES) == os.getpid()
        profile = NetworkProfile.from_file(devnet.network)
        async with (
            Network(world, profile, MemoryCache()) as network,
            Files(network, world, profile.file_server) as files,
            asyncio.timeout(60),
        ):
            attachment = await files.attach(b"content")
            await devnet.kill(FILES)
            await devnet.restart(FILES)
            assert await files.load(attachment) == b"content"
    await world.net.close()


async def test_a_node_needs_little_memory(tmp_path):
    world = real.world()

    def resident():
        gc.collect()
        return figures(tmp_path).resident

    async with Devnet(world, tmp_path / "warm", nodes=2, swarms=1, in_process=True):
        pass  # what is loaded once is loaded
    before = resident()
    async with Devnet(world, tmp_path / "net", nodes=20, swarms=3, in_process=True):
        used = (resident() - before) / 20 / MIB
    await world.net.close()
    assert used < 4, f"{used:.1f} MiB a node"


# ---- one resident


@dataclass
class Service:
    """A service that tells what became of it."""

    told: list
    fails: bool = False

    async def __aenter__(self):
        if self.fails:
            raise DevnetError("the port is taken", remedy="take another")
        self.told.append("up")

    async def __aexit__(self, kind, error, trace):
        self.told.append("killed" if kind is asyncio.CancelledError else "stopped")


async def test_a_resident_lives_as_a_worker_does():
    told = []
    resident = Resident("n0", lambda: Service(told))
    assert not resident.running
    await resident.kill()
    await resident.start()
    assert resident.running
    await resident.stop()
    await resident.start()
    await resident.kill()
    assert not resident.running
    assert told == ["up", "stopped", "up", "killed"]


async def test_a_resident_that_cannot_start_says_why():
    resident = Resident("n0", lambda: Service([], fails=True))
    with pytest.raises(DevnetError, match="n0 did not start: the port is taken") as caught:
        await resident.start()
    assert caught.value.remedy == "take another"
    assert not resident.running

"""The scenario in virtual time: one seed gives one log, and every seed delivers every message once."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ramson.messenger import Client
from ramson.network import NetworkProfile
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import CALM, ROUGH, Simulation

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from scenario import play

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300), pytest.mark.usefixtures("quick")]

SEEDS = 50
CHUNKS = 10
NODES = 12


@dataclass
class SimulatedStage:
    network: SimulatedNetwork
    directory: Path
    nodes: int = NODES

    @property
    def profile(self) -> NetworkProfile:
        return self.network.profile

    def world(self, number):
        return self.network.client_world(number)

    async def kill(self, node):
        self.network.kill(node)


def simulate(seed, directory, *, model=CALM, trouble=None, **sizes):
    """Play the scenario with a seed, with `trouble(sim, network)` going on beside it if given."""
    sim = Simulation(seed, model=model)
    network = SimulatedNetwork(sim, directory / "nodes", nodes=NODES)
    people = directory / "people"
    people.mkdir()

    async def main():
        await network.up()
        beside = asyncio.create_task(trouble(sim, network)) if trouble else None
        await play(SimulatedStage(network, people), seed=seed, **sizes)
        if beside:
            beside.cancel()

    sim.run(main())
    return sim


async def restarts_and_partitions(sim, network):
    """Crash a node for a while, cut some off for a while, and so on."""
    entropy = network.client_world(999).entropy
    while True:
        await asyncio.sleep(entropy.uniform(3, 12))
        victim = entropy.randrange(NODES)
        network.kill(victim)
        await asyncio.sleep(entropy.uniform(0, 15))
        network.restart(victim)
        sim.partition([[network.address(node) for node in entropy.sample(range(NODES), 3)]])
        await asyncio.sleep(entropy.uniform(1, 15))
        sim.heal()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_message_is_delivered_exactly_once_whatever_the_seed(chunk, directory):
    for seed in range(chunk, SEEDS, CHUNKS):
        home = directory / str(seed)
        home.mkdir()
        sim = simulate(seed, home)
        assert sim.faults["crash"] == 2
        assert sim.faults["refused"] + sim.faults["link-refused"], "nobody noticed that the nodes were gone"
        shutil.rmtree(home)


@pytest.mark.parametrize("seed", range(100, 104))
def test_nothing_is_lost_or_doubled_by_losses_restarts_and_partitions(seed, directory):
    sim = simulate(seed, directory, model=ROUGH, trouble=restarts_and_partitions, killed=0, patience=2000)
    for fault in ("crash", "parted", "request-lost", "reply-lost", "peer-lost", "disk-stall", "timeout", "reset"):
        assert sim.faults[fault], fault


def test_the_scenario_notices_messages_that_are_missing(directory):
    with pytest.raises(AssertionError, match="are missing"):
        simulate(1, directory, accounts=3, messages=6, patience=0.1)


def test_the_scenario_notices_messages_that_come_twice(directory, monkeypatch):
    once = Client.messages

    async def twice(self):
        async for message in once(self):
            yield message
            yield message

    monkeypatch.setattr(Client, "messages", twice)
    with pytest.raises(AssertionError, match="superfluous"):
        simulate(1, directory, accounts=3, messages=6)


def test_one_seed_gives_one_log_in_every_process(directory):
    def run(hash_seed):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        home = directory / hash_seed
        home.mkdir()
        done = subprocess.run(
            [sys.executable, __file__, str(home)], env=environment, capture_output=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    first = run("1")
    assert first.count(b"\n") > 2000
    assert run("2") == first


if __name__ == "__main__":
    sys.stdout.write("\n".join(simulate(7, Path(sys.argv[1]), accounts=8, messages=80).log))

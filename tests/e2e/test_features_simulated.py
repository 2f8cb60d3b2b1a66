"""Each feature once in virtual time, on a network that loses, repeats, reorders and crashes, with clocks that are off.

`make test` runs a few seeds, `make soak` a hundred; RAMSON_SEED=17 runs one alone.  See docs/proofs.md.
"""

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ramson.network import NetworkProfile
from ramson.sim import SimulatedNetwork
from ramson.sim.network import FILES_ADDRESS
from ramson.world.simulated import CALM, ROUGH, Simulation

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from features import play

pytestmark = [pytest.mark.sim, pytest.mark.timeout(600), pytest.mark.usefixtures("quick")]

NODES = 8
CHUNKS = 4
SEEDS = 100 if os.environ.get("RAMSON_SOAK") else CHUNKS
ONE = os.environ.get("RAMSON_SEED")


@dataclass
class Simulated:
    network: SimulatedNetwork
    directory: Path

    @property
    def profile(self) -> NetworkProfile:
        return self.network.profile

    def world(self, number, skew_ms):
        return self.network.client_world(number, skew_ms=skew_ms)


async def trouble(sim, network, entropy):
    """Crash a node for a while, and now and then the file server; cut some off for a while; and so on."""
    while True:
        await asyncio.sleep(entropy.uniform(3, 15))
        victim = entropy.randrange(NODES)
        network.kill(victim)
        await asyncio.sleep(entropy.uniform(0, 15))
        network.restart(victim)
        sim.partition([[network.address(node) for node in entropy.sample(range(NODES), 2)]])
        await asyncio.sleep(entropy.uniform(1, 10))
        sim.heal()
        if entropy.random() < 0.5:
            sim.crash(FILES_ADDRESS)
            await asyncio.sleep(entropy.uniform(0, 10))
            sim.restart(FILES_ADDRESS)


def simulate(seed, directory, *, model):
    sim = Simulation(seed, model=model)
    network = SimulatedNetwork(sim, directory / "nodes", nodes=NODES, swarms=2, file_server=True)
    people = directory / "people"
    people.mkdir()

    async def main():
        await network.up()
        if model is CALM:
            await play(Simulated(network, people))
            return
        beside = asyncio.create_task(trouble(sim, network, network.client_world(999).entropy))
        try:
            await play(Simulated(network, people))
        finally:
            beside.cancel()

    sim.run(main())
    return sim


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_both_devices_end_equal_and_nothing_is_lost_or_doubled(chunk, directory):
    for seed in range(chunk, SEEDS, CHUNKS) if ONE is None else [int(ONE)][chunk:]:
        home = directory / str(seed)
        home.mkdir()
        try:
            sim = simulate(seed, home, model=ROUGH)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        assert sim.faults["crash"], seed
        assert sim.faults["request-lost"] + sim.faults["reply-lost"], seed  # of a dozen each, all of one kind may miss
        print(f"seed {seed}: {dict(sim.faults)}")
        shutil.rmtree(home)


def test_on_a_good_day(directory):
    simulate(1, directory, model=CALM)

"""The scenario in virtual time: one seed gives one log, and every seed delivers every message once."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ramson.network import NetworkProfile
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from scenario import play

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

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


def simulate(seed, directory, **sizes):
    sim = Simulation(seed)
    network = SimulatedNetwork(sim, directory / "nodes", nodes=NODES)
    people = directory / "people"
    people.mkdir()

    async def main():
        await network.up()
        await play(SimulatedStage(network, people), seed=seed, **sizes)

    sim.run(main())
    assert sim.faults["crash"] == 2
    assert sim.faults["refused"] > 0 or sim.faults["link-refused"] > 0, "nobody noticed that the nodes were gone"
    return sim


@pytest.fixture
def directory(tmp_path):
    """A place for the databases; in memory if there is one, as thousands of syncs to a disk show nothing new here."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_message_is_delivered_exactly_once_whatever_the_seed(chunk, directory):
    for seed in range(chunk, SEEDS, CHUNKS):
        home = directory / str(seed)
        home.mkdir()
        simulate(seed, home)
        shutil.rmtree(home)


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
    sys.stdout.write("\n".join(simulate(7, Path(sys.argv[1])).log))

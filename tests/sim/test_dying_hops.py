"""How long a message takes when a node of each path has just died: real nodes, virtual time, many seeds."""

import asyncio
import contextlib
import random
import statistics

import pytest

from ramson.crypto.account import AccountKeys
from ramson.network import Light, Network, NetworkError
from ramson.network.cache import MemoryCache
from ramson.network.trace import PathBuilt, PathPatched
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import CALM, ROUGH, Simulation

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120), pytest.mark.usefixtures("quick")]

SEEDS = range(12)
MESSAGES = 4  # 0 to 4 s one after the other, the first at once
KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
DAY = 86_400_000


async def stored(network, sim, data):
    """Store a message, as often as it takes, and return the seconds it took."""
    began = sim.now
    while True:
        with contextlib.suppress(NetworkError):
            await network.store(KEYS.id, data, ttl_ms=DAY)
            return sim.now - began
        await asyncio.sleep(1)


def after_deaths(seed, home, model, places):
    """The seconds each message took, and how often nodes were drawn for paths."""
    sim = Simulation(seed, model=model)
    nodes = SimulatedNetwork(sim, home, nodes=24, swarms=4)
    entropy = random.Random(seed)
    events = []

    async def main():
        await nodes.up()
        async with Network(nodes.client_world(1), nodes.profile, MemoryCache(), trace=events.append) as network:
            async for status in network.watch():
                if status.light is Light.GREEN:
                    break
            await stored(network, sim, b"before")
            await asyncio.sleep(entropy.uniform(0, 5))
            numbers = {nodes.address(i): i for i in range(24)}
            for path, place in zip(network.status.paths, places, strict=True):
                nodes.kill(numbers[getattr(path, place).ip])
            async with asyncio.TaskGroup() as group:
                sending = []
                for i in range(MESSAGES):
                    sending.append(group.create_task(stored(network, sim, b"message %d" % i)))
                    await asyncio.sleep(entropy.uniform(0, 4))
            await asyncio.sleep(30)
            return [task.result() for task in sending]

    return sim.run(main()), [event for event in events if isinstance(event, PathBuilt | PathPatched)]


@pytest.mark.parametrize("model", [CALM, ROUGH], ids=["calm", "rough"])
@pytest.mark.parametrize("places", [("middle", "last"), ("guard", "middle")], ids="-".join)
def test_a_message_does_not_wait_for_two_broken_paths_to_be_mended(directory, model, places):
    times, draws = [], []
    for seed in SEEDS:
        home = directory / str(seed)
        home.mkdir()
        waited, drawn = after_deaths(seed, home, model, places)
        times += waited
        draws.append(len(drawn))
    times.sort()
    print(
        f"{places}: median {statistics.median(times):.1f} s, 95 % {times[int(0.95 * len(times))]:.1f} s, "
        f"worst {times[-1]:.1f} s, draws {statistics.mean(draws):.2f}"
    )
    assert statistics.median(times) < 10
    assert times[-1] < 25

"""Whole clients while nothing gets out, and in another network: what was written waits and goes out once, by itself."""

import asyncio

import pytest

from ramson.messenger import Client, KeyCost, State
from ramson.network import Light
from ramson.network.hop_policy import HopPolicy
from ramson.reach import ReachSettings
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

CHEAP = {"passphrase": "correct horse", "cost": KeyCost(passes=1, memory=13)}
ALICE = "10.2.0.1"


class Wall:
    """Stops everything that one client sends while it stands, but by the gateways in `open`."""

    def __init__(self, host):
        self.host, self.stands, self.open = host, False, set()

    def look_up(self, _origin, _name):
        return None

    def judge(self, flow):
        shut = self.stands and flow.origin == ALICE and self.host.gateway not in self.open
        return Verdict.DROP if shut else Verdict.PASS


@pytest.fixture
def town(tmp_path):
    simulation = Simulation(9)
    made = SimulatedNetwork(simulation, tmp_path / "nodes", nodes=9, swarms=2, tests=False)
    return simulation, made


async def light(client, wanted):
    async for status in client.watch_path():
        if status.light is wanted:
            return status
    raise AssertionError


def play(town, tmp_path, scene, **options):
    """Let Alice and Bob meet while a wall may stand around Alice."""
    simulation, made = town
    wall = Wall(simulation.host(ALICE))
    simulation.censor(wall)

    async def main():
        await made.up()
        network = {"network": made.profile}
        alice = Client.create(tmp_path / "alice", world=made.client_world(0), **network, **CHEAP, **options)
        bob = Client.create(tmp_path / "bob", world=made.client_world(1), **network, **CHEAP)
        async with asyncio.timeout(1200), alice, bob:
            await light(alice, Light.GREEN)
            await light(bob, Light.GREEN)
            return await scene(alice, bob, wall)

    return simulation.run(main())


async def heard(bob, seconds):
    """Return all that Bob gets within some seconds."""
    bodies = []

    async def listen():
        async for message in bob.messages():
            bodies.append(message.body)  # noqa: PERF401 - it is ended from outside

    listening = asyncio.create_task(listen())
    await asyncio.sleep(seconds)
    listening.cancel()
    return bodies


@pytest.mark.parametrize("moves", [False, True])
def test_what_was_written_behind_a_wall_goes_out_once_when_it_falls_or_the_network_changes(town, tmp_path, moves):
    async def scene(alice, bob, wall):
        wall.stands = True
        sending = asyncio.create_task(alice.send(bob.account_id, "from behind the wall"))
        status = await light(alice, Light.RED)
        assert "wait in the outbox" in status.reason
        assert await heard(bob, 60) == []
        began = asyncio.get_running_loop().time()
        if moves:
            wall.open.add("café")
            wall.host.gateway = "café"
        else:
            wall.stands = False
        await light(alice, Light.GREEN)
        took = asyncio.get_running_loop().time() - began
        bodies = await heard(bob, 120)
        assert (await sending).state is State.SENT
        return bodies, took

    bodies, took = play(town, tmp_path, scene)
    assert bodies == ["from behind the wall"]
    assert took < (15 if moves else 45)  # another network is noticed in five seconds, a wall that fell by trying


def test_rules_about_hops_and_a_pinned_path_are_those_of_a_client(town, tmp_path):
    _, made = town
    pinned = tuple(node.ed25519 for node in made.records[4:7])
    hops = HopPolicy.parse(avoid=[f"{made.address(0)}/32"])

    async def scene(alice, _bob, _wall):
        return alice.path

    status = play(town, tmp_path, scene, reach=ReachSettings(hops=hops, path=pinned))
    assert pinned in [tuple(node.ed25519 for node in path.hops) for path in status.paths]
    assert made.address(0) not in {node.ip for path in status.paths for node in path.hops}
    assert status.way == "the straight way"

"""Replacing what we keep in our own mailbox, keeping it alive and deleting it all, against whole nodes."""

import asyncio
import contextlib

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.network import CannotStore, Item, MemoryCache, Network, NetworkError
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
DAY = 86_400_000


@pytest.fixture
def run(tmp_path):
    sim = Simulation(1)
    town = SimulatedNetwork(sim, tmp_path, nodes=6, swarms=1)

    def play(scenario):
        async def main():
            await town.up()
            async with Network(town.client_world(0), town.profile, MemoryCache()) as network:
                return await scenario(network)

        return sim.run(main())

    play.town = town
    return play


async def insist(ask):
    """Ask until it works: every second way through six nodes holds the one that is dead."""
    while True:
        with contextlib.suppress(NetworkError):
            return await ask()


def test_what_is_stored_takes_the_place_of_what_was_there(run):
    async def main(network):
        (old,) = await network.replace(KEYS, [Item(3, b"old")], [])
        new = await network.replace(KEYS, [Item(3, b"new"), Item(2, b"profile")], [old])
        found = await network.retrieve(KEYS, [2, 3], {}, extend=[*new, old])
        return new, found

    new, found = run(main)
    assert new == (message_hash(KEYS.id.raw, 3, b"new"), message_hash(KEYS.id.raw, 2, b"profile"))
    assert {ns: [each.data for each in messages] for ns, messages in found.messages.items()} == {
        2: [b"profile"],
        3: [b"new"],
    }
    assert found.extended == set(new)


def test_an_extension_gives_thirty_days_again(run):
    async def main(network):
        (name,) = await network.replace(KEYS, [Item(3, b"x", ttl_ms=DAY)], [])
        await network.poll(KEYS, [0, 3], {}, extend=[name])
        return (await network.get_expiries(KEYS, [name]))[name] - network.now()

    assert run(main) == pytest.approx(30 * DAY, abs=60_000)


def test_what_no_node_would_take_is_not_sent(run):
    async def main(network):
        with pytest.raises(CannotStore):
            await network.replace(KEYS, [Item(3, b"x" * 76_801)], [])

    run(main)


def test_a_member_that_we_gave_up_asking_is_named_all_the_same_when_it_does_not_delete(run):
    async def main(network):
        dead = run.town.records[0]
        await network.store(KEYS.id, b"message", ttl_ms=DAY)
        run.town.kill(0)
        await asyncio.sleep(60)  # until nobody waits for the dead node any more
        network._routing.drop_node(dead.ed25519, "it failed 3 times")
        done = await insist(lambda: network.delete_all(KEYS))
        return dead, done

    dead, done = run(main)
    assert [node.ed25519 for node in done.failed] == [dead.ed25519]


def test_everything_is_deleted_and_each_member_signs_for_it_or_is_named(run):
    async def main(network):
        names = await network.replace(KEYS, [Item(3, b"config"), Item(2, b"profile")], [])
        message = await network.store(KEYS.id, b"message", ttl_ms=DAY)
        run.town.kill(0)
        await asyncio.sleep(60)  # until nobody waits for the dead node any more
        done = await insist(lambda: network.delete_all(KEYS))
        left = await insist(lambda: network.retrieve(KEYS, [0, 2, 3], {}))
        return {*names, message.hash}, done, left

    names, done, left = run(main)
    assert done.deleted == names
    assert len(done.deleted_by) == 5
    assert [node.ip for node in done.failed] == [run.town.records[0].ip]
    assert not any(left.messages.values())

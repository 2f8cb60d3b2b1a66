"""The whole of the network room against a network of doubles, in virtual time."""

import asyncio

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.network import Light

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
DAY = 86_400_000


async def settle():
    await asyncio.sleep(30)


def test_two_paths_stand_and_the_light_is_green(fake):
    async def main(network):
        await settle()
        return network.status

    status = fake.run(main)
    assert status.light is Light.GREEN
    assert len({hop for path in status.paths for hop in path.hops}) == 6


def test_a_message_is_stored_by_the_whole_swarm(fake):
    async def main(network):
        return await network.store(KEYS.id, b"hello", ttl_ms=DAY)

    receipt = fake.run(main)
    assert receipt.hash == message_hash(KEYS.id.raw, 0, b"hello")
    assert {node.ed25519 for node in receipt.stored_by} == {each.keys.public for each in fake.swarm(KEYS.id.raw)}
    assert receipt.failed == ()

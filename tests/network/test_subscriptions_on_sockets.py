"""Being told by nodes over real sockets, with CURVE; and what becomes of one that floods."""

import asyncio
import contextlib
import random

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import X25519KeyPair
from ramson.network.entry import DirectEntry
from ramson.network.subscriptions import MOST_MESSAGES, Subscriptions
from ramson.protocol import bt
from ramson.protocol.nodes import NodeRecord
from ramson.world import Command, Endpoint, real

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
NAME = message_hash(KEYS.id.raw, 0, b"hello")
NOTICE = bt.encode({"@": KEYS.id.raw, "h": NAME, "n": 0, "t": 1, "z": 2})


class Node:
    """A node of this machine that takes subscriptions."""

    def __init__(self, world, number):
        self.world = world
        self.number = number
        self.pair = X25519KeyPair.generate(random.Random(number))
        self.origin = None

    async def __aenter__(self):
        commands = {"monitor.messages": Command(self.take)}
        self.link = await self.world.net.link(self.pair, commands, listen=Endpoint("127.0.0.1", 0))
        self.record = NodeRecord(
            bytes([self.number]) * 32, self.pair.public, b"", "127.0.0.1", 1, self.link.endpoint.port, 7
        )
        return self

    async def __aexit__(self, *_):
        await self.link.close()

    def take(self, origin, parts):
        self.origin = origin
        return [bt.encode({"success": 1})]

    def tell(self):
        return self.link.push(self.origin, "notify.message", [NOTICE])


class Home:
    """A swarm of these nodes."""

    def __init__(self, world, nodes):
        self.world, self.nodes = world, nodes

    async def swarm(self, account):
        return tuple(node.record for node in self.nodes)

    def now(self):
        return self.world.clock.now()


@pytest.fixture
async def world():
    world = real.world()
    yield world
    await world.net.close()


@contextlib.asynccontextmanager
async def subscribed(world, nodes, told):
    """Be told by these nodes; gives the subscriptions, and a signal at each notice and change of who tells."""
    changed = asyncio.Event()

    def hear(name):
        told.append(name)
        changed.set()

    entry = DirectEntry(world.net, world.entropy)
    subscriptions = Subscriptions(
        world, entry, Home(world, nodes), KEYS, (0,), told=hear, changed=lambda _live: changed.set()
    )
    task = asyncio.get_running_loop().create_task(subscriptions.run())
    try:
        async with asyncio.timeout(60):
            yield subscriptions, changed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nodes_tell_and_one_that_floods_is_hung_up_on(world):
    told = []
    async with Node(world, 1) as good, Node(world, 2) as bad:
        async with subscribed(world, [good, bad], told) as (subscriptions, changed):
            while len(subscriptions.live) < 2:
                changed.clear()
                await changed.wait()
            while bad.record in subscriptions.live:
                for _ in range(50):
                    bad.tell()
                await asyncio.sleep(0)
            heard = len(told)
            assert 0 < heard <= MOST_MESSAGES
            assert subscriptions.live == (good.record,)
            assert good.tell()
            while len(told) == heard:
                changed.clear()
                await changed.wait()
        assert set(told) == {NAME}
        assert subscriptions.live == ()

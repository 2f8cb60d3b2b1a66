"""Two weeks away: thousands of messages are fetched some at a time, told of, in order, each once, whoever is killed."""

import asyncio
import contextlib
import random

import pytest

from ramson.crypto import phrase
from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.messenger import CatchUp, Client, KeyCost
from ramson.messenger.inbox import AT_ONCE
from ramson.messenger.letters import write
from ramson.node.mailbox import Mailbox
from ramson.node.mailbox.values import NewMessage
from ramson.node.node import MAILBOX_FILE
from ramson.protocol.content import TextMessage
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import Simulation

pytestmark = pytest.mark.sim

COUNT = 3000  # with the long texts more than one poll brings
DAYS = 13
PASSPHRASE = "correct horse"
NODES = 2


def texts(number):
    return f"{number} " + "long " * 390


async def leave_messages(network, reader, entropy):
    """Put messages of one writer into the mailboxes of all nodes, in another order at each, as days of writing do."""
    writer = AccountKeys.generate(random.Random(7))
    world = network.client_world(9)
    now = world.clock.now()
    kept = []
    for number in range(COUNT):
        sent_ms = now - DAYS * 86_400_000 + number * 60_000
        (sealed, _copy) = write(TextMessage(texts(number), sent_ms), writer, reader, entropy).sealed
        name = message_hash(reader.raw, 0, sealed.data)
        kept.append(NewMessage(reader.raw, 0, name, sent_ms, now + 86_400_000, sealed.data))
    for node in range(NODES):
        network.kill(node)
        mailbox = Mailbox(network.home(node) / MAILBOX_FILE, world.disk(), world.clock)
        for start in range(0, COUNT, 100):  # what is near in time changes places
            part = kept[start : start + 100]
            await mailbox.store_many(random.Random(f"{node} {start}").sample(part, len(part)))
        await mailbox.close()
        network.restart(node)
    await network.up()


def test_thousands_of_messages_come_in_order_and_once(tmp_path):
    sim = Simulation(3)
    network = SimulatedNetwork(sim, tmp_path, nodes=NODES + 4, swarms=3, tests=False)
    heard, steps, held = [], [], []

    def client(**options):
        return Client.open(
            tmp_path / "me", passphrase=PASSPHRASE, network=network.profile, world=network.client_world(0), **options
        )

    async def listen(me):
        async for message in me.messages():
            heard.append(message.body)
            if len(heard) == COUNT:
                return

    async def watch(stream):
        async for event in stream:
            if isinstance(event, CatchUp):
                steps.append(event)
                held.append(len(heard))

    async def main():
        await network.up()
        entropy = network.client_world(8).entropy
        swarm_of = network.file.node_list().swarm_of
        keys = next(
            keys
            for keys in iter(lambda: AccountKeys.generate(entropy), None)
            if {node.ed25519 for node in swarm_of(keys.id.raw)[1]} == {node.ed25519 for node in network.records[:NODES]}
        )
        created = Client.create(
            tmp_path / "me",
            passphrase=PASSPHRASE,
            network=network.profile,
            world=network.client_world(0),
            phrase=phrase.encode(keys.entropy),
            cost=KeyCost(passes=1, memory=13),
        )
        async with created as me:
            await asyncio.sleep(30)
            assert me.account_id == keys.id
        await leave_messages(network, keys.id, entropy)
        with contextlib.suppress(ZeroDivisionError):
            async with client() as me:
                stream = me.events()
                async for event in stream:
                    if isinstance(event, CatchUp) and event.fetched > COUNT // 4:
                        break
                raise ZeroDivisionError  # the program dies in the middle of it
        async with client() as me:
            me._engine.store.db._connection.pragma("synchronous", "OFF")  # nobody pulls the plug of this one
            watching = asyncio.create_task(watch(me.events()))
            async with asyncio.timeout(600):
                await listen(me)
            await asyncio.sleep(30)
            watching.cancel()
            assert me.count_messages() == COUNT

    sim.run(main())
    assert heard == [texts(number) for number in range(COUNT)]
    fetched = [step.fetched for step in steps]
    assert fetched == sorted(fetched)
    assert all(after - before <= AT_ONCE for before, after in zip([0, *fetched], fetched, strict=False))
    assert [step.more for step in steps] == [True] * (len(steps) - 1) + [False]
    assert len(steps) > 5
    assert held[:-1] == [0] * (len(held) - 1), "messages were given out before all were there"

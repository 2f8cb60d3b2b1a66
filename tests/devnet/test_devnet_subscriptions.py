"""A client that nodes tell of messages, on real sockets: what it hears comes by a notice and not by a poll."""

import asyncio

from ramson.devnet import Devnet
from ramson.messenger import Client, KeyCost, SubscriptionChanged, pace
from ramson.network import Network, NetworkProfile
from ramson.world import real

CHEAP = KeyCost(passes=1, memory=13)


async def test_a_message_comes_by_a_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "TOLD", 86_400.0)  # while nodes tell, only what they say makes a client ask
    polls = []
    poll = Network.poll

    async def counting(self, keys, *arguments, **options):
        polls.append(keys.id)
        return await poll(self, keys, *arguments, **options)

    monkeypatch.setattr(Network, "poll", counting)
    world = real.world()
    async with Devnet(world, tmp_path / "network", nodes=6, swarms=2, in_process=True) as devnet:
        options = {
            "passphrase": "correct horse",
            "network": NetworkProfile.from_file(devnet.network),
            "world": world,
            "cost": CHEAP,
        }
        async with (
            asyncio.timeout(100),
            Client.create(tmp_path / "alice.ramson", **options) as alice,
            Client.create(tmp_path / "bob.ramson", subscribe=True, **options) as bob,
        ):
            events = bob.events()
            await bob.synced()
            while not bob.told_by:
                await anext(events)
            messages = bob.messages()
            heard = []
            for number in range(3):
                before = polls.count(bob.account_id)
                await alice.send(bob.account_id, f"{number}")
                heard.append((await anext(messages)).body)
                assert polls.count(bob.account_id) > before
            assert heard == ["0", "1", "2"]
            assert len(bob.told_by) <= 2

            teller = bob.told_by[0]
            for each in bob.told_by:
                await devnet.kill(devnet.node(each.ed25519).name)
            while not (isinstance(event := await anext(events), SubscriptionChanged) and not event.live):
                pass
            assert teller not in bob.told_by
    await world.net.close()

"""Clients of one account and a friend in a whole network in virtual time: the public face of what devices do."""

import asyncio
import contextlib

import pytest

from ramson.messenger import (
    Client,
    ContactChanged,
    KeyCost,
    Kind,
    MessageReceived,
    MessageSettled,
    NotReceiving,
    ReactionChanged,
    RequestReceived,
    Settings,
    TypingChanged,
)
from ramson.messenger.configs import KINDS
from ramson.protocol.content import Expiration, ExpirationMode
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import ROUGH, Simulation

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"


class Town:
    """A network with few nodes, and places for clients."""

    def __init__(self, directory, *, seed=1, **model):
        self.sim = Simulation(seed, **model)
        self.network = SimulatedNetwork(self.sim, directory, nodes=6, swarms=2)
        self.directory = directory

    def create(self, number, *, skew_ms=0, **options):
        return Client.create(
            self.directory / f"{number}.ramson",
            passphrase=PASSPHRASE,
            network=self.network.profile,
            world=self.network.client_world(number, skew_ms=skew_ms),
            cost=CHEAP,
            **options,
        )

    def open(self, number, **options):
        return Client.open(
            self.directory / f"{number}.ramson",
            passphrase=PASSPHRASE,
            network=self.network.profile,
            world=self.network.client_world(number),
            **options,
        )

    def run(self, main):
        async def start():
            await self.network.up()
            async with asyncio.timeout(7200):
                return await main()

        return self.sim.run(start())


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(1)


async def collect(stream, found):
    async for event in stream:
        found.append(event)


def test_a_day_with_two_devices(town):
    async def main():
        told = []
        async with (
            town.create(0, name="Alice") as phone,
            town.create(1, name="Bob") as bob,
            contextlib.AsyncExitStack() as later,
        ):
            listening = asyncio.create_task(collect(bob.events(), told))
            await phone.send(bob.account_id, "hello")
            await until(bob.requests)
            (request,) = bob.requests()
            assert (request.name, request.request, bob.contacts()) == ("Alice", True, [])
            await request.last.reply("hello yourself", quote=True)
            await until(lambda: phone.contact(bob.account_id).approved_me)
            await until(lambda: phone.history(bob.account_id)[-1].incoming)  # it may come after the approval
            answer = phone.history(bob.account_id)[-1]
            assert answer.quote.sent_ms == request.last.sent_ms
            await answer.react("👋")
            await phone.mark_read(answer)
            await phone.synced()

            laptop = await later.enter_async_context(town.create(2, phrase=phone.phrase))
            async with asyncio.timeout(60):
                await laptop.synced()
            assert laptop.name == "Alice"
            (line,) = laptop.conversations()
            assert (line.peer, line.name, line.unread) == (bob.account_id, "Bob", 0)
            assert [contact.name for contact in laptop.contacts()] == ["Bob"]
            assert laptop.history(bob.account_id)[-1].reactions[0].emoji == "👋"

            await laptop.set_disappearing(bob.account_id, Expiration(ExpirationMode.AFTER_SEND, 60))
            await laptop.send(bob.account_id, "gone in a minute")
            await until(lambda: bob.history(phone.account_id)[-1].body == "gone in a minute")
            for client, peer in ((laptop, bob), (phone, bob), (bob, phone)):
                await until(
                    lambda client=client, peer=peer: (
                        "gone in a minute" not in [each.body for each in client.history(peer.account_id)]
                    )
                )
            listening.cancel()
            return told

    told = town.run(main)
    kinds = [type(event) for event in told]
    assert kinds[:3] == [ContactChanged, RequestReceived, MessageReceived]
    assert told[2].message.request
    assert MessageSettled in kinds
    assert ReactionChanged in kinds
    assert Kind.TIMER in {event.message.kind for event in told if isinstance(event, MessageReceived)}


def test_typing_needs_the_setting_and_approval(town):
    async def main():
        told = []
        async with town.create(0) as alice, town.create(1) as bob:
            alice.set_settings(Settings(typing=True))
            assert alice.settings == Settings(typing=True)
            await alice.send(bob.account_id, "hello")
            assert not await alice.typing(bob.account_id)
            await until(bob.requests)
            await bob.accept(alice.account_id)
            await until(lambda: alice.contact(bob.account_id).approved_me)
            listening = asyncio.create_task(collect(bob.events(), told))
            await asyncio.sleep(0)
            assert await alice.typing(bob.account_id)
            await until(lambda: told)
            listening.cancel()
            return told

    (event,) = town.run(main)
    assert isinstance(event, TypingChanged)
    assert event.typing


def test_people_can_be_searched_pinned_named_blocked_and_removed(town):
    async def main():
        async with town.create(0) as alice, town.create(1) as bob:
            await alice.send(bob.account_id, "the owl flies at noon")
            await alice.set_nickname(bob.account_id, "Bobby")
            await alice.set_priority(bob.account_id, 1)
            (found,) = alice.search("owl fl")
            (line,) = alice.conversations()
            await alice.block(bob.account_id)
            blocked = alice.conversations()[0].blocked
            await alice.decline(bob.account_id)
            return found.body, line.name, line.priority, blocked, alice.conversations(), alice.search("owl")

    assert town.run(main) == ("the owl flies at noon", "Bobby", 1, True, [], [])


def test_an_account_is_deleted_everywhere_and_each_node_confirms(town):
    async def main():
        async with town.create(0, name="Alice") as alice:
            phrase = alice.phrase
            await alice.send(alice.account_id, "note")
            await alice.synced()
            deletion = await alice.delete_account(everywhere=True)
        assert not (town.directory / "0.ramson").exists()
        async with town.create(2, phrase=phrase) as again:
            await asyncio.sleep(60)
            return deletion, again.name, again.history(again.account_id)

    deletion, name, history = town.run(main)
    assert deletion.complete
    assert len(deletion.confirmed) == 3
    assert (name, history) == ("", [])


def test_a_node_that_does_not_confirm_a_deletion_is_named_and_the_file_stays(town):
    async def main():
        async with town.create(0, name="Alice") as alice:
            await alice.synced()
            swarm = town.network.file.node_list().swarm_of(alice.account_id.raw)[1]
            dead = next(number for number, record in enumerate(town.network.records) if record == swarm[0])
            town.network.kill(dead)
            await asyncio.sleep(60)
            told = []
            deletion = await alice.delete_account(everywhere=True, progress=told.append)
            there = (town.directory / "0.ramson").exists()
            only_here = await alice.delete_account(everywhere=False)
        return deletion, told, swarm[0], there, only_here, (town.directory / "0.ramson").exists()

    deletion, told, dead, there, only_here, still = town.run(main)
    assert [node.ed25519 for node in deletion.failed] == [dead.ed25519]
    assert (told[0].confirmed, told[-1]) == ((), deletion)
    assert (there, only_here.complete, still) == (True, True, False)


def test_a_client_that_does_not_receive_is_never_in_step(town):
    async def main():
        async with town.create(0, receive=False) as alice:
            with pytest.raises(NotReceiving):
                await alice.synced()

    town.run(main)


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(3))
def test_devices_agree_on_a_rough_network_with_whole_nodes(tmp_path, seed):
    town = Town(tmp_path, seed=seed, model=ROUGH)
    count = 6

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            phone = await stack.enter_async_context(town.create(0, name="Alice"))
            bob = await stack.enter_async_context(town.create(1, name="Bob", skew_ms=90_000))
            async with town.create(2, phrase=phone.phrase, skew_ms=-70_000) as laptop:
                peers = ((phone, bob), (laptop, bob), (bob, phone))

                async def talk(client, peer, name):
                    for number in range(count):
                        await client.send(peer.account_id, f"{name} {number}")
                        history = client.history(peer.account_id)
                        if history[-1].incoming and client.contact(peer.account_id).approved_me:
                            await history[-1].react("👍")
                        await client.mark_read(peer.account_id)

                async with asyncio.TaskGroup() as group:
                    for name, (client, peer) in zip("plb", peers, strict=True):
                        group.create_task(talk(client, peer, name))
                    for victim in (0, 3):
                        await asyncio.sleep(10)
                        town.network.kill(victim)
                        await asyncio.sleep(10)
                        town.network.restart(victim)
                for client, _ in peers:
                    await client.drain()
                    await client.synced()
                await asyncio.sleep(120)
                views = [
                    [(m.sender, m.sent_ms, m.body, m.reactions) for m in client.history(peer.account_id)]
                    for client, peer in peers
                ]
                configs = [client._engine.store.configs for client in (phone, laptop)]
                return views, [[each.config(kind).data for kind in KINDS] for each in configs]

    views, configs = town.run(main)
    assert views[0] == views[1] == views[2]
    assert sorted(body for _, _, body, _ in views[0]) == sorted(f"{n} {i}" for n in "plb" for i in range(count))
    assert configs[0] == configs[1]

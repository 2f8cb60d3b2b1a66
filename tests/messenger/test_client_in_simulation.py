"""Clients in a whole network in virtual time: what is sent arrives once, in order, whoever is switched off."""

import asyncio
import logging

import pytest

from ramson.errors import LocalError
from ramson.messenger import (
    AccountFileExists,
    BadRecipient,
    BadText,
    Client,
    KeyCost,
    NotOpen,
    NotReceiving,
    State,
    WrongPassphrase,
)
from ramson.network import Light
from ramson.sim import SimulatedNetwork
from ramson.world.simulated import ROUGH, Simulation

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"


class People:
    """Accounts of one simulated network, each on a host and in a file of its own."""

    def __init__(self, tmp_path, *, seed=1, **model):
        self.sim = Simulation(seed, **model)
        self.network = SimulatedNetwork(self.sim, tmp_path, nodes=12, swarms=3)
        self.directory = tmp_path

    def file(self, number):
        return self.directory / f"{number}.ramson"

    def create(self, number, **options):
        world = self.network.client_world(number)
        return Client.create(
            self.file(number), passphrase=PASSPHRASE, network=self.network.profile, world=world, cost=CHEAP, **options
        )

    def open(self, number, **options):
        world = self.network.client_world(number)
        return Client.open(
            self.file(number), passphrase=PASSPHRASE, network=self.network.profile, world=world, **options
        )

    def run(self, main):
        async def start():
            await self.network.up()
            async with asyncio.timeout(3600):
                return await main()

        return self.sim.run(start())


@pytest.fixture
def people(tmp_path):
    return People(tmp_path)


async def take(client, count):
    found = []
    async for message in client.messages():
        found.append(message)
        if len(found) == count:
            return found
    raise AssertionError


def test_a_conversation(people):
    async def main():
        async with people.create(0, name="Alice") as alice, people.create(1) as bob:
            receipt = await alice.send(bob.account_id, "hello")
            (message,) = await take(bob, 1)
            answer = await message.reply("hi")
            (back,) = await take(alice, 1)
            return receipt, message, answer, back, alice.account_id, bob.account_id, alice.path

    receipt, message, answer, back, alice, bob, path = people.run(main)
    assert (receipt.state, receipt.stored, receipt.total) == (State.SENT, 4, 4)
    assert (message.sender, message.recipient, message.body, message.incoming) == (alice, bob, "hello", True)
    assert (message.sent_ms, message.hash) == (receipt.sent_ms, receipt.hash)
    assert (back.sender, back.body, answer.state) == (bob, "hi", State.SENT)
    assert path.light in {Light.GREEN, Light.ORANGE}
    assert len(path.hops) == 3


def test_nothing_that_identifies_anybody_is_logged(people, caplog):
    async def main():
        async with people.create(0, name="Rumpelstilzchen") as alice, people.create(1) as bob:
            people.sim.partition([["10.2.0.1"]])
            note = asyncio.create_task(alice.send(bob.account_id, "the owl flies at noon"))
            await asyncio.sleep(100)
            people.sim.heal()
            await note
            (message,) = await take(bob, 1)
            await message.reply("and the cat?")
            return [alice.account_id.hex, bob.account_id.hex, alice.phrase.split()[0]]

    with caplog.at_level(logging.DEBUG):
        secrets = [*people.run(main), "owl", "cat?", "Rumpel", PASSPHRASE]
    assert "a message waits" in caplog.text
    assert [secret for secret in secrets if secret in caplog.text] == []


def test_the_path_is_known_from_the_account_file_the_next_time(people):
    async def main():
        async with people.create(0) as alice:
            await alice.send(alice.account_id, "note")
        people.sim.crash("10.1.0.1")  # the seed
        async with people.open(0) as alice:
            receipt = await alice.send(alice.account_id, "another note")
            return receipt.state

    assert people.run(main) is State.SENT


def test_messages_wait_for_a_recipient_who_is_away_and_come_in_order(people):
    async def main():
        async with people.create(1) as bob:
            address = bob.account_id
        async with people.create(0) as alice:
            for number in range(20):
                await alice.send(address, str(number), wait=False)
            await alice.drain()
        async with people.open(1) as bob:
            return [message.body for message in await take(bob, 20)]

    assert people.run(main) == [str(number) for number in range(20)]


def test_a_message_written_without_a_network_goes_out_by_itself_after_a_restart(people):
    async def main():
        async with people.create(1) as bob:
            address = bob.account_id
        people.sim.partition([["10.2.0.1"]])
        async with people.create(0) as alice:
            receipts = [await alice.send(address, text, wait=False) for text in ("one", "two")]
            await asyncio.sleep(300)
            light = alice.path
        people.sim.heal()
        async with people.open(0) as alice, people.open(1) as bob:
            found = await take(bob, 2)
        return receipts, light, found

    receipts, light, found = people.run(main)
    assert [receipt.state for receipt in receipts] == [State.SENDING] * 2
    assert light.light is Light.RED
    assert [(message.body, message.sent_ms) for message in found] == [
        ("one", receipts[0].sent_ms),
        ("two", receipts[1].sent_ms),
    ]


def test_a_message_goes_out_soon_after_the_path_returns(people):
    async def main():
        async with people.create(0) as alice:
            await alice.send(alice.account_id, "warm up")
            people.sim.partition([["10.2.0.1"]])
            note = asyncio.create_task(alice.send(alice.account_id, "patience"))
            await asyncio.sleep(1800)
            assert not note.done()
            people.sim.heal()
            healed = people.sim.now
            await note
            return people.sim.now - healed

    assert people.run(main) < 120


def test_two_devices_of_one_account_see_the_same_conversation(people):
    async def main():
        async with (
            people.create(0) as phone,
            people.create(1) as bob,
            people.create(2, phrase=phone.phrase) as laptop,
        ):
            assert laptop.account_id == phone.account_id
            await phone.send(bob.account_id, "from my phone")
            (message,) = await take(bob, 1)
            await message.reply("answer")
            (on_laptop,) = await take(laptop, 1)
            (on_phone,) = await take(phone, 1)
            await asyncio.sleep(30)
            histories = [
                [(each.body, each.incoming, each.sent_ms) for each in device.history(bob.account_id)]
                for device in (phone, laptop)
            ]
            return on_laptop.body, on_phone.body, histories

    on_laptop, on_phone, (phone, laptop) = people.run(main)
    assert on_laptop == on_phone == "answer"
    assert phone == laptop
    assert [(body, incoming) for body, incoming, _ in phone] == [("from my phone", False), ("answer", True)]


def test_a_note_to_oneself_is_kept_and_not_announced(people):
    async def main():
        async with people.create(0) as alice:
            receipt = await alice.send(alice.account_id, "milk")
            await asyncio.sleep(30)
            assert receipt.state is State.SENT
            return [(note.body, note.incoming) for note in alice.history(alice.account_id)]

    assert people.run(main) == [("milk", False)]


def test_a_loop_that_raises_gets_its_message_again_and_one_that_breaks_does_not(people):
    async def main():
        async with people.create(1) as bob:
            address = bob.account_id
        async with people.create(0) as alice:
            for text in ("one", "two"):
                await alice.send(address, text)
        bodies = []

        async def stumble():
            async with people.open(1) as bob:
                async for message in bob.messages():
                    bodies.append(message.body)
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stumble()
        for _ in range(2):
            async with people.open(1) as bob:
                async for message in bob.messages():
                    bodies.append(message.body)
                    break
        return bodies

    assert people.run(main) == ["one", "one", "two"]


def test_a_client_that_only_sends_leaves_what_arrives_to_others(people):
    async def main():
        async with people.create(0) as alice:
            address = alice.account_id
        async with people.open(0, receive=False) as alice, people.create(1) as bob:
            await bob.send(address, "hello")
            await alice.send(bob.account_id, "busy")
            await asyncio.sleep(30)
            with pytest.raises(NotReceiving):
                await take(alice, 1)
        async with people.open(0) as alice:
            return (await take(alice, 1))[0].body

    assert people.run(main) == "hello"


def test_mistakes_are_told_before_anything_is_sent(people):
    async def main():
        async with people.create(0) as alice:
            for to, text, error in (
                (alice.account_id, "", BadText),
                (alice.account_id, "x" * 2001, BadText),
                ("03" + "ab" * 32, "hello", BadRecipient),
                ("05abc", "hello", LocalError),
            ):
                with pytest.raises(error):
                    await alice.send(to, text)
            assert alice.history(alice.account_id) == []
        with pytest.raises(AccountFileExists):
            async with people.create(0):
                pass
        with pytest.raises(WrongPassphrase):
            async with Client.open(people.file(0), passphrase="wrong one", world=people.network.client_world(0)):
                pass

    people.run(main)


def test_a_client_outside_async_with_says_so(tmp_path):
    client = Client.open(tmp_path / "a.ramson", passphrase=PASSPHRASE)
    with pytest.raises(NotOpen):
        _ = client.account_id


def test_an_account_file_that_fails_ends_the_client_with_that_error_and_no_group(people, monkeypatch):
    async def main():
        async with people.create(0) as alice:
            await alice.send(alice.account_id, "note")
            store = alice._engine.store
            monkeypatch.setattr(store, "recipients", lambda: (_ for _ in ()).throw(LocalError("disk full")))
            await asyncio.sleep(3600)

    with pytest.raises(LocalError, match="disk full"):
        people.run(main)


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(3))
def test_on_a_rough_network_with_crashes_everything_arrives_once_and_in_order(tmp_path, seed):
    """Two people write to each other while their programs and nodes are killed and started again."""
    people = People(tmp_path, seed=seed, model=ROUGH)
    texts = [str(number) for number in range(12)]

    async def talk(number, other, heard):
        for part in range(3):
            async with people.open(number) as me:
                for text in texts[part * 4 : part * 4 + 4]:
                    await me.send(other, text, wait=False)
                try:
                    async with asyncio.timeout(20 + 7 * number):
                        async for message in me.messages():
                            heard.append(message.body)
                except TimeoutError:
                    pass
        async with people.open(number) as me:
            if len(heard) < len(texts):
                heard += [message.body for message in await take(me, len(texts) - len(heard))]
            await me.drain()
            await asyncio.sleep(60)  # would anything come twice?
            assert [message.body for message in me.history(other) if message.incoming] == texts

    async def faults():
        for victim in (0, 5, 9):
            await asyncio.sleep(15)
            people.network.kill(victim)
            await asyncio.sleep(15)
            people.network.restart(victim)

    async def main():
        ids = []
        for number in (0, 1):
            async with people.create(number) as me:
                ids.append(me.account_id)
        heard = ([], [])
        async with asyncio.TaskGroup() as group:
            group.create_task(faults())
            group.create_task(talk(0, ids[1], heard[0]))
            group.create_task(talk(1, ids[0], heard[1]))
        return heard

    for heard in people.run(main):
        assert heard == texts


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(3))
def test_programs_killed_while_they_write_and_read_lose_and_repeat_nothing(tmp_path, seed):
    """Both programs are killed at random moments; only the very message a reader had in hand may come to it twice."""
    people = People(tmp_path, seed=seed, model=ROUGH)
    texts = [str(number) for number in range(15)]
    ids, heard = [], []

    async def write(world):
        async with Client.open(
            people.file(0), passphrase=PASSPHRASE, network=people.network.profile, world=world
        ) as me:
            for text in texts[len([each for each in me.history(ids[1]) if not each.incoming]) :]:
                await me.send(ids[1], text, wait=False)
                await asyncio.sleep(3)
            await asyncio.Event().wait()

    async def read(world):
        async with Client.open(
            people.file(1), passphrase=PASSPHRASE, network=people.network.profile, world=world
        ) as me:
            async for message in me.messages():
                heard.append(message.body)  # noqa: PERF401 - what was heard must survive the crash

    async def main():
        for number in (0, 1):
            async with people.create(number) as me:
                ids.append(me.account_id)
        hosts = [people.sim.host(f"10.2.0.{number}") for number in (1, 2)]
        for host, program in zip(hosts, (write, read), strict=True):
            host.start(program)
        chance = people.network.client_world(7).entropy
        for _ in range(8):
            await asyncio.sleep(chance.uniform(0.5, 15))
            host = chance.choice(hosts)
            host.crash()
            await asyncio.sleep(chance.uniform(0, 5))
            host.restart()
        while len(set(heard)) < len(texts):  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    people.run(main)
    assert [text for place, text in enumerate(heard) if text != heard[place - 1]] == texts
    assert len(heard) <= len(texts) + 8

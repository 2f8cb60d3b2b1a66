"""How soon devices are in step for who waits for it, and what a client does that only visits."""

import asyncio

import pytest
from devices import Device, switched_on, virtually
from swarm_model import Swarm

from ramson.crypto.account import AccountKeys
from ramson.messenger.inbox import PATIENCE
from ramson.messenger.sync import DELAY
from ramson.protocol.content import Expiration, ExpirationMode

ALICE, BOB = (AccountKeys.from_seed(bytes([number]) * 32) for number in (1, 2))


HOUR = Expiration(ExpirationMode.AFTER_SEND, 3600)


@pytest.fixture
def swarm():
    return Swarm(1)


@pytest.fixture
def phone(tmp_path, swarm):
    return Device(tmp_path / "phone", ALICE, swarm, name="Alice")


@pytest.fixture
def laptop(tmp_path, swarm):
    """The same account, just restored from its phrase, on a device that only sends."""
    return Device(tmp_path / "laptop", ALICE, swarm, restored=True, seed=1)


@pytest.fixture
def bob(tmp_path, swarm):
    return Device(tmp_path / "bob", BOB, swarm, name="Bob", seed=2)


def test_who_waits_to_be_in_step_waits_no_longer_than_the_network_takes(phone):
    async def main():
        clock = asyncio.get_running_loop().time
        async with switched_on(phone):
            began = clock()
            await phone.engine.sync.settled()  # what there is is fetched, and the name of the new account told
            first = clock() - began
            await asyncio.sleep(60)
            began = clock()
            phone.act.set_profile("Alicia", None, keep_picture=True)
            await phone.engine.sync.settled()
            return first, clock() - began

    first, second = virtually(main())
    assert first < DELAY
    assert second < DELAY


def test_changes_are_told_together_while_nobody_waits(phone):
    async def main():
        async with switched_on(phone):
            await phone.engine.sync.settled()
            await asyncio.sleep(60)
            before = phone.net.requests.count("replace")
            for name in ("one", "two", "three"):
                phone.act.set_profile(name, None, keep_picture=True)
                await asyncio.sleep(DELAY / 4)
            await asyncio.sleep(60)
            return phone.net.requests.count("replace") - before

    assert virtually(main()) == 1


def test_who_only_sends_may_first_learn_what_the_other_devices_know(phone, laptop, bob):
    async def main():
        async with switched_on(phone, bob):
            phone.send(bob, "hi")
            phone.act.set_disappearing(bob.id, HOUR)
            await asyncio.sleep(60)
            bob.send(phone, "hello")
            await asyncio.sleep(60)
            laptop.on(receive=False)
            try:
                async with asyncio.timeout(PATIENCE):
                    await laptop.engine.get_in_step()
                messages = laptop.bodies(bob)
                laptop.send(bob, "from the laptop")
                await asyncio.sleep(60)
                return messages, laptop.store.restoring, laptop.history(bob)[-1], bob.history(laptop)[-1]
            finally:
                await laptop.off()

    messages, restoring, sent, heard = virtually(main())
    assert (messages, restoring) == ([], False)  # messages are left for who receives
    assert (sent.body, sent.expiration) == (heard.body, heard.expiration) == ("from the laptop", HOUR)


def test_who_only_sends_tells_the_other_devices_what_it_changed(phone, laptop, bob):
    async def main():
        async with switched_on(phone):
            await asyncio.sleep(60)
            laptop.on(receive=False)
            try:
                await laptop.engine.get_in_step()
                laptop.act.set_profile("Alicia", None, keep_picture=True)
                told = laptop.store.configs.needs_push
                await laptop.engine.get_in_step()
                await asyncio.sleep(60)
                return told, laptop.store.configs.needs_push, phone.store.name
            finally:
                await laptop.off()

    assert virtually(main()) == (True, False, "Alicia")


def test_being_in_step_is_tried_until_there_is_a_network(swarm, phone, laptop):
    async def main():
        async with switched_on(phone):
            await asyncio.sleep(60)
            swarm.trouble = 1.0
            laptop.on(receive=False)
            try:
                work = asyncio.create_task(laptop.engine.get_in_step())
                await asyncio.sleep(60)
                before = work.done()
                swarm.trouble = 0.0
                async with asyncio.timeout(60):
                    await work
                return before, laptop.store.name
            finally:
                await laptop.off()

    assert virtually(main()) == (False, "Alice")


def test_a_restored_account_that_the_swarm_forgot_is_looked_for_no_longer_than_needed(laptop):
    async def main():
        laptop.on(receive=False)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await laptop.engine.get_in_step()
            return laptop.store.restoring
        finally:
            await laptop.off()

    assert virtually(main()) is False

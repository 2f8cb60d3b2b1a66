"""How soon devices are in step for who waits for it, and what a client does that only visits."""

import asyncio

import pytest
from devices import Device, switched_on, virtually
from swarm_model import Swarm

from ramson.crypto.account import AccountKeys
from ramson.messenger.sync import DELAY

ALICE, BOB = (AccountKeys.from_seed(bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def swarm():
    return Swarm(1)


@pytest.fixture
def phone(tmp_path, swarm):
    return Device(tmp_path / "phone", ALICE, swarm, name="Alice")


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

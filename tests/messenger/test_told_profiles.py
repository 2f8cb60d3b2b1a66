"""What a friend told of itself is what both our devices show in the end (config-sync §4.6, messaging §3.4)."""

import asyncio
import itertools

import pytest
from devices import EPOCH_MS, Device, Swarm, switched_on, virtually

from ramson.messenger.told_profiles import MAX_MENDED, Told
from ramson.protocol.config import ConfigKind, Contact, Picture

SOON = 20.0  # seconds: two polls, a push and a poll
LONG = 200.0
PICTURE = Picture("https://files.example/7", b"k" * 32)
NOW_S = EPOCH_MS // 1000


@pytest.fixture
def friends(tmp_path, alice, bob):
    """Run a scenario with Alice's phone and laptop, and Bob."""
    swarm = Swarm(1)
    phone = Device(tmp_path / "phone", alice, swarm, name="Alice", seed=1)
    laptop = Device(tmp_path / "laptop", alice, swarm, restored=True, seed=2)
    friend = Device(tmp_path / "friend", bob, swarm, name="Bob", seed=3)

    def play(scenario):
        async def main():
            async with switched_on(phone, laptop, friend):
                await asyncio.sleep(SOON)
                friend.send(phone, "hello")
                await asyncio.sleep(SOON)
                phone.send(friend, "hi")
                await asyncio.sleep(SOON)
                return await scenario(phone, laptop, friend)

        return virtually(main())

    return play


async def until(condition):
    while not condition():  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(0.05)


def test_of_what_somebody_told_the_latest_is_remembered_in_whatever_order_it_comes(store, bob):
    words = [  # (profile, when it was sent), the latest last
        (Told("Undated", None, 0), 9),
        (Told("Old", PICTURE, 5), 8),
        (Told("Newer", None, 6), 6),
        (Told("Newer, of the same second", PICTURE, 6), 7),
    ]
    for order in itertools.permutations(words):
        with store.configs.changing():
            store.conversations.clear(bob.id)
            for told, sent_ms in order:
                store.told_profiles.note(bob.id, told, sent_ms)
        assert list(store.told_profiles.latest()) == [(bob.id, words[-1][0])]


def test_what_a_contact_told_goes_with_the_contact(store, bob):
    for remove in (store.conversations.clear, lambda peer: store.conversations.hide(peer, EPOCH_MS)):
        with store.configs.changing():
            store.told_profiles.note(bob.id, Told("Bob", None, 5), 1)
            remove(bob.id)
        assert list(store.told_profiles.latest()) == []


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", ["Rob", "Robert"])  # which device wins the merge differs
def test_a_picture_taken_away_does_not_come_back_with_a_merge(friends, name, restart):
    async def main(phone, laptop, friend):
        laptop.net.online = False
        friend.act.set_profile(None, PICTURE, keep_picture=False)
        friend.send(phone, "how do I look?")
        await until(lambda: phone.contact(friend).picture == PICTURE)
        phone.net.online = False  # before it could tell the laptop
        phone.swarm.take(phone.id, {phone.history(friend)[-1].hash})
        friend.act.set_profile(name, None, keep_picture=False)
        friend.send(phone, "forget it")
        laptop.net.online = True
        await until(lambda: laptop.contact(friend).name == name)
        await asyncio.sleep(SOON)
        phone.net.online = True
        if restart:
            await until(lambda: not phone.store.configs.needs_push)
            await phone.off()  # right after its push
            phone.on()
        await asyncio.sleep(LONG)
        friend.send(phone, "do you see it?")
        await asyncio.sleep(SOON)
        return [(known.name, known.picture) for known in (phone.contact(friend), laptop.contact(friend))]

    assert friends(main) == [(name, None)] * 2


def test_a_name_of_before_a_merge_is_put_right(friends):
    async def main(phone, laptop, friend):
        friend.act.set_profile("Robert", PICTURE, keep_picture=False)
        friend.send(phone, "new name")
        await asyncio.sleep(SOON)
        known = phone.contact(friend)
        mixed = [Contact(friend.id, "Bob", "", PICTURE, known.profile_updated_s, approved=True, approved_me=True)]
        mixed.append(Contact(friend.id, "", "", None, 0, approved=True, approved_me=True))
        for each in mixed:
            # As another device would that merged and knows nothing of this.
            with laptop.store.configs.changing():
                laptop.store.configs.contacts.set(each)
            laptop.engine.sync.changed()
            await asyncio.sleep(2 * SOON)
        return known, phone.contact(friend), laptop.contact(friend)

    known, on_phone, on_laptop = friends(main)
    assert (known.name, known.picture) == ("Robert", PICTURE)
    assert (on_phone.name, on_phone.picture, on_phone.profile_updated_s) == ("Robert", PICTURE, known.profile_updated_s)
    assert on_laptop == on_phone


def test_two_profiles_of_one_second_of_which_each_device_was_told_one_do_not_chase_each_other(friends):
    async def main(phone, laptop, friend):
        def tell(device, told, sent_ms):
            with device.store.configs.changing():
                device.store.configs.contacts.set(told.shown_by(device.contact(friend)))
                device.store.told_profiles.note(friend.id, told, sent_ms)
            device.engine.sync.changed()

        tell(phone, Told("Robert", PICTURE, NOW_S + 50), 1)
        tell(laptop, Told("Bobby", None, NOW_S + 50), 2)
        before = phone.store.configs.config(ConfigKind.CONTACTS).seqno
        await asyncio.sleep(2 * LONG)
        after = [device.store.configs.config(ConfigKind.CONTACTS) for device in (phone, laptop)]
        ours = [device.contact(friend) for device in (phone, laptop)]
        await asyncio.sleep(5 * LONG)
        later = [device.store.configs.config(ConfigKind.CONTACTS).seqno for device in (phone, laptop)]
        assert later == [each.seqno for each in after]
        assert after[0].data == after[1].data
        friend.act.set_profile("Bob", PICTURE, keep_picture=False)
        friend.send(phone, "it is me")
        await asyncio.sleep(2 * SOON)
        return ours, later[0] - before, [device.contact(friend) for device in (phone, laptop)]

    ours, pushes, later = friends(main)
    assert ours[0] == ours[1]
    assert ours[0].name in {"Robert", "Bobby"}
    assert pushes <= 4 * MAX_MENDED + 2
    assert [(known.name, known.picture) for known in later] == [("Bob", PICTURE)] * 2

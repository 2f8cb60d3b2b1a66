"""What people do with messages, as it comes to their other device and to the other side (messaging §3.4 to §3.6)."""

import asyncio
import random
from dataclasses import replace

import pytest
from devices import EPOCH_MS, Device, Swarm, switched_on, virtually

from ramson.crypto.account import AccountKeys
from ramson.messenger import events
from ramson.messenger.actions import (
    Blocked,
    Draft,
    NoSuchMessage,
    NotApproved,
    NotYours,
    TooManyReactions,
)
from ramson.messenger.intake import READ_RECEIPTS, TYPING, with_profile
from ramson.messenger.letters import BadTimer
from ramson.messenger.message import Kind, State
from ramson.network import CannotStore, NoPath
from ramson.protocol.config import ConfigKind, Picture
from ramson.protocol.content import NEVER, Attachment, Expiration, ExpirationMode, Extraction, Quote
from ramson.protocol.namespaces import Namespace

SOON = 20.0  # seconds: two polls, a push and a poll
AFTER_READ = Expiration(ExpirationMode.AFTER_READ, 600)
AFTER_SEND = Expiration(ExpirationMode.AFTER_SEND, 600)


class World:
    """Alice's phone and laptop, and Bob's phone."""

    def __init__(self, directory, alice, bob):
        self.swarm = Swarm(1)
        self.phone = Device(directory / "phone", alice, self.swarm, name="Alice", seed=1)
        self.laptop = Device(directory / "laptop", alice, self.swarm, restored=True, seed=2)
        self.bob = Device(directory / "bob", bob, self.swarm, name="Bob", seed=3)
        self.all = (self.phone, self.laptop, self.bob)

    def play(self, scenario, *, friends=True):
        async def main():
            async with switched_on(*self.all):
                await asyncio.sleep(SOON)
                if friends:
                    self.phone.send(self.bob, "hello")
                    await asyncio.sleep(SOON)
                    self.bob.send(self.phone, "hi")
                    await asyncio.sleep(SOON)
                return await scenario()

        return virtually(main())


@pytest.fixture
def world(tmp_path, alice, bob):
    return World(tmp_path, alice, bob)


def last(device, peer):
    return device.history(peer)[-1]


def pairs(message):
    return [(reaction.emoji, reaction.reactor) for reaction in message.reactions]


def test_a_first_message_is_a_request_until_it_is_answered(world):
    async def main():
        world.phone.send(world.bob, "do you know me?")
        await asyncio.sleep(SOON)
        (request,) = world.bob.act.conversations(requests=True)
        before = (world.bob.contact(world.phone), world.phone.contact(world.bob), world.laptop.contact(world.bob))
        assert world.bob.act.conversations(requests=False) == []
        world.bob.act.accept(world.phone.id)
        await asyncio.sleep(SOON)
        after = (world.bob.contact(world.phone), world.phone.contact(world.bob), world.laptop.contact(world.bob))
        return request, before, after

    request, before, after = world.play(main, friends=False)
    assert (request.peer, request.name, request.last.body, request.unread) == (
        world.phone.id,
        "Alice",
        "do you know me?",
        1,
    )
    assert [(each.approved, each.approved_me) for each in before] == [(False, True), (True, False), (True, False)]
    assert [(each.approved, each.approved_me) for each in after] == [(True, True)] * 3
    assert world.bob.told(events.RequestReceived)[0].contact.name == "Alice"
    assert [event.contact.id for event in world.phone.told(events.RequestAccepted)] == [world.bob.id]


def test_who_answers_a_request_has_accepted_it(world):
    async def main():
        world.phone.send(world.bob, "do you know me?")
        await asyncio.sleep(SOON)
        world.bob.send(world.phone, "I do")
        await asyncio.sleep(SOON)
        return world.bob.contact(world.phone), world.phone.contact(world.bob)

    for contact in world.play(main, friends=False):
        assert contact.approved
        assert contact.approved_me
    assert world.bob.net.requests.count("store") >= 3  # the answer that the request is accepted, and the message


def test_a_declined_request_is_gone_on_all_devices_and_may_be_made_again(world):
    async def main():
        for device in (world.laptop, world.phone):
            assert device.contact(world.bob) is None
        world.bob.send(world.phone, "buy this")
        await asyncio.sleep(SOON)
        assert world.laptop.bodies(world.bob) == ["buy this"]
        await asyncio.sleep(SOON)
        world.phone.act.decline(world.bob.id)
        await asyncio.sleep(SOON)
        gone = [(device.contact(world.bob), device.bodies(world.bob)) for device in (world.phone, world.laptop)]
        left = [box for node in world.swarm.nodes for ns, _ in node.box(world.phone.id) for box in [ns] if ns == 0]
        await asyncio.sleep(300)
        world.bob.send(world.phone, "really, buy this")
        await asyncio.sleep(SOON)
        return gone, left, [device.bodies(world.bob) for device in (world.phone, world.laptop)]

    gone, left, again = world.play(main, friends=False)
    assert gone == [(None, []), (None, [])]
    assert left == []
    assert again == [["really, buy this"]] * 2


def test_a_blocked_person_is_not_heard_on_any_device(world):
    async def main():
        world.laptop.act.block(world.bob.id)
        await asyncio.sleep(SOON)
        world.bob.send(world.phone, "hear me")
        await asyncio.sleep(SOON)
        heard = [device.bodies(world.bob) for device in (world.phone, world.laptop)]
        with pytest.raises(Blocked):
            world.phone.send(world.bob, "no")
        world.phone.act.block(world.bob.id, blocked=False)
        await asyncio.sleep(SOON)
        world.bob.send(world.phone, "and now?")
        await asyncio.sleep(SOON)
        return heard, world.laptop.bodies(world.bob)

    heard, after = world.play(main)
    assert heard == [["hello", "hi"]] * 2
    assert after == ["hello", "hi", "and now?"]


def test_profiles_come_with_messages_and_only_newer_ones_count(world):
    picture = Picture("https://files.example/7", b"k" * 32)

    async def main():
        await asyncio.sleep(5)
        world.phone.act.set_profile("Alice B.", picture, keep_picture=False)
        world.phone.send(world.bob, "new name")
        await asyncio.sleep(SOON)
        return world.bob.contact(world.phone), world.laptop.store.name, world.laptop.act.own_profile()

    contact, name, profile = world.play(main)
    assert (contact.name, contact.picture) == ("Alice B.", picture)
    assert (name, profile.picture_url) == ("Alice B.", picture.url)
    assert contact.profile_updated_s == profile.updated_s > EPOCH_MS // 1000


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("speaker", ["phone", "laptop"])
@pytest.mark.parametrize("named_first", [False, True])
def test_a_name_and_a_picture_set_on_two_devices_at_once_are_both_told(world, restart, speaker, named_first):
    picture = Picture("https://files.example/7", b"k" * 32)
    set_picture = (world.phone, lambda device: device.act.set_profile(None, picture, keep_picture=False))
    set_name = (world.laptop, lambda device: device.act.set_profile("Alicia", None, keep_picture=True))

    async def main():
        for device in (world.phone, world.laptop):
            device.net.online = False
        for device, change in (set_name, set_picture) if named_first else (set_picture, set_name):
            change(device)
            await asyncio.sleep(5)
            # The friend hears of the change, at its time, before the devices hear of each other.
            profile = device.act.own_profile()
            with world.bob.store.configs.changing():
                world.bob.store.configs.contacts.set(with_profile(world.bob.contact(device), profile))
        for device in (world.phone, world.laptop):
            if restart:
                await device.off()
                device.on()
            device.net.online = True
        await asyncio.sleep(2 * SOON)
        getattr(world, speaker).send(world.bob, "who am I?")
        await asyncio.sleep(SOON)
        ours = [device.store.configs.profile for device in (world.phone, world.laptop)]
        return world.bob.contact(world.phone), {(each.name, each.picture, each.updated_s) for each in ours}

    contact, ours = world.play(main)
    assert (contact.name, contact.picture) == ("Alicia", picture)
    assert ours == {("Alicia", picture, contact.profile_updated_s)}


def test_a_name_undone_while_others_merge_is_told_again(world, alice, tmp_path):
    tablet = Device(tmp_path / "tablet", alice, world.swarm, restored=True, seed=4)
    world.all += (tablet,)

    async def main():
        world.phone.net.online = False
        world.phone.act.set_profile("Alicia", None, keep_picture=True)
        # Who writes at the same time as another merges, and then says anew all it knows.
        for priority, device in enumerate((world.laptop, tablet), 1):
            device.act.set_priority(alice.id, priority)
        await asyncio.sleep(SOON)
        world.phone.net.online = True
        for _ in range(60):  # every name that the phone has meanwhile is told
            world.phone.send(world.bob, world.phone.store.name)
            await asyncio.sleep(0.5)
        await asyncio.sleep(SOON)
        devices = (world.phone, world.laptop, tablet)
        return set(world.phone.bodies(world.bob)), world.bob.contact(world.phone).name, [d.store.name for d in devices]

    told, known, ours = world.play(main)
    assert {"Alice", "Alicia"} <= told
    assert known == "Alicia"
    assert ours == ["Alicia"] * 3


@pytest.mark.parametrize("kept", ["Alice", ""])
def test_a_picture_that_was_taken_away_and_a_name_are_so_for_friends(world, kept):
    async def main():
        world.phone.act.set_profile("Alice", Picture("https://files.example/7", b"k" * 32), keep_picture=False)
        world.phone.send(world.bob, "look")
        await asyncio.sleep(SOON)
        before = world.bob.contact(world.phone)
        world.laptop.act.set_profile(kept, None, keep_picture=False)
        world.laptop.send(world.bob, "enough")
        await asyncio.sleep(SOON)
        return before, world.bob.contact(world.phone)

    before, after = world.play(main)
    assert (before.name, before.picture.url) == ("Alice", "https://files.example/7")
    assert (after.name, after.picture) == (kept, None)


def test_two_names_within_a_second_are_both_told(world):
    async def main():
        for name in ("Al", "Ali"):
            world.phone.act.set_profile(name, None, keep_picture=True)
            world.phone.send(world.bob, f"I am {name}")
        await asyncio.sleep(SOON)
        return world.bob.contact(world.phone).name

    assert world.play(main) == "Ali"


def test_reactions_are_seen_everywhere_and_can_be_withdrawn(world):
    async def main():
        world.laptop.act.react(last(world.laptop, world.bob), "👍")
        world.bob.act.react(last(world.bob, world.phone), "😂")
        await asyncio.sleep(SOON)
        seen = [pairs(last(*each)) for each in ((world.phone, world.bob), (world.laptop, world.bob))]
        seen.append(pairs(last(world.bob, world.phone)))
        world.phone.act.react(last(world.phone, world.bob), "👍", removed=True)
        await asyncio.sleep(SOON)
        return seen, [pairs(last(*each)) for each in ((world.laptop, world.bob), (world.bob, world.phone))]

    seen, after = world.play(main)
    alice, bob = world.phone.id, world.bob.id
    assert [sorted(each, key=str) for each in seen] == [sorted([("👍", alice), ("😂", bob)], key=str)] * 3
    assert after == [[("😂", bob)]] * 2


def test_reactions_have_a_rate_and_need_approval(world):
    async def main():
        message = last(world.phone, world.bob)
        for number in range(20):
            world.phone.act.react(message, str(number))
        with pytest.raises(TooManyReactions):
            world.phone.act.react(message, "x")
        world.phone.act.react(message, "1", removed=True)
        await asyncio.sleep(61)
        world.phone.act.react(message, "x")

    world.play(main)


def test_nobody_reacts_to_a_request(world):
    async def main():
        world.phone.send(world.bob, "hello")
        await asyncio.sleep(SOON)
        with pytest.raises(NotApproved):
            world.bob.act.react(last(world.bob, world.phone), "x")

    world.play(main, friends=False)


def test_what_is_taken_back_is_a_stub_everywhere_and_gone_from_the_swarm(world):
    async def main():
        world.phone.send(world.bob, "a secret")
        await asyncio.sleep(SOON)
        message = last(world.laptop, world.bob)
        with pytest.raises(NotYours):
            world.bob.act.unsend(last(world.bob, world.phone))
        world.laptop.act.unsend(message)
        await asyncio.sleep(SOON)
        with pytest.raises(NoSuchMessage):
            world.laptop.act.unsend(message)
        stubs = [last(*each) for each in ((world.phone, world.bob), (world.laptop, world.bob))]
        stubs.append(last(world.bob, world.phone))
        found = [device.store.conversations.search("secret", 9) for device in world.all]
        return stubs, found, message

    stubs, found, message = world.play(main)
    assert [(stub.kind, stub.body, stub.sent_ms) for stub in stubs] == [(Kind.DELETED, "", message.sent_ms)] * 3
    assert found == [[]] * 3
    sent = [
        data
        for node in world.swarm.nodes
        for box in node.kept.values()
        for (ns, _), (data, at, _) in box.items()
        if ns == 0 and abs(at - message.sent_ms) < 4000
    ]
    assert sent == []


def test_a_note_that_is_taken_back_goes_wholly(world):
    async def main():
        world.phone.send(world.phone, "milk")
        await asyncio.sleep(SOON)
        notes = world.laptop.bodies(world.laptop)
        world.laptop.act.unsend(last(world.laptop, world.laptop))
        await asyncio.sleep(SOON)
        return notes, [device.history(world.phone) for device in (world.phone, world.laptop)]

    assert world.play(main) == (["milk"], [[], []])


def test_a_message_taken_back_before_it_was_sent_never_arrives(world):
    async def main():
        world.phone.net.online = False
        number = world.phone.send(world.bob, "wait, no")
        await asyncio.sleep(60)
        world.phone.act.unsend(last(world.phone, world.bob))
        world.phone.net.online = True
        receipt = await world.phone.engine.outbox.settled(number)
        await asyncio.sleep(120)
        return receipt, [device.bodies(peer) for device, peer in ((world.bob, world.phone), (world.laptop, world.bob))]

    receipt, bodies = world.play(main)
    assert receipt.state is State.FAILED
    assert bodies == [["hello", "hi"]] * 2


def test_what_was_deleted_at_once_does_not_come_back_with_the_copy_for_our_other_devices(world):
    async def lost(_keys, _hashes):
        raise NoPath("the request to delete it is lost")

    async def main():
        world.phone.net.delete = lost
        world.phone.send(world.bob, "oops")
        await world.phone.engine.outbox.drained()
        world.phone.act.delete(last(world.phone, world.bob))
        await asyncio.sleep(SOON)
        kept = world.phone.bodies(world.bob)
        world.phone.send(world.bob, "farewell")
        await world.phone.engine.outbox.drained()
        world.phone.act.decline(world.bob.id)
        await asyncio.sleep(SOON)
        return kept, world.phone.bodies(world.bob), world.phone.contact(world.bob)

    assert world.play(main) == (["hello", "hi"], [], None)


def test_reading_on_one_device_is_reading_on_the_other(world):
    async def main():
        world.bob.send(world.phone, "read me")
        await asyncio.sleep(SOON)
        unread = [device.act.conversations(requests=False)[0].unread for device in (world.phone, world.laptop)]
        world.laptop.act.mark_read(world.bob.id)
        await asyncio.sleep(SOON)
        after = [device.act.conversations(requests=False)[0].unread for device in (world.phone, world.laptop)]
        world.phone.act.mark_unread(world.bob.id)
        await asyncio.sleep(SOON)
        return unread, after, world.laptop.act.conversations(requests=False)[0].marked_unread

    assert world.play(main) == ([2, 2], [0, 0], True)
    assert world.phone.told(events.ConversationRead)


@pytest.mark.parametrize("first_back", ["phone", "laptop"])
@pytest.mark.parametrize("further", ["phone", "laptop"])
def test_of_two_places_read_up_to_at_the_same_moment_the_later_one_counts(world, further, first_back):
    async def main():
        for text in ("one", "two"):
            world.bob.send(world.phone, text)
            await asyncio.sleep(SOON)
        one, two = (each.sent_ms for each in world.phone.history(world.bob) if each.body in {"one", "two"})
        devices = {"phone": world.phone, "laptop": world.laptop}
        for device in devices.values():
            device.net.online = False
        for name, device in devices.items():
            device.act.mark_read(world.bob.id, two if name == further else one)
        for name in sorted(devices, key=lambda name: name != first_back):
            devices[name].net.online = True
            await asyncio.sleep(SOON)
        await asyncio.sleep(SOON)
        return two, [device.store.conversations.last_read(world.bob.id) for device in devices.values()]

    two, places = world.play(main)
    assert places == [two, two]


def test_read_receipts_are_told_only_if_both_want_them(world):
    async def main():
        world.bob.send(world.phone, "first")
        await asyncio.sleep(SOON)
        world.phone.act.mark_read(world.bob.id)
        world.bob.store.set_setting(READ_RECEIPTS, on=True)
        await asyncio.sleep(SOON)
        off = last(world.bob, world.phone).read
        world.phone.store.set_setting(READ_RECEIPTS, on=True)
        world.bob.send(world.phone, "second")
        await asyncio.sleep(SOON)
        world.phone.act.mark_read(world.bob.id)
        await asyncio.sleep(SOON)
        return off, [message.read for message in world.bob.history(world.phone) if not message.incoming]

    off, read = world.play(main)
    assert not off
    assert read == [False, False, True]
    assert len(world.bob.told(events.MessagesRead)) == 1


def test_typing_is_told_to_approved_people_who_want_it(world):
    async def main():
        assert world.phone.act.typing(world.bob.id, started=True) is None
        world.phone.store.set_setting(TYPING, on=True)
        (letter,) = world.phone.act.typing(world.bob.id, started=True).sealed
        await world.phone.net.store(letter.recipient, letter.data, ttl_ms=letter.ttl_ms)
        await asyncio.sleep(SOON)

    world.play(main)
    assert [event.typing for event in world.bob.told(events.TypingChanged)] == [True]


def test_quotes_and_attachments_arrive_as_they_were_sent(world):
    file = Attachment("https://files.example/1", b"k" * 64, b"d" * 32, 5, "image/png", "a.png")

    async def main():
        hello = world.bob.history(world.phone)[0]
        world.bob.send(world.phone, "", quote=Quote(hello.sent_ms, hello.sender.hex), attachments=(file,))
        await asyncio.sleep(SOON)
        return hello, last(world.phone, world.bob)

    hello, message = world.play(main)
    assert [each.pointer for each in message.attachments] == [file]
    assert message.quote == Quote(hello.sent_ms, world.phone.id.hex)


def test_messages_that_disappear_after_sending_are_gone_on_all_devices(world):
    async def main():
        world.phone.act.set_disappearing(world.bob.id, AFTER_SEND)
        await asyncio.sleep(SOON)
        number = world.phone.send(world.bob, "mind the gap")
        await asyncio.sleep(SOON)
        world.bob.send(world.phone, "stays")
        await asyncio.sleep(SOON)
        there = [device.bodies(peer)[-2:] for device, peer in VIEWS(world)]
        await asyncio.sleep(500)
        await world.laptop.off()
        await asyncio.sleep(100)
        world.laptop.on()
        await asyncio.sleep(1)
        return number, there, [device.bodies(peer) for device, peer in VIEWS(world)]

    _, there, after = world.play(main)
    assert there == [["mind the gap", "stays"]] * 3
    assert after == [["hello", "hi", "stays"]] * 3
    assert [event.expiration for event in world.bob.told(events.TimerChanged)] == [AFTER_SEND]
    assert world.bob.contact is not None


def VIEWS(world):  # noqa: N802 - reads as a constant
    return ((world.phone, world.bob), (world.laptop, world.bob), (world.bob, world.phone))


def test_the_other_side_does_not_follow_a_timer_by_itself(world):
    async def main():
        world.phone.act.set_disappearing(world.bob.id, AFTER_READ)
        await asyncio.sleep(SOON)
        notice = last(world.bob, world.phone)
        return notice, world.bob.act.expiration(world.phone.id), world.laptop.act.expiration(world.bob.id)

    notice, theirs, ours = world.play(main)
    assert (notice.kind, notice.expiration) == (Kind.TIMER, AFTER_READ)
    assert theirs == NEVER
    assert ours == AFTER_READ


def test_messages_that_disappear_after_reading_wait_until_they_are_read(world):
    async def main():
        world.bob.act.set_disappearing(world.phone.id, AFTER_READ)
        world.bob.send(world.phone, "read and burn")
        await asyncio.sleep(2 * 600)
        waiting = [device.bodies(peer)[-1] for device, peer in VIEWS(world)]
        world.phone.act.mark_read(world.bob.id)
        await asyncio.sleep(60)
        left = [last(device, world.bob).expires_ms - world.swarm.now() for device in (world.phone, world.laptop)]
        expiries = [
            value[2] - world.swarm.now()
            for node in world.swarm.nodes
            for value in node.box(world.phone.id).values()
            if value[2] - world.swarm.now() < 600_000
        ]
        await asyncio.sleep(600)
        fresh = Device(world.phone.path.with_name("tablet"), world.phone.keys, world.swarm, restored=True, seed=9)
        async with switched_on(fresh):
            await asyncio.sleep(60)
            restored = fresh.bodies(world.bob)
        return waiting, left, expiries, [device.bodies(peer) for device, peer in VIEWS(world)], restored

    waiting, left, expiries, after, restored = world.play(main)
    assert waiting == ["read and burn", "read and burn", "hi"]  # its writer read it when it was written
    assert all(0 < each <= 600_000 for each in left)
    assert expiries
    assert after == [["hello", "hi"]] * 3
    assert "read and burn" not in restored


def test_a_read_state_that_came_first_starts_the_time_of_what_was_read(world):
    async def main():
        world.bob.act.set_disappearing(world.phone.id, AFTER_READ)
        await asyncio.sleep(SOON)
        await world.laptop.off()
        world.bob.send(world.phone, "read and burn")
        await asyncio.sleep(SOON)
        world.phone.act.mark_read(world.bob.id)
        await asyncio.sleep(SOON)
        world.laptop.on()
        await asyncio.sleep(SOON)
        expires = last(world.laptop, world.bob).expires_ms
        return expires - last(world.phone, world.bob).expires_ms

    assert abs(world.play(main)) < 1000


def test_wrong_timers_are_refused(world):
    async def main():
        with pytest.raises(BadTimer):
            world.phone.act.set_disappearing(world.phone.id, AFTER_READ)
        world.phone.act.set_disappearing(world.phone.id, AFTER_SEND)
        world.phone.send(world.phone, "note")
        await asyncio.sleep(SOON)
        before = world.laptop.bodies(world.phone)
        setting = world.laptop.act.expiration(world.phone.id)
        await asyncio.sleep(600)
        return before, setting, [device.bodies(world.phone) for device in (world.phone, world.laptop)]

    before, setting, after = world.play(main)
    assert before[-1] == "note"
    assert setting == AFTER_SEND
    assert after == [[], []]


def test_screenshots_and_calls_are_noted(world):
    async def main():
        world.bob.act.tell_extraction(world.phone.id, Extraction.SCREENSHOT)
        await asyncio.sleep(SOON)
        return [(device.history(peer)[-1].kind, device.history(peer)[-1].incoming) for device, peer in VIEWS(world)]

    assert world.play(main) == [(Kind.SCREENSHOT, True), (Kind.SCREENSHOT, True), (Kind.SCREENSHOT, False)]


def test_texts_are_found_by_words_and_beginnings(world):
    async def main():
        for text in ("the owl flies at noon", "owls are not what they seem", 'a "quoted" AND thing', "größe Ünder"):
            world.phone.send(world.bob, text)
        conversations = world.phone.store.conversations
        return [
            [message.body for message in conversations.search(query, 9)]
            for query in ("owl flies", "OWL", "quoted", '"', "AND", "groß", "not here", "", "NEAR(", "*")
        ]

    found = world.play(main)
    assert found[0] == ["the owl flies at noon"]
    assert found[1] == ["owls are not what they seem", "the owl flies at noon"]
    assert found[2] == found[4] == ['a "quoted" AND thing']
    assert found[5] == ["größe Ünder"]
    assert [found[index] for index in (3, 6, 7, 8, 9)] == [[]] * 5


def test_a_restored_device_has_profile_contacts_and_read_states_back(world):
    async def main():
        world.phone.act.change_contact(world.bob.id, lambda contact: replace(contact, nickname="B"))
        world.phone.act.mark_read(world.bob.id)
        await asyncio.sleep(SOON)
        tablet = Device(world.phone.path.with_name("tablet"), world.phone.keys, world.swarm, name="X", restored=True)
        async with switched_on(tablet):
            async with asyncio.timeout(15):
                await tablet.engine.sync.settled()
            contact = tablet.contact(world.bob)
            (line,) = tablet.act.conversations(requests=False)
            return contact, tablet.store.name, line, tablet.net.requests

    contact, name, line, requests = world.play(main)
    assert (contact.name, contact.nickname, contact.approved, contact.approved_me) == ("Bob", "B", True, True)
    assert name == "Alice"
    assert (line.unread, line.last.body) == (0, "hi")
    assert "replace" not in requests


def test_an_account_without_a_profile_takes_the_name_that_was_wished_for(tmp_path, alice):
    swarm = Swarm(1)
    device = Device(tmp_path / "a", alice, swarm, name="Wished", restored=True)

    async def main():
        async with switched_on(device):
            await asyncio.sleep(10)
            early = device.net.requests.count("replace")
            await asyncio.sleep(60)
            return early, device.store.configs.profile.name, device.store.restoring

    assert virtually(main()) == (0, "Wished", False)


def test_a_restored_account_that_finds_nothing_pushes_nothing(tmp_path, alice):
    device = Device(tmp_path / "a", alice, Swarm(1), restored=True)

    async def main():
        async with switched_on(device):
            await asyncio.sleep(120)
            return set(device.net.requests)

    assert virtually(main()) == {"poll"}


def test_nothing_is_pushed_before_everything_was_fetched(tmp_path, alice):
    device = Device(tmp_path / "a", alice, Swarm(1), name="Alice")

    async def failing(*_args, **_options):
        raise NoPath("x")

    async def main():
        async with switched_on(device):
            poll, device.net.poll = device.net.poll, failing
            await asyncio.sleep(60)
            before = list(device.net.requests)
            device.net.poll = poll
            await asyncio.sleep(60)
            return before, device.net.requests

    before, after = virtually(main())
    assert "replace" not in before
    assert "replace" in after


def test_what_the_swarm_loses_is_stored_again(world):
    async def main():
        for node in world.swarm.nodes:
            box = node.box(world.phone.id)
            for key in [key for key in box if key[0] == Namespace.CONTACTS]:
                del box[key]
        await asyncio.sleep(3700)
        return {key[0] for key in world.swarm.nodes[0].box(world.phone.id)}

    assert Namespace.CONTACTS in world.play(main)


def test_configs_are_kept_alive(world):
    async def main():
        await asyncio.sleep(5 * 3600)
        now = world.swarm.now()
        return [
            (value[2] - now) / 86_400_000
            for node in world.swarm.nodes
            for key, value in node.box(world.phone.id).items()
            if key[0] in {Namespace.CONTACTS, Namespace.USER_PROFILE}
        ]

    days_left = world.play(main)
    assert len(days_left) == 2 * len(world.swarm.nodes)
    assert min(days_left) > 30 - 1.2 / 24


def test_a_removed_contact_does_not_come_back_with_an_old_message(world):
    async def main():
        await world.laptop.off()
        world.bob.send(world.phone, "old news")
        await asyncio.sleep(180)
        world.phone.act.decline(world.bob.id)
        await asyncio.sleep(SOON)
        # The swarm has forgotten to delete it, as when the phone dies before it could.
        world.swarm.gone.clear()
        world.laptop.on()
        await asyncio.sleep(SOON)
        old = Device(world.phone.path.with_name("tablet"), world.phone.keys, world.swarm, restored=True, seed=5)
        async with switched_on(old):
            await asyncio.sleep(60)
            return [(device.contact(world.bob), device.bodies(world.bob)) for device in (world.laptop, old)]

    assert world.play(main) == [(None, []), (None, [])]


def test_a_first_message_that_waited_for_a_network_is_a_request(world, tmp_path):
    eve = Device(tmp_path / "eve", AccountKeys.generate(random.Random("eve")), world.swarm, name="Eve", seed=6)
    world.all += (eve,)

    async def main():
        eve.net.online = False
        eve.send(world.phone, "written on the train")
        await asyncio.sleep(600)
        world.phone.act.block(AccountKeys.generate(random.Random("mallory")).id)  # the contacts are newer now
        await asyncio.sleep(SOON)
        eve.net.online = True
        await asyncio.sleep(120)
        return [(device.contact(eve), device.bodies(eve)) for device in (world.phone, world.laptop)]

    for contact, bodies in world.play(main):
        assert (contact.name, contact.approved, bodies) == ("Eve", False, ["written on the train"])


@pytest.mark.parametrize("restart", [False, True])
def test_a_contact_removed_while_others_merge_does_not_come_back(world, alice, bob, tmp_path, restart):
    tablet = Device(tmp_path / "tablet", alice, world.swarm, restored=True, seed=4)
    world.all += (tablet,)
    strangers = [AccountKeys.generate(random.Random(f"stranger {number}")).id for number in (1, 2)]

    async def main():
        world.phone.net.online = False
        world.phone.act.decline(bob.id)
        # Who writes at the same time as another merges, and then says anew all it knows.
        for device, stranger in zip((world.laptop, tablet), strangers, strict=True):
            device.act.block(stranger)
        await asyncio.sleep(SOON)
        assert world.laptop.contact(world.bob)
        if restart:
            await world.phone.off()
            world.phone.on()
        world.phone.net.online = True
        await asyncio.sleep(3 * SOON)
        devices = (world.phone, world.laptop, tablet)
        told = [event.contact is None for event in world.phone.told(events.ContactChanged) if event.id == bob.id]
        return told[-1], [
            (device.contact(world.bob), [device.store.configs.contact(each).blocked for each in strangers])
            for device in devices
        ]

    gone, found = world.play(main)
    assert gone
    assert found == [(None, [True, True])] * 3


def test_a_message_held_for_nobody_is_shown_when_its_sender_is_a_contact_after_all(world):
    async def main():
        phone, laptop = world.phone, world.laptop
        await phone.off()
        for device in (laptop,):
            await asyncio.sleep(300)
            device.act.change_contact(world.bob.id, lambda contact: contact)  # a contacts config of now
        await asyncio.sleep(SOON)
        with laptop.store.configs.changing():
            laptop.store.configs.note_time(ConfigKind.CONTACTS, world.swarm.now() + 1_000_000)
            laptop.store.configs.contacts.erase(world.bob.id)
        world.bob.send(laptop, "am I held?")
        await asyncio.sleep(SOON)
        held = laptop.bodies(world.bob)
        laptop.act.change_contact(world.bob.id, lambda contact: contact)
        world.bob.send(laptop, "next")
        await asyncio.sleep(SOON)
        return held, laptop.bodies(world.bob)

    held, shown = world.play(main)
    assert "am I held?" not in held or held == shown
    assert "am I held?" in shown


def test_a_failed_message_can_be_sent_again_as_it_was(world):
    async def main():
        store = world.phone.net.store

        async def refuse(*_args, **_options):
            raise CannotStore("no")

        world.phone.net.store = refuse
        number = world.phone.send(world.bob, "again?")
        failed = await world.phone.engine.outbox.settled(number)
        world.phone.net.store = store
        world.phone.act.resend(last(world.phone, world.bob))
        world.phone.engine.outbox.wake()
        sent = await world.phone.engine.outbox.settled(number)
        await asyncio.sleep(SOON)
        return failed, sent, last(world.bob, world.phone), world.laptop.bodies(world.bob)

    failed, sent, arrived, copied = world.play(main)
    assert (failed.state, sent.state, failed.sent_ms) == (State.FAILED, State.SENT, sent.sent_ms)
    assert (arrived.body, arrived.sent_ms) == ("again?", sent.sent_ms)
    assert copied[-1] == "again?"


def test_drafts_are_checked(world):
    async def main():
        with pytest.raises(Exception, match="at most 32"):
            world.phone.act.send(world.bob.id, Draft("x", attachments=(Attachment(),) * 33))

    world.play(main, friends=False)

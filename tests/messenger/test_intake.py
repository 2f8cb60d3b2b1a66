"""What arrives changes an account in the same way in whatever order, and only as far as its sender may (§3.4)."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from devices import CHEAP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountKeys
from ramson.messenger import events
from ramson.messenger.intake import MAX_REQUESTS, READ_RECEIPTS, Intake, with_profile
from ramson.messenger.letters import Letter
from ramson.messenger.message import Kind
from ramson.messenger.store import Store
from ramson.protocol import content
from ramson.protocol.config import ConfigKind, Contact
from ramson.protocol.content import (
    Call,
    CallStep,
    DataExtraction,
    Expiration,
    ExpirationMode,
    Extraction,
    GroupInvite,
    GroupPromotion,
    OtherContent,
    Profile,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    TextMessage,
    Typing,
    Unsend,
)

NOW = 1_700_000_000_000
EVE = AccountKeys.generate(random.Random(66))


def letter(sender, message, *, to=None, name=None, expiry_ms=0):
    try:
        raw = content.encode(message)
    except Exception:  # kinds that are only read
        raw = b""
    name = name or f"{type(message).__name__} {sender.id.hex[:6]} {message.sent_ms} {hash(raw)}"
    return Letter(sender.id, (to or sender).id, message, raw, name, expiry_ms)


def take(store, *letters, now=NOW):
    return Intake(store).receive(letters, {}, [each.hash for each in letters], [], now)


def befriend(store, keys, **fields):
    with store.configs.changing():
        store.configs.contacts.set(Contact(keys.id, **{"approved": True, "approved_me": True} | fields))


def state(store, peer):
    """Return what a person sees of a conversation."""
    return [
        (m.sender, m.sent_ms, m.kind, m.body, sorted((r.emoji, r.reactor) for r in m.reactions), m.read)
        for m in store.conversations.history(peer.id, 999)
    ]


def texts(bob, alice):
    return [
        letter(bob, TextMessage("one", NOW + 1)),
        letter(bob, TextMessage("two", NOW + 2, profile=Profile("Bob", updated_s=5))),
        letter(bob, TextMessage("three", NOW + 3, profile=Profile("Bobby", updated_s=9))),
        letter(alice, TextMessage("mine", NOW + 4), to=bob),
        letter(alice, TextMessage("mine too", NOW + 5), to=bob),
        letter(bob, ReactionChange(NOW + 4, alice.id, "x", False, NOW + 10)),
        letter(bob, ReactionChange(NOW + 4, alice.id, "x", True, NOW + 11)),
        letter(bob, ReactionChange(NOW + 4, alice.id, "y", True, NOW + 12)),
        letter(bob, ReactionChange(NOW + 4, alice.id, "y", False, NOW + 13)),
        letter(alice, ReactionChange(NOW + 1, bob.id, "z", False, NOW + 14), to=bob),
        letter(bob, Unsend(NOW + 2, bob.id, NOW + 15)),
        letter(alice, Unsend(NOW + 5, alice.id, NOW + 16), to=alice),
        letter(bob, ReadReceipt((NOW + 4, NOW + 5), NOW + 17)),
        letter(bob, TextMessage("one", NOW + 1), name="sealed again"),
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(order=st.permutations(range(14)), cuts=st.sets(st.integers(1, 13), max_size=5))
def test_whatever_the_order_the_end_is_the_same(tmp_path_factory, alice, bob, order, cuts):
    path = tmp_path_factory.mktemp("intake") / "a"
    Store.create(path, "correct horse", alice, name="", now_ms=1, entropy=random.Random(1), cost=CHEAP)
    store = Store.open(path, "correct horse", entropy=random.Random(0))
    store.db._connection.pragma("synchronous", "OFF")
    store.set_setting(READ_RECEIPTS, on=True)
    befriend(store, bob)
    letters = texts(bob, alice)
    marks = [0, *sorted(cuts), len(order)]
    for start, end in pairwise(marks):
        take(store, *(letters[index] for index in order[start:end]), now=NOW + 100)
    assert state(store, bob) == [
        (bob.id, NOW + 1, Kind.TEXT, "one", [("z", alice.id)], False),
        (bob.id, NOW + 2, Kind.DELETED, "", [], False),
        (bob.id, NOW + 3, Kind.TEXT, "three", [], False),
        (alice.id, NOW + 4, Kind.TEXT, "mine", [("y", bob.id)], True),
        (alice.id, NOW + 5, Kind.DELETED, "", [], True),
    ]
    assert store.configs.contact(bob.id).name == "Bobby"
    store.close()


def test_nobody_touches_what_others_wrote(store, alice, bob):
    befriend(store, bob)
    befriend(store, EVE)
    take(store, letter(bob, TextMessage("hi", NOW)), letter(alice, TextMessage("mine", NOW + 1), to=bob))
    before = state(store, bob)
    take(
        store,
        letter(EVE, Unsend(NOW, EVE.id, NOW + 2)),
        letter(EVE, ReactionChange(NOW, bob.id, "x", False, NOW + 3)),
        letter(EVE, ReadReceipt((NOW + 1,), NOW + 4)),
    )
    assert state(store, bob) == before


def test_a_blocked_sender_leaves_no_trace(store, bob):
    befriend(store, bob, blocked=True)
    told = take(
        store,
        letter(bob, TextMessage("hi", NOW)),
        letter(bob, Typing(True, NOW)),
        letter(bob, RequestResponse(True, NOW)),
        letter(bob, Unsend(5, bob.id, NOW)),
    )
    assert told == []
    assert state(store, bob) == []


def test_strangers_only_make_requests(store, bob):
    told = take(
        store,
        letter(bob, Typing(True, NOW)),
        letter(bob, Call(CallStep.OFFER, "c", NOW)),
        letter(bob, RequestResponse(True, NOW)),
        letter(bob, ReadReceipt((1,), NOW)),
        letter(bob, DataExtraction(Extraction.SCREENSHOT, NOW)),
        letter(bob, OtherContent(("x",), NOW)),
    )
    assert told == []
    assert store.configs.contact(bob.id) is None
    take(store, letter(bob, TextMessage("hi", NOW + 1, profile=Profile("B" * 200, "https://x/", b"short", 1))))
    contact = store.configs.contact(bob.id)
    assert (contact.approved, contact.approved_me, len(contact.name), contact.picture) == (False, True, 100, None)


def test_what_was_read_is_noted_though_the_approval_by_another_device_is_not_here_yet(store, alice, bob):
    store.set_setting(READ_RECEIPTS, on=True)
    befriend(store, bob, approved=False)
    answer, receipt = letter(alice, TextMessage("mine", NOW + 1), to=bob), letter(bob, ReadReceipt((NOW + 1,), NOW + 2))
    for letters in ([answer], [receipt]):
        take(store, *letters)
    assert [message.read for message in store.conversations.history(bob.id, 9)] == [True]


def test_requests_are_bounded(store):
    with store.configs.changing():
        for number in range(MAX_REQUESTS):
            raw = b"\x05" + number.to_bytes(32, "big")
            store.configs.contacts.set(Contact(AccountId.from_bytes(raw)))
    assert take(store, letter(EVE, TextMessage("one more", NOW))) == []
    assert state(store, EVE) == []


def test_a_reaction_brings_the_profile_of_a_contact_and_makes_none(store, alice, bob):
    def reaction(sender, updated_s):
        profile = Profile("Bob", updated_s=updated_s)
        return letter(sender, ReactionChange(NOW, alice.id, "x", False, NOW + updated_s, profile=profile))

    befriend(store, bob)
    take(store, letter(alice, TextMessage("mine", NOW), to=bob))
    told = take(store, reaction(bob, 5), reaction(EVE, 6))
    assert [type(event) for event in told] == [events.ContactChanged, events.ReactionChanged]
    assert store.configs.contact(bob.id).name == "Bob"
    assert store.configs.contact(EVE.id) is None


def test_a_call_is_missed_once(store, bob):
    befriend(store, bob)
    take(store, letter(bob, Call(CallStep.PRE_OFFER, "c", NOW)), letter(bob, Call(CallStep.OFFER, "c", NOW + 1)))
    take(store, letter(bob, Call(CallStep.ICE_CANDIDATES, "c", NOW + 2)))
    take(store, letter(bob, Call(CallStep.END_CALL, "e", NOW + 2)))
    take(store, letter(bob, Call(CallStep.OFFER, "d", NOW + 3)))
    assert [entry[2] for entry in state(store, bob)] == [Kind.MISSED_CALL] * 2


def test_what_another_device_of_ours_did_is_not_taken_for_what_was_done_to_us(store, alice, bob):
    befriend(store, bob)
    befriend(store, alice)
    store.set_setting(READ_RECEIPTS, on=True)
    take(store, letter(alice, TextMessage("a note", NOW - 1)))
    told = take(
        store,
        letter(alice, Typing(True, NOW)),
        letter(alice, Call(CallStep.OFFER, "c", NOW)),
        letter(alice, Call(CallStep.ANSWER, "d", NOW), to=bob),
        letter(alice, ReadReceipt((NOW - 1,), NOW)),
        letter(alice, RequestResponse(True, NOW, Profile("Alice", updated_s=5))),
    )
    assert told == []
    assert len(state(store, alice)) == 1
    assert state(store, bob) == []
    assert store.configs.contact(alice.id).name == ""


def test_group_invitations_stand_in_the_conversation(store, bob):
    group = AccountId(0x03, bytes(32))
    take(
        store,
        letter(bob, GroupInvite(group, "G", b"a" * 100, b"s" * 64, NOW)),
        letter(bob, GroupPromotion(b"s" * 32, "G", NOW + 1)),
    )
    assert [entry[2] for entry in state(store, bob)] == [Kind.GROUP_INVITE, Kind.GROUP_PROMOTION]


def test_typing_that_is_old_is_not_told(store, bob):
    befriend(store, bob)
    assert take(store, letter(bob, Typing(True, NOW - 30_000))) == []
    assert take(store, letter(bob, Typing(True, NOW - 1_000))) == [events.TypingChanged(bob.id, True)]


@pytest.mark.parametrize(
    ("mode", "expiry_ms", "expected"),
    [
        (ExpirationMode.AFTER_SEND, NOW + 40_000, NOW + 40_000),
        (ExpirationMode.AFTER_SEND, 0, NOW + 60_000),
        (ExpirationMode.AFTER_SEND, NOW + 10**9, NOW + 60_000),
        (ExpirationMode.AFTER_READ, NOW + 40_000, None),
        (ExpirationMode.NONE, NOW + 40_000, None),
    ],
)
def test_when_a_message_disappears(store, bob, mode, expiry_ms, expected):
    befriend(store, bob)
    take(store, letter(bob, TextMessage("x", NOW, expiration=Expiration(mode, 60)), expiry_ms=expiry_ms))
    assert store.conversations.history(bob.id, 1)[0].expires_ms == expected


def test_a_message_whose_time_is_over_is_not_shown_at_all(store, bob):
    befriend(store, bob)
    gone = TextMessage("x", NOW - 100_000, expiration=Expiration(ExpirationMode.AFTER_SEND, 60))
    assert take(store, letter(bob, gone)) == []
    assert state(store, bob) == []


def test_a_hidden_contact_comes_back_with_a_new_message_only(store, bob):
    befriend(store, bob, priority=-1)
    with store.configs.changing():
        store.configs.note_time(ConfigKind.CONTACTS, NOW)
    take(store, letter(bob, TextMessage("old", NOW - 200_000)))
    assert store.configs.contact(bob.id).priority == -1
    take(store, letter(bob, TextMessage("new", NOW)))
    assert store.configs.contact(bob.id).priority == 0


def test_old_messages_of_nobody_are_held_and_forgotten(store, bob):
    with store.configs.changing():
        store.configs.note_time(ConfigKind.CONTACTS, NOW)
    assert take(store, letter(bob, TextMessage("old", NOW - 200_000))) == []
    assert state(store, bob) == []
    assert store.conversations.undelivered(()) is None
    befriend(store, bob)
    told = take(store, letter(bob, TextMessage("new", NOW)))
    assert [event.message.body for event in told if isinstance(event, events.MessageReceived)] == ["new", "old"]
    assert store.conversations.undelivered(()).body == "old"


def test_profiles_replace_only_older_ones():
    contact = Contact(EVE.id, name="Eve", profile_updated_s=5)
    assert with_profile(contact, None) == contact
    assert with_profile(contact, Profile("Old", updated_s=5)) == contact
    assert with_profile(contact, Profile("Undated")) == contact
    assert with_profile(contact, Profile("New", updated_s=6)) == replace(contact, name="New", profile_updated_s=6)
    assert with_profile(Contact(EVE.id), Profile("Undated")).name == "Undated"


@pytest.mark.parametrize(
    ("length", "key", "usable"), [(223, 32, True), (224, 32, False), (223, 31, False), (0, 32, False)]
)
def test_a_picture_that_a_config_cannot_hold_is_none(length, key, usable):
    profile = Profile("Eve", "https://".ljust(length, "a") if length else "", bytes(key), 7)
    contact = with_profile(Contact(EVE.id), profile)
    assert (contact.name, contact.picture is not None) == ("Eve", usable)

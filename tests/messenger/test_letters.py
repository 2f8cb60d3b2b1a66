"""Letters: what is written is read by the right one as what it is, and everything else is nobody's message."""

import random

import pytest

from ramson.crypto.account import AccountId, AccountKeys
from ramson.messenger import letters
from ramson.messenger.letters import BadName, BadRecipient, BadText, BadTimer
from ramson.protocol import content, envelope
from ramson.protocol.content import (
    Expiration,
    ExpirationMode,
    Profile,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.session_pb2 import Content

MALLORY = AccountKeys.generate(random.Random(66))


def write(text, keys, recipient, *, name="", sent_ms=1000):
    profile = Profile(name) if name else None
    return letters.write(TextMessage(text, sent_ms, profile=profile), keys, recipient, random.Random(5))


def sealed(data, sender, recipient, sent_ms=1000):
    return envelope.wrap_direct(data, sender.ed25519, recipient.id, sent_ms, random.Random(6))


def test_the_recipient_reads_it_in_the_conversation_with_the_sender(alice, bob):
    letter, _copy = write("hello", alice, bob.id).sealed
    found = letters.read(letter.data, "h", bob)
    assert (found.sender, found.conversation, found.sent_ms, found.message.body, found.hash) == (
        alice.id,
        alice.id,
        1000,
        "hello",
        "h",
    )
    assert (letter.recipient, letter.namespace, letter.ttl_ms) == (bob.id, 0, 14 * 86_400_000)


def test_our_other_devices_read_the_copy_in_the_conversation_with_the_recipient(alice, bob):
    _, copy = write("hello", alice, bob.id).sealed
    assert (copy.recipient, copy.is_copy) == (alice.id, True)
    found = letters.read(copy.data, "h", alice)
    assert (found.sender, found.conversation, found.message.body, found.sent_ms) == (alice.id, bob.id, "hello", 1000)


def test_neither_of_them_reads_the_other_s_envelope(alice, bob):
    letter, copy = write("hello", alice, bob.id).sealed
    assert letters.read(letter.data, "h", alice) is None
    assert letters.read(copy.data, "h", bob) is None


def test_a_note_to_oneself_travels_once(alice):
    (letter,) = write("milk", alice, alice.id).sealed
    found = letters.read(letter.data, "h", alice)
    assert (found.sender, found.conversation, found.message.body) == (alice.id, alice.id, "milk")


def test_the_display_name_travels_with_it(alice, bob):
    letter, copy = write("hello", alice, bob.id, name="Alice").sealed
    for envelope_bytes, keys in ((letter.data, bob), (copy.data, alice)):
        opened = envelope.unwrap_direct(envelope_bytes, keys.x25519)
        decoded = content.decode(opened.content, sent_ms=1000, sender=alice.id, own=keys.id)
        assert decoded.profile == Profile("Alice")


def test_a_copy_that_somebody_else_sends_us_is_dropped(alice, bob):
    forged = content.encode(TextMessage("I never said this", 1000, sync_target=bob.id))
    assert letters.read(sealed(forged, MALLORY, alice), "h", alice) is None


def test_a_time_that_is_not_the_signed_one_is_dropped(alice, bob):
    data = content.encode(TextMessage("later", 1000))
    assert letters.read(sealed(data, alice, bob, sent_ms=2000), "h", bob) is None


def test_a_time_no_database_holds_is_dropped(alice, bob):
    sent_ms = 2**64 - 1
    data = content.encode(TextMessage("eternity", sent_ms))
    assert letters.read(sealed(data, alice, bob, sent_ms=sent_ms), "h", bob) is None


@pytest.mark.parametrize("data", [b"", b"\0", b"junk" * 100, b"\xff" * 300])
def test_what_does_not_open_is_dropped(bob, data):
    assert letters.read(data, "h", bob) is None


def test_what_is_no_text_is_what_it_is(alice, bob):
    typing = Content(sigTimestamp=1000)
    typing.typingMessage.timestamp = 1000
    typing.typingMessage.action = typing.typingMessage.STARTED
    assert letters.read(sealed(typing.SerializeToString(), alice, bob), "h", bob).message == Typing(True, 1000)


def test_a_message_of_attachments_only_is_not_lost(alice, bob):
    message = Content(sigTimestamp=1000)
    message.dataMessage.attachments.add(deprecated_id=1)
    data = message.SerializeToString()
    found = letters.read(sealed(data, alice, bob), "h", bob)
    assert (found.message.body, len(found.message.attachments), found.content) == ("", 1, data)


@pytest.mark.parametrize("text", ["x" * 2000, "🜁" * 2000, " x"])
def test_texts_up_to_the_limit_of_characters_are_fine(text):
    letters.check_text(text)


@pytest.mark.parametrize("text", ["", " \n", "x" * 2001, "\ud83d"])
def test_texts_that_cannot_be_sent_are_refused_with_the_reason(text):
    with pytest.raises(BadText):
        letters.check_text(text)


def test_messages_go_to_accounts_only(alice):
    letters.check_recipient(alice.id)
    with pytest.raises(BadRecipient):
        letters.check_recipient(AccountId(0x03, alice.id.key))


def test_a_display_name_has_at_most_a_hundred_bytes():
    letters.check_name("é" * 50)
    with pytest.raises(BadName):
        letters.check_name("é" * 51)


DAY_S, FORTNIGHT_MS = 86_400, 14 * 86_400_000
AFTER_READ, AFTER_SEND = (Expiration(mode, DAY_S) for mode in (ExpirationMode.AFTER_READ, ExpirationMode.AFTER_SEND))


@pytest.mark.parametrize(
    ("message", "lifetimes"),
    [
        (TextMessage("x", 1000), [FORTNIGHT_MS, FORTNIGHT_MS]),
        (TextMessage("x", 1000, expiration=AFTER_READ), [FORTNIGHT_MS, DAY_S * 1000]),
        (TextMessage("x", 1000, expiration=AFTER_SEND), [DAY_S * 1000, DAY_S * 1000]),
        (TextMessage("x", 1000, expiration=Expiration(ExpirationMode.AFTER_SEND, 1)), [10_000, 10_000]),
        (TextMessage("x", 1000, expiration=Expiration(ExpirationMode.AFTER_SEND, 2**31)), [FORTNIGHT_MS] * 2),
        (TimerUpdate(AFTER_SEND, 1000), [DAY_S * 1000, DAY_S * 1000]),
        (Typing(True, 1000), [20_000]),
        (ReadReceipt((1,), 1000), [FORTNIGHT_MS]),
        (RequestResponse(True, 1000), [FORTNIGHT_MS, FORTNIGHT_MS]),
    ],
)
def test_lifetimes_and_copies(alice, bob, message, lifetimes):
    sealed = letters.write(message, alice, bob.id, random.Random(5)).sealed
    assert [each.ttl_ms for each in sealed] == lifetimes
    assert [each.recipient for each in sealed] == [bob.id, alice.id][: len(lifetimes)]


def test_a_reaction_is_copied_to_our_devices_and_an_unsend_request_goes_to_both(alice, bob):
    for message in (ReactionChange(5, bob.id, "x", False, 1000), Unsend(5, alice.id, 1000)):
        theirs, ours = letters.write(message, alice, bob.id, random.Random(5)).sealed
        assert letters.read(theirs.data, "h", bob).message == message
        found = letters.read(ours.data, "h", alice)
        assert found.conversation == (bob.id if isinstance(message, ReactionChange) else alice.id)


def test_a_reference_to_a_time_no_database_holds_is_dropped(alice, bob):
    for message in (ReactionChange(2**63, bob.id, "x", False, 1000), ReadReceipt((1, 2**63), 1000)):
        letter = letters.write(message, alice, bob.id, random.Random(5)).sealed[0]
        assert letters.read(letter.data, "h", bob) is None


@pytest.mark.parametrize("expiration", [Expiration(), AFTER_READ, AFTER_SEND])
def test_timers_that_can_be_set(expiration):
    letters.check_timer(expiration)


@pytest.mark.parametrize(
    "expiration",
    [
        Expiration(ExpirationMode.NONE, 60),
        Expiration(ExpirationMode.AFTER_READ, 0),
        Expiration(ExpirationMode.AFTER_READ, 9),
        Expiration(ExpirationMode.AFTER_SEND, 15 * DAY_S),
    ],
)
def test_timers_that_cannot(expiration):
    with pytest.raises(BadTimer):
        letters.check_timer(expiration)


def test_notes_to_oneself_disappear_after_sending_only():
    with pytest.raises(BadTimer):
        letters.check_timer(AFTER_READ, after_read=False)
    letters.check_timer(AFTER_SEND, after_read=False)

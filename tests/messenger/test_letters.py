"""Letters: what is written is read by the right one as what it is, and everything else is nobody's message."""

import random

import pytest

from ramson.crypto.account import AccountId, AccountKeys
from ramson.messenger import letters
from ramson.messenger.letters import BadName, BadRecipient, BadText
from ramson.protocol import content, envelope
from ramson.protocol.content import Profile, TextMessage
from ramson.protocol.session_pb2 import Content

MALLORY = AccountKeys.generate(random.Random(66))


def write(text, keys, recipient, *, name="", sent_ms=1000):
    return letters.write(text, keys, name, recipient, sent_ms, random.Random(5))


def sealed(data, sender, recipient, sent_ms=1000):
    return envelope.wrap_direct(data, sender.ed25519, recipient.id, sent_ms, random.Random(6))


def test_the_recipient_reads_it_in_the_conversation_with_the_sender(alice, bob):
    letter, _ = write("hello", alice, bob.id).sealed
    found = letters.read(letter.data, "h", bob)
    assert (found.sender, found.conversation, found.sent_ms, found.body, found.hash) == (
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
    assert (found.sender, found.conversation, found.body, found.sent_ms) == (alice.id, bob.id, "hello", 1000)


def test_neither_of_them_reads_the_other_s_envelope(alice, bob):
    letter, copy = write("hello", alice, bob.id).sealed
    assert letters.read(letter.data, "h", alice) is None
    assert letters.read(copy.data, "h", bob) is None


def test_a_note_to_oneself_travels_once(alice):
    (letter,) = write("milk", alice, alice.id).sealed
    found = letters.read(letter.data, "h", alice)
    assert (found.sender, found.conversation, found.body) == (alice.id, alice.id, "milk")


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


def test_what_is_no_text_is_not_taken_for_one(alice, bob):
    typing = Content(sigTimestamp=1000)
    typing.typingMessage.timestamp = 1000
    typing.typingMessage.action = typing.typingMessage.STARTED
    assert letters.read(sealed(typing.SerializeToString(), alice, bob), "h", bob) is None


def test_a_message_of_attachments_only_is_not_lost(alice, bob):
    message = Content(sigTimestamp=1000)
    message.dataMessage.attachments.add(deprecated_id=1)
    data = message.SerializeToString()
    found = letters.read(sealed(data, alice, bob), "h", bob)
    assert (found.body, found.attachments, found.content) == ("", 1, data)


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

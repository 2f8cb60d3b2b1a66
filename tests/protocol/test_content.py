"""What messages say, and which are dropped (messaging §3.1, §3.3, §3.4)."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountKeys
from ramson.errors import LocalError, ParseError
from ramson.protocol import content, protobuf
from ramson.protocol.content import Expiration, ExpirationMode, OtherContent, Profile, Quote, TextMessage, TimerUpdate
from ramson.protocol.session_pb2 import Content, DataMessage

ME, BOB, EVE = (AccountKeys.from_entropy(bytes([n]) * 16).id for n in (1, 2, 3))
SENT = 1_700_000_000_123


def decode(message: Content | bytes, sender: AccountId = BOB, sent_ms: int = SENT):
    data = message if isinstance(message, bytes) else protobuf.write(message)
    return content.decode(data, sent_ms=sent_ms, sender=sender, own=ME)


def data_message(**fields) -> Content:
    return Content(dataMessage=DataMessage(**fields), sigTimestamp=SENT)


FULL = TextMessage(
    "hello 👋🏽 שלום",
    SENT,
    profile=Profile("Bob", "http://files.example/1", b"\x09" * 32, 1_700_000_000),
    quote=Quote(SENT - 1, ME.hex),
    expiration=Expiration(ExpirationMode.AFTER_READ, 3600),
)


@pytest.mark.parametrize("message", [TextMessage("hi", SENT), TextMessage(" \n", SENT), FULL])
def test_round_trip(message):
    assert decode(content.encode(message)) == message


def test_wire_form():
    assert content.encode(TextMessage("hi", SENT)).hex() == "0a040a026869" + "78" + varint(SENT)


def varint(number: int) -> str:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return out.hex()


def test_the_signed_time_must_be_the_envelopes():
    with pytest.raises(ParseError, match="time"):
        decode(content.encode(TextMessage("hi", SENT)), sent_ms=SENT + 1)
    with pytest.raises(ParseError, match="time"):
        decode(Content(dataMessage=DataMessage(body="x"), sigTimestamp=0))
    # Old clients did not sign the time.
    assert decode(Content(dataMessage=DataMessage(body="x"))) == TextMessage("x", SENT)


def test_sync_copies_come_from_oneself_only():
    copy = content.encode(dataclasses.replace(TextMessage("hi", SENT), sync_target=BOB))
    assert decode(copy, sender=ME).sync_target == BOB
    for sender in (BOB, EVE):
        with pytest.raises(ParseError, match="sync copy"):
            decode(copy, sender=sender)
    with pytest.raises(ParseError, match="no account id"):
        decode(data_message(body="x", syncTarget="bob"), sender=ME)


def test_a_sync_copy_is_the_same_content_with_a_target():
    original = Content.FromString(content.encode(FULL))
    copy = Content.FromString(content.encode(dataclasses.replace(FULL, sync_target=BOB)))
    assert copy.dataMessage.syncTarget == BOB.hex
    copy.dataMessage.ClearField("syncTarget")
    assert copy == original


@pytest.mark.parametrize("flags", [1, 3, 4, 2**32 - 1])
def test_unknown_flags(flags):
    with pytest.raises(ParseError, match="flags"):
        decode(data_message(body="x", flags=flags))


def test_a_timer_update_has_no_body():
    message = data_message(body="ignored", flags=2)
    message.expirationType, message.expirationTimer = Content.DELETE_AFTER_SEND, 60
    assert decode(message) == TimerUpdate(Expiration(ExpirationMode.AFTER_SEND, 60), SENT)


def test_attachments_are_counted_and_limited():
    attachment = {"deprecated_id": 1, "url": "http://files.example/2"}
    assert len(decode(data_message(attachments=[attachment] * 32)).attachments) == 32
    with pytest.raises(ParseError, match="attachments"):
        decode(data_message(attachments=[attachment] * 33))


def test_what_is_not_known_survives():
    message = data_message(body="hi", attachments=[{"deprecated_id": 1}], preview=[{"url": "https://x"}])
    unknown = bytes.fromhex("fa3e0378797a")  # field 1007
    data = protobuf.write(message) + unknown
    read = decode(data)
    assert read.body == "hi"
    again = content.encode(dataclasses.replace(read, sync_target=BOB))
    assert unknown in again
    written = Content.FromString(again)
    assert written.dataMessage.preview[0].url == "https://x"
    assert written.dataMessage.syncTarget == BOB.hex


def test_kinds_without_a_class_are_named_and_kept():
    config = Content(sharedConfigMessage={"kind": 1, "seqno": 1, "data": b"x"}, sigTimestamp=SENT)
    assert decode(config) == OtherContent(("sharedConfigMessage",), SENT)
    assert decode(config).origin == protobuf.write(config)
    left = data_message(groupUpdateMessage={"memberLeftMessage": {}})
    assert decode(left) == OtherContent(("dataMessage", "groupUpdateMessage"), SENT)
    assert decode(data_message()) == OtherContent(("dataMessage",), SENT)
    assert decode(b"") == OtherContent((), SENT)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\x0a",
        b"\x0a\x05\x0a\x02hi",  # cut short
        b"\x0a\x04\x0a\x02\xff\xfe",  # not UTF-8
        b"\x32\x00",  # typing without its required fields
        b"\x0a\x02\x42\x00",  # a quote without its required fields
        b"\x0a\x0b\x0a\x02hi\xca\x06\x03\x0a\x01\xff",  # a name that is not UTF-8
    ],
)
def test_malformed(data):
    with pytest.raises(ParseError):
        decode(data)


def test_a_timer_of_an_unknown_kind_is_kept_as_none():
    assert decode(bytes.fromhex("0a040a026869") + b"\x60\x07\x68\x05").expiration == Expiration(ExpirationMode.NONE, 5)


@pytest.mark.parametrize(
    "message",
    [
        TextMessage("\ud800", SENT),
        TextMessage("x", -1),
        TextMessage("x", 2**64),
        TextMessage("x", SENT, expiration=Expiration(ExpirationMode.AFTER_SEND, 2**32)),
        TextMessage("x", SENT, profile=Profile("\udfff")),
    ],
)
def test_what_cannot_be_written_is_the_callers_mistake(message):
    with pytest.raises(LocalError):
        content.encode(message)


def test_texts_and_keys_do_not_show():
    assert "hello" not in repr(FULL)
    assert "Bob" not in repr(FULL)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(texts, st.integers(0, 2**64 - 1), st.none() | texts)
def test_round_trip_of_anything(body, sent_ms, name):
    message = TextMessage(body, sent_ms, profile=None if name is None else Profile(name))
    assert content.decode(content.encode(message), sent_ms=sent_ms, sender=BOB, own=ME) == message


VALID = content.encode(dataclasses.replace(FULL, sync_target=BOB))


@settings(max_examples=1500, deadline=None)
@given(st.integers(0), st.integers(1, 255), st.integers(0), st.booleans())
def test_fuzz_damaged_content(position, mask, cut, own):
    damaged = bytearray(VALID)
    damaged[position % len(damaged)] ^= mask
    for data in (bytes(damaged), VALID[: cut % len(VALID)]):
        try:
            message = decode(data, sender=ME if own else BOB)
        except ParseError:
            continue
        if isinstance(message, TextMessage):
            assert decode(content.encode(message), sender=ME) == message


@settings(max_examples=1500, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: b"\x0a" + bytes([len(data)]) + data))
def test_fuzz_random_bytes(data):
    try:
        decode(data)
    except ParseError:
        return

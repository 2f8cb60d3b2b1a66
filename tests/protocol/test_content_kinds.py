"""Every kind of Content is what was written, and what must not be believed is dropped (messaging §3.4, §3.6)."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.account import AccountId, AccountKeys
from ramson.errors import ParseError
from ramson.protocol import content, protobuf
from ramson.protocol.content import (
    Attachment,
    Call,
    CallStep,
    CommunityInvitation,
    DataExtraction,
    Expiration,
    ExpirationMode,
    Extraction,
    GroupInvite,
    GroupPromotion,
    LinkPreview,
    Profile,
    Quote,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
    rules,
)
from ramson.protocol.session_pb2 import Content, DataMessage

ME, BOB = (AccountKeys.from_entropy(bytes([n]) * 16).id for n in (1, 2))
GROUP = AccountId(0x03, bytes(range(32)))
SENT = 1_700_000_000_123
PROFILE = Profile("Bob", "http://files.example/1", b"\x09" * 32, 1_700_000_000)
HOUR_AFTER_READ = Expiration(ExpirationMode.AFTER_READ, 3600)
PICTURE = Attachment(
    url="http://files.example/2",
    key=b"k" * 64,
    digest=b"d" * 32,
    size=1234,
    content_type="image/webp",
    file_name="cat.webp",
    caption="a cat",
    width=640,
    height=480,
    id=7,
)
VOICE = Attachment(url="http://files.example/3", key=b"v" * 64, size=99, content_type="audio/aac", voice=True)
LINK = "https://example.org/a?b=c"
LONG = "https://example.org/".ljust(4_097, "a")

MESSAGES = [
    TextMessage("see " + LINK, SENT, previews=(LinkPreview(LINK, "Example", PICTURE),)),
    TextMessage("", SENT, attachments=(PICTURE, VOICE)),
    TextMessage("", SENT, invitation=CommunityInvitation("https://c.example/room?public_key=ab", "Room")),
    TextMessage("yes", SENT, profile=PROFILE, quote=Quote(SENT - 5, ME.hex), expiration=HOUR_AFTER_READ),
    TimerUpdate(HOUR_AFTER_READ, SENT, profile=PROFILE),
    TimerUpdate(Expiration(), SENT),
    ReactionChange(SENT - 1, ME, "👩‍👩‍👧", False, SENT),
    ReactionChange(SENT - 1, BOB, "x", True, SENT, profile=PROFILE),
    Typing(True, SENT),
    Typing(False, SENT),
    ReadReceipt((1, 2, SENT), SENT),
    Unsend(SENT - 1, BOB, SENT),
    RequestResponse(True, SENT, PROFILE),
    RequestResponse(False, SENT),
    DataExtraction(Extraction.SCREENSHOT, SENT),
    DataExtraction(Extraction.MEDIA_SAVED, SENT, SENT - 9, HOUR_AFTER_READ),
]


def decode(message, sender=BOB, sent_ms=SENT):
    data = message if isinstance(message, bytes) else protobuf.write(message)
    return content.decode(data, sent_ms=sent_ms, sender=sender, own=ME)


def data_message(**fields):
    return Content(dataMessage=DataMessage(**fields), sigTimestamp=SENT)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_round_trip(message):
    written = content.encode(message)
    assert decode(written) == message
    assert Content.FromString(written).sigTimestamp == SENT


@pytest.mark.parametrize("message", [MESSAGES[0], MESSAGES[4], MESSAGES[6]], ids=lambda message: type(message).__name__)
def test_copies_for_our_devices_name_the_recipient_and_come_from_us_only(message):
    copy = content.encode(dataclasses.replace(message, sync_target=BOB))
    assert decode(copy, sender=ME).sync_target == BOB
    with pytest.raises(ParseError, match="sync copy"):
        decode(copy, sender=BOB)


def test_a_typing_notice_of_another_time_is_dropped():
    with pytest.raises(ParseError, match="typing"):
        decode(Content(typingMessage={"timestamp": SENT - 1, "action": 0}, sigTimestamp=SENT))


def test_nobody_unsends_what_another_one_wrote():
    with pytest.raises(ParseError, match="unsend"):
        decode(content.encode(Unsend(1, ME, SENT)), sender=BOB)
    with pytest.raises(ParseError, match="no account id"):
        decode(Content(unsendRequest={"timestamp": 1, "author": "bob"}))


@pytest.mark.parametrize("emoji", ["", "x" * (content.MAX_EMOJI + 1)])
def test_a_reaction_is_one_emoji(emoji):
    with pytest.raises(ParseError, match="reaction"):
        decode(data_message(reaction={"id": 1, "author": ME.hex, "emoji": emoji, "action": 0}))


def test_a_reaction_of_an_unknown_kind_or_to_nobody_is_dropped():
    reaction = DataMessage.Reaction(id=1, author=ME.hex, emoji="x", action=0).SerializeToString()[:-1] + b"\x07"
    data = b"\x5a" + bytes([len(reaction)]) + reaction
    with pytest.raises(ParseError):
        decode(b"\x0a" + bytes([len(data)]) + data)
    with pytest.raises(ParseError, match="no account id"):
        decode(data_message(reaction={"id": 1, "author": "me", "emoji": "x", "action": 0}))


def test_receipts_are_bounded():
    times = range(content.MAX_RECEIPTS + 1)
    assert len(decode(content.encode(ReadReceipt(tuple(times[1:]), SENT))).read_ms) == content.MAX_RECEIPTS
    with pytest.raises(ParseError, match="receipt"):
        decode(content.encode(ReadReceipt(tuple(times), SENT)))


@pytest.mark.parametrize(
    "preview",
    [
        {"url": "http://example.org", "title": "not https"},
        {"url": "https://elsewhere.org", "title": "not in the text"},
        {"url": "https://example.org"},
        {"url": "https://bank.example@example.org/x", "title": "another host than it seems"},
        {"url": LONG, "title": "too long"},
    ],
)
def test_previews_that_may_not_be_shown_are_passed_over(preview):
    body = f"http://example.org https://example.org https://bank.example@example.org/x {LONG}"
    message = decode(data_message(body=body, preview=[preview]))
    assert message.previews == ()


@pytest.mark.parametrize("url", ["https://example.org/@user?a=b@c", LONG[:-1]])
def test_other_links_may_have_a_preview(url):
    shown = decode(data_message(body=f"see {url}", preview=[{"url": url, "title": "x"}])).previews
    assert shown == (LinkPreview(url, "x"),)


def test_two_previews_are_none():
    good = {"url": "https://example.org", "title": "x"}
    assert len(decode(data_message(body="https://example.org", preview=[good])).previews) == 1
    assert decode(data_message(body="https://example.org", preview=[good] * 2)).previews == ()


def test_a_timer_update_has_no_body_and_no_attachments():
    message = data_message(body="x", attachments=[{"deprecated_id": 1}], flags=2)
    assert decode(message) == TimerUpdate(Expiration(), SENT)


@pytest.mark.parametrize("updated_s", [2**63, 2**64 - 1])
def test_a_profile_of_a_time_that_no_config_holds_is_undated(updated_s):
    written = protobuf.write(
        data_message(body="x", profile={"displayName": "B", "lastProfileUpdateSeconds": updated_s})
    )
    assert decode(written).profile == Profile("B")
    response = {"isApproved": True, "profile": {"displayName": "B", "lastProfileUpdateSeconds": updated_s}}
    assert decode(Content(messageRequestResponse=response)).profile == Profile("B")


def test_calls_are_told_from_one_another():
    call = {"type": 6, "uuid": "abc", "sdps": ["v=0"]}
    found = decode(Content(callMessage=call, sigTimestamp=SENT))
    assert found == Call(CallStep.PRE_OFFER, "abc", SENT)
    assert found.rings
    assert not decode(Content(callMessage=call | {"type": 5})).rings
    assert "v=0" not in repr(found)


def test_group_invitations_and_promotions():
    invite = {"groupSessionId": GROUP.hex, "name": "G", "memberAuthData": b"a" * 100, "adminSignature": b"s" * 64}
    assert decode(data_message(groupUpdateMessage={"inviteMessage": invite})) == GroupInvite(
        GROUP, "G", b"a" * 100, b"s" * 64, SENT
    )
    promotion = {"groupIdentitySeed": b"s" * 32, "name": "G"}
    assert decode(data_message(groupUpdateMessage={"promoteMessage": promotion})) == GroupPromotion(
        b"s" * 32, "G", SENT
    )
    for wrong in (
        {"inviteMessage": invite | {"groupSessionId": ME.hex}},
        {"inviteMessage": invite | {"memberAuthData": b"a"}},
        {"inviteMessage": invite | {"adminSignature": b""}},
        {"promoteMessage": promotion | {"groupIdentitySeed": b"s"}},
    ):
        with pytest.raises(ParseError):
            decode(data_message(groupUpdateMessage=wrong))


def test_a_text_that_is_read_and_written_again_keeps_what_it_came_with():
    first = content.encode(MESSAGES[0])
    again = content.encode(dataclasses.replace(decode(first), sync_target=ME))
    assert Content.FromString(again).dataMessage.preview == Content.FromString(first).dataMessage.preview


def test_secrets_do_not_show():
    for message in (*MESSAGES, GroupPromotion(b"seed" * 8, "G", SENT)):
        for secret in ("files.example", "kkkk", "cat", "seed", "example.org/a"):
            assert secret not in repr(message)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(MESSAGES), st.integers(0), st.integers(1, 255), st.integers(0), st.booleans())
def test_fuzz_damaged_content(message, position, mask, cut, own):
    valid = content.encode(message)
    damaged = bytearray(valid)
    damaged[position % len(damaged)] ^= mask
    for data in (bytes(damaged), valid[: cut % len(valid)]):
        try:
            decode(data, sender=ME if own else BOB)
        except ParseError:
            continue


def test_a_newer_profile_counts_and_an_older_does_not():
    assert rules.profile_counts(10, 9, known=True)
    assert not rules.profile_counts(9, 9, known=True)
    assert not rules.profile_counts(0, 0, known=True)
    assert rules.profile_counts(0, 0, known=False)


def test_messages_well_before_the_config_are_stale():
    assert not rules.is_stale(1_000_000, 1_000_000 + rules.STALE_MS)
    assert rules.is_stale(1_000_000, 1_000_001 + rules.STALE_MS)
    assert not rules.is_stale(5, 0)


def test_twenty_reactions_a_minute():
    times = list(range(0, 40, 2))
    assert not rules.may_react(times, 50)
    assert rules.may_react(times, 60_001)
    assert rules.may_react(times[1:], 50)

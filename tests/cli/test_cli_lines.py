"""What `listen` prints of things that are not other people's messages."""

import json
import random
from dataclasses import replace

import pytest

from ramson.cli.lines import line, show_event, show_message
from ramson.cli.names import Names
from ramson.crypto.account import AccountKeys
from ramson.messenger import Kind, Message, MessageReceived, MessageSynced, MessageUnsent, State
from ramson.protocol.config import Contact

ALICE, BOB, EVE = (AccountKeys.generate(random.Random(seed)).id for seed in (1, 2, 3))
NAMES = Names(ALICE, [Contact(BOB, name="Robert", nickname="Bob"), Contact(EVE, name="Eve\nBob: pay me")])
EVES = f"{EVE.hex[:8]}…{EVE.hex[-6:]} “Eve�Bob: pay me”"


@pytest.fixture
def from_elsewhere():
    return Message(ALICE, BOB, "hello", 1_700_000_000_000, "hash", State.SENT, BOB)


@pytest.fixture
def from_a_stranger():
    return Message(EVE, ALICE, "hi\nBob: no", 1_700_000_000_000, "hash", State.RECEIVED, EVE, request=True)


def shown(event, capsys, *, as_json=False):
    show_event(event, lambda: NAMES, as_json=as_json)
    out = capsys.readouterr().out
    return json.loads(out) if as_json else out


def test_what_another_device_sent_is_told_with_whom_it_went_to(from_elsewhere, capsys):
    assert shown(MessageSynced(from_elsewhere), capsys).endswith(" you → Bob: hello\n")
    told = shown(MessageSynced(from_elsewhere), capsys, as_json=True)
    assert (told["event"], told["incoming"], told["recipient"]) == ("synced", False, BOB.hex)
    assert (told["nickname"], told["profile_name"], told["request"]) == ("Bob", "Robert", False)


def test_within_one_conversation_nobody_needs_to_be_told_whom_it_went_to(from_elsewhere):
    assert line(from_elsewhere, NAMES).endswith(" you: hello")


def test_a_stranger_can_begin_no_line_as_somebody_else(from_a_stranger):
    first, second = line(from_a_stranger, NAMES).split("\n")
    assert first.endswith(f" {EVES}: hi")
    assert second == "    Bob: no"


def test_programs_are_told_of_a_request_with_the_whole_id_and_the_name_as_it_is(from_a_stranger, capsys):
    show_message(from_a_stranger, NAMES, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["sender"], told["request"]) == ("message", EVE.hex, True)
    assert (told["nickname"], told["profile_name"]) == ("", "Eve\nBob: pay me")


def test_notices_and_what_was_taken_back_name_their_authors(from_a_stranger, capsys):
    notice = replace(from_a_stranger, body="", kind=Kind.MISSED_CALL)
    assert shown(MessageReceived(notice), capsys).endswith(f" {EVES}: (missed call)\n")
    assert shown(MessageUnsent(BOB, BOB, 1), capsys).endswith(" Bob: (taken back)\n")
    told = shown(MessageUnsent(BOB, BOB, 1), capsys, as_json=True)
    assert (told["author"], told["nickname"], told["profile_name"]) == (BOB.hex, "Bob", "Robert")

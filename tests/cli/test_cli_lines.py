"""What `listen` prints of things that are not other people's messages."""

import json
import random

import pytest

from ramson.cli.lines import line, show_event
from ramson.crypto.account import AccountKeys
from ramson.messenger import Message, MessageSynced, State

ALICE, BOB = (AccountKeys.generate(random.Random(seed)).id for seed in (1, 2))


@pytest.fixture
def from_elsewhere():
    return Message(ALICE, BOB, "hello", 1_700_000_000_000, "hash", State.SENT, BOB)


def test_what_another_device_sent_is_told_with_whom_it_went_to(from_elsewhere, capsys):
    show_event(MessageSynced(from_elsewhere), as_json=False)
    assert capsys.readouterr().out.endswith(f" {ALICE} → {BOB} hello\n")
    show_event(MessageSynced(from_elsewhere), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["incoming"], told["recipient"]) == ("synced", False, BOB.hex)


def test_within_one_conversation_nobody_needs_to_be_told_whom_it_went_to(from_elsewhere):
    assert line(from_elsewhere).endswith(f" {ALICE} hello")

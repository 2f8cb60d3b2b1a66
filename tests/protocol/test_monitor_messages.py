"""Subscriptions as clients write and read them: storage-rpc.md §6."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import verify
from ramson.errors import ParseError
from ramson.node.mailbox import NewMessage
from ramson.node.monitor import encode_notice
from ramson.protocol import bt
from ramson.protocol.monitor import (
    MAX_SIZE,
    Notice,
    SubscriptionDenied,
    encode_request,
    read_answer,
    read_notice,
    signed_message,
)

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
HASH = message_hash(KEYS.id.raw, 0, b"hello")
NOTICE = {"@": KEYS.id.raw, "h": HASH, "n": 0, "t": 1, "z": 2}


def test_a_request_is_signed_by_the_account_and_wants_no_data():
    document = bt.decode(encode_request(KEYS, [3, 0, 3, -10], 1_700_000_000))
    assert document.keys() == {b"P", b"n", b"s", b"t"}
    assert (document[b"P"], document[b"n"], document[b"t"]) == (KEYS.ed25519.public, [-10, 0, 3], 1_700_000_000)
    signed = f"MONITOR{KEYS.id.hex}17000000000-10,0,3".encode()
    assert signed_message(KEYS.id.raw, [-10, 0, 3], 1_700_000_000, data=False) == signed
    assert verify(KEYS.ed25519.public, signed, document[b"s"])


def test_answers():
    read_answer([bt.encode({"success": 1})])
    with pytest.raises(SubscriptionDenied, match="another swarm") as caught:
        read_answer([bt.encode({"errcode": 6, "error": "another swarm\x1b[2J" + "x" * 1000})])
    assert caught.value.errcode == 6
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "parts",
    [[], [b"de", b"de"], [b""], [b"le"], [b"de"], [b"429"], [bt.encode({"errcode": "x"})], [bt.encode({"success": 2})]],
)
def test_what_is_no_answer(parts):
    with pytest.raises(ParseError):
        read_answer(parts)


def test_what_a_node_pushes_is_understood():
    message = NewMessage(KEYS.id.raw, 0, HASH, 1, 2, b"hello")
    assert read_notice([encode_notice(message, data=False)]) == Notice(KEYS.id.raw, 0, HASH)
    assert read_notice([encode_notice(message, data=True)]) == Notice(KEYS.id.raw, 0, HASH)


@pytest.mark.parametrize(
    "changes",
    [
        {"@": 5},
        {"@": None},
        {"h": HASH[:-1]},
        {"h": HASH + "A"},
        {"h": b"\xff" * 43},
        {"h": "\n" * 43},
        {"h": None},
        {"n": "0"},
        {"n": None},
        {"~": b"x" * MAX_SIZE},
        {"x": [[[[[[]]]]]]},
    ],
)
def test_what_is_no_notice(changes):
    document = {key: value for key, value in {**NOTICE, **changes}.items() if value is not None}
    with pytest.raises(ParseError):
        read_notice([bt.encode(document)])


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_nothing_but_a_parse_error_comes_of_other_bytes(parts):
    for read in (read_answer, read_notice):
        with pytest.raises((ParseError, SubscriptionDenied)):
            read(parts)

"""Config messages and how several become one."""

import pytest
from config_strategies import DATA
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.config import message as messages
from ramson.protocol.config.diff import difference
from ramson.protocol.config.merging import Adopted, Combined, merge, remembered
from ramson.protocol.config.message import FIRST, ConfigMessage

SIGNER = Ed25519KeyPair.from_seed(bytes(32))


def after(message: ConfigMessage, data, **options) -> ConfigMessage:
    seqno = message.seqno + 1
    lagged = remembered(message.history(), seqno)
    return messages.write(seqno, data, difference(message.data, data), lagged, unknown=message.unknown, **options)


@st.composite
def histories(draw):
    """Messages of a tree: each follows one that was there before."""
    tree = [FIRST]
    for data in draw(st.lists(DATA, min_size=1, max_size=8)):
        tree.append(after(draw(st.sampled_from(tree)), data))
    return tree[1:]


@given(histories())
def test_messages_are_read_as_they_were_written(history):
    for message in history:
        again = messages.read(message.serialized)
        assert again == message
        assert (again.data, again.lagged, again.diff) == (message.data, message.lagged, message.diff)


@given(histories(), st.data())
def test_order_and_repetition_do_not_matter_for_a_merge(history, data):
    received = data.draw(st.lists(st.sampled_from(history), max_size=4)) + data.draw(st.permutations(history))
    outcome, reference = merge(received), merge(history)
    if isinstance(reference, Adopted):
        assert received[outcome.position] == history[reference.position]
        assert received.index(received[outcome.position]) == outcome.position
    else:
        assert outcome == reference
        assert (outcome.data, outcome.lagged) == (reference.data, reference.lagged)


@given(st.lists(DATA, min_size=1, max_size=9))
def test_of_one_line_the_last_is_adopted(line):
    history = [FIRST]
    for data in line:
        history.append(after(history[-1], data))
    assert merge(history) == Adopted(len(history) - 1)


def test_concurrent_changes_are_all_kept_and_for_one_key_the_higher_hash_wins():
    base = after(FIRST, {b"a": 1, b"b": 1, b"c": 1})
    left, right = after(base, {b"a": 2, b"b": 1, b"c": 2}), after(base, {b"a": 1, b"b": 3, b"c": 3})
    outcome = merge([base, left, right])
    assert isinstance(outcome, Combined)
    assert outcome.seqno == 3
    assert outcome.data == {b"a": 2, b"b": 3, b"c": max(left, right, key=lambda message: message.hash).data[b"c"]}
    assert set(outcome.lagged) == {FIRST.id, base.id, left.id, right.id}


def test_too_old_a_branch_is_dropped():
    line = [after(FIRST, {b"n": 0})]
    stale = after(line[0], {b"n": 0, b"stale": 1})
    for number in range(1, 7):
        line.append(after(line[-1], {b"n": number}))
    assert merge([stale, line[4]]) != Adopted(1)
    assert merge([stale, line[6]]) == Adopted(1)


def test_unknown_keys_survive_reading_editing_and_merging():
    fields = bt.decode(after(FIRST, {b"a": 1}).serialized)
    base = messages.read(bt.encode({**fields, b"!": b"early", b"?": [1, {b"x": 2}]}))
    assert base.unknown == {b"!": b"early", b"?": [1, {b"x": 2}]}
    left, right = after(base, {b"a": 2}), after(base, {b"a": 3})
    assert messages.read(left.serialized).unknown == base.unknown
    assert merge([left, right]).unknown == base.unknown


def test_a_signature_covers_everything():
    message = after(FIRST, {b"a": 1}, signer=SIGNER)
    assert messages.read(message.serialized).verify(SIGNER.public)
    assert not message.verify(Ed25519KeyPair.from_seed(bytes(31) + b"1").public)
    assert not after(FIRST, {b"a": 1}).verify(SIGNER.public)
    changed = messages.read(message.serialized.replace(b"1:ai1e", b"1:ai2e", 1))
    assert changed.data != message.data
    assert not changed.verify(SIGNER.public)


@pytest.mark.parametrize(
    "serialized",
    [
        b"d1:#i-1e1:&de1:<le1:=dee",
        b"d1:#1:11:&de1:<le1:=dee",
        b"d1:#i1e1:&de1:<l2:abe1:=dee",
        b"d1:#i1e1:&de1:<lli1e32:" + bytes(32) + b"deee1:=dee",  # not earlier
        b"d1:#i9e1:&de1:<lli2e32:" + bytes(32) + b"deeli1e32:" + bytes(32) + b"deee1:=dee",
        b"d1:#i1e1:&de1:<le1:=de1:~64:" + bytes(64) + b"2:~~i1ee",
        b"d1:#i1e1:&de1:<le1:=dee" + b" ",
        b"d1:#i1e1:&d1:a2000000:" + bytes(2_000_000) + b"e1:<le1:=dee",
    ],
)
def test_malformed_messages_are_refused(serialized):
    with pytest.raises(ParseError):
        messages.read(serialized)


@given(histories(), st.data())
def test_damaged_messages_are_read_or_refused(history, data):
    damaged = bytearray(data.draw(st.sampled_from(history)).serialized)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from(b"0123deil:#&<=~-\0\xff"))
    try:
        message = messages.read(bytes(damaged))
    except ParseError:
        return
    merge([message, history[0]])

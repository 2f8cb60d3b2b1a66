"""Values of configs and what changes between them."""

import pytest
from config_strategies import DATA, KEYS, SCALARS, SETS
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.config import diff as diffs
from ramson.protocol.config import values
from ramson.protocol.config.diff import Mark, SetChange, apply, difference


@given(DATA)
def test_data_is_read_as_it_was_written(data):
    assert values.parse_data(bt.decode(bt.encode(values.to_bt(data)))) == data


@pytest.mark.parametrize(
    "encoded",
    [
        b"le",
        b"d1:adee",
        b"d1:alee",
        b"d1:ad1:bleee",
        b"d1:ali2ei1eee",
        b"d1:al1:bi1eee",
        b"d1:ali1ei1eee",
        b"d1:al1:b1:aee",
        b"d1:alli1eeee",
        b"d1:ai9223372036854775808ee",
        b"d1:a" * 40 + b"i1e" + b"e" * 40,
    ],
)
def test_any_other_form_is_refused(encoded):
    with pytest.raises(ParseError):
        values.parse_data(bt.decode(encoded))


@given(DATA, DATA)
def test_a_difference_leads_from_one_to_the_other(old, new):
    assert apply(old, difference(old, new), new) == new
    assert difference(new, new) == {}


@given(DATA, DATA)
def test_a_difference_is_read_as_it_was_written(old, new):
    diff = difference(old, new)
    assert diffs.parse(bt.decode(bt.encode(diffs.to_bt(diff)))) == diff


@given(DATA, DATA, DATA)
def test_applied_elsewhere_it_leaves_nothing_empty(old, new, other):
    result = apply(other, difference(old, new), new)
    assert (values.normal(result) or {}) == result


@given(DATA, DATA)
def test_changes_of_different_keys_do_not_meet(old, new):
    changed = difference(old, new)
    other = {b"other": 1, **old}
    assert apply(other, changed, new) == {b"other": 1, **new}


def test_how_changes_are_written():
    old = {b"gone": 1, b"kept": 2, b"set": frozenset({1, b"x"}), b"dict": {b"a": 1, b"b": 2}}
    new = {b"kept": 2, b"new": b"", b"set": frozenset({2, b"x"}), b"dict": {b"a": 3}}
    assert difference(old, new) == {
        b"gone": Mark.REMOVED,
        b"new": Mark.ASSIGNED,
        b"set": SetChange(frozenset({2}), frozenset({1})),
        b"dict": {b"a": Mark.ASSIGNED, b"b": Mark.REMOVED},
    }


def test_a_scalar_its_own_message_has_lost_still_ends_what_was_there():
    assert apply({b"k": frozenset({1})}, {b"k": Mark.ASSIGNED}, {b"k": {b"later": 1}}) == {}


@pytest.mark.parametrize("encoded", [b"i1e", b"d1:a1:xe", b"d1:ai1ee", b"d1:alleee", b"d1:alli2ei1eeleee"])
def test_what_is_no_diff_is_refused(encoded):
    with pytest.raises(ParseError):
        diffs.parse(bt.decode(encoded))


PATHS = st.lists(KEYS, max_size=3).map(tuple)


@given(DATA, PATHS, st.dictionaries(KEYS, SCALARS | SETS | DATA | st.none(), max_size=3))
def test_replacing_changes_only_what_it_names(data, path, changes):
    before = values.to_bt(data)
    result = values.replace(data, path, changes)
    assert values.to_bt(data) == before
    assert (values.normal(result) or {}) == result
    for key, value in changes.items():
        assert values.at(result, (*path, key)) == (None if value is None else values.normal(value))
    assert (result is data) == (result == data)


@pytest.mark.parametrize("deep", [0, 20, 31])
def test_what_can_be_written_can_be_read(deep):
    data, value = {}, 1
    for _ in range(31 - deep):
        value = {b"k": value}
    data = values.replace(data, (b"p",) * deep, {b"k": value})
    assert values.parse_data(bt.decode(bt.encode(values.to_bt(data)))) == data
    with pytest.raises(LocalError):
        values.replace({}, (b"p",) * deep, {b"k": {b"k": value}})
    with pytest.raises(LocalError):
        values.replace({}, (b"p",) * 32, {b"k": 1})


@pytest.mark.parametrize("value", ["text", 2**63, 1.5, frozenset({"text"}), {b"a": [1]}, {b"a": 2**64}])
def test_what_a_config_cannot_hold_is_the_callers_mistake(value):
    with pytest.raises(LocalError):
        values.replace({}, (), {b"k": value})

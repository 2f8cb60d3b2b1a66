"""Bencode: one spelling for every value (oxend-interface §1, Bencode)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.protocol import bt

integers = st.integers(bt.MIN_INT, bt.MAX_INT)
values = st.recursive(
    integers | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=10,
)
encodings = values.map(bt.encode)


def nested(levels: int) -> bytes:
    return b"l" * levels + b"e" * levels


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (0, b"i0e"),
        (-5, b"i-5e"),
        (2**64 - 1, b"i18446744073709551615e"),
        (-(2**63), b"i-9223372036854775808e"),
        (b"", b"0:"),
        (b"abc", b"3:abc"),
        ([], b"le"),
        ({}, b"de"),
        ([1, [b"x"], {}], b"li1el1:xedee"),
        ({b"": b"", b"a": -5, b"~": {b"b": []}}, b"d0:0:1:ai-5e1:~d1:bleee"),
    ],
)
def test_encodings(value, encoding):
    assert bt.encode(value) == encoding
    assert bt.decode(encoding) == value


def test_what_python_has_more_of_than_bencode():
    assert bt.encode(True) == b"i1e"
    assert bt.encode(False) == b"i0e"
    assert bt.encode("é") == b"2:\xc3\xa9"
    assert bt.encode((1, bytearray(b"x"), memoryview(b"yz"))) == b"li1e1:x2:yze"


def test_keys_are_sorted_by_their_bytes():
    assert bt.encode({"b": 1, b"a": 2, "é": 3, "B": 4}) == b"d1:Bi4e1:ai2e1:bi1e2:\xc3\xa9i3ee"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, None, 1.5, {1: 2}, {"a": 1, b"a": 2}, [object()]])
def test_what_cannot_be_encoded_is_the_callers_mistake(value):
    with pytest.raises(LocalError):
        bt.encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"e",
        b"x",
        b"i",
        b"ie",
        b"i-e",
        b"i-0e",
        b"i00e",
        b"i01e",
        b"i-01e",
        b"i+1e",
        b"i 1e",
        b"i1 e",
        b"i1_0e",
        b"i\xd9\xa1e",
        b"i1",
        b"i18446744073709551616e",
        b"i-9223372036854775809e",
        b"i" + b"1" * 5000 + b"e",
        b"1",
        b"1:",
        b"5:abcd",
        b"01:a",
        b"00:",
        b"-1:a",
        b"1 :a",
        b"99999999999:a",
        b"l",
        b"li1e",
        b"d",
        b"di1ei2ee",
        b"dlei1ee",
        b"ddei1ee",
        b"d1:ae",
        b"d1:a",
        b"d1:ai1e1:ai2ee",
        b"d1:bi1e1:ai2ee",
        b"d2:aai1e1:bi1e0:i2ee",
        b"i1ei2e",
        b"dee",
        b"lee",
    ],
)
def test_refused(data):
    with pytest.raises(ParseError):
        bt.decode(data)


def test_depth_is_bounded_from_both_sides():
    assert bt.encode(bt.decode(nested(bt.MAX_DEPTH))) == nested(bt.MAX_DEPTH)
    with pytest.raises(ParseError):
        bt.decode(nested(bt.MAX_DEPTH + 1))
    with pytest.raises(ParseError):
        bt.decode(nested(3), max_depth=2)
    with pytest.raises(ParseError):
        bt.decode(b"l" * 1_000_000)
    deep: list = []
    for _ in range(bt.MAX_DEPTH):
        deep = [deep]
    with pytest.raises(LocalError):
        bt.encode(deep)


def test_the_number_of_values_is_bounded():
    with pytest.raises(ParseError, match="too many"):
        bt.decode(b"l" + b"le" * (bt.MAX_VALUES + 1) + b"e")


def test_a_prefix_leaves_the_rest_alone():
    assert bt.decode_prefix(b"d1:ai1ee and more") == ({b"a": 1}, 8)
    assert bt.decode_prefix(b"i7ei8e") == (7, 3)
    assert bt.decode_prefix(b"2:abc") == (b"ab", 4)
    with pytest.raises(ParseError):
        bt.decode_prefix(b"d")


@given(values)
def test_round_trip(value):
    assert bt.decode(bt.encode(value)) == value


@given(encodings, st.data())
def test_no_proper_prefix_is_a_value(encoding, data):
    cut = data.draw(st.integers(0, len(encoding) - 1))
    with pytest.raises(ParseError):
        bt.decode(encoding[:cut])


def check(data: bytes) -> None:
    """Whatever is accepted is the one spelling of its value; nothing but ParseError refuses."""
    try:
        value = bt.decode(data)
    except ParseError:
        return
    assert bt.encode(value) == data


@settings(max_examples=2000, deadline=None)
@given(encodings, st.integers(0), st.integers(1, 255))
def test_fuzz_flipped_bits(encoding, position, mask):
    data = bytearray(encoding)
    data[position % len(data)] ^= mask
    check(bytes(data))


@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=60) | st.text("ilde:0123456789-a", max_size=30).map(str.encode))
def test_fuzz_random_bytes(data):
    check(data)

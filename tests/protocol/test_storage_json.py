"""JSON of any depth, read strictly: both readers agree with each other and with the rules."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol.storage import json_document
from ramson.protocol.storage.json_document import KEPT_DEPTH, TOO_DEEP, decode_json

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=30,
)


def deeply(body):
    """Read with the reader for deep documents."""
    return json_document._DeepReader(body).document()


def result(read, body):
    try:
        return repr(read(body))
    except ParseError:
        return "refused"


@given(VALUES, st.sampled_from([None, 1]))
def test_both_readers_read_what_was_written(value, indent):
    body = json.dumps(value, indent=indent).encode()
    assert decode_json(body) == deeply(body) == value


@settings(max_examples=500)
@given(VALUES, st.data())
def test_both_readers_refuse_the_same_damage(value, data):
    body = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 2))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(
            st.sampled_from(b'[]{}",:\\ 0-.eEtu\x00\x1f\xff\xc3\xed')
        )
    assert result(decode_json, bytes(body)) == result(deeply, bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b"-Infinity",
        b"1 2",
        b"[1,]",
        b'{"a":1,}',
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"'a'",
        b"/**/1",
        b"1 // x",
        b'"\t"',
        b'"\x00"',
        b'"\\x"',
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800\\u0041"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b"{1:2}",
        b"\x0b1",
        b"1e400",
        b"\xef\xbb\xbf\xef\xbb\xbf1",
    ],
)
def test_what_is_not_quite_json(body):
    with pytest.raises(ParseError, match="invalid json"):
        decode_json(body)
    with pytest.raises(ParseError, match="invalid json"):
        decode_json(b"[0," * 2000 + body + b"]" * 2000)


def test_freedoms():
    assert decode_json(b"\xef\xbb\xbf 1\r\n\t") == 1
    assert decode_json(b'{"a":1,"a":2}') == {"a": 2}
    assert decode_json(b'"\\ud83d\\ude00\\/\x7f"') == "\U0001f600/\x7f"


@pytest.mark.parametrize("depth", [990, 1100, 100_000])
def test_depth_is_no_reason_to_refuse(depth):
    body = b'{"deep":' + b"[" * depth + b"]" * depth + b',"flat":[1]}'
    document = decode_json(body)
    assert document["flat"] == [1]
    objects = b'{"a":' * depth + b"0" + b"}" * depth
    assert isinstance(decode_json(objects), dict)


def test_what_lies_too_deep_becomes_one_value():
    value = decode_json(b"[" * 5000 + b"]" * 5000)
    for _ in range(KEPT_DEPTH - 1):
        [value] = value
    assert value == [TOO_DEEP]
    assert repr(TOO_DEEP) == "TOO_DEEP"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5_000_000,
        b"[" * 5_000_000 + b"]" * 5_000_001,
        b"[ " * 2_000_000 + b"] " * 2_000_000,
        b"[0," * 1_000_000,
        b'{"a":' * 1_000_000,
        (b"[" * 1500 + b"]" * 1500 + b",") * 100,
        b"[" * 2000 + b"}" + b"]" * 1999,
        b'{"a":' * 2000 + b"1" + b"}" * 1999 + b"]",
        b"[[1," * 1000 + b"2" + b"]" * 2001,
    ],
)
def test_hostile_depth_is_refused_in_short_time(body):
    start = time.process_time()
    with pytest.raises(ParseError):
        decode_json(body)
    assert time.process_time() - start < 3

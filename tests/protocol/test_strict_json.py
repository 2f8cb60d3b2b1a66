"""JSON from strangers is read strictly, at any depth (storage-rpc §1 and its corrections)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol import strict_json

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
REFUSED = [
    b"",
    b" ",
    b"{",
    b"}",
    b"[1,]",
    b'{"a":1,}',
    b"[,1]",
    b'{"a"}',
    b'{"a":}',
    b"{a:1}",
    b"{1:2}",
    b"[1 2]",
    b"{]",
    b"[}",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"[1e999]",
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"-",
    b"True",
    b"nul",
    b"{} x",
    b"{}{}",
    b"/* */ {}",
    b"{} // x",
    b"'a'",
    b'"a',
    b'"\\x"',
    b'"\n"',
    b'"\x00"',
    b'{"zz":"\x1f"}',
    b'"\\ud800"',
    b'"\\udc00"',
    b'"\\ud800\\u0041"',
    b'"\xff"',
    b'{"zz":"\xc3("}',
    b'"\xed\xa0\x80"',
    b"\x0b{}",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
]


@pytest.mark.parametrize("data", REFUSED)
def test_refused(data):
    with pytest.raises(ParseError):
        strict_json.decode(data)


@pytest.mark.parametrize("data", REFUSED[1:])
def test_refused_just_as_well_deep_inside(data):
    with pytest.raises(ParseError):
        strict_json.decode(b'{"a":' * 1100 + data + b"}" * 1100)


def test_freedoms():
    assert strict_json.decode(b' \r\n{"m\\u0065" : [ 1 , -0, 2.5e1 , "\\/\\ud83d\\ude00" ] }\n\t') == {
        "me": [1, 0, 25.0, "/😀"]
    }
    assert strict_json.decode(b'{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}
    assert strict_json.decode(b"\xef\xbb\xbf[1]") == [1]
    assert strict_json.decode(b"18446744073709551615") == 2**64 - 1


def test_depth_is_no_reason_to_refuse():
    assert isinstance(strict_json.decode(b"[" * 100_000 + b"]" * 100_000), list)
    with pytest.raises(ParseError):
        strict_json.decode(b"[" * 100_000 + b"]" * 99_999)
    with pytest.raises(ParseError):
        strict_json.decode(b"[" * 1_000_000)


def test_what_lies_beside_something_deep_is_read_as_always():
    deep = b"[" * 3000 + b"]" * 3000
    value = strict_json.decode(b'{"a": %b, "b" : [1, "x\\n", {"c": null}, {}, []], "a": true, "d":-1.5}' % deep)
    assert value == {"a": True, "b": [1, "x\n", {"c": None}, {}, []], "d": -1.5}


def test_objects():
    assert strict_json.decode_object(b"{}") == {}
    for data in (b"[]", b"5", b"null", b'"x"'):
        with pytest.raises(ParseError):
            strict_json.decode_object(data)


def test_written_form_is_compact_sorted_utf8():
    assert strict_json.encode({"b": [1, None, True], "a": "é\n"}) == b'{"a":"\xc3\xa9\\n","b":[1,null,true]}'
    assert strict_json.encode_in_order({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


@given(documents)
def test_round_trip(document):
    assert strict_json.decode(strict_json.encode(document)) == document
    assert strict_json.decode(json.dumps(document, indent=1).encode()) == document


def accepts(data: bytes) -> bool:
    try:
        strict_json.decode(data)
    except ParseError:
        return False
    return True


@settings(max_examples=600, deadline=None)
@given(documents.map(strict_json.encode), st.integers(0), st.integers(0, 255))
def test_fuzz_both_ways_of_reading_agree(data, position, byte):
    damaged = bytearray(data)
    damaged[position % len(damaged)] = byte
    wrapped = b"[" * 1100 + b'{"":' + damaged + b"}" + b"]" * 1100
    assert accepts(bytes(damaged)) == accepts(wrapped)

"""Frames on a node's QUIC stream: what they look like, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.quic_frames import MAX_FRAME, MAX_ID, Frame, FrameReader, Kind, encode

ENDPOINTS = st.text(st.characters(max_codepoint=127), max_size=40)
FRAMES = st.one_of(
    st.builds(Frame, st.just(Kind.COMMAND), st.integers(0, MAX_ID), st.binary(), ENDPOINTS),
    st.builds(Frame, st.sampled_from([Kind.REPLY, Kind.ERROR]), st.integers(0, MAX_ID), st.binary()),
)


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (Frame(Kind.COMMAND, 7, b"abc", "info"), b"19:l1:Ci7e4:info3:abce"),
        (Frame(Kind.REPLY, 0, b""), b"10:l1:Ri0e0:e"),
        (Frame(Kind.ERROR, 12, b"no"), b"13:l1:Ei12e2:noe"),
    ],
)
def test_how_they_look(frame, wire):
    assert encode(frame) == wire
    assert list(FrameReader().feed(wire)) == [frame]


@given(FRAMES)
def test_a_frame_is_a_length_and_a_bencoded_list(frame):
    length, _, value = encode(frame).partition(b":")
    assert int(length) == len(value)
    named = [frame.endpoint.encode()] if frame.kind is Kind.COMMAND else []
    assert bt.decode(value) == [frame.kind.encode(), frame.number, *named, frame.body]


@given(st.lists(FRAMES), st.lists(st.integers(1, 30)))
def test_frames_come_out_however_they_are_cut(frames, cuts):
    data = b"".join(map(encode, frames))
    reader, found = FrameReader(), []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)
    assert found == frames
    assert reader.held == 0


@given(st.binary(max_size=200))
def test_anything_else_is_refused_or_waits(data):
    reader = FrameReader()
    try:
        for frame in reader.feed(data):
            assert isinstance(frame, Frame)
    except ParseError:
        return
    assert reader.held <= len(data)


@given(st.binary(max_size=60))
def test_any_list_that_bencode_would_refuse_is_refused_here(value):
    try:
        frames = list(FrameReader().feed(b"%d:%b" % (len(value), value)))
    except ParseError:
        return
    assert [encode(frame) for frame in frames] == [b"%d:%b" % (len(value), value)]


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"-1:",
        b"01:",
        b":",
        b"10000001:",
        b"100000000",
        b"999999999:",
        b"0:",
    ],
)
def test_what_is_refused(data):
    with pytest.raises(ParseError):
        list(FrameReader().feed(data))


@pytest.mark.parametrize(
    "value",
    [
        b"le",
        b"l1:Xi0e0:e",
        b"l1:Ri-1e0:e",
        b"l1:Ri00e0:e",
        b"l1:Ri9223372036854775808e0:eee",
        b"l1:Ri0e00:e",
        b"l1:Ri0e1:e",
        b"l1:Ri0e0:ee",
        b"l1:Ci0e0:e",
        b"l1:Ci0e1:\xff0:e",
        b"l1:Ri0ei1e0:ee",
    ],
)
def test_lists_that_are_refused(value):
    with pytest.raises(ParseError):
        list(FrameReader().feed(b"%d:%b" % (len(value), value)))


def test_the_largest_frame_and_one_byte_more():
    body = bytes(MAX_FRAME - len(b"l1:Ri0e9999986:e"))
    wire = encode(Frame(Kind.REPLY, 0, body))
    assert wire.startswith(b"10000000:")
    assert [len(frame.body) for frame in FrameReader().feed(wire)] == [len(body)]
    with pytest.raises(LocalError):
        encode(Frame(Kind.REPLY, 0, body + b"x"))


def test_a_long_endpoint_is_refused():
    with pytest.raises(ParseError):
        list(FrameReader().feed(encode(Frame(Kind.COMMAND, 0, b"", "x" * 256))))

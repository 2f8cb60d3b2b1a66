"""What a file server and its clients say of an upload in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol.resumable_uploads import (
    MAX_PIECE,
    MIN_PIECE,
    BadPiece,
    Piece,
    Standing,
    check_piece,
    creation_headers,
    is_creation,
    is_place,
    is_upload_id,
    parse_creation,
    parse_piece,
    parse_standing,
    piece_headers,
    standing_headers,
    upload_id,
)


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


@given(st.integers(0, 10**15 - 1))
def test_a_creation_round_trip(length):
    headers = lower(creation_headers(length))
    assert is_creation(headers)
    assert parse_creation(headers) == length


def test_a_whole_file_begins_nothing():
    assert not is_creation({})
    assert not is_creation({"upload-complete": "?1"})
    assert is_creation({"upload-complete": "false"})  # and is then refused, rather than taken for a whole file


@given(st.builds(Piece, st.integers(0, 10**15 - 1), st.booleans()))
def test_a_piece_round_trip(piece):
    assert parse_piece(lower(piece_headers(piece))) == piece


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.booleans())
def test_a_standing_round_trip(offset, more, complete):
    standing = Standing(offset, offset + more, complete)
    assert parse_standing(standing_headers(standing)) == standing


@pytest.mark.parametrize("text", ["", "-1", "1.0", " 1", "1 ", "+1", "0x1", "١", "1" * 16, "1,1"])
def test_what_is_no_number_of_bytes(text):
    with pytest.raises(ParseError):
        parse_creation({"upload-complete": "?0", "upload-length": text})
    with pytest.raises(ParseError):
        parse_piece({"upload-complete": "?0", "upload-offset": text})


@pytest.mark.parametrize("text", ["", "1", "0", "true", "?2", "?1;a", "?0 "])
def test_what_is_neither_yes_nor_no(text):
    with pytest.raises(ParseError):
        parse_creation({"upload-complete": text, "upload-length": "5"})
    with pytest.raises(ParseError):
        parse_piece({"upload-complete": text, "upload-offset": "5"})


def test_more_than_there_is_cannot_be_there():
    with pytest.raises(ParseError):
        parse_standing({"upload-offset": "6", "upload-length": "5", "upload-complete": "?0"})


def test_ids_are_32_bytes_in_base64_for_urls():
    name = upload_id(bytes(range(224, 256)))
    assert is_upload_id(name)
    assert is_place(f"/uploads/{name}")
    for wrong in ("", name[1:], name + "A", name[:-1] + "/", name[:-1] + "\n"):
        assert not is_upload_id(wrong)
        assert not is_place(f"/uploads/{wrong}")
    assert not is_place(f"http://elsewhere/uploads/{name}")


@pytest.mark.parametrize(
    ("piece", "size", "length", "status"),
    [
        (Piece(0, last=False), MIN_PIECE, 10**6, None),
        (Piece(0, last=False), MAX_PIECE, 10**7, None),
        (Piece(10**6 - 1, last=True), 1, 10**6, None),
        (Piece(10**6 - 1, last=False), 1, 10**6, None),
        (Piece(10**6, last=True), 0, 10**6, None),
        (Piece(0, last=False), MIN_PIECE - 1, 10**6, 400),
        (Piece(0, last=False), 0, 10**6, 400),
        (Piece(0, last=False), MAX_PIECE + 1, 10**7, 413),
        (Piece(10**6 - 1, last=True), 2, 10**6, 400),
        (Piece(0, last=True), MIN_PIECE, 10**6, 400),
    ],
)
def test_the_rules_for_pieces(piece, size, length, status):
    if status is None:
        check_piece(piece, size, length)
    else:
        with pytest.raises(BadPiece) as refused:
            check_piece(piece, size, length)
        assert refused.value.status == status

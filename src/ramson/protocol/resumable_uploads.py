"""An upload in pieces: what a file server and its clients say to each other about a file that is half there.

Formats and the rules for pieces only; who keeps them is `servers.files.unfinished`, who sends them
`messenger.pieces`.

Theory of operation.  Session's file servers take a file in one request.
# spec gap: everything here is ours.  Only servers that are known to offer it are spoken to so (`FileServer.resumable`).
It follows "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload) as far as version 4 requests go, which
have no interim responses:

    POST  /file         Upload-Complete: ?0, Upload-Length: N     201  Location: /uploads/ID, Upload-Offset
    PATCH /uploads/ID   Upload-Offset: O, Upload-Complete: ?0     204  Upload-Offset
    PATCH /uploads/ID   Upload-Offset: O, Upload-Complete: ?1     200  the answer to an ordinary upload
    HEAD  /uploads/ID                                             204  Upload-Offset, Upload-Length, Upload-Complete
    DELETE /uploads/ID                                            204

Stricter than the draft: the length is told at the beginning, and no piece but the last is small, the first included.
The last request may have an empty body, and may be repeated: the answer is the same, so one that was lost can be had
again.  Whoever knows an ID may add to the upload; it is 32 random bytes.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ramson.errors import ParseError

MIN_PIECE: Final = 16 * 1024  # bytes; only the last piece may have fewer
MAX_PIECE: Final = 1024 * 1024  # bytes
ID_BYTES: Final = 32
PLACE: Final = "/uploads/"
PIECE_TYPE: Final = "application/partial-upload"
MISMATCHING_OFFSET: Final = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"

_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)  # RFC 9651 integers have no more digits
_YES, _NO = "?1", "?0"


def upload_id(random32: bytes) -> str:
    """Return the id of a new upload."""
    return urlsafe_b64encode(random32).rstrip(b"=").decode("ascii")


def is_upload_id(text: str) -> bool:
    """Whether `text` has the form of an upload's id."""
    return _ID.fullmatch(text) is not None


def is_place(text: str) -> bool:
    """Whether `text` is where an upload can be, as a Location header tells."""
    return text.startswith(PLACE) and is_upload_id(text[len(PLACE) :])


@dataclass(frozen=True, slots=True)
class Piece:
    """What an append says of itself: where it begins, and whether the file ends with it."""

    offset: int
    last: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an upload is: `offset` of `length` bytes are there; `complete` when it has become a file."""

    offset: int
    length: int
    complete: bool


# Header names are written as the draft does, and read in lower case, which is how both ends hand them on.


def creation_headers(length: int) -> dict[str, str]:
    """Write what begins an upload of `length` bytes."""
    return {"Upload-Complete": _NO, "Upload-Length": str(length)}


def is_creation(headers: Mapping[str, str]) -> bool:
    """Whether a request does not bring a whole file."""
    return headers.get("upload-complete", _YES) != _YES


def parse_creation(headers: Mapping[str, str]) -> int:
    """Read how long the file will be whose beginning a request brings.  Raises ParseError."""
    if _flag(headers):
        raise ParseError("resumable upload: this is a whole file")
    return _count(headers, "upload-length")


def piece_headers(piece: Piece) -> dict[str, str]:
    """Write what an append says of itself."""
    return {
        "Content-Type": PIECE_TYPE,
        "Upload-Offset": str(piece.offset),
        "Upload-Complete": _YES if piece.last else _NO,
    }


def parse_piece(headers: Mapping[str, str]) -> Piece:
    """Read what an append says of itself.  Raises ParseError."""
    return Piece(_count(headers, "upload-offset"), _flag(headers))


def standing_headers(standing: Standing) -> dict[str, str]:
    """Write how far an upload is."""
    return {
        "upload-offset": str(standing.offset),
        "upload-length": str(standing.length),
        "upload-complete": _YES if standing.complete else _NO,
        "cache-control": "no-store",
    }


def parse_standing(headers: Mapping[str, str]) -> Standing:
    """Read how far an upload is.  Raises ParseError."""
    offset, length = _count(headers, "upload-offset"), _count(headers, "upload-length")
    if offset > length:
        raise ParseError("resumable upload: more is there than there is")
    return Standing(offset, length, _flag(headers))


class BadPiece(ParseError):
    """A piece breaks the rules; `status` is what the server answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_piece(piece: Piece, size: int, length: int) -> None:
    """Check a piece of `size` bytes for a file of `length`, whose offset is right.  Raises BadPiece."""
    end = piece.offset + size
    if size > MAX_PIECE:
        raise BadPiece(f"a piece has at most {MAX_PIECE} bytes", 413)
    if end > length:
        raise BadPiece("the piece goes beyond the length that was told")
    if piece.last and end < length:
        raise BadPiece("the file is shorter than the length that was told")
    if size < MIN_PIECE and end < length:
        raise BadPiece(f"only the last piece may have less than {MIN_PIECE} bytes")


def _count(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not _COUNT.fullmatch(text):
        raise ParseError(f"resumable upload: `{name}` is no number of bytes")
    return int(text)


def _flag(headers: Mapping[str, str]) -> bool:
    text = headers.get("upload-complete")
    if text not in {_YES, _NO}:
        raise ParseError("resumable upload: `upload-complete` is neither ?0 nor ?1")
    return text == _YES

"""Requests and replies as they travel on a node's QUIC stream.

It reads and writes bytes; what is asked for is somebody else's business.  Spec: storage-rpc.md §1 *QUIC framing*.

Theory of operation.  On one stream, in both directions, frame follows frame: a decimal length, a colon, and a bencoded
list of that many bytes, `["C", id, endpoint, body]` for a request or a command, `["R", id, body]` for a reply,
`["E", id, body]` for an error.  Each sender numbers its own requests.  The list is read by its few permitted shapes and
not by a decoder for all of bencode, so that a frame costs no more than its bytes; a length too large is refused before
anything is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ramson.errors import LocalError, ParseError

MAX_FRAME: Final = 10_000_000  # bytes of the list
MAX_ID: Final = 2**63 - 1
MAX_ENDPOINT: Final = 255  # bytes; spec gap: no limit is given

_HEAD: Final = re.compile(rb"l1:([CRE])i(0|[1-9][0-9]{0,18})e")
_LENGTH: Final = re.compile(rb"(0|[1-9][0-9]{0,7}):")


class Kind(StrEnum):
    """What a frame is."""

    COMMAND = "C"
    REPLY = "R"
    ERROR = "E"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `endpoint` is what is asked for, and empty in replies and errors."""

    kind: Kind
    number: int
    body: bytes = field(repr=False)
    endpoint: str = ""


def encode(frame: Frame) -> bytes:
    """Write a frame with its length.  Raises LocalError if it is too large."""
    named = b""
    if frame.kind is Kind.COMMAND:
        endpoint = frame.endpoint.encode()
        named = b"%d:%b" % (len(endpoint), endpoint)
    head = b"l1:%bi%de%b%d:" % (frame.kind.encode(), frame.number, named, len(frame.body))
    size = len(head) + len(frame.body) + 1
    if size > MAX_FRAME:
        raise LocalError(f"a QUIC frame has at most {MAX_FRAME} bytes")
    return b"%d:%b%be" % (size, head, frame.body)


class FrameReader:
    """Puts frames together from what comes in; `held` bytes have come of one that is not whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: int | None = None  # the length of the frame that is coming

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and yield the frames that are whole now.  Raises ParseError, after which it is of no use."""
        self._buffer += data
        start = 0
        try:
            while True:
                if self._wanted is None:
                    length = _LENGTH.match(self._buffer, start)
                    if length is None:
                        _expect_length(bytes(self._buffer[start : start + 9]))
                        return
                    self._wanted = int(length[1])
                    if self._wanted > MAX_FRAME:
                        raise ParseError("QUIC: a frame is too large")
                    start = length.end()
                if len(self._buffer) - start < self._wanted:
                    return
                frame = _decode(bytes(memoryview(self._buffer)[start : start + self._wanted]))
                start += self._wanted
                self._wanted = None
                yield frame
        finally:
            del self._buffer[:start]


def _expect_length(begun: bytes) -> None:
    """Refuse what cannot become a length and its colon."""
    if len(begun) == 9 or (begun and (not begun.isdigit() or begun[:1] == b"0" != begun)):
        raise ParseError("QUIC: no frame begins here")


def _decode(data: bytes) -> Frame:
    head = _HEAD.match(data)
    if head is None:
        raise ParseError("QUIC: a frame is neither request nor reply")
    kind, number, position = Kind(head[1].decode()), int(head[2]), head.end()
    if number > MAX_ID:
        raise ParseError("QUIC: a frame's number exceeds 63 bits")
    endpoint = b""
    if kind is Kind.COMMAND:
        endpoint, position = _string(data, position)
        if len(endpoint) > MAX_ENDPOINT or not endpoint.isascii():
            raise ParseError("QUIC: no such endpoint can be")
    body, position = _string(data, position)
    if data[position:] != b"e":
        raise ParseError("QUIC: a frame's list has another end")
    return Frame(kind, number, body, endpoint.decode("ascii"))


def _string(data: bytes, position: int) -> tuple[bytes, int]:
    length = _LENGTH.match(data, position)
    if length is None:
        raise ParseError("QUIC: a string was expected")
    start = length.end()
    end = start + int(length[1])
    if end > len(data):
        raise ParseError("QUIC: a string is cut short")
    return data[start:end], end

"""What a client asks a bridge, and what the bridge answers.

Values in, bytes out, and back.  All numbers are big-endian.

    request   kind u8 ‖ room u32 ‖ transfer 16 ‖ …
    1 FORWARD   guard 32 ‖ before u32 ‖ onion         carry an onion request to the guard with this Ed25519 key
    2 PIECE     offset u32 ‖ data                     keep a piece of an onion request that does not fit one body
    3 REST      offset u32                            give more of the reply to this transfer
    4 LIST                                            give a list of nodes, see `node_list`

    reply     kind u8 ‖ …
    1 CONTENT   status u16 ‖ total u32 ‖ data         the (first or next) part of an answer of `total` bytes
    2 KEPT                                            the piece is kept
    3 REFUSED   reason u8

A client names a guard by its key alone: the bridge looks its address up in the list of nodes, so it can never be made
to connect to anything else.  `room` is the size of the largest body that the client wants to get; what does not fit it
asks for with REST.  Of an onion request in pieces the first `before` bytes came with PIECE, in order, under the same
`transfer`, a name that the client draws at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from ramson.crypto.aead import TAG_SIZE
from ramson.errors import ParseError
from ramson.protocol.bridge.sizes import LENGTH_SIZE, is_class

TRANSFER_SIZE: Final = 16
GUARD_SIZE: Final = 32
MAX_TOTAL: Final = 16 * 1024 * 1024

_ALWAYS: Final = 1 + 4 + TRANSFER_SIZE
_CONTENT_HEAD: Final = 1 + 2 + 4
_AROUND: Final = LENGTH_SIZE + TAG_SIZE


class Refusal(IntEnum):
    """Why a bridge did not do what it was asked."""

    UNKNOWN_GUARD = 1  # not in the bridge's list of nodes, or at an address where no node may be
    GUARD_UNREACHABLE = 2  # no connection
    GUARD_SILENT = 3  # no reply in time
    GUARD_BROKEN = 4  # no proper reply
    BUSY = 5  # too many requests: of this address, of this link or in all
    LOST = 6  # pieces of the request or the rest of the reply are not there (any more)
    NO_LIST = 7
    TOO_LARGE = 8


@dataclass(frozen=True, slots=True)
class Forward:
    """Carry an onion request: the kept pieces of `before` bytes, and `onion` behind them."""

    room: int
    transfer: bytes
    guard: bytes
    before: int
    onion: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Keep a piece of an onion request that begins at `offset`."""

    room: int
    transfer: bytes
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rest:
    """Give what comes from `offset` on of the reply to this transfer."""

    room: int
    transfer: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Give a list of nodes, as `protocol.node_list` has it."""

    room: int
    transfer: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """A part of an answer that has `total` bytes; `status` is the guard's HTTP status."""

    status: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The piece is kept."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The bridge did not do it."""

    reason: Refusal


BridgeRequest: TypeAlias = Forward | Piece | Rest | ListQuery
BridgeReply: TypeAlias = Content | Kept | Refused


def forward_space(body: int) -> int:
    """Return how many bytes of an onion request fit a body of this size beside all else."""
    return body - _AROUND - _ALWAYS - GUARD_SIZE - 4


def piece_space(body: int) -> int:
    """Return how many bytes of a piece fit a body of this size."""
    return body - _AROUND - _ALWAYS - 4


def content_space(room: int) -> int:
    """Return how many bytes of an answer fit a body of this size."""
    return room - _AROUND - _CONTENT_HEAD


def encode_request(request: BridgeRequest) -> bytes:
    """Write a request."""
    match request:
        case Forward():
            kind, rest = 1, request.guard + request.before.to_bytes(4, "big") + request.onion
        case Piece():
            kind, rest = 2, request.offset.to_bytes(4, "big") + request.data
        case Rest():
            kind, rest = 3, request.offset.to_bytes(4, "big")
        case ListQuery():
            kind, rest = 4, b""
    return bytes([kind]) + request.room.to_bytes(4, "big") + request.transfer + rest


def decode_request(data: bytes) -> BridgeRequest:
    """Read a request.  Raises ParseError."""
    reader = _Reader(data)
    kind, room, transfer = reader.number(1), reader.number(4), reader.take(TRANSFER_SIZE)
    if not is_class(room):
        raise ParseError("bridge: no body has the size that is asked for")
    request: BridgeRequest
    match kind:
        case 1:
            guard, before = reader.take(GUARD_SIZE), reader.total()
            request = Forward(room, transfer, guard, before, reader.rest())
        case 2:
            request = Piece(room, transfer, reader.total(), reader.rest())
        case 3:
            request = Rest(room, transfer, reader.total())
        case 4:
            request = ListQuery(room, transfer)
        case _:
            raise ParseError("bridge: an unknown kind of request")
    reader.finish()
    return request


def encode_reply(reply: BridgeReply) -> bytes:
    """Write a reply."""
    match reply:
        case Content(status, total, data):
            return b"\x01" + status.to_bytes(2, "big") + total.to_bytes(4, "big") + data
        case Kept():
            return b"\x02"
        case Refused(reason):
            return bytes([3, reason])


def decode_reply(data: bytes) -> BridgeReply:
    """Read a reply.  Raises ParseError."""
    reader = _Reader(data)
    reply: BridgeReply
    match reader.number(1):
        case 1:
            status, total = reader.number(2), reader.total()
            reply = Content(status, total, reader.rest())
            if not 100 <= status < 600 or len(reply.data) > total:
                raise ParseError("bridge: an answer that cannot be")
        case 2:
            reply = Kept()
        case 3:
            try:
                reply = Refused(Refusal(reader.number(1)))
            except ValueError:
                raise ParseError("bridge: an unknown reason") from None
        case _:
            raise ParseError("bridge: an unknown kind of reply")
    reader.finish()
    return reply


class _Reader:
    """Takes one field after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ParseError("bridge: the message is cut off")
        self._at, start = end, self._at
        return self._data[start:end]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def total(self) -> int:
        value = self.number(4)
        if value > MAX_TOTAL:
            raise ParseError("bridge: a length beyond what can be carried")
        return value

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ParseError("bridge: something is left over")

"""What goes into the mailbox and what comes out of it.

Accounts are 33 raw bytes (network byte and key), hashes the 43-character texts of storage-rpc §2, times
Unix milliseconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as it is to be kept; `hash` was computed or checked by the caller."""

    account: bytes
    namespace: int
    hash: str
    timestamp: int
    expiry: int
    data: bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as retrieve returns it."""

    hash: str
    timestamp: int
    expiry: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a store: whether the message is `new`, and the `expiry` it now has."""

    new: bool
    expiry: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages in order of arrival, and whether `more` follow."""

    messages: tuple[Message, ...]
    more: bool


class ExpireMode(Enum):
    """How a new expiry meets the old one: set it in any case, only lower it, or only raise it."""

    SET = "set"
    SHORTEN = "shorten"
    EXTEND = "extend"


@dataclass(frozen=True, slots=True)
class ExpireResult:
    """Messages whose expiry was changed, and known ones whose was not; hash → expiry they now have, in hash order.

    In mode SET every known message counts as updated.
    """

    updated: dict[str, int]
    unchanged: dict[str, int]


@dataclass(frozen=True, slots=True)
class MailboxStats:
    """How much is kept: number of messages and of accounts that have any, bytes in use, and the limit.

    `full` tells whether new messages are being refused for want of room, `turned_away` how often that happened.
    """

    messages: int
    accounts: int
    used_bytes: int
    max_bytes: int
    full: bool = False
    turned_away: int = 0


def message_cost(length: int) -> int:
    """Bytes a message with `length` bytes of data is counted as in retrieve's size limit (storage-rpc §4)."""
    return 143 + length * 4 // 3

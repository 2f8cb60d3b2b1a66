"""Receiving messages from another node that hands them over: `sn.data` (swarms.md §5).

Theory of operation.  When swarms change, a member that holds messages which now belong to another swarm, or
to a new member, sends them in batches.  Version `01` of a batch is a list of [account, hash, timestamp,
expiry, data].  It leaves out the namespace; but the hash was made from account, namespace and data, so the
namespace is found again by trying those in use, and a message whose hash fits none of them is not what it
claims to be and is dropped.  So is one that belongs to another swarm, or would live longer than any message
may.  Known messages keep their expiry; nobody is notified.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from ramson.crypto.hashing import message_hash
from ramson.errors import ParseError
from ramson.node.mailbox import Mailbox, MailboxError, NewMessage
from ramson.node.standing import Standing
from ramson.protocol import bt
from ramson.protocol.namespaces import DAY_MS, Namespace
from ramson.world import Clock

VERSION: Final = b"\x01"
MAX_DATA: Final = 76_800  # bytes
MAX_LIFE_MS: Final = 30 * DAY_MS + 60_000  # the longest lifetime of any namespace, and a minute for clocks

# What a hash is tried with, the likeliest first; the public outboxes are those of −1, −21, …
_NAMESPACES: Final = tuple(dict.fromkeys([*map(int, Namespace), *range(-1, -102, -20), *range(16), -111, -211]))

log = logging.getLogger(__name__)


class HandoffReceiver:
    """Takes batches from other nodes into `mailbox`."""

    def __init__(self, standing: Standing, mailbox: Mailbox, clock: Clock) -> None:
        self._standing = standing
        self._mailbox = mailbox
        self._clock = clock

    async def receive(self, parts: Sequence[bytes]) -> list[bytes] | None:
        """Handle the parts of `sn.data`; the reply is empty, or None (no reply) for a batch that cannot be taken."""
        if not parts or parts[0][:1] != VERSION:
            return []
        try:
            entries = _entries(parts[0][1:])
        except ParseError:
            return None
        latest = self._clock.now() + MAX_LIFE_MS
        messages = [message for entry in entries if (message := self._check(entry, latest)) is not None]
        if len(messages) < len(entries):
            log.warning("handoff: dropped %d of %d messages", len(entries) - len(messages), len(entries))
        try:
            stored = await self._mailbox.store_many(messages) if messages else 0
        except MailboxError as error:
            log.error("handoff: not stored: %s", error)  # noqa: TRY400 - the mailbox has logged the cause
            return None  # the sender must not believe that we have them
        log.info("handoff: %d messages, %d of them new", len(messages), stored)
        return []

    def _check(self, entry: _Entry, latest: int) -> NewMessage | None:
        account, text, timestamp, expiry, data = entry
        if len(data) > MAX_DATA or expiry > latest or not self._standing.owns(account):
            return None
        for namespace in _NAMESPACES:
            if message_hash(account, namespace, data) == text:
                return NewMessage(account, namespace, text, timestamp, expiry, data)
        return None


_Entry = tuple[bytes, str, int, int, bytes]


def _entries(body: bytes) -> list[_Entry]:
    value, _ = bt.decode_prefix(body)
    if not isinstance(value, list):
        raise ParseError("handoff: not a list")
    return [_entry(item) for item in value]


def _entry(item: bt.Value) -> _Entry:
    match item:
        case [bytes(account), bytes(text), int(timestamp), int(expiry), bytes(data)] if len(account) == 33:
            if not (-(2**63) <= timestamp < 2**63 and 0 <= expiry < 2**63):
                raise ParseError("handoff: a time out of range")
            return account, text.decode("ascii", "replace"), timestamp, expiry, data
    raise ParseError("handoff: not a message")

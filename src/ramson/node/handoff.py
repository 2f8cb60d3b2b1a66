"""Receiving messages from another node that hands them over: `sn.data` (swarms.md §5).

Theory of operation.  When swarms change, a member that holds messages which now belong to another swarm, or
to a new member, sends them in batches.  Version `01` of a batch is a list of [account, hash, timestamp,
expiry, data].  It leaves out the namespace; but the hash was made from account, namespace and data, so the
namespace is found again by trying those in use, and a message whose hash fits none of them is not what it
claims to be and is dropped.  So is one that would live longer than any message may.  Known messages keep their
expiry, deleted ones stay deleted; nobody is notified.

The sender may have the list of a new block before we have.  It sends `01` once, so accounts that are not ours
are waited with for a while, in case the list that makes them ours is on its way; then they are dropped.

Version `02` is that of our own nodes (`swarm.batch`); its sender learns what was not taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from ramson.crypto.hashing import message_hash
from ramson.errors import ParseError
from ramson.node.counters import Counters
from ramson.node.mailbox import Mailbox, MailboxError, NewMessage
from ramson.node.standing import Standing
from ramson.node.swarm import batch
from ramson.node.swarm.batch import VERSION_1, VERSION_2, Receipt
from ramson.node.swarm.intake import MAX_AHEAD_MS, MAX_LIFE_MS, Intake
from ramson.protocol import bt
from ramson.protocol.namespaces import Namespace
from ramson.world import Clock

MAX_DATA: Final = 76_800  # bytes
PATIENCE_SECONDS: Final = 5.0  # the senders of `01` wait 15 s, impatient ones 8
LOOK_SECONDS: Final = 0.5
MAX_PATIENT: Final = 8  # batches that wait for a list

# What a hash is tried with, the likeliest first; the public outboxes are those of −1, −21, …
_NAMESPACES: Final = tuple(dict.fromkeys([*map(int, Namespace), *range(-1, -102, -20), *range(16), -111, -211]))

log = logging.getLogger(__name__)


class HandoffReceiver:
    """Takes batches from other nodes into `mailbox`; those of version `02` by way of `intake`."""

    def __init__(
        self,
        standing: Standing,
        mailbox: Mailbox,
        clock: Clock,
        intake: Intake,
        *,
        patience: float = PATIENCE_SECONDS,
        counters: Counters | None = None,
    ) -> None:
        self._standing = standing
        self._mailbox = mailbox
        self._clock = clock
        self._intake = intake
        self._patience = patience
        self._patient = 0
        self._counters = counters or Counters()

    async def receive(self, parts: Sequence[bytes]) -> list[bytes] | None:
        """Handle the parts of `sn.data`.

        The reply to `01` and to unknown versions is empty, that to `02` a receipt; None (no reply) for a batch that
        cannot be taken.
        """
        version = parts[0][:1] if parts else b""
        try:
            if version == VERSION_1:
                return await self._receive_v1(_entries(parts[0][1:]))
            if version == VERSION_2:
                taken = await self._intake.take(batch.decode(parts[0]))
                return [Receipt(taken.changed, taken.foreign, taken.wanted).encode()]
        except ParseError as error:
            log.info("handoff: a batch cannot be read: %s", error)
            # What begins with 02 and is not ours is of a version that we do not know: acknowledged, as all of those.
            return [] if version == VERSION_2 else None
        except MailboxError as error:
            log.error("handoff: not stored: %s", error)  # noqa: TRY400 - the mailbox has logged the cause
            return None  # the sender must not believe that we have them
        return []

    async def _receive_v1(self, entries: list[_Entry]) -> list[bytes]:
        await self._wait_for_list(entries)
        now = self._clock.now()
        messages = [message for entry in entries if (message := self._check(entry, now)) is not None]
        if len(messages) < len(entries):
            log.warning("handoff: dropped %d of %d messages", len(entries) - len(messages), len(entries))
        stored = await self._mailbox.store_many(messages) if messages else 0
        self._counters.handed_over += stored
        log.info("handoff: %d messages, %d of them new", len(messages), stored)
        return []

    async def _wait_for_list(self, entries: list[_Entry]) -> None:
        deadline = self._clock.monotonic() + self._patience
        foreign = {entry[0] for entry in entries}
        if self._patient >= MAX_PATIENT:
            return
        self._patient += 1
        try:
            while True:
                foreign = {account for account in foreign if not self._standing.owns(account)}
                if not foreign or self._clock.monotonic() >= deadline:
                    return
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._patient -= 1

    def _check(self, entry: _Entry, now: int) -> NewMessage | None:
        account, text, timestamp, expiry, data = entry
        if len(data) > MAX_DATA or expiry > now + MAX_LIFE_MS or timestamp > now + MAX_AHEAD_MS:
            return None
        if not self._standing.owns(account):
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

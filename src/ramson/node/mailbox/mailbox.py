"""The messages a node keeps: storing, reading, deleting, expiring, and the revocations of subaccounts.

It knows nothing of signatures, swarms or requests: whoever calls has checked all that.  Reads are immediate
and see what has been committed; writes are awaited and are on the disk when they return (see `writer`).
Messages past their expiry stay readable until the sweep, as storage-rpc §4 has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from ramson.node.mailbox import statements
from ramson.node.mailbox.errors import explain
from ramson.node.mailbox.schema import open_reader, open_writer
from ramson.node.mailbox.values import (
    ExpireMode,
    ExpireResult,
    MailboxStats,
    Message,
    NewMessage,
    Page,
    Stored,
    message_cost,
)
from ramson.node.mailbox.writer import Writer
from ramson.world import Clock, Disk

DEFAULT_MAX_BYTES: Final = 3584 * 1024 * 1024
ROW_BYTES: Final = 400  # what a message takes besides its data: row, three index entries
SWEEP_BATCH: Final = 500  # messages deleted in one transaction, so that stores get between

_FROM_START: Final = (
    "SELECT hash, timestamp, expiry, data FROM message WHERE account = ? AND namespace = ? ORDER BY id LIMIT ?"
)
_AFTER: Final = (
    "SELECT hash, timestamp, expiry, data FROM message WHERE account = ?1 AND namespace = ?2 AND id >"
    " ifnull((SELECT id FROM message WHERE account = ?1 AND namespace = ?2 AND hash = ?4), 0) ORDER BY id LIMIT ?3"
)


class Mailbox:
    """The mailbox in the file `path` (its directory must exist).  Raises MailboxError when it cannot be opened.

    It takes over `disk` and closes it.  `max_bytes` bounds the database; beyond it stores raise MailboxFull and
    nothing is evicted.  All write operations raise MailboxError when the disk did not take them.
    """

    def __init__(self, path: str | Path, disk: Disk, clock: Clock, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._writer = Writer(open_writer(Path(path)), disk, clock, max_bytes)
        self._reader = open_reader(Path(path))

    async def store(self, message: NewMessage) -> Stored:
        """Keep a message; of one already there the later expiry counts.  In an outbox it replaces the others."""
        return await self._writer.submit(partial(statements.store, message=message), adds=len(message.data) + ROW_BYTES)

    async def store_many(self, messages: Sequence[NewMessage]) -> int:
        """Keep those messages that are not there yet, in one transaction, and return how many that were."""
        return await self._writer.submit(
            partial(statements.store_many, messages=messages),
            adds=sum(len(message.data) + ROW_BYTES for message in messages),
            heavy=len(messages) > 1,
        )

    async def delete(self, account: bytes, hashes: Iterable[str]) -> list[str]:
        """Delete these hashes in every namespace; return those that were there, sorted."""
        return await self._writer.submit(partial(statements.delete, account=account, hashes=tuple(hashes)))

    async def delete_all(self, account: bytes, namespace: int | None) -> dict[int, list[str]]:
        """Delete a namespace (None: all); return the sorted hashes by namespace, without empty namespaces."""
        return await self._writer.submit(partial(statements.delete_all, account=account, namespace=namespace))

    async def delete_before(self, account: bytes, namespace: int | None, timestamp: int) -> dict[int, list[str]]:
        """Delete what has this timestamp (ms) or an earlier one; otherwise as `delete_all`."""
        return await self._writer.submit(
            partial(statements.delete_all, account=account, namespace=namespace, until=timestamp)
        )

    async def expire(self, account: bytes, changes: Sequence[tuple[str, int]], mode: ExpireMode) -> ExpireResult:
        """Change the expiries (ms) of single hashes, in whatever namespaces they are."""
        return await self._writer.submit(partial(statements.expire, account=account, changes=changes, mode=mode))

    async def expire_all(self, account: bytes, namespace: int | None, expiry: int) -> dict[int, list[str]]:
        """Lower later expiries to `expiry` (ms); return the changed hashes, sorted, by namespace."""
        return await self._writer.submit(
            partial(statements.expire_all, account=account, namespace=namespace, expiry=expiry)
        )

    async def revoke(self, account: bytes, tokens: Iterable[bytes]) -> None:
        """Revoke subaccount tokens; an account's newest 50 are kept."""
        await self._writer.submit(partial(statements.revoke, account=account, tokens=tuple(tokens)))

    async def unrevoke(self, account: bytes, tokens: Iterable[bytes]) -> int:
        """Take revocations back; return how many there were."""
        return await self._writer.submit(partial(statements.unrevoke, account=account, tokens=tuple(tokens)))

    def retrieve(
        self, account: bytes, namespace: int, *, after: str | None, max_count: int | None, max_size: int
    ) -> Page:
        """Return messages in order of arrival, from the one after the hash `after` (unknown: from the start).

        `max_size` counts `message_cost` for each; the first fits always.  A `max_count` below 1 gives an empty
        page.  Raises MailboxError.
        """
        if max_count is not None and max_count < 1:
            return Page((), more=False)
        limit = -1 if max_count is None else min(max_count, 2**31) + 1
        try:
            if after:
                rows = self._reader.execute(_AFTER, (account, namespace, limit, after))
            else:
                rows = self._reader.execute(_FROM_START, (account, namespace, limit))
            messages: list[Message] = []
            more = False
            for row in rows:
                message = Message(*row)
                max_size -= message_cost(len(message.data))
                if messages and (max_size < 0 or len(messages) == max_count):
                    more = True
                    rows.close()
                    break
                messages.append(message)
        except apsw.Error as error:
            raise explain(error) from error
        return Page(tuple(messages), more)

    def expiries(self, account: bytes, hashes: Iterable[str]) -> dict[str, int]:
        """Return the expiries (ms) of those hashes that are here.  Raises MailboxError."""
        try:
            return statements.find_anywhere(self._reader, account, hashes)
        except apsw.Error as error:
            raise explain(error) from error

    def is_revoked(self, account: bytes, token: bytes) -> bool:
        """Tell whether a subaccount token is revoked.  Raises MailboxError."""
        try:
            sql = "SELECT 1 FROM revoked WHERE account = ? AND token = ?"
            return bool(statements.rows(self._reader, sql, (account, token)))
        except apsw.Error as error:
            raise explain(error) from error

    async def find_data(self, text: str) -> bytes | None:
        """Return the data of some message with this hash, of whatever account: for storage tests.

        No index helps: it reads one through on the disk's thread, about half a second for millions of messages.
        """
        return await self._writer.submit(partial(statements.find_data, text=text), heavy=True)

    async def sweep(self, now: int) -> int:
        """Delete everything that had expired at `now` (ms); return how many messages that were."""
        total = 0
        while True:
            swept = await self._writer.submit(partial(statements.sweep, now=now, limit=SWEEP_BATCH), heavy=True)
            total += swept
            if swept < SWEEP_BATCH:
                return total
            await asyncio.sleep(0)

    def stats(self) -> MailboxStats:
        """Count what is kept.  It reads an index through: some tens of milliseconds for millions of messages."""
        sql = "SELECT count(*), count(DISTINCT account) FROM message"
        try:
            ((messages, accounts),) = statements.rows(self._reader, sql, ())
            pages = int(self._reader.pragma("page_count")) - int(self._reader.pragma("freelist_count"))
            return MailboxStats(messages, accounts, pages * int(self._reader.pragma("page_size")), self._max_bytes)
        except apsw.Error as error:
            raise explain(error) from error

    async def close(self) -> None:
        """Finish the writes that were asked for and close the file."""
        self._reader.close()
        await self._writer.close()  # the last to close: it moves the log into the database

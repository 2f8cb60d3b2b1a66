"""The messages a node keeps: storing, reading, deleting, expiring, and the revocations of subaccounts.

It knows nothing of signatures, swarms or requests: whoever calls has checked all that, and a proof is bytes to it.
Other members see it through `swarm` (`MemberView`).  Reads are immediate
and see what has been committed; writes are awaited and are on the disk when they return (see `writer`).
Messages past their expiry stay readable until the sweep, as storage-rpc §4 has it.  From the moment a sweep begins they
are not, whether the disk takes it at once, later or never.

When a message does not fit into the size limit, what has expired makes room, then what is remembered of deleted
messages; and if that is not enough the message is refused.  A message that was acknowledged and has not expired is
never evicted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import apsw

from ramson.node.mailbox import sampling, statements, tokens
from ramson.node.mailbox.copies import rows
from ramson.node.mailbox.digests import Digests
from ramson.node.mailbox.errors import explain
from ramson.node.mailbox.member_view import MemberView
from ramson.node.mailbox.sampling import Sample
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
from ramson.node.mailbox.writer import OnCommit, Writer, uncounted
from ramson.protocol.namespaces import is_public_outbox
from ramson.world import Clock, Disk

DEFAULT_MAX_BYTES: Final = 3584 * 1024 * 1024
ROW_BYTES: Final = 400  # what a message takes besides its data: row, three index entries
ROOM_BATCH: Final = 100  # messages or ghosts that make room at a time
SWEEP_BATCH: Final = 500  # messages deleted in one transaction, so that stores get between

_FROM_START: Final = (
    "SELECT hash, timestamp, expiry, data FROM message WHERE account = ? AND namespace = ? AND expiry > ?"
    " ORDER BY id LIMIT ?"
)
_AFTER: Final = (
    "SELECT hash, timestamp, expiry, data FROM message WHERE account = ?1 AND namespace = ?2 AND expiry > ?3 AND id >"
    " ifnull((SELECT id FROM message WHERE account = ?1 AND namespace = ?2 AND hash = ?5), 0) ORDER BY id LIMIT ?4"
)
# Members may bring several messages to an outbox; the latest is the one it keeps, for all of them alike.
_OUTBOX: Final = (
    "SELECT hash, timestamp, expiry, data FROM message WHERE account = ? AND namespace = ? AND expiry > ?"
    " ORDER BY timestamp DESC, hash DESC LIMIT 1"
)
_DUE: Final = (
    "SELECT EXISTS (SELECT 1 FROM message WHERE expiry <= ?1), EXISTS (SELECT 1 FROM ghost WHERE until <= ?1),"
    " EXISTS (SELECT 1 FROM proof WHERE id > ?2)"
)
_END_OF_TIME: Final = 2**63 - 1
_BEGINNING: Final = -(2**63)


class Mailbox:
    """The mailbox in the file `path` (its directory must exist).  Raises MailboxError when it cannot be opened.

    It takes over `disk` and closes it.  `max_bytes` bounds the database; beyond it stores raise MailboxFull.  All
    write operations raise MailboxError when the disk did not take them.  `on_commit` is told of each transaction.
    """

    def __init__(
        self,
        path: str | Path,
        disk: Disk,
        clock: Clock,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        on_commit: OnCommit = uncounted,
    ) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._digests = Digests()
        self._made_room = 0  # expired messages that went between sweeps
        self._sweeping = False  # since a sweep began, until one has succeeded
        self._writer = Writer(
            open_writer(Path(path)), disk, clock, max_bytes, self._digests, on_commit, make_room=self._make_room
        )
        self._reader = open_reader(Path(path))
        self._proofs_swept = 0  # the number of the last proof that was looked at
        self.swarm = MemberView(self._writer, self._reader, self._digests, clock)

    # Every operation that makes a message or its expiry less takes the `proof` of it: the request signed by the
    # account, encoded, by which other members will believe what was done.

    async def store(self, message: NewMessage, *, proof: bytes | None = None) -> Stored:
        """Keep a message; of one already there the later expiry counts.  In an outbox it replaces the others."""
        adds = len(message.data) + ROW_BYTES
        work = partial(statements.store, digests=self._digests, message=message)
        if is_public_outbox(message.namespace):
            work = partial(
                statements.store_alone, digests=self._digests, message=message, now=self._clock.now(), proof=proof
            )
        return await self._writer.submit(work, adds=adds, displaces=True)

    async def store_many(self, messages: Sequence[NewMessage]) -> int:
        """Keep those messages of which nothing is known, in one transaction, and return how many that were.

        A message that was deleted is known: it stays deleted.
        """
        return await self._writer.submit(
            partial(statements.store_many, digests=self._digests, messages=messages),
            adds=sum(len(message.data) + ROW_BYTES for message in messages),
            heavy=len(messages) > 1,
        )

    async def delete(self, account: bytes, hashes: Iterable[str], *, proof: bytes | None = None) -> list[str]:
        """Delete these hashes in every namespace; return those that were there, sorted."""
        return await self._writer.submit(
            partial(
                statements.delete,
                digests=self._digests,
                account=account,
                hashes=tuple(hashes),
                now=self._clock.now(),
                proof=proof,
            )
        )

    async def delete_all(
        self, account: bytes, namespace: int | None, *, proof: bytes | None = None
    ) -> dict[int, list[str]]:
        """Delete a namespace (None: all); return the sorted hashes by namespace, without empty namespaces."""
        return await self._writer.submit(self._deletion(account, namespace, proof, until=None))

    async def delete_before(
        self, account: bytes, namespace: int | None, timestamp: int, *, proof: bytes | None = None
    ) -> dict[int, list[str]]:
        """Delete what has this timestamp (ms) or an earlier one; otherwise as `delete_all`."""
        return await self._writer.submit(self._deletion(account, namespace, proof, until=timestamp))

    def _deletion(
        self, account: bytes, namespace: int | None, proof: bytes | None, *, until: int | None
    ) -> Callable[[apsw.Connection], dict[int, list[str]]]:
        return partial(
            statements.delete_all,
            digests=self._digests,
            account=account,
            namespace=namespace,
            now=self._clock.now(),
            proof=proof,
            until=until,
        )

    async def expire(
        self, account: bytes, changes: Sequence[tuple[str, int]], mode: ExpireMode, *, proof: bytes | None = None
    ) -> ExpireResult:
        """Change the expiries (ms) of single hashes, in whatever namespaces they are."""
        return await self._writer.submit(
            partial(statements.expire, digests=self._digests, account=account, changes=changes, mode=mode, proof=proof)
        )

    async def expire_all(
        self, account: bytes, namespace: int | None, expiry: int, *, proof: bytes | None = None
    ) -> dict[int, list[str]]:
        """Lower later expiries to `expiry` (ms); return the changed hashes, sorted, by namespace."""
        return await self._writer.submit(
            partial(
                statements.expire_all,
                digests=self._digests,
                account=account,
                namespace=namespace,
                expiry=expiry,
                proof=proof,
            )
        )

    async def revoke(
        self, account: bytes, revoked: Iterable[bytes], *, signed_at: int = 0, proof: bytes | None = None
    ) -> None:
        """Revoke subaccount tokens, as signed at a time (ms); an account's newest 50 count."""
        await self._writer.submit(
            partial(
                tokens.revoke,
                digests=self._digests,
                account=account,
                tokens=tuple(revoked),
                signed_at=signed_at,
                proof=proof,
            )
        )

    async def unrevoke(
        self, account: bytes, withdrawn: Iterable[bytes], *, signed_at: int = 0, proof: bytes | None = None
    ) -> int:
        """Take revocations back; return how many there were."""
        return await self._writer.submit(
            partial(
                tokens.unrevoke,
                digests=self._digests,
                account=account,
                tokens=tuple(withdrawn),
                signed_at=signed_at,
                proof=proof,
            )
        )

    def retrieve(
        self, account: bytes, namespace: int, *, after: str | None, max_count: int | None, max_size: int
    ) -> Page:
        """Return messages in order of arrival, from the one after the hash `after` (unknown: from the start).

        `max_size` counts `message_cost` for each; the first fits always.  A `max_count` below 1 gives an empty
        page.  Raises MailboxError.
        """
        if max_count is not None and max_count < 1:
            return Page((), more=False)
        if is_public_outbox(namespace):
            return self._outbox(account, namespace, after)
        limit = -1 if max_count is None else min(max_count, 2**31) + 1
        try:
            if after:
                rows = self._reader.execute(_AFTER, (account, namespace, self._horizon(), limit, after))
            else:
                rows = self._reader.execute(_FROM_START, (account, namespace, self._horizon(), limit))
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

    def _horizon(self) -> int:
        """Return up to which expiry (ms) messages are not served although they are there."""
        return self._clock.now() if self._sweeping else _BEGINNING

    def _outbox(self, account: bytes, namespace: int, after: str | None) -> Page:
        try:
            found = [Message(*row) for row in rows(self._reader, _OUTBOX, (account, namespace, self._horizon()))]
        except apsw.Error as error:
            raise explain(error) from error
        return Page(tuple(message for message in found if message.hash != after), more=False)

    def expiries(self, account: bytes, hashes: Iterable[str]) -> dict[str, int]:
        """Return the expiries (ms) of those hashes that are here.  Raises MailboxError."""
        try:
            found = statements.find_anywhere(self._reader, account, hashes)
        except apsw.Error as error:
            raise explain(error) from error
        horizon = self._horizon()
        return {text: expiry for text, expiry in found.items() if expiry > horizon}

    def is_revoked(self, account: bytes, token: bytes) -> bool:
        """Tell whether a subaccount token is revoked.  Raises MailboxError."""
        try:
            return tokens.is_revoked(self._reader, account, token)
        except apsw.Error as error:
            raise explain(error) from error

    async def find_data(self, text: str) -> bytes | None:
        """Return the data of some message with this hash that has not expired, of whatever account: for storage tests.

        No index helps: it reads one through on the disk's thread, about half a second for millions of messages.
        """
        return await self._writer.submit(partial(statements.find_data, text=text, now=self._clock.now()), heavy=True)

    def newest(self) -> int:
        """Return the id of the message that came last: a mark for `pick`.  Raises MailboxError."""
        try:
            return sampling.newest(self._reader)
        except apsw.Error as error:
            raise explain(error) from error

    def pick(self, share: float, until: int, alive_at: int) -> Sample | None:
        """Return a message that came up to the mark `until` and expires after `alive_at` (ms).

        `share` (0…1) draws which.  Raises MailboxError.
        """
        try:
            return sampling.pick(self._reader, share, until, alive_at)
        except apsw.Error as error:
            raise explain(error) from error

    def find(self, account: bytes, namespace: int, text: str) -> Sample | None:
        """Return the message with this hash, unless it has expired.  Raises MailboxError."""
        try:
            found = sampling.find(self._reader, account, namespace, text)
        except apsw.Error as error:
            raise explain(error) from error
        return found if found is not None and found.expiry > self._clock.now() else None

    async def sweep(self, now: int) -> int:
        """Delete everything that had expired at `now` (ms); return how many messages that were since the last sweep.

        Until it has succeeded nothing that has expired is served.  Ghosts go when their time is over, and before it
        when the database has no room: messages come first.  Where there is nothing to do nothing is written.
        """
        self._sweeping = True
        try:
            ((messages, ghosts, proofs),) = rows(self._reader, _DUE, (now, self._proofs_swept))
        except apsw.Error as error:
            raise explain(error) from error
        total, self._made_room = self._made_room, 0
        if messages:
            total += await self._sweep_out(partial(statements.sweep, digests=self._digests, now=now, limit=SWEEP_BATCH))
        if ghosts:
            await self._sweep_out(partial(statements.sweep_ghosts, digests=self._digests, now=now, limit=SWEEP_BATCH))
        while self._used_bytes() > self._max_bytes:
            work = partial(statements.sweep_ghosts, digests=self._digests, now=_END_OF_TIME, limit=ROOM_BATCH)
            if not await self._writer.submit(work, heavy=True):
                break
        if proofs:
            work = partial(statements.sweep_proofs, after=self._proofs_swept, limit=SWEEP_BATCH)
            self._proofs_swept = await self._writer.submit(work, heavy=True)
        else:
            self._proofs_swept = 0
        self._sweeping = False
        return total

    async def _sweep_out(self, work: Callable[[apsw.Connection], int]) -> int:
        total = 0
        while True:
            swept = await self._writer.submit(work, heavy=True)
            total += swept
            if swept < SWEEP_BATCH:
                return total
            await asyncio.sleep(0)

    def _make_room(self, db: apsw.Connection, ghosts: bool) -> bool:  # noqa: FBT001 - a MakeRoom
        """Let a few of those go that keep a new message out, in its transaction; False when nobody may go.

        Ghosts go for clients' messages, and not for what other members bring: they would fetch ghosts from one another
        again and again.
        """
        swept = statements.sweep(db, self._digests, self._clock.now(), ROOM_BATCH)
        self._made_room += swept
        if swept:
            return True
        return ghosts and bool(statements.sweep_ghosts(db, self._digests, _END_OF_TIME, ROOM_BATCH))

    def stats(self) -> MailboxStats:
        """Count what is kept.  It reads an index through: some tens of milliseconds for millions of messages."""
        sql = "SELECT count(*), count(DISTINCT account) FROM message"
        try:
            ((messages, accounts),) = rows(self._reader, sql, ())
        except apsw.Error as error:
            raise explain(error) from error
        return MailboxStats(
            messages, accounts, self._used_bytes(), self._max_bytes, self._writer.full, self._writer.turned_away
        )

    def _used_bytes(self) -> int:
        """Return how many bytes of the database hold something."""
        try:
            pages = int(self._reader.pragma("page_count")) - int(self._reader.pragma("freelist_count"))
            return pages * int(self._reader.pragma("page_size"))
        except apsw.Error as error:
            raise explain(error) from error

    async def close(self) -> None:
        """Finish the writes that were asked for and close the file."""
        self._reader.close()
        await self._writer.close()  # the last to close: it moves the log into the database

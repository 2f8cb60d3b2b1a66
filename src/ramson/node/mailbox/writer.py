"""The one writer of the mailbox: everything that waits becomes one transaction.

Theory of operation.  A transaction costs one fsync however much it holds, so operations that arrive while
the disk is busy are gathered and committed together.  A disk that is quicker than operations come would
still commit each of them alone, with two changes of threads: so for a moment after several came at once, a
small group waits a little for company.  An operation that comes alone never waits.

The statements of light operations run on the event loop (tens of microseconds each, into SQLite's memory);
only COMMIT, which waits for the disk, goes to `Disk`.  Running every statement on the disk's thread was
measured to be slower: SQLite gives the interpreter lock back at each statement, and a busy event loop takes
up to 5 ms to hand it over again.  Heavy operations (sweeps, hand-overs) go to the disk as a whole.

An operation is acknowledged after COMMIT and never before.  When one operation of a group fails, the group
is rolled back and each is tried alone, so that nobody fails for another's fault.  When COMMIT fails, all of
the group fail.  What does not fit into the size limit is refused, after `make_room` has done what it can within the
same transaction.  A damaged file is not written to again.  The digests take over what a transaction changed
when it is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import apsw

from ramson.node.mailbox.digests import Digests
from ramson.node.mailbox.errors import MailboxError, MailboxFull, explain, is_damage
from ramson.node.mailbox.schema import BUSY_MS
from ramson.world import Clock, Disk

T = TypeVar("T")

# Told of each transaction: how many operations it had, and how many seconds it took.
OnCommit = Callable[[int, float], None]
# Deletes a little of what may go, in the transaction that needs the room; False when there is nothing left of it.
# It is told whether ghosts may go too.
MakeRoom = Callable[[apsw.Connection, bool], bool]

MAX_GROUP: Final = 256  # operations in one transaction
COMPANY: Final = 6  # operations that are enough for one transaction
GATHER_SECONDS: Final = 0.002  # how long fewer of them wait for company when there is likely to be some
CROWDED_SECONDS: Final = 0.05  # how long after several came at once
SLOW_SECONDS: Final = 2.0  # a transaction that takes longer is worth a line in the log
ROOM_TRIES: Final = 10  # how often room is made for one transaction
ENOUGH: Final = 100_000  # bytes of room with which a mailbox is no longer full: any message fits

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Operation:
    """Something to be done in a transaction, and the future of whoever waits for it."""

    work: Callable[[apsw.Connection], Any]
    adds: int
    heavy: bool
    displaces: bool
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failed:
    """In the place of an operation's result."""

    error: Exception


def uncounted(_operations: int, _seconds: float) -> None:
    """Let a transaction pass without a note."""


def _keep_all(_db: apsw.Connection, _ghosts: bool) -> bool:  # noqa: FBT001 - a MakeRoom
    return False


class Writer:
    """Gathers operations into transactions on `db`, which it owns, as it does `disk`."""

    def __init__(
        self,
        db: apsw.Connection,
        disk: Disk,
        clock: Clock,
        max_bytes: int,
        digests: Digests,
        on_commit: OnCommit = uncounted,
        make_room: MakeRoom = _keep_all,
    ) -> None:
        self.full = False  # whether what adds is being refused
        self.turned_away = 0  # operations that were refused for want of room
        self._db = db
        self._make_room = make_room
        self._on_commit = on_commit
        self._digests = digests
        self._disk = disk
        self._clock = clock
        self._max_bytes = max_bytes
        self._page_size = int(db.pragma("page_size"))
        self._waiting: deque[_Operation] = deque()
        self._task: asyncio.Task[None] | None = None
        self._crowded_until = 0.0  # until then others are likely to come
        self._refusal = ""  # why nothing more is taken

    def submit(
        self, work: Callable[[apsw.Connection], T], *, adds: int = 0, heavy: bool = False, displaces: bool = False
    ) -> asyncio.Future[T]:
        """Queue `work` and return the future of its result, which comes when it is on the disk.

        `adds` is the number of bytes it may add to the database: with it the size limit is kept
        (MailboxFull); `displaces` lets ghosts give way to it.  The future raises MailboxError.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if self._refusal:
            done.set_exception(MailboxError(self._refusal))
            return done
        self._waiting.append(_Operation(work, adds, heavy, displaces, done))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._drain(), name="mailbox writer")
        return done

    def used_bytes(self) -> int:
        """Bytes of the database that hold something."""
        pages = int(self._db.pragma("page_count")) - int(self._db.pragma("freelist_count"))
        return pages * self._page_size

    async def close(self) -> None:
        """Finish what was submitted, take no more, and close the connection and the disk."""
        self._refusal = self._refusal or "the mailbox is closed"
        try:
            if self._task is not None:
                await asyncio.wait([self._task])
            await self._disk.run(self._db.close)
            await self._disk.close()
        except BaseException:
            # The disk is gone, or nobody waits any more.  What is not committed is rolled back; a connection
            # left to the garbage collector would hold its lock until then.
            with contextlib.suppress(apsw.Error):
                self._db.close()
            raise

    async def _drain(self) -> None:
        group: list[_Operation] = []
        try:
            while self._waiting:
                if len(self._waiting) < COMPANY and self._crowded_until > self._clock.monotonic():
                    await asyncio.sleep(GATHER_SECONDS)
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]
                began = self._clock.monotonic()
                await self._write(group)
                ended = self._clock.monotonic()
                if len(group) > 1 or len(self._waiting) > 1:
                    self._crowded_until = ended + CROWDED_SECONDS
                took = ended - began
                if took > SLOW_SECONDS:
                    log.warning("slow mailbox disk: a write took %.0f ms, operations=%d", took * 1000, len(group))
                self._on_commit(len(group), took)
        except BaseException:
            # Cancelled from outside: a transaction may be open and its COMMIT running.
            self._refusal = "the mailbox stopped writing; restart the node"
            for operation in (*group, *self._waiting):
                operation.done.cancel()
            self._waiting.clear()
            raise

    async def _write(self, group: Sequence[_Operation]) -> None:
        try:
            outcomes = await self._transact(group)
            self._digests.committed()
        except Exception as error:
            self._roll_back()
            cause = error.cause if isinstance(error, _CommitFailed) else error
            if isinstance(cause, apsw.Error) and is_damage(cause):
                self._refusal = str(explain(cause))
            elif len(group) > 1 and error is cause:
                for operation in group:
                    await self._write([operation])
                return
            if isinstance(cause, apsw.FullError):
                self._turn_away(len(group), "the disk has no room")
            log.exception("mailbox write failed, operations=%d", len(group))
            outcomes = [_Failed(explain(cause) if isinstance(cause, apsw.Error) else cause) for _ in group]
        for operation, outcome in zip(group, outcomes, strict=True):
            if operation.done.done():
                continue  # whoever waited has gone
            if isinstance(outcome, _Failed):
                operation.done.set_exception(outcome.error)
            else:
                operation.done.set_result(outcome)

    async def _transact(self, group: Sequence[_Operation]) -> list[Any]:
        if any(operation.heavy for operation in group):
            return await self._disk.run(partial(self._apply_patiently, group))
        try:
            outcomes = self._apply(group)
        except apsw.BusyError:
            return await self._disk.run(partial(self._apply_patiently, group))
        await self._disk.run(self._commit)
        return outcomes

    def _apply_patiently(self, group: Sequence[_Operation]) -> list[Any]:
        """Do the whole transaction, waiting for another process's lock; for the disk's thread."""
        self._db.set_busy_timeout(BUSY_MS)
        try:
            outcomes = self._apply(group)
            self._commit()
        finally:
            self._db.set_busy_timeout(0)
        return outcomes

    def _apply(self, group: Sequence[_Operation]) -> list[Any]:
        """Begin a transaction and do the operations in it; one that does not fit gets MailboxFull instead."""
        self._db.execute("BEGIN IMMEDIATE")
        wanted = sum(operation.adds for operation in group if operation.adds <= self._max_bytes)
        room = self._room(wanted, ghosts=any(operation.displaces for operation in group)) if wanted else 0
        outcomes: list[Any] = []
        for operation in group:
            if operation.adds > room:
                self._turn_away(1, f"its limit of {self._max_bytes} bytes is reached")
                outcomes.append(_Failed(MailboxFull("database full", remedy="raise the node's mailbox size")))
            else:
                room -= operation.adds
                outcomes.append(operation.work(self._db))
        if self.full and wanted and room >= ENOUGH:
            self.full = False
            log.info("the mailbox has room again")
        return outcomes

    def _room(self, wanted: int, *, ghosts: bool) -> int:
        """Return how many bytes may be added, having made room for `wanted` as far as that goes."""
        room = self._max_bytes - self.used_bytes()
        for _ in range(ROOM_TRIES):
            if room >= wanted or not self._make_room(self._db, ghosts):
                break
            room = self._max_bytes - self.used_bytes()
        return room

    def _turn_away(self, operations: int, why: str) -> None:
        self.turned_away += operations
        if not self.full:
            self.full = True
            log.warning("the mailbox is full, new messages are refused: %s", why)

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except apsw.Error as error:
            raise _CommitFailed(error) from error

    def _roll_back(self) -> None:
        self._digests.rolled_back()
        if self._db.in_transaction:  # SQLite itself rolls back on some errors
            self._db.execute("ROLLBACK")


class _CommitFailed(apsw.Error):
    """COMMIT raised `cause`."""

    def __init__(self, cause: apsw.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause

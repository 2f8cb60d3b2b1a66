"""What a bridge has to remember for some minutes: which tickets were used, and the parts of what is being transferred.

Both are SQLite files that the processes of one site may share, or in memory for a single process.  Nothing in them says
who asked: nonces are random, transfers are sealed to others or public.  When, they say to ten minutes and to one.  What
is old is deleted when the next request comes, and overwritten, though SQLite's log may hold it for some requests more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import apsw

from ramson.protocol.bridge import SLOTS_KEPT
from ramson.servers.sqlite_file import SqliteFile
from ramson.world import Clock, Disk

MAX_NONCES: Final = 1_000_000  # about 100 MB; far beyond what the rate limits let in
KEEP_MS: Final = 120_000  # since the minute in which a transfer was last touched
MINUTE_MS: Final = 60_000
BUSY_MS: Final = 2000

_NONCES: Final = """
    CREATE TABLE IF NOT EXISTS nonces (
        id INTEGER PRIMARY KEY,
        nonce BLOB NOT NULL UNIQUE,
        slot INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS nonces_by_slot ON nonces (slot);
"""
_TRANSFERS: Final = """
    CREATE TABLE IF NOT EXISTS transfers (
        name BLOB PRIMARY KEY,
        status INTEGER NOT NULL,
        size INTEGER NOT NULL,
        touched INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS parts (
        name BLOB NOT NULL REFERENCES transfers ON DELETE CASCADE,
        at INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (name, at)
    ) STRICT;
"""


class _Database(SqliteFile):
    """One of the two."""

    schema: ClassVar[str]

    def __init__(self, path: str, disk: Disk) -> None:
        super().__init__(path, disk, busy_ms=BUSY_MS)

    def _prepare(self, db: apsw.Connection) -> None:
        # Losing the last moments with the machine's power is no harm; losing them with the process would be.
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            db.execute(f"PRAGMA {setting}").fetchall()
        db.execute(self.schema)


class Nonces(_Database):
    """The nonces of tickets that were used and would still be good.

    Those this process knows of are also in memory: that a ticket was used before must not take longer to see than
    that a path is none.  (What another process has just taken is looked up in the file.)
    """

    schema = _NONCES

    def __init__(self, path: str, disk: Disk) -> None:
        super().__init__(path, disk)
        self._known: dict[int, set[bytes]] = {}  # by slot

    async def open(self) -> None:
        """See above."""
        await super().open()
        rows: list[Any] = await self._run(lambda db: db.execute("SELECT slot, nonce FROM nonces").fetchall())
        for slot, nonce in rows:
            self._known.setdefault(slot, set()).add(nonce)

    async def take(self, nonce: bytes, slot: int, now_slot: int) -> bool:
        """Note a nonce; False if it was there, or if there are too many.  Raises apsw.Error."""
        known = self._known.setdefault(slot, set())
        if nonce in known:
            return False
        known.add(nonce)
        for old in [each for each in self._known if each <= now_slot - SLOTS_KEPT + 1]:
            del self._known[old]

        def work(db: apsw.Connection) -> bool:
            db.execute("DELETE FROM nonces WHERE slot <= ?", (now_slot - SLOTS_KEPT + 1,))
            if _value(db, "SELECT coalesce(max(id) - min(id), 0) FROM nonces") >= MAX_NONCES:
                return False
            db.execute("INSERT OR IGNORE INTO nonces (nonce, slot) VALUES (?, ?)", (nonce, slot))
            return db.changes() == 1

        return await self._run(work)


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a reply of `total` bytes."""

    status: int
    total: int
    data: bytes


class Parcels(_Database):
    """Requests that arrive and replies that leave in pieces, `capacity` bytes of them."""

    schema = _TRANSFERS

    def __init__(self, path: str, disk: Disk, clock: Clock, *, capacity: int) -> None:
        super().__init__(path, disk)
        self._clock = clock
        self._capacity = capacity

    async def add(self, transfer: bytes, offset: int, data: bytes) -> bool:
        """Keep the piece of a request at `offset`, where the last one ended or where this one is already.

        False if pieces before it are missing or there is no room.  Raises apsw.Error.
        """
        return await self._run(lambda db: self._add(db, b"q" + transfer, 0, offset, data))

    async def take(self, transfer: bytes, size: int) -> bytes | None:
        """Return a request of `size` bytes and forget it; None if that is not what is here.  Raises apsw.Error."""
        name = b"q" + transfer

        def work(db: apsw.Connection) -> bytes | None:
            parts = [bytes(row[0]) for row in db.execute("SELECT data FROM parts WHERE name = ? ORDER BY at", (name,))]
            db.execute("DELETE FROM transfers WHERE name = ?", (name,))
            whole = b"".join(parts)
            return whole if len(whole) == size else None

        return await self._run(work)

    async def put(self, transfer: bytes, status: int, reply: bytes) -> bool:
        """Keep a reply, to be fetched in parts; False if there is no room.  Raises apsw.Error."""
        return await self._run(lambda db: self._add(db, b"r" + transfer, status, 0, reply))

    async def part(self, transfer: bytes, offset: int, size: int) -> Part | None:
        """Return up to `size` bytes of a reply; None if it is not here (any more).  Raises apsw.Error."""
        name = b"r" + transfer

        def work(db: apsw.Connection) -> Part | None:
            sql = (
                "SELECT status, size, substr(data, ?, ?) FROM transfers JOIN parts USING (name)"
                " WHERE name = ? AND touched > ? AND size > ?"
            )
            now = self._minute()
            row = next(iter(db.execute(sql, (offset + 1, size, name, now - KEEP_MS, offset))), None)
            if row is None:
                return None
            db.execute("UPDATE transfers SET touched = ? WHERE name = ?", (now, name))
            return Part(int(row[0]), int(row[1]), bytes(row[2]))

        return await self._run(work)

    def _minute(self) -> int:
        return self._clock.now() // MINUTE_MS * MINUTE_MS

    def _add(self, db: apsw.Connection, name: bytes, status: int, offset: int, data: bytes) -> bool:
        now = self._minute()
        db.execute("DELETE FROM transfers WHERE touched <= ?", (now - KEEP_MS,))
        if _value(db, "SELECT coalesce(sum(size), 0) FROM transfers") + len(data) > self._capacity:
            return False
        size = _value(db, "SELECT coalesce(max(size), 0) FROM transfers WHERE name = ?", name)
        if offset == size:
            db.execute(
                "INSERT INTO transfers VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT DO UPDATE SET size = size + excluded.size, touched = excluded.touched",
                (name, status, len(data), now),
            )
            db.execute("INSERT INTO parts VALUES (?, ?, ?)", (name, offset, data))
            return True
        known = _value(db, "SELECT coalesce(max(length(data)), -1) FROM parts WHERE name = ? AND at = ?", name, offset)
        return known == len(data)  # sent again, for its first answer was lost


def _value(db: apsw.Connection, sql: str, *bindings: Any) -> int:
    return int(next(iter(db.execute(sql, bindings)))[0])

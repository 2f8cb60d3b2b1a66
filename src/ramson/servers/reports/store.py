"""What a collector keeps: for each reporter of a month the latest outcome of each way out, until the month is closed.

Theory of operation.  A reporter is a token hashed under a secret of the month, so that whoever gets the file cannot
look for a token.  When a month is closed its counts are written down and everything else of it, the secret too, is
deleted, and overwritten in the file; then nothing is left by which two outcomes could be told to be one reporter's.
"""

from __future__ import annotations

import hashlib
import random
from enum import Enum
from pathlib import Path
from typing import Final

import apsw

from ramson.protocol.reach_report import ReachReport
from ramson.servers.reports.publication import Count, published
from ramson.servers.sqlite_file import SqliteFile
from ramson.world import Disk

MAX_REPORTERS: Final = 200_000  # of one month
_SCHEMA: Final = """
    CREATE TABLE months (month TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT;
    CREATE TABLE reporters (month TEXT, reporter BLOB, day TEXT NOT NULL, PRIMARY KEY (month, reporter)) STRICT;
    CREATE TABLE outcomes (
        month TEXT, reporter BLOB, country TEXT, provider TEXT, rung TEXT, status TEXT NOT NULL,
        PRIMARY KEY (month, reporter, country, provider, rung)
    ) STRICT;
    CREATE TABLE published (
        month TEXT, country TEXT, provider TEXT, rung TEXT, status TEXT, reporters INTEGER NOT NULL,
        PRIMARY KEY (month, country, provider, rung, status)
    ) STRICT;
    CREATE TABLE closed (month TEXT PRIMARY KEY) STRICT;
    PRAGMA user_version = 1;
"""


class Taken(Enum):
    """What became of a report."""

    NEW = "new"
    KNOWN = "known"  # this reporter's of this day is there already
    FULL = "full"
    CLOSED = "closed"  # its month is


class ReportStore(SqliteFile):
    """The database at `path`; all work is done on `disk`, which it owns."""

    def __init__(self, path: Path, disk: Disk, entropy: random.Random) -> None:
        super().__init__(path, disk)
        self._entropy = entropy

    async def add(self, report: ReachReport) -> Taken:
        """Keep what a report says of ways out, unless its reporter had one that day."""
        return await self._run(lambda db: self._add(db, report))

    async def close_before(self, month: str) -> list[str]:
        """Publish all months before this one that are open, delete what they were counted from, and return them."""
        return await self._run(lambda db: self._publish(db, month))

    async def published(self) -> list[Count]:
        """Return what was published, the newest month first."""
        sql = (
            "SELECT month, country, provider, rung, status, reporters FROM published"
            " ORDER BY month DESC, country, provider, rung, status"
        )
        return await self._run(lambda db: [Count(*row) for row in db.execute(sql)])

    def _add(self, db: apsw.Connection, report: ReachReport) -> Taken:
        month = report.month
        if db.execute("SELECT 1 FROM closed WHERE month = ?", (month,)).fetchone():
            return Taken.CLOSED
        reporter = self._reporter(db, month, report.reporter)
        last = db.execute("SELECT day FROM reporters WHERE month = ? AND reporter = ?", (month, reporter)).fetchone()
        if last is not None and str(last[0]) >= report.day:
            return Taken.KNOWN
        if last is None:
            (count,) = db.execute("SELECT count(*) FROM reporters WHERE month = ?", (month,)).fetchone() or (0,)
            if int(str(count)) >= MAX_REPORTERS:
                return Taken.FULL
        db.execute("INSERT OR REPLACE INTO reporters VALUES (?, ?, ?)", (month, reporter, report.day))
        db.executemany(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)",
            [
                (month, reporter, report.probe_cc, report.probe_asn, each.rung.value, each.status.value)
                for each in report.test_keys.session_rungs
            ],
        )
        return Taken.NEW

    def _reporter(self, db: apsw.Connection, month: str, token: str) -> bytes:
        row = db.execute("SELECT secret FROM months WHERE month = ?", (month,)).fetchone()
        secret = bytes(row[0]) if row is not None else self._entropy.randbytes(32)
        if row is None:
            db.execute("INSERT INTO months VALUES (?, ?)", (month, secret))
        return hashlib.blake2b(bytes.fromhex(token), key=secret, digest_size=16).digest()

    def _publish(self, db: apsw.Connection, before: str) -> list[str]:
        months = [str(month) for (month,) in db.execute("SELECT month FROM months WHERE month < ?", (before,))]
        for month in months:
            sql = (
                "SELECT month, country, provider, rung, status, count(*) FROM outcomes WHERE month = ?"
                " GROUP BY country, provider, rung, status"
            )
            counted = [Count(*row) for row in db.execute(sql, (month,))]
            db.executemany(
                "INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (each.month, each.country, each.provider, each.rung, each.status, each.reporters)
                    for each in published(counted)
                ],
            )
            db.execute("INSERT OR IGNORE INTO closed VALUES (?)", (month,))
            for table in ("outcomes", "reporters", "months"):
                db.execute(f"DELETE FROM {table} WHERE month = ?", (month,))  # noqa: S608 - names of our own
        return months

    def _prepare(self, db: apsw.Connection) -> None:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = FULL")
        with db:
            if db.pragma("user_version") == 0:
                db.execute(_SCHEMA)

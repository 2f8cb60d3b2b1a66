"""A SQLite file that a server works with, one transaction after the other, on a disk of its own.

The file is its owner's alone from the moment it is there, and so is SQLite's log beside it, which takes its mode.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from ramson.world import Disk

T = TypeVar("T")

IN_MEMORY: Final = ":memory:"


class SqliteFile(ABC):
    """The database at `path`, or in memory; all work is done on `disk`, which it owns."""

    def __init__(self, path: str | Path, disk: Disk, *, busy_ms: int = 5000) -> None:
        self._path = str(path)
        self._disk = disk
        self._busy_ms = busy_ms
        self._db: apsw.Connection | None = None

    @abstractmethod
    def _prepare(self, db: apsw.Connection) -> None:
        """Set what has to be set on each connection, and make what a new file lacks."""

    async def open(self) -> None:
        """Open the file, making it if need be.  Raises apsw.Error, OSError."""
        await self._disk.run(self._open)

    async def close(self) -> None:
        """Close the file."""
        await self._disk.run(self._close)
        await self._disk.close()

    def _open(self) -> None:
        if self._path != IN_MEMORY:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = apsw.Connection(self._path)
        db.set_busy_timeout(self._busy_ms)
        self._prepare(db)
        self._db = db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    async def _run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do some work in one transaction.  Raises apsw.Error."""
        db = self._db
        if db is None:
            raise apsw.ConnectionClosedError

        def transaction() -> T:
            db.execute("BEGIN IMMEDIATE")  # reads and then writes: another process must not come in between
            try:
                done = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return done

        return await self._disk.run(transaction)

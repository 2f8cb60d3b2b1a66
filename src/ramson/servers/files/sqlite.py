"""The catalogue in one SQLite file: the default, for a server that is one process.

Every change is one transaction with a full sync.  The statements are those of `postgres`, but for their dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import apsw

from ramson.servers.files import upload_table
from ramson.servers.files.storing import Entry, Run, StorageFailed, StorageFull, StorageMisconfigured
from ramson.servers.sqlite_file import SqliteFile

T = TypeVar("T")

_FILES: Final = """
    CREATE TABLE files (
        id TEXT PRIMARY KEY,
        blob TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        uploaded INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX files_by_expiry ON files (expires);
"""
_MIGRATIONS: Final = (_FILES, upload_table.SCHEMA)


class SqliteCatalogue(SqliteFile):
    """A `Catalogue` in the file `path`; all work is done on `disk`, which it owns."""

    async def open(self) -> None:
        """See `Catalogue`."""
        await super().open()

    async def find(self, file_id: str, now_ms: int) -> Entry | None:
        """See `Catalogue`."""
        sql = "SELECT id, blob, size, uploaded, expires FROM files WHERE id = ? AND expires > ?"
        rows = await self._run(lambda db: _rows(db, sql, (file_id, now_ms)))
        return Entry(*rows[0]) if rows else None

    async def renew(self, file_id: str, now_ms: int, expires_ms: int) -> Entry | None:
        """See `Catalogue`."""
        sql = (
            "UPDATE files SET expires = max(expires, ?) WHERE id = ? AND expires > ?"
            " RETURNING id, blob, size, uploaded, expires"
        )
        rows = await self._run(lambda db: _rows(db, sql, (expires_ms, file_id, now_ms)))
        return Entry(*rows[0]) if rows else None

    async def add(self, entry: Entry, now_ms: int) -> tuple[Entry, list[str]]:
        """See `Catalogue`."""

        def work(db: apsw.Connection) -> tuple[Entry, list[str]]:
            sql = "DELETE FROM files WHERE id = ? AND expires <= ? RETURNING blob"
            unused = [blob for (blob,) in _rows(db, sql, (entry.id, now_ms))]
            row = _rows(
                db,
                "INSERT INTO files (id, blob, size, uploaded, expires) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET expires = max(expires, excluded.expires)"
                " RETURNING id, blob, size, uploaded, expires",
                (entry.id, entry.blob, entry.size, entry.uploaded_ms, entry.expires_ms),
            )[0]
            added = Entry(*row)
            return added, unused if added.blob == entry.blob else [*unused, entry.blob]

        return await self._run(work)

    async def forget(self, entry: Entry) -> None:
        """See `Catalogue`."""
        sql = "DELETE FROM files WHERE id = ? AND blob = ?"
        await self._run(lambda db: _rows(db, sql, (entry.id, entry.blob)))

    async def take_expired(self, now_ms: int, limit: int) -> list[str]:
        """See `Catalogue`."""
        sql = (
            "DELETE FROM files WHERE id IN (SELECT id FROM files WHERE expires <= ? ORDER BY expires LIMIT ?)"
            " RETURNING blob"
        )
        return await self._run(lambda db: [blob for (blob,) in _rows(db, sql, (now_ms, limit))])

    async def held_bytes(self) -> int:
        """See `Catalogue`."""
        return await self._run(lambda db: int(_rows(db, "SELECT coalesce(sum(size), 0) FROM files")[0][0]))

    async def known(self, blobs: Sequence[str]) -> set[str]:
        """See `Catalogue`."""
        sql = "SELECT 1 FROM files WHERE blob = ?1 UNION ALL SELECT 1 FROM ramson_pieces WHERE blob = ?1"
        return await self._run(lambda db: {blob for blob in blobs if _rows(db, sql, (blob,))})

    async def transact(self, work: Callable[[Run], T]) -> T:
        """See `Catalogue`."""
        return await self._run(lambda db: work(lambda sql, values: _rows(db, sql, values)))

    async def close(self) -> None:
        """See `Catalogue`."""
        await super().close()

    def _prepare(self, db: apsw.Connection) -> None:
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        version = db.pragma("user_version")
        if version > len(_MIGRATIONS):
            db.close()
            raise StorageMisconfigured("the catalogue was made by a newer version", remedy="Update ramson.")
        with db:
            for script in _MIGRATIONS[version:]:
                db.execute(script)
            db.pragma("user_version", len(_MIGRATIONS))

    def _open(self) -> None:
        try:
            super()._open()
        except (apsw.Error, OSError) as error:
            raise StorageMisconfigured(f"the catalogue cannot be opened: {type(error).__name__}") from error

    async def _run(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return await super()._run(work)
        except apsw.FullError as error:
            raise StorageFull("the catalogue's disk is full") from error
        except apsw.ConnectionClosedError as error:
            raise StorageFailed("the catalogue is not open") from error
        except apsw.Error as error:
            raise StorageFailed(f"the catalogue failed: {type(error).__name__}") from error


def _rows(db: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
    return db.execute(sql, bindings).fetchall()

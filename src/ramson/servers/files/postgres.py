"""The catalogue in PostgreSQL: for several processes that serve the same files.  Needs the extra `ramson[servers]`.

One connection, used on a disk of its own and made anew when it broke.  Every statement may be repeated, so what was
interrupted is tried once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ramson.servers.files import upload_table
from ramson.servers.files.storing import Entry, Run, StorageFailed, StorageFull, StorageMisconfigured
from ramson.world import Disk

try:
    import psycopg
except ImportError:  # told when it is wanted
    psycopg = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

CONNECT_SECONDS: Final = 10
STATEMENT_MS: Final = 15_000
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS ramson_files (
        id text PRIMARY KEY,
        blob text NOT NULL UNIQUE,
        size bigint NOT NULL,
        uploaded bigint NOT NULL,
        expires bigint NOT NULL
    );
    CREATE INDEX IF NOT EXISTS ramson_files_by_expiry ON ramson_files (expires);
"""
_SCHEMA_LOCK: Final = 0x72616D736F6E  # several processes may start at once
_WORK_LOCK: Final = _SCHEMA_LOCK + 1


class PostgresCatalogue:
    """A `Catalogue` in the database that the libpq connection string `dsn` names; `disk` is its own."""

    def __init__(self, dsn: str, disk: Disk) -> None:
        if psycopg is None:
            raise StorageMisconfigured("PostgreSQL needs psycopg", remedy="Install ramson[servers].")
        self._dsn = dsn
        self._disk = disk
        self._db: Connection | None = None

    async def open(self) -> None:
        """See `Catalogue`."""

        def work(db: Connection) -> None:
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            db.execute(_SCHEMA)
            db.execute(upload_table.SCHEMA)

        try:
            await self._run(work)
        except StorageFailed as error:
            raise StorageMisconfigured(str(error), remedy="Check the connection string and the server.") from error

    async def find(self, file_id: str, now_ms: int) -> Entry | None:
        """See `Catalogue`."""
        sql = "SELECT id, blob, size, uploaded, expires FROM ramson_files WHERE id = %s AND expires > %s"
        row = await self._run(lambda db: db.execute(sql, (file_id, now_ms)).fetchone())
        return Entry(*row) if row else None

    async def renew(self, file_id: str, now_ms: int, expires_ms: int) -> Entry | None:
        """See `Catalogue`."""
        sql = (
            "UPDATE ramson_files SET expires = greatest(expires, %s) WHERE id = %s AND expires > %s"
            " RETURNING id, blob, size, uploaded, expires"
        )
        row = await self._run(lambda db: db.execute(sql, (expires_ms, file_id, now_ms)).fetchone())
        return Entry(*row) if row else None

    async def add(self, entry: Entry, now_ms: int) -> tuple[Entry, list[str]]:
        """See `Catalogue`."""

        def work(db: Connection) -> tuple[Entry, list[str]]:
            expired = db.execute(
                "DELETE FROM ramson_files WHERE id = %s AND expires <= %s RETURNING blob", (entry.id, now_ms)
            )
            unused = [blob for (blob,) in expired.fetchall()]
            row = db.execute(
                "INSERT INTO ramson_files (id, blob, size, uploaded, expires) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET expires = greatest(ramson_files.expires, excluded.expires)"
                " RETURNING id, blob, size, uploaded, expires",
                (entry.id, entry.blob, entry.size, entry.uploaded_ms, entry.expires_ms),
            ).fetchall()[0]
            added = Entry(*row)
            return added, unused if added.blob == entry.blob else [*unused, entry.blob]

        return await self._run(work)

    async def forget(self, entry: Entry) -> None:
        """See `Catalogue`."""
        sql = "DELETE FROM ramson_files WHERE id = %s AND blob = %s"
        await self._run(lambda db: db.execute(sql, (entry.id, entry.blob)))

    async def take_expired(self, now_ms: int, limit: int) -> list[str]:
        """See `Catalogue`."""
        # SKIP LOCKED: what another process is just renewing or removing is left to it.
        sql = (
            "DELETE FROM ramson_files WHERE id IN (SELECT id FROM ramson_files WHERE expires <= %s"
            " ORDER BY expires LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING blob"
        )
        return await self._run(lambda db: [blob for (blob,) in db.execute(sql, (now_ms, limit)).fetchall()])

    async def held_bytes(self) -> int:
        """See `Catalogue`."""
        sql = "SELECT coalesce(sum(size), 0) FROM ramson_files"
        return await self._run(lambda db: int(db.execute(sql).fetchall()[0][0]))

    async def known(self, blobs: Sequence[str]) -> set[str]:
        """See `Catalogue`."""
        sql = (
            "SELECT blob FROM ramson_files WHERE blob = ANY(%s)"
            " UNION ALL SELECT blob FROM ramson_pieces WHERE blob = ANY(%s)"
        )
        names = list(blobs)
        return await self._run(lambda db: {blob for (blob,) in db.execute(sql, (names, names)).fetchall()})

    async def transact(self, work: Callable[[Run], T]) -> T:
        """See `Catalogue`."""

        def locked(db: Connection) -> T:
            def run(sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
                cursor = db.execute(sql.replace("?", "%s"), values)
                return [] if cursor.description is None else cursor.fetchall()

            run("SELECT pg_advisory_xact_lock(?)", (_WORK_LOCK,))
            return work(run)

        return await self._run(locked)

    async def close(self) -> None:
        """See `Catalogue`."""
        await self._disk.run(self._disconnect)
        await self._disk.close()

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        def twice() -> Any:
            try:
                return self._transact(work)
            except psycopg.OperationalError:
                self._disconnect()
                return self._transact(work)

        try:
            result: T = await self._disk.run(twice)
        except psycopg.errors.DiskFull as error:
            raise StorageFull("the database's disk is full") from error
        except psycopg.Error as error:  # its text may hold the connection string
            raise StorageFailed(f"the database failed: {type(error).__name__}") from error
        return result

    def _transact(self, work: Callable[[Connection], T]) -> T:
        if self._db is None:
            self._db = psycopg.connect(
                self._dsn, connect_timeout=CONNECT_SECONDS, options=f"-c statement_timeout={STATEMENT_MS}"
            )
        with self._db.transaction():
            return work(self._db)

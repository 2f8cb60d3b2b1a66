"""Unfinished uploads in the catalogue: which there are, how far they are, and which blobs hold their pieces.

The statements are the same for SQLite and PostgreSQL, in whose databases others may have tables: hence the prefix.
Each method is one transaction.  Some return names of blobs that nothing refers to any more; whoever called removes
them after that.  Spec: none (`resumable_uploads`).

Theory of operation.  A piece's blob is durable before it is entered here, and a piece is entered only if it begins
where the upload ends, so pieces never overlap and what is entered is whole.  A transaction may be done twice, when the
database broke off in between: what has been entered is then known by its blob, whose name no other piece has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ramson.servers.files.storing import Catalogue, Run

SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS ramson_uploads (
        id text PRIMARY KEY,
        length bigint NOT NULL,
        reserved bigint NOT NULL,
        received bigint NOT NULL,
        ttl_s bigint,
        file text NOT NULL,
        expires bigint NOT NULL
    );
    CREATE INDEX IF NOT EXISTS ramson_uploads_by_expiry ON ramson_uploads (expires);
    CREATE TABLE IF NOT EXISTS ramson_pieces (
        upload text NOT NULL,
        start bigint NOT NULL,
        blob text NOT NULL UNIQUE,
        PRIMARY KEY (upload, start)
    );
"""
"""Sizes are in bytes, times in Unix ms.  `reserved` counts against the bound of all, `ttl_s` is what the file was asked
to live, `file` is the id of the file that it has become."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: `received` of `length` bytes are there; `file` is empty until it has become a file."""

    id: str = field(repr=False)
    length: int
    received: int
    ttl_s: int | None
    file: str
    expires_ms: int


class UploadTable:
    """The unfinished uploads of one catalogue.  Everything raises StorageFailed."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def begin(
        self, upload: Upload, blob: str, reserved: int, *, room: int, idle_ms: int
    ) -> tuple[bool, Sequence[str]]:
        """Enter an upload with its first piece, if all unfinished ones then reserve `room` at most.

        Where that is not so, those that would expire before `idle_ms` make way, the first to expire first.  Returns
        whether it was entered, and blobs.
        """

        def work(run: Run) -> tuple[bool, Sequence[str]]:
            if run("SELECT 1 FROM ramson_uploads WHERE id = ?", (upload.id,)):
                return True, ()
            (taken,) = run("SELECT coalesce(sum(reserved), 0) FROM ramson_uploads", ())[0]
            excess, idle = int(taken) + reserved - room, []
            if excess > 0:
                sql = "SELECT id, reserved FROM ramson_uploads WHERE file = '' AND expires <= ? ORDER BY expires"
                for name, size in run(sql, (idle_ms,)):
                    idle.append(name)
                    excess -= size
                    if excess <= 0:
                        break
            if excess > 0:
                return False, ()
            unused = [each for name in idle for each in _remove(run, name)]
            run(
                "INSERT INTO ramson_uploads (id, length, reserved, received, ttl_s, file, expires)"
                " VALUES (?, ?, ?, ?, ?, '', ?)",
                (upload.id, upload.length, reserved, upload.received, upload.ttl_s, upload.expires_ms),
            )
            _enter(run, upload.id, 0, blob)
            return True, unused

        return await self._catalogue.transact(work)

    async def find(self, name: str, now_ms: int) -> Upload | None:
        """Return an upload that has not expired."""
        sql = "SELECT id, length, received, ttl_s, file, expires FROM ramson_uploads WHERE id = ? AND expires > ?"
        rows = await self._catalogue.transact(lambda run: run(sql, (name, now_ms)))
        return Upload(*rows[0]) if rows else None

    async def append(self, name: str, start: int, size: int, blob: str, expires_ms: int) -> bool:
        """Enter a piece if it begins where the upload ends, and let the upload live on; return whether it did."""

        def work(run: Run) -> bool:
            moved = run(
                "UPDATE ramson_uploads SET received = received + ?, expires = ?"
                " WHERE id = ? AND received = ? AND file = '' RETURNING id",
                (size, expires_ms, name, start),
            )
            if moved:
                _enter(run, name, start, blob)
                return True
            return bool(run("SELECT 1 FROM ramson_pieces WHERE blob = ?", (blob,)))

        return await self._catalogue.transact(work)

    async def pieces(self, name: str) -> list[str]:
        """Return the blobs of an upload, in order."""
        sql = "SELECT blob FROM ramson_pieces WHERE upload = ? ORDER BY start"
        return [blob for (blob,) in await self._catalogue.transact(lambda run: run(sql, (name,)))]

    async def finish(self, name: str, file: str, expires_ms: int) -> Sequence[str]:
        """Note that an upload has become a file; return its blobs."""

        def work(run: Run) -> list[str]:
            run(
                "UPDATE ramson_uploads SET file = ?, reserved = 0, expires = ? WHERE id = ? AND file = ''",
                (file, expires_ms, name),
            )
            return _remove_pieces(run, name)

        return await self._catalogue.transact(work)

    async def remove(self, name: str) -> Sequence[str]:
        """Forget an upload; return its blobs."""
        return await self._catalogue.transact(lambda run: _remove(run, name))

    async def remove_expired(self, now_ms: int, limit: int) -> tuple[int, Sequence[str]]:
        """Forget up to `limit` uploads that have expired; return how many, and their blobs."""

        def work(run: Run) -> tuple[int, list[str]]:
            sql = "SELECT id FROM ramson_uploads WHERE expires <= ? ORDER BY expires LIMIT ?"
            names = [name for (name,) in run(sql, (now_ms, limit))]
            return len(names), [blob for name in names for blob in _remove(run, name)]

        return await self._catalogue.transact(work)


def _enter(run: Run, name: str, start: int, blob: str) -> None:
    run("INSERT INTO ramson_pieces (upload, start, blob) VALUES (?, ?, ?)", (name, start, blob))


def _remove(run: Run, name: str) -> list[str]:
    run("DELETE FROM ramson_uploads WHERE id = ?", (name,))
    return _remove_pieces(run, name)


def _remove_pieces(run: Run, name: str) -> list[str]:
    return [blob for (blob,) in run("DELETE FROM ramson_pieces WHERE upload = ? RETURNING blob", (name,))]

"""Uploads in pieces: each piece is kept as it comes, and with the last one they become a file like any other.

It knows nothing of requests.  Spec: none (`protocol.resumable_uploads`); docs/servers.md.

Theory of operation.  A piece is a blob and an entry of `upload_table`, made in this order and removed in the other, as
files are in `store`: what a kill leaves behind is at most a blob without an entry, which `FileStore.clear_strays`
removes.  There are no locks: of two pieces for one place the one that is entered first counts.

    stop between                        leaves                       which
    piece written, entered              a blob without an entry      is a stray
    last piece entered, file stored     a whole upload, no file      the last request, repeated, finishes
    file stored, upload finished        the same, and the file       the same; with ids of content it is the same file
    upload finished, pieces removed     blobs without entries        are strays

Sizes are bounded before anything is kept: a file's by the length that is told first, that of all unfinished uploads
together by what they reserve.  An upload to which nothing is added expires; where room is short, those that have been
idle longest make way, so that nobody can take all of it without going on to send.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Final

from ramson.errors import LocalError
from ramson.protocol.resumable_uploads import ID_BYTES, Piece, check_piece, is_upload_id, upload_id
from ramson.servers.files.config import Limits
from ramson.servers.files.store import FileStore, TooLarge
from ramson.servers.files.storing import Blobs, Entry, StorageFailed, StorageFull, blob_name
from ramson.servers.files.upload_table import Upload, UploadTable
from ramson.world import Clock

LEAST_RESERVED: Final = 64 * 1024  # bytes, of an upload of fewer: an entry costs something too
IDLE_MS: Final = 300_000  # without a new piece; who is slower than that makes way for others
READS: Final = 8  # pieces that are read at a time
SWEEP_GROUP: Final = 200

log = logging.getLogger(__name__)


class NoSuchUpload(LocalError):
    """The upload has expired, was taken back, or never was."""


class WrongOffset(LocalError):
    """The piece does not begin where the upload ends; `upload` says where that is."""

    def __init__(self, upload: Upload) -> None:
        super().__init__("the piece does not begin where the upload ends")
        self.upload = upload


class UnfinishedUploads:
    """The unfinished uploads of one server, whose files are in `store`."""

    def __init__(
        self, table: UploadTable, blobs: Blobs, store: FileStore, clock: Clock, entropy: random.Random, limits: Limits
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._limits = limits

    async def begin(self, length: int, ttl_s: int | None, content: bytes) -> Upload:
        """Begin an upload of `length` bytes with its first piece; durable when this returns.

        `ttl_s` is what the file is asked to live.  Raises TooLarge, BadPiece, StorageFull, StorageFailed.
        """
        if length > self._limits.max_file:
            raise TooLarge(f"the file has {length} bytes; {self._limits.max_file} are allowed")
        check_piece(Piece(0, last=False), len(content), length)
        self._store.check_room(length)
        now, name = self._clock.now(), upload_id(self._entropy.randbytes(ID_BYTES))
        upload = Upload(name, length, len(content), ttl_s, "", self._expiry(now))
        blob = await self._keep(content)
        begun, unused = await self._table.begin(
            upload,
            blob,
            max(length, LEAST_RESERVED),
            room=self._limits.max_unfinished_bytes,
            idle_ms=self._expiry(now) - IDLE_MS,
        )
        await self._store.drop(unused if begun else [*unused, blob])
        if not begun:
            raise StorageFull("all the room that unfinished uploads may take is taken")
        return upload

    async def find(self, name: str) -> Upload:
        """Return how far an upload is.  Raises NoSuchUpload, StorageFailed."""
        upload = await self._table.find(name, self._clock.now()) if is_upload_id(name) else None
        if upload is None:
            raise NoSuchUpload("no such upload")
        return upload

    async def append(self, upload: Upload, piece: Piece, content: bytes) -> Upload:
        """Add a piece to an upload that was just found and has not become a file; durable when this returns.

        Raises WrongOffset, NoSuchUpload, BadPiece, StorageFailed.
        """
        if piece.offset != upload.received:
            raise WrongOffset(upload)
        check_piece(piece, len(content), upload.length)
        if not content:
            return upload
        blob = await self._keep(content)
        expires_ms = self._expiry(self._clock.now())
        if not await self._table.append(upload.id, piece.offset, len(content), blob, expires_ms):
            await self._store.drop([blob])  # another one was entered in its place
            raise WrongOffset(await self.find(upload.id))
        return await self.find(upload.id)

    async def finish(self, upload: Upload, *, numeric: bool) -> Entry:
        """Make the file of an upload all of whose bytes are there, or return the file it has become.

        Raises NoSuchUpload, TooLarge, StorageFailed, StorageFull.
        """
        if upload.file:
            return await self._file_of(upload)
        content = await self._content(upload)
        if content is None:
            now = await self.find(upload.id)
            if now.file:  # in a request that was repeated
                return await self._file_of(now)
            # Damaged; without it the file can be uploaded anew.
            log.warning("a piece of an upload is missing or damaged")
            await self.cancel(upload)
            raise NoSuchUpload("no such upload")
        entry = await self._store.add(content, upload.ttl_s, numeric=numeric)
        await self._store.drop(await self._table.finish(upload.id, entry.id, self._expiry(self._clock.now())))
        return entry

    async def cancel(self, upload: Upload) -> None:
        """Forget an upload; the file that it has become stays.  Raises StorageFailed."""
        await self._store.drop(await self._table.remove(upload.id))

    async def sweep(self) -> int:
        """Forget what has expired and return how many uploads that were.  Raises StorageFailed."""
        total = 0
        while True:
            count, blobs = await self._table.remove_expired(self._clock.now(), SWEEP_GROUP)
            await self._store.drop(blobs)
            total += count
            if count < SWEEP_GROUP:
                return total

    def _expiry(self, now_ms: int) -> int:
        return now_ms + 1000 * self._limits.unfinished_ttl_s

    async def _keep(self, content: bytes) -> str:
        blob = blob_name(self._clock.now(), self._entropy.randbytes(16))
        await self._blobs.put(blob, content)
        return blob

    async def _content(self, upload: Upload) -> bytes | None:
        """Return all pieces together; None when they are not what the upload should be.  Raises StorageFailed."""
        places = asyncio.Semaphore(READS)
        failed: list[StorageFailed] = []

        async def read(blob: str) -> bytes | None:
            async with places:
                try:
                    return await self._blobs.get(blob, None)
                except StorageFailed as error:
                    failed.append(error)
                    return None

        names = await self._table.pieces(upload.id)
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(blob)) for blob in names]
        if failed:
            raise failed[0]
        pieces = [task.result() for task in reading]
        content = b"".join(piece for piece in pieces if piece is not None)
        return content if None not in pieces and len(content) == upload.length else None

    async def _file_of(self, upload: Upload) -> Entry:
        entry = await self._store.find(upload.file)
        if entry is None:  # its own life was over first
            raise NoSuchUpload("no such upload")
        return entry

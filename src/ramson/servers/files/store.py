"""Keeping files: what is stored once, for how long, and in which order things reach the disk.

It knows nothing of requests.  Spec: files-and-push.md §7.2.

Theory of operation.  A file is an entry of the catalogue and a blob.  Each time a file is stored anew its blob gets a
new name, and an entry is only made when its blob is durable; whoever removes an entry removes its blob after that.
So an entry always has its blob, no lock is held over both, and several processes may share them:

    stop between                      leaves                     which
    blob written, entry made          a blob without an entry    `clear_strays` removes, when it is an hour old
    entry removed, blob removed       the same                   the same
    two uploads of one content        one entry, two blobs       the later upload removes its own

Uploading a file that is there only moves its expiry, in one statement that fails if the file has just expired.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ramson.errors import LocalError
from ramson.protocol.file_server import Range, content_id
from ramson.servers.files.config import Limits
from ramson.servers.files.storing import Blobs, Catalogue, Entry, StorageFailed, StorageFull, blob_name, blob_time
from ramson.world import Clock

SWEEP_GROUP: Final = 200
STRAY_AGE_MS: Final = 3600 * 1000
_NUMBER_BITS: Final = 53

log = logging.getLogger(__name__)


class TooLarge(LocalError):
    """The file is larger than this server takes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file and the part of its content that was asked for."""

    entry: Entry
    content: bytes = field(repr=False)


class FileStore:
    """The files of one server."""

    def __init__(
        self, catalogue: Catalogue, blobs: Blobs, clock: Clock, entropy: random.Random, limits: Limits
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._clock = clock
        self._entropy = entropy
        self._limits = limits
        self._held = 0  # bytes of all files: counted at each sweep, and kept up to date in between
        self._coming = 0  # bytes of files that are being stored

    async def open(self) -> None:
        """Open catalogue and blobs.  Raises StorageMisconfigured, StorageFailed."""
        await self._catalogue.open()
        self._held = await self._catalogue.held_bytes()
        await self._blobs.open(expected=self._held > 0)

    async def close(self) -> None:
        """Close both."""
        try:
            await self._blobs.close()
        finally:
            await self._catalogue.close()

    async def add(self, content: bytes, ttl_s: int | None, *, numeric: bool) -> Entry:
        """Store a file, or renew it if it is there; durable when this returns.

        A `numeric` id is drawn, and its file never taken for an equal one.
        Raises TooLarge, StorageFailed, StorageFull.
        """
        if len(content) > self._limits.max_file:
            raise TooLarge(f"the file has {len(content)} bytes; {self._limits.max_file} are allowed")
        now = self._clock.now()
        expires = self._expiry(now, ttl_s)
        file_id = "" if numeric else content_id(content)
        if file_id and (renewed := await self._catalogue.renew(file_id, now, expires)) is not None:
            return renewed
        self.check_room(len(content))
        self._coming += len(content)
        try:
            blob = blob_name(now, self._entropy.randbytes(16))
            await self._blobs.put(blob, content)
            while True:
                entry = Entry(file_id or self._number(), blob, len(content), now, expires)
                added, unused = await self._catalogue.add(entry, now)
                if added.blob == blob:
                    self._held += len(content)
                elif numeric:  # the number was taken
                    continue
                await self.drop(unused)
                return added
        finally:
            self._coming -= len(content)

    async def find(self, file_id: str) -> Entry | None:
        """Return what is known of a file; None when there is none.  Raises StorageFailed."""
        return await self._catalogue.find(file_id, self._clock.now())

    async def read(self, entry: Entry, part: Range | None) -> Stored | None:
        """Return a file's content or a part of it; None when it is lost.  Raises StorageFailed."""
        content = await self._blobs.get(entry.blob, part)
        if content is None or len(content) != (entry.size if part is None else part.size):
            # Removed since it was found, or damaged.  Without its entry it can be uploaded again.
            log.warning("a file's content is missing or damaged")
            await self._catalogue.forget(entry)
            return None
        return Stored(entry, content)

    async def extend(self, file_id: str, ttl_s: int | None) -> Entry | None:
        """Let a file stay longer; None when there is none.  Raises StorageFailed."""
        now = self._clock.now()
        return await self._catalogue.renew(file_id, now, self._expiry(now, ttl_s))

    async def sweep(self) -> int:
        """Remove what has expired and return how many files that were.  Raises StorageFailed."""
        count = 0
        while True:
            blobs = await self._catalogue.take_expired(self._clock.now(), SWEEP_GROUP)
            if not blobs:
                break
            count += len(blobs)
            await self.drop(blobs)
        before = self._held
        counted = await self._catalogue.held_bytes()
        self._held = counted + (self._held - before)  # with what came while it counted
        return count

    async def clear_strays(self) -> int:
        """Remove blobs without an entry that are an hour old, and return how many.  Raises StorageFailed."""
        oldest = self._clock.now() - STRAY_AGE_MS
        names = [name for name in await self._blobs.names() if blob_time(name) < oldest]
        count = 0
        for start in range(0, len(names), SWEEP_GROUP):
            group = names[start : start + SWEEP_GROUP]
            known = await self._catalogue.known(group)
            if not known and not self._held:
                # Rather a catalogue that was lost than so many accidents.
                log.warning("the catalogue is empty, the store is not: blobs=%d stay", len(names))
                break
            strays = [name for name in group if name not in known]
            await self.drop(strays)
            count += len(strays)
        return count

    async def drop(self, blobs: Sequence[str]) -> None:
        """Remove blobs whose entries are gone; what fails is left to `clear_strays`."""
        if not blobs:
            return
        try:
            await self._blobs.drop(blobs)
        except StorageFailed as error:
            log.warning("blobs could not be removed: %s", error)

    def check_room(self, size: int) -> None:
        """Raise StorageFull unless a file of `size` bytes would have room now."""
        if self._held + self._coming + size > self._limits.max_bytes:
            raise StorageFull("all the room that files may take is taken")

    def _expiry(self, now_ms: int, ttl_s: int | None) -> int:
        # spec gap: what a server does with a lifetime longer than it allows; it is shortened
        wanted = self._limits.default_ttl_s if ttl_s is None else ttl_s
        return now_ms + 1000 * min(wanted, self._limits.max_ttl_s)

    def _number(self) -> str:
        return str(self._entropy.getrandbits(_NUMBER_BITS))

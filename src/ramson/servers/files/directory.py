"""Blobs as files of a directory, spread over 256 subdirectories.

A blob is written under another name, synced, renamed, and its directory synced: it is there complete or not at all,
whenever the machine stops.  Names are made by the server, so none can lead elsewhere.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from ramson.protocol.file_server import Range
from ramson.servers.files.storing import StorageFailed, StorageFull, StorageMisconfigured
from ramson.world import Disk

T = TypeVar("T")

MARKER: Final = "ramson-files"  # tells the directory from an empty mount point
_NAME = re.compile(r"[0-9a-f]{44}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PART = ".part"


class DirectoryBlobs:
    """`Blobs` in the directory `path`.  Reading and writing each have a disk, so that neither waits for the other."""

    def __init__(self, path: Path, disk: Callable[[], Disk]) -> None:
        self._path = path
        self._reading = disk()
        self._writing = disk()

    async def open(self, *, expected: bool) -> None:
        """See `Blobs`.  Clears away what was being written when the server stopped."""

        def work() -> None:
            marker = self._path / MARKER
            if expected and not marker.exists():
                raise StorageMisconfigured(
                    "the catalogue lists files, but the directory is not the one they were put into",
                    remedy="Mount or name the right directory.",
                )
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number in range(256):
                shard = self._path / f"{number:02x}"
                shard.mkdir(mode=0o700, exist_ok=True)
                for left in shard.glob(f"*{_PART}"):
                    left.unlink()
            marker.touch(mode=0o600)
            _sync(self._path)

        await self._run(self._writing, work)

    async def put(self, name: str, content: bytes) -> None:
        """See `Blobs`."""
        await self._run(self._writing, lambda: _write(self._where(name), content))

    async def get(self, name: str, part: Range | None) -> bytes | None:
        """See `Blobs`."""

        def work() -> bytes | None:
            try:
                with self._where(name).open("rb") as file:
                    if part is None:
                        return file.read()
                    file.seek(part.first)
                    return file.read(part.size)
            except FileNotFoundError:
                if not (self._path / MARKER).exists():
                    raise StorageFailed("the directory of the files is not mounted") from None
                return None

        return await self._run(self._reading, work)

    async def drop(self, names: Sequence[str]) -> None:
        """See `Blobs`."""

        def work() -> None:
            for name in names:
                self._where(name).unlink(missing_ok=True)

        await self._run(self._writing, work)

    async def names(self) -> list[str]:
        """See `Blobs`."""

        def work() -> list[str]:
            found = [path.name for path in self._path.glob("[0-9a-f][0-9a-f]/*") if _NAME.fullmatch(path.name)]
            return sorted(found)

        return await self._run(self._reading, work)

    async def close(self) -> None:
        """See `Blobs`."""
        await self._reading.close()
        await self._writing.close()

    def _where(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StorageFailed("not the name of a blob")
        return self._path / name[-2:] / name

    @staticmethod
    async def _run(disk: Disk, work: Callable[[], T]) -> T:
        try:
            return await disk.run(work)
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull("the disk of the files is full") from error
            raise StorageFailed(f"the disk of the files failed: {os.strerror(error.errno or 0)}") from error


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + _PART)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

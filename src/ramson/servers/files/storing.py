"""What a file server stores into: a catalogue of files, and blobs.  The interfaces, and what can go wrong.

Two of each exist: SQLite and PostgreSQL, a directory and an S3-compatible store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ramson.errors import LocalError, RamsonError
from ramson.protocol.file_server import Range

T = TypeVar("T")

Run = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""Does one statement, whose values are marked `?`, and returns its rows."""


class StorageFailed(RamsonError):
    """The database or the blob store did not do its part; the request can be repeated later."""


class StorageFull(StorageFailed):
    """There is no room for the file."""


class StorageMisconfigured(LocalError):
    """The storage cannot be used as it is set up; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file.  `blob` is the name its content is stored under, another one each time a file is stored anew."""

    id: str
    blob: str
    size: int
    uploaded_ms: int
    expires_ms: int


class Catalogue(Protocol):
    """Which files there are.  All that changes something is on the disk when it returns.  All raise StorageFailed."""

    async def open(self) -> None:
        """Connect and make the tables.  Raises StorageMisconfigured too."""
        ...

    async def find(self, file_id: str, now_ms: int) -> Entry | None:
        """Return a file that has not expired."""
        ...

    async def renew(self, file_id: str, now_ms: int, expires_ms: int) -> Entry | None:
        """Let a file that has not expired stay until `expires_ms` at least; None if there is none."""
        ...

    async def add(self, entry: Entry, now_ms: int) -> tuple[Entry, list[str]]:
        """Enter a file, unless one with its id has been entered meanwhile: then that one is renewed.

        Returns the file as it now is, and names of blobs that nothing refers to any more.
        """
        ...

    async def forget(self, entry: Entry) -> None:
        """Remove a file whose blob is lost, unless it has been stored anew."""
        ...

    async def take_expired(self, now_ms: int, limit: int) -> list[str]:
        """Remove up to `limit` expired files and return the names of their blobs."""
        ...

    async def held_bytes(self) -> int:
        """Return the size of all files together."""
        ...

    async def known(self, blobs: Sequence[str]) -> set[str]:
        """Return which of these blobs some file or unfinished upload refers to."""
        ...

    async def transact(self, work: Callable[[Run], T]) -> T:
        """Do some work in one transaction, during which no other process does such work.

        It may be done twice, if it is not known whether the first time counted.
        """
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class Blobs(Protocol):
    """Contents by name.  Names are 44 hexadecimal digits, of which the first 12 are the time in ms.

    All raise StorageFailed.
    """

    async def open(self, *, expected: bool) -> None:
        """Prepare; `expected` says that the catalogue has files, so that an empty store is the wrong one.

        Raises StorageMisconfigured too.
        """
        ...

    async def put(self, name: str, content: bytes) -> None:
        """Store a blob; it is durable when this returns.  Raises StorageFull too."""
        ...

    async def get(self, name: str, part: Range | None) -> bytes | None:
        """Return a blob or a part of it; None when it is certain that there is none."""
        ...

    async def drop(self, names: Sequence[str]) -> None:
        """Remove blobs; it is no error if one is not there."""
        ...

    async def names(self) -> list[str]:
        """Return the names of all blobs."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


def blob_name(now_ms: int, random16: bytes) -> str:
    """Return a name for a blob made now; `random16` keeps those of one millisecond apart."""
    return f"{now_ms:012x}{random16.hex()}"


def blob_time(name: str) -> int:
    """Return when a blob was named, in Unix ms."""
    return int(name[:12], 16)

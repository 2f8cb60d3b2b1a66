"""Files as SQLite writes them, on a disk that can be full and that forgets what was not synced.

    with SimulatedFiles(random.Random(7)) as files:   # every database opened from now on goes through it
        files.fill(home)                              # nothing in `home` can grow
        files.interrupt(home, copy, [work], power=True)  # what a power failure in the middle of `work` leaves

Theory of operation.  It is a file system for SQLite (a VFS) over the real one.  What is written is kept in a log, with
what was there before, until the file is synced.  A failure does not touch the files: the programs of a crashed host
may still hold them open.  Instead the directory as it would be found afterwards is made beside it.  The writes are
taken back to the last sync, then done again up to a moment drawn from among the writes and syncs of the work.  When
only a process is killed, the system still writes what it was given; when the power fails, each write since the last
sync is there whole, or its beginning is, or it is missing.  That a file was made or deleted is never forgotten.

Databases that are encrypted do not go through here: encryption is a layer that has to be the outermost.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

NAME: Final = "ramson-simulated"
BASE: Final = "unix"
SHARED_MEMORY: Final = "-shm"  # SQLite's index of the log: made anew by whoever opens the database first

_KEPT, _TORN, _MISSING = range(3)


@dataclass(frozen=True, slots=True)
class _Write:
    """Bytes written at `offset`, or (None) a truncation to it; `before` is what was there, of a file of `size`."""

    path: str
    offset: int
    data: bytes | None
    before: bytes
    size: int


@dataclass(frozen=True, slots=True)
class _Sync:
    path: str


class SimulatedFiles(apsw.VFS):
    """The file system of a simulation's SQLite databases, for as long as it is entered; one at a time in a process.

    `faults` counts `disk-full` (a write was refused), `power-failure`, `torn-write` (a write was lost or torn)
    and `killed-in-work`.
    """

    def __init__(self, entropy: random.Random) -> None:
        super().__init__(NAME, BASE)
        self.faults: Counter[str] = Counter()
        self._entropy = entropy
        self._full: set[str] = set()
        self._log: list[_Write | _Sync] = []
        self._at_work = False
        self._usual = ""

    def __enter__(self) -> Self:
        self._usual = apsw.vfs_names()[0]  # the default comes first
        apsw.set_default_vfs(NAME)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        apsw.set_default_vfs(self._usual)
        self.unregister()

    def fill(self, directory: Path) -> None:
        """Let no file directly in this directory grow."""
        self._full.add(str(directory))

    def free(self, directory: Path) -> None:
        """Let the files in this directory grow again."""
        self._full.discard(str(directory))

    def interrupt(self, directory: Path, copy: Path, work: Sequence[Callable[[], object]], *, power: bool) -> None:
        """Do all `work`, and leave in the new directory `copy` what `directory` holds if it was cut short.

        With `power` the machine went down with the process.
        """
        begun = len(self._log)
        self._at_work = True
        for piece in work:
            with contextlib.suppress(Exception):  # nobody is left to be told
                piece()
        self._at_work = False
        moment = self._entropy.randint(begun, len(self._log))
        self.faults["power-failure" if power else "killed-in-work"] += 1
        copy.mkdir(mode=0o700)
        for path in sorted(directory.iterdir()):
            if path.is_file() and not path.name.endswith(SHARED_MEMORY):
                (copy / path.name).write_bytes(self._found(path, moment, power=power))
        self._log = [entry for entry in self._log if Path(entry.path).parent != directory]

    def _found(self, path: Path, moment: int, *, power: bool) -> bytes:
        """Return what is found in a file after a failure at this place of the log."""
        content = bytearray(path.read_bytes())
        for entry in reversed(self._log):
            if isinstance(entry, _Write) and entry.path == str(path):
                content[entry.offset : entry.offset + len(entry.before)] = entry.before
                del content[entry.size :]
        done = [entry for entry in self._log[:moment] if entry.path == str(path)]
        synced = max((place for place, entry in enumerate(done) if isinstance(entry, _Sync)), default=-1)
        for place, entry in enumerate(done):
            if isinstance(entry, _Write):
                fate = self._entropy.choice((_KEPT, _KEPT, _TORN, _MISSING)) if power and place > synced else _KEPT
                self.faults["torn-write"] += fate != _KEPT
                _redo(content, entry, fate, self._entropy)
        return bytes(content)

    # ---- what SQLite asks of a file system

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - SQLite's name
        """Open a file."""
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802 - SQLite's signature
        """Delete a file, at once and for good."""
        self._log = [entry for entry in self._log if entry.path != filename]
        super().xDelete(filename, syncdir)

    def refuses(self, path: str) -> bool:
        """Tell (and count) whether a file may not grow."""
        full = bool(self._full) and path.rpartition("/")[0] in self._full
        self.faults["disk-full"] += full
        return full

    def written(self, path: str, offset: int, data: bytes | None, before: bytes, size: int) -> None:
        """Take note of a write."""
        self._log.append(_Write(path, offset, data, before, size))

    def synced(self, path: str) -> None:
        """Take note of a sync: what was written before it stays, whatever comes."""
        if self._at_work:
            self._log.append(_Sync(path))
        elif self._log:
            self._log = [entry for entry in self._log if entry.path != path]


class _File(apsw.VFSFile):
    def __init__(self, files: SimulatedFiles, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)
        self._files = files
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        size = self.xFileSize()
        if offset + len(data) > size and self._files.refuses(self._path):
            raise apsw.FullError("database or disk is full")
        before = super().xRead(min(len(data), size - offset), offset) if offset < size else b""
        super().xWrite(data, offset)
        self._files.written(self._path, offset, bytes(data), before, size)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        size = self.xFileSize()
        before = super().xRead(size - newsize, newsize) if newsize < size else b""
        super().xTruncate(newsize)
        self._files.written(self._path, newsize, None, before, size)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._files.synced(self._path)


def _redo(content: bytearray, entry: _Write, fate: int, entropy: random.Random) -> None:
    """Do a write again, whole or in part."""
    if fate == _MISSING:
        return
    if entry.data is None:
        del content[entry.offset :]
        return
    data = entry.data if fate == _KEPT else entry.data[: entropy.randrange(len(entry.data))]
    if entry.offset > len(content):
        content.extend(bytes(entry.offset - len(content)))  # what was not written before it reads as zeros
    content[entry.offset : entry.offset + len(data)] = data

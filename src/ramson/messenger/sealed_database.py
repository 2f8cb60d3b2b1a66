"""One SQLite database whose every page is sealed, and bytes that nobody can tell from one.

Every page, and every page of the write-ahead log, is sealed with ChaCha20-Poly1305 (SQLite3 Multiple Ciphers, scheme
`chacha20`) under a raw key.  Of the file only the first 24 bytes are readable: a salt, and eight that are the same
in every such file.  So random bytes under such a beginning look like a database to whoever lacks the key, and random
bytes at the end of one look like pages of it; SQLite knows from within how long the database is.

This module knows nothing of passphrases and of what the tables hold.  Spec: none (local format).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from ramson.crypto.entropy import Entropy

PAGE: Final = 4096
SALT_SIZE: Final = 16
BUSY_MS: Final = 10_000  # how long another program may keep the file to itself
LEAST: Final = 512 * 1024  # bytes of the smallest file; an empty account has fewer

_READABLE: Final = bytes.fromhex("1000020220402020")  # page size and file format, as they are in a sealed page 1
_PIECE: Final = 1 << 16  # SQLite's file layer writes less than 128 KiB at once


def connect(path: Path, key: bytes, salt: bytes) -> apsw.Connection:
    """Open a database with its key.  Raises apsw.NotADBError if the key is wrong, other apsw.Error."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.pragma("cipher", "chacha20")
        connection.pragma("key", f"raw:{key.hex()}{salt.hex()}")
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("temp_store", "MEMORY")  # nothing may reach the disk unsealed
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", "FULL")
        connection.pragma("foreign_keys", "ON")
        connection.pragma("secure_delete", "ON")  # what disappeared is not to linger in free pages
        connection.transaction_mode = "IMMEDIATE"
    except BaseException:
        connection.close()
        raise
    return connection


def make(path: Path) -> None:
    """Make an empty file for its owner only.  Raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def make_random(path: Path, size: int, entropy: Entropy) -> None:
    """Make a file of at least `size` bytes that looks like a database, on disk when this returns.  Raises OSError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(entropy.randbytes(SALT_SIZE) + _READABLE)
        for piece in _random(rounded(size) - SALT_SIZE - len(_READABLE), entropy):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def log_files(path: Path) -> tuple[Path, Path]:
    """Return what SQLite keeps beside a database while it is open."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def level(files: tuple[Path, Path], entropy: Entropy) -> None:
    """Make two databases equally long and equally old, unless one is in use.

    Bytes are added at the end only, and under SQLite's own lock, which nobody gets while the database is open.  Where
    it cannot be done, as for want of room, it is left: what is in the databases is not concerned.
    """
    with contextlib.suppress(OSError, apsw.Error):
        if any(log_files(each)[0].exists() for each in files):
            return
        size = rounded(max(each.stat().st_size for each in files))
        for each in files:
            _extend(each, size, entropy)
        newest = max(each.stat().st_mtime_ns for each in files)
        for each in files:
            os.utime(each, ns=(newest, newest))


def rounded(size: int) -> int:
    """Return the length that files of up to `size` bytes get: an eighth longer at most."""
    step = max(LEAST, 1 << max(0, (size - 1).bit_length() - 3))
    return -(-size // step) * step


def _extend(path: Path, size: int, entropy: Entropy) -> None:
    # Through SQLite's file layer: closing a plain descriptor would drop the locks of this process's connections.
    file = apsw.VFSFile("unix", str(path.absolute()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        file.xLock(apsw.SQLITE_LOCK_SHARED)
        file.xLock(apsw.SQLITE_LOCK_EXCLUSIVE)
        end = file.xFileSize()
        for piece in _random(max(0, size - end), entropy):
            file.xWrite(piece, end)
            end += len(piece)
    finally:
        file.xUnlock(apsw.SQLITE_LOCK_NONE)
        file.xClose()


def _random(size: int, entropy: Entropy) -> Iterator[bytes]:
    stream = Cipher(ChaCha20(entropy.randbytes(32), bytes(16)), None).encryptor()
    for start in range(0, size, _PIECE):
        yield stream.update(bytes(min(_PIECE, size - start)))

"""The encrypted file of an account: made whole or not at all, opened with a passphrase, readable by its owner only.

Theory of operation.  An account is one SQLite database whose every page, and every page of its write-ahead
log, is sealed with ChaCha20-Poly1305 (SQLite3 Multiple Ciphers, scheme `chacha20`).  The page key is
Argon2id of the passphrase and is handed over raw.  The first 16 bytes of the file are the only readable
ones, and they are the Argon2id salt:

    0     the letter `r`
    1     version of this layout: 1
    2     Argon2id passes
    3     Argon2id memory: two to this power, in bytes
    4-15  random

So the file needs no companion that could be lost or mixed up, and costs can rise later without a
migration: each file says what it costs to open.  Someone who alters these bytes only changes the key, and
the file no longer opens.  A wrong passphrase and a damaged first page cannot be told apart.

This module never keeps the passphrase, and knows nothing of what the tables hold.
Spec: none (local format); app-features.md, storage.
"""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
from nacl import exceptions, pwhash

from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError

SALT_SIZE = 16  # bytes
KEY_SIZE = 32
MIN_PASSPHRASE = 6  # characters; app-features.md, limits
BUSY_MS = 10_000  # how long another program may keep the file to itself

_MAGIC = ord("r")
_LAYOUT = 1
_MAX_PASSES = 16
_MIN_MEMORY, _MAX_MEMORY = 13, 32  # powers of two


class AccountFileError(LocalError):
    """An account file cannot be made, opened or used."""


class AccountFileExists(AccountFileError):
    """There is a file already where an account was to be made."""


class AccountFileMissing(AccountFileError):
    """There is no account file where one was to be opened."""


class NotAnAccountFile(AccountFileError):
    """The file is something else, or made by a newer version."""


class WrongPassphrase(AccountFileError):
    """The passphrase does not open the file."""


class WeakPassphrase(AccountFileError):
    """The passphrase is too short to protect an account."""


@dataclass(frozen=True, slots=True)
class KeyCost:
    """What one guess of the passphrase costs: Argon2id `passes` over two to the `memory` bytes."""

    passes: int = 3
    memory: int = 28  # 256 MiB: most of a second on the machines of today

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= _MAX_PASSES or not _MIN_MEMORY <= self.memory <= _MAX_MEMORY:
            raise AccountFileError("the cost of a passphrase is out of range")

    def salt(self, entropy: Entropy) -> bytes:
        """Return the first 16 bytes of a new file."""
        return bytes((_MAGIC, _LAYOUT, self.passes, self.memory)) + entropy.randbytes(SALT_SIZE - 4)

    @classmethod
    def of_salt(cls, salt: bytes) -> KeyCost:
        """Read the cost from the first 16 bytes of a file.  Raises NotAnAccountFile."""
        if len(salt) == SALT_SIZE and salt[:2] == bytes((_MAGIC, _LAYOUT)):
            with contextlib.suppress(AccountFileError):
                return cls(salt[2], salt[3])
        raise NotAnAccountFile(
            "this is not an account file, or one of a newer version", remedy="Check the path, or update ramson."
        )


def check_passphrase(passphrase: str) -> None:
    """Raise WeakPassphrase unless a new account may be locked with `passphrase`."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise WeakPassphrase(
            f"a passphrase has at least {MIN_PASSPHRASE} characters", remedy="Choose a longer one, such as five words."
        )


def check_absent(path: Path) -> None:
    """Raise AccountFileExists if there is something at `path`."""
    if path.exists():
        raise AccountFileExists(f"there is already a file at {path}", remedy="Choose another path, or move that file.")


def create(
    path: Path, passphrase: str, fill: Callable[[apsw.Connection], None], *, entropy: Entropy, cost: KeyCost
) -> None:
    """Make an account file at `path` that holds what `fill` writes; its directory is made (0700) if missing.

    The file is written beside its place and moved there when it is complete and on disk.  Blocks for the
    time of the key derivation.  Raises AccountFileExists, WeakPassphrase, AccountFileError.
    """
    check_passphrase(passphrase)
    check_absent(path)
    draft = path.with_name(f".{path.name}.{entropy.randbytes(8).hex()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        salt = cost.salt(entropy)
        connection = _connect(draft, derive(passphrase, salt, cost), salt)
        try:
            fill(connection)
        finally:
            connection.close()
        try:
            os.link(draft, path)  # unlike a rename, never over another file
        except FileExistsError:
            check_absent(path)
    except (apsw.Error, OSError) as error:
        raise AccountFileError(f"the account file could not be made: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    _sync_directory(path.parent)


def open_file(path: Path, passphrase: str) -> apsw.Connection:
    """Open the account file at `path`.  Blocks for the time of the key derivation.

    Raises AccountFileMissing, NotAnAccountFile, WrongPassphrase, AccountFileError.
    """
    if not path.is_file():
        raise AccountFileMissing(
            f"there is no account file at {path}", remedy="Make one with `ramson account create`, or check the path."
        )
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        salt = _read_salt(path)
    except (apsw.Error, OSError) as error:
        raise AccountFileError(
            f"the account file at {path} cannot be read", remedy="Check that it is yours to read and write."
        ) from error
    key = derive(passphrase, salt, KeyCost.of_salt(salt))
    try:
        return _connect(path, key, salt)
    except apsw.NotADBError:
        raise WrongPassphrase(
            "the passphrase is wrong, or the file is damaged", remedy="Type it again; letters' case and spaces count."
        ) from None
    except apsw.Error as error:
        raise AccountFileError(f"the account file cannot be opened: {error}") from error


def destroy(path: Path) -> None:
    """Delete an account file that no program has open, and what SQLite keeps beside it.  Raises AccountFileError."""
    try:
        for suffix in ("-wal", "-shm", ""):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise AccountFileError(f"the account file could not be deleted: {error}") from error


def _read_salt(path: Path) -> bytes:
    # Through SQLite's own file layer: closing a plain descriptor would drop the locks that another connection
    # of this process holds on the same file.
    file = apsw.VFSFile("unix", str(path.absolute()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
    try:
        return file.xRead(SALT_SIZE, 0)
    finally:
        file.xClose()


def _connect(path: Path, key: bytes, salt: bytes) -> apsw.Connection:
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


def derive(passphrase: str, salt: bytes, cost: KeyCost) -> bytes:
    """Return the key (32 bytes) that a passphrase stands for.  Blocks.  Raises AccountFileError."""
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return pwhash.argon2id.kdf(KEY_SIZE, text, salt, opslimit=cost.passes, memlimit=1 << cost.memory)
    except (exceptions.CryptoError, MemoryError) as error:
        raise AccountFileError(
            f"opening an account takes {(1 << cost.memory) >> 20} MiB of memory for a moment, and there is not enough",
            remedy="Close other programs and try again.",
        ) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

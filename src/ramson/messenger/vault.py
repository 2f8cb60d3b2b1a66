"""The files of an account: made whole or not at all, opened with a passphrase, readable by their owner only.

    me.ramson      the key file: 256 bytes, see `keyslots`
    me.ramson.0    two databases, one for each slot, see `sealed_database`; one of them may be random bytes
    me.ramson.1

A change of the passphrase writes the key file and nothing else.  A second passphrase, for somebody who forces the
owner, has the other slot and the other database; opening a slot that wipes first overwrites the other slot, and what
is left is an account like any other.

Files of the first layout, a single database whose key came from the passphrase itself, are brought to this form when
they are opened: the new files are written beside it, and the key file takes its place at the end.

This module never keeps a passphrase, and knows nothing of what the tables hold.
Spec: none (local format); app-features.md, storage and app password.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from ramson.crypto.entropy import Entropy
from ramson.messenger import sealed_database
from ramson.messenger.drafts import drafts, remove_left
from ramson.messenger.keyslots import (
    KEY_FILE_SIZE,
    SALT_SIZE,
    AccountFileError,
    Contents,
    Guard,
    KeyCost,
    KeyFile,
    NotAnAccountFile,
    Opens,
    Unlocked,
    WeakPassphrase,
    check_passphrase,
    derive,
)

__all__ = [
    "SALT_SIZE",
    "AccountFileError",
    "AccountFileExists",
    "AccountFileMissing",
    "AccountInUse",
    "Guard",
    "Hold",
    "KeyCost",
    "NotAnAccountFile",
    "WeakPassphrase",
    "WrongPassphrase",
    "change_passphrase",
    "check_absent",
    "check_passphrase",
    "clear_other",
    "create",
    "derive",
    "destroy",
    "guard_of",
    "level",
    "open_file",
    "set_other",
]

_FIRST_LAYOUT: Final = b"\x01"
_LOOK_AT_DISK: Final = "Look whether its disk is full or read-only."

Fill = Callable[[apsw.Connection], None]


class AccountFileExists(AccountFileError):
    """There is a file already where an account was to be made."""


class AccountFileMissing(AccountFileError):
    """There is no account file where one was to be opened."""


class WrongPassphrase(AccountFileError):
    """The passphrase does not open the file."""


class AccountInUse(AccountFileError):
    """Another client receives with this account file."""


class Hold:
    """The right to receive with an account file, until it is closed or the program ends."""

    def __init__(self, path: Path) -> None:
        """Take it.  Raises AccountInUse, AccountFileError."""
        try:
            self._file = path.open("rb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AccountInUse(
                "the account is open already, in this program or another one",
                remedy="Use that one, or close it first; `ramson send` and what only looks work beside it, in programs"
                " receive=False or share=True.",
            ) from None
        except OSError as error:
            raise AccountFileError(f"the account file cannot be used: {error.strerror}") from error

    def close(self) -> None:
        """Give it back; a second time does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def check_absent(path: Path) -> None:
    """Raise AccountFileExists if there is something at `path`, or where its databases would be."""
    for each in (path, *_databases(path)):
        if each.exists():
            raise AccountFileExists(
                f"there is already a file at {each}", remedy="Choose another path, or move that file."
            )


def create(
    path: Path,
    passphrase: str,
    fill: Fill,
    *,
    entropy: Entropy,
    cost: KeyCost,
    guard: Guard = Guard.PASSPHRASE,
) -> None:
    """Make an account at `path` that holds what `fill` writes; its directory is made (0700) if missing.

    The files are written beside their places and moved there when they are complete and on disk, the key file last;
    what somebody who was killed at that left beside them is removed (see `drafts`).
    Blocks for the time of the key derivation.  Raises AccountFileExists, WeakPassphrase, AccountFileError.
    """
    check_passphrase(passphrase)
    check_absent(path)
    slot = entropy.randbytes(1)[0] & 1
    empty = KeyFile.fresh(entropy, cost, guard)
    contents = Contents.fresh(entropy)
    key_file = empty.sealed(slot, empty.secret(slot, passphrase), contents, entropy)
    with _errors("made"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _errors("made"), drafts(path, entropy) as new:
        _make_database(new[1 + slot], contents, fill)
        sealed_database.make_random(new[2 - slot], new[1 + slot].stat().st_size, entropy)
        sealed_database.level((new[1], new[2]), entropy)
        _write_new(new[0], key_file.encode())
        placed: list[Path] = []
        try:
            for draft, place in zip(new[::-1], (path, *_databases(path))[::-1], strict=True):
                os.link(draft, place)  # unlike a rename, never over another file
                placed.append(place)
        except FileExistsError:
            _remove(placed)
            check_absent(path)
        except OSError:
            _remove(placed)
            raise
    _sync_directory(path.parent)


def open_file(path: Path, passphrase: str, *, entropy: Entropy) -> apsw.Connection:
    """Open the account at `path`.  Blocks for the time of the key derivation.

    A passphrase that wipes has done so when this returns.
    Raises AccountFileMissing, NotAnAccountFile, WrongPassphrase, AccountFileError.
    """
    _, unlocked = _unlock(path, passphrase, entropy)
    database = _databases(path)[unlocked.slot]
    if not database.is_file():
        raise AccountFileMissing(
            f"there is no file at {database}, which belongs to the account", remedy="Put it back, or restore a backup."
        )
    try:
        return sealed_database.connect(database, unlocked.contents.key, unlocked.contents.salt)
    except apsw.NotADBError:
        raise AccountFileError("the account file is damaged", remedy="Restore a backup of it.") from None
    except apsw.Error as error:
        raise AccountFileError(f"the account file cannot be opened: {error}", remedy=_LOOK_AT_DISK) from error


def guard_of(path: Path) -> tuple[Guard, str]:
    """Return what an account is opened with, and under what name a keyring keeps that.

    Raises AccountFileMissing, NotAnAccountFile, AccountFileError.
    """
    content = _read(path)
    if content[1:2] == _FIRST_LAYOUT:
        return Guard.PASSPHRASE, ""
    key_file = KeyFile.parse(content)
    return key_file.guard, key_file.name.hex()


def change_passphrase(
    path: Path,
    old: str,
    new: str,
    *,
    entropy: Entropy,
    cost: KeyCost,
    guard: Guard = Guard.PASSPHRASE,
) -> None:
    """Let `new` open what `old` does, and `old` nothing any more; a guess costs `cost` at least from now on.

    One write of less than a sector: whoever is killed has the one or the other.  To another `guard` the key file is
    written anew, and what the other slot may have opened is gone.  Blocks for key derivations.
    Raises WeakPassphrase, and what `open_file` raises.
    """
    check_passphrase(new)
    key_file, unlocked = _unlock(path, old, entropy)
    slot = unlocked.slot
    if guard is key_file.guard is Guard.PASSPHRASE:
        found = key_file.unlock(new)
        if found is not None and found.slot != slot:
            raise WeakPassphrase("this passphrase cannot be used", remedy="Choose another one.")
        emptied = key_file.dearer(slot, cost, entropy)
    else:
        emptied = replace(KeyFile.fresh(entropy, cost, guard), name=key_file.name)
    contents = unlocked.contents
    _overwrite(path, emptied.sealed(slot, emptied.secret(slot, new), contents, entropy))
    if guard is not key_file.guard:
        _randomise(path, unlocked.other, entropy)


def set_other(path: Path, passphrase: str, other: str, fill: Fill, *, wipe: bool, entropy: Entropy) -> None:
    """Let a second passphrase open an account of its own that holds what `fill` writes.

    With `wipe` opening it destroys the first one.  What the other slot may have opened before is gone.  Killed before
    the end, there is no second passphrase.  Raises WeakPassphrase, AccountFileError, and what `open_file` raises.
    """
    check_passphrase(other)
    key_file, unlocked = _unlock(path, passphrase, entropy)
    if key_file.guard is Guard.KEYRING:
        raise AccountFileError(
            "this account is opened by a key of the keyring: nobody is asked for a passphrase",
            remedy="Set a passphrase first, with `ramson account passphrase`.",
        )
    slot = unlocked.other
    secret = key_file.secret(unlocked.slot, other)
    if secret == unlocked.secret:
        raise WeakPassphrase("the second passphrase is the first one", remedy="Choose another one.")
    key_file = key_file.emptied(slot, entropy, head=key_file.head(unlocked.slot))
    _overwrite(path, key_file)
    contents = Contents.fresh(entropy, Opens.WIPE if wipe else Opens.DATABASE)
    with _errors("made"), drafts(path, entropy) as new:
        _make_database(new[0], contents, fill)
        _replace(_databases(path)[slot], new[0])
    level(path, entropy)
    _overwrite(path, key_file.sealed(slot, secret, contents, entropy))


def clear_other(path: Path, passphrase: str, *, entropy: Entropy) -> None:
    """Let nothing but `passphrase` open anything.  Raises what `open_file` raises."""
    key_file, unlocked = _unlock(path, passphrase, entropy)
    _overwrite(path, key_file.emptied(unlocked.other, entropy))
    _randomise(path, unlocked.other, entropy)


def level(path: Path, entropy: Entropy) -> None:
    """Make both databases equally long and old, for when one was closed."""
    sealed_database.level(_databases(path), entropy)


def destroy(path: Path) -> None:
    """Delete the files of an account that no program has open: its keys first.  Raises AccountFileError."""
    try:
        if path.is_file():
            _write(path, bytes(KEY_FILE_SIZE))
        _remove([each for database in _databases(path) for each in (*sealed_database.log_files(database), database)])
        path.unlink(missing_ok=True)
        remove_left(path)
        if transports_directory(path).exists():
            shutil.rmtree(transports_directory(path))
        _sync_directory(path.parent)
    except OSError as error:
        raise AccountFileError(
            f"the account file could not be deleted: {error.strerror}", remedy="Look who may write there."
        ) from error


def transports_directory(path: Path) -> Path:
    """Return where pluggable transports keep what they need for the account at `path`; it need not exist."""
    return path.with_name(path.name + ".transports")


# Unlocking


def _unlock(path: Path, passphrase: str, entropy: Entropy) -> tuple[KeyFile, Unlocked]:
    content = _read(path)
    if content[1:2] == _FIRST_LAYOUT:
        return _upgrade(path, content[:SALT_SIZE], passphrase, entropy)
    key_file = KeyFile.parse(content)
    unlocked = key_file.unlock(passphrase)
    if unlocked is None:
        raise _wrong()
    with _errors("kept from others"):
        _make_private((path, *_databases(path)))
    if unlocked.contents.opens is Opens.WIPE:
        return _wipe(path, key_file, unlocked, entropy)
    return key_file, unlocked


def _wrong() -> WrongPassphrase:
    return WrongPassphrase(
        "the passphrase is wrong, or the file is damaged", remedy="Type it again; letters' case and spaces count."
    )


def _wipe(path: Path, key_file: KeyFile, unlocked: Unlocked, entropy: Entropy) -> tuple[KeyFile, Unlocked]:
    """Destroy the other slot's key, then its database; what wiped opens from now on and does nothing more."""
    contents = Contents(Opens.DATABASE, unlocked.contents.key, unlocked.contents.salt)
    wiped = key_file.emptied(unlocked.other, entropy).sealed(unlocked.slot, unlocked.secret, contents, entropy)
    _overwrite(path, wiped)
    with contextlib.suppress(AccountFileError):  # without its key it is as good as random
        _randomise(path, unlocked.other, entropy)
    return wiped, Unlocked(unlocked.slot, contents, unlocked.secret)


def _upgrade(path: Path, salt: bytes, passphrase: str, entropy: Entropy) -> tuple[KeyFile, Unlocked]:
    """Bring a file of the first layout to this one."""
    cost = KeyCost.of_salt(salt)
    try:
        old = sealed_database.connect(path, derive(passphrase, salt, cost), salt)
    except apsw.NotADBError:
        raise _wrong() from None
    except apsw.Error as error:
        raise AccountFileError(f"the account file cannot be opened: {error}", remedy=_LOOK_AT_DISK) from error
    slot = entropy.randbytes(1)[0] & 1
    empty = KeyFile.fresh(entropy, cost)
    contents = Contents.fresh(entropy)
    key_file = empty.sealed(slot, empty.secret(slot, passphrase), contents, entropy)
    with _errors("brought to its new form"), contextlib.closing(old), drafts(path, entropy) as new:
        # Alone with the file, until it has lost its name; and from here on there is no log beside it.
        old.pragma("locking_mode", "EXCLUSIVE")
        old.pragma("journal_mode", "DELETE")
        old.execute("BEGIN EXCLUSIVE; COMMIT")
        if _read(path)[1:2] != _FIRST_LAYOUT:
            raise AccountFileError("another program has just changed the account file", remedy="Try again.")
        _make_database(new[1 + slot], contents, lambda copy: _copy(old, copy))
        sealed_database.make_random(new[2 - slot], new[1 + slot].stat().st_size, entropy)
        _write_new(new[0], key_file.encode())
        for draft, place in zip(new[::-1], (path, *_databases(path))[::-1], strict=True):
            draft.replace(place)
        _sync_directory(path.parent)
    level(path, entropy)
    return key_file, Unlocked(slot, contents, empty.secret(slot, passphrase))


def _copy(old: apsw.Connection, new: apsw.Connection) -> None:
    with new.backup("main", old, "main") as backup:
        backup.step()


# Files


def _databases(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + ".0"), path.with_name(path.name + ".1")


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise NotAnAccountFile(f"what is at {path} is no file", remedy="Give the path of an account file.")
    if not path.is_file():
        raise AccountFileMissing(
            f"there is no account file at {path}", remedy="Make one with `ramson account create`, or check the path."
        )
    try:
        # Through SQLite's own file layer: a file of the first layout is a database, and closing a plain descriptor
        # would drop the locks that a connection of this process holds on it.
        file = apsw.VFSFile("unix", str(path.absolute()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
        try:
            content = file.xRead(KEY_FILE_SIZE, 0)
        finally:
            file.xClose()
    except (apsw.Error, OSError) as error:
        raise AccountFileError(
            f"the account file at {path} cannot be read", remedy="Check that it is yours to read and write."
        ) from error
    if content == bytes(KEY_FILE_SIZE):
        left = ", ".join(each.name for each in (path, *_databases(path)) if each.exists())
        raise NotAnAccountFile(
            "this account was deleted, but not all of its files are gone; nothing can read what is in them",
            remedy=f"Delete {left}.",
        )
    return content


def _make_private(paths: Iterable[Path]) -> None:
    """Take away what others may do with an account's files, as after a careless copy; for files that are surely one."""
    for each in paths:
        if each.exists() and stat.S_IMODE(each.stat().st_mode) & 0o077:
            each.chmod(0o600)


def _overwrite(path: Path, key_file: KeyFile) -> None:
    try:
        _write(path, key_file.encode())
    except OSError as error:
        raise AccountFileError(f"the account file cannot be written: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    """Write over the beginning of a file, in its place on the disk."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, content: bytes) -> None:
    sealed_database.make(path)
    _write(path, content)


def _make_database(path: Path, contents: Contents, fill: Fill) -> None:
    sealed_database.make(path)
    connection = sealed_database.connect(path, contents.key, contents.salt)
    try:
        fill(connection)
    finally:
        connection.close()


def _randomise(path: Path, slot: int, entropy: Entropy) -> None:
    """Put random bytes in the place of a database."""
    database = _databases(path)[slot]
    with _errors("overwritten"), drafts(path, entropy) as new:
        sealed_database.make_random(new[0], database.stat().st_size if database.exists() else 0, entropy)
        _replace(database, new[0])
    level(path, entropy)


def _replace(database: Path, draft: Path) -> None:
    _remove(sealed_database.log_files(database))
    draft.replace(database)
    _sync_directory(database.parent)


def _remove(paths: Iterable[Path]) -> None:
    for each in paths:
        each.unlink(missing_ok=True)


@contextlib.contextmanager
def _errors(done: str) -> Iterator[None]:
    try:
        yield
    except apsw.BusyError as error:
        raise AccountFileError(
            "another program keeps the account file to itself", remedy="Close that program and try again."
        ) from error
    except apsw.Error as error:
        raise AccountFileError(f"the account file could not be {done}: {error}") from error
    except OSError as error:
        raise AccountFileError(
            f"the account file could not be {done}: {error.strerror}", remedy="Choose another place, or make room."
        ) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

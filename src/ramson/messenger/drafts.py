"""Files that are written beside an account before they take their places, and what is left of them by who was killed.

Whoever has drafts holds a shared lock on their directory, which goes with the process however that ends.  So whoever
gets the lock alone knows that nobody is at work there: what then lies there under a draft's name was left, and is
removed, if it belongs to the same account.  Where a directory cannot be locked, as on some network file systems, what
was left stays.

This module never touches a file that has not exactly a draft's name.  Spec: none (local format).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ramson.crypto.entropy import Entropy
from ramson.messenger import sealed_database

_MARK: Final = 8  # bytes that no other draft has


@contextlib.contextmanager
def drafts(path: Path, entropy: Entropy) -> Iterator[tuple[Path, Path, Path]]:
    """Yield names for files beside an account, in a directory that exists; what is left under them goes in the end.

    What somebody who was killed left of drafts of this account is removed before.
    """
    mark = entropy.randbytes(_MARK).hex()
    first, second, third = (path.with_name(f".{path.name}.{mark}.new{number}") for number in range(3))
    with _at_work(path) as directory:
        _remove_left(path, directory)
        try:
            yield first, second, third
        finally:
            with contextlib.suppress(OSError):
                for draft in (first, second, third):
                    for each in (*sealed_database.log_files(draft), draft):
                        each.unlink(missing_ok=True)


def remove_left(path: Path) -> None:
    """Remove what somebody who was killed left of drafts of an account, unless somebody is at work there."""
    with _at_work(path) as directory:
        _remove_left(path, directory)


@contextlib.contextmanager
def _at_work(path: Path) -> Iterator[int | None]:
    """Let others know while the block runs that somebody has drafts; yield the directory, None if there is none."""
    try:
        directory = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield None
        return
    try:
        _lock(directory, fcntl.LOCK_SH)
        yield directory
    finally:
        os.close(directory)


def _remove_left(path: Path, directory: int | None) -> None:
    if directory is None:
        return
    draft = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _MARK}}}\.new[012](-wal|-shm|-journal)?")
    with contextlib.suppress(OSError):
        found = [each for each in path.absolute().parent.iterdir() if draft.fullmatch(each.name)]
        if found and _lock(directory, fcntl.LOCK_EX):
            for each in found:
                if each.is_file() and not each.is_symlink():
                    each.unlink()
    _lock(directory, fcntl.LOCK_SH)  # who asks for the other kind in vain has lost the lock


def _lock(directory: int, kind: int) -> bool:
    # Never waiting: anybody who may read a directory could lock it for ever.  Who works without the lock, because
    # somebody else just looks what was left there, risks an error and no account.
    with contextlib.suppress(OSError):
        fcntl.flock(directory, kind | fcntl.LOCK_NB)
        return True
    return False

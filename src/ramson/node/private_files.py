"""Files that hold a node's secrets: written whole or not at all, and readable by their owner alone."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from ramson.errors import LocalError

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class NotPrivate(LocalError):
    """A file or directory with secrets can be read or changed by others than its owner."""


def make_private_directory(directory: Path) -> None:
    """Make the directory with mode 0700 unless it is there.  Raises NotPrivate, LocalError."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not directory.is_dir():
            raise LocalError(f"{directory} is no directory", remedy="name another place") from None
        check_private(directory)
    except OSError as error:
        raise LocalError(
            f"the directory {directory} cannot be made: {error.strerror}", remedy="name another place"
        ) from None


def check_private(path: Path) -> None:
    """Raise NotPrivate if group or others have any access to `path`."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        wanted = 0o700 if path.is_dir() else 0o600
        raise NotPrivate(
            f"{path.name} is open to other users of this machine (mode {mode:04o})",
            remedy=f"if nobody read it, run: chmod {wanted:04o} {path}",
        )


def write_private(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, on the disk and complete when this returns.  Raises OSError."""
    part = path.with_name(path.name + ".part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()  # of a start that was cut off
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

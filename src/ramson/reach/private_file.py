"""Reading a file that may hold secrets, and that is refused while others could read or change it."""

from __future__ import annotations

import os
from pathlib import Path

from ramson.errors import LocalError


class NotPrivate(LocalError):
    """Others can read the file."""


def read_private(path: Path, most: int) -> bytes:
    """Return `most` bytes at most of a file that only its owner can read.  Raises NotPrivate, LocalError."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise NotPrivate(f"others can read {path}, and it may hold secrets", remedy=f"Run: chmod 600 {path}")
            return file.read(most)
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}", remedy="Check the path.") from None

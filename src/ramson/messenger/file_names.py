"""Names of files that strangers chose, made fit for this machine's disk.

Spec: none (local); messaging.md §3.1 AttachmentPointer says only that there is a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ramson.errors import LocalError

MAX_NAME: Final = 255  # bytes of UTF-8: what file systems take

_MOST_ALIKE: Final = 10_000
_LONGEST_STEM, _LONGEST_SUFFIX = 200, 30  # bytes, where a number has to fit between them
# Path separators, what Windows forbids, controls, and the marks that turn the direction of writing around.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class NoFreeName(LocalError):
    """A directory has more files of one name than anybody keeps."""


def safe_name(name: str) -> str:
    """Return a stranger's file name without what leads elsewhere, hides its ending or is too long; it may be empty."""
    name = _UNSAFE.sub("_", name).strip().lstrip(".").rstrip(". ")
    while len(name.encode()) > MAX_NAME:
        name = name[:-1]
    return name


def free_place(directory: Path, name: str) -> Path:
    """Return a place in a directory that nothing has yet, of this safe name or one like it.  Raises NoFreeName."""
    for candidate in _alike(Path(name)):
        if not os.path.lexists(directory / candidate):
            return directory / candidate
    raise NoFreeName("the directory is full of files with this name", remedy="Choose another directory.")


def _alike(name: Path) -> Iterator[str]:
    yield name.name
    stem = name.stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    suffix = name.suffix if len(name.suffix.encode()) <= _LONGEST_SUFFIX else ""
    yield from (f"{stem} ({number}){suffix}" for number in range(2, _MOST_ALIKE))

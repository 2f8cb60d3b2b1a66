"""The bridges a person was given: a file only they can read, with a label and a link a line.

The labels are the person's own and are all that is ever shown; the links are secrets.  The file is not encrypted: it
has to be read before any account is open, and whoever can read it may use the bridges and block them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ramson.errors import LocalError
from ramson.network import FileCache
from ramson.protocol.bridge import BridgeLink, link
from ramson.reach.private_file import read_private

FILE: Final = "bridges"
MAX_BRIDGES: Final = 32
MAX_SIZE: Final = 64 * 1024

_LABEL: Final = re.compile(r"[\w.-]{1,40}")


class BridgeBookError(LocalError):
    """The file of bridges cannot be used, or not in this way; the text quotes no link."""


@dataclass(frozen=True, slots=True)
class KnownBridge:
    """One bridge."""

    label: str
    link: BridgeLink = field(repr=False)


def load(path: Path) -> tuple[KnownBridge, ...]:
    """Read the bridges; none if there is no file.  Raises BridgeBookError, BadBridgeLink, NotPrivate, LocalError."""
    if not path.exists():
        return ()
    data = read_private(path, MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise BridgeBookError("the file of bridges is too long")
    lines = [line.split() for line in data.decode(errors="replace").splitlines() if line.strip()]
    if not all(len(line) == 2 and _LABEL.fullmatch(line[0]) for line in lines):
        raise BridgeBookError("the file of bridges is damaged", remedy="Each line is a label, a blank and a link.")
    return tuple(KnownBridge(label, link.parse(uri)) for label, uri in lines)


def add(path: Path, new: BridgeLink, label: str | None = None) -> str:
    """Write a bridge to the others and return its label; known already, it gets no other.  Raises BridgeBookError."""
    known = load(path)
    for each in known:
        if each.link == new:
            return each.label
    labels = {each.label for each in known}
    chosen = label or next(name for i in range(1, MAX_BRIDGES + 2) if (name := f"bridge-{i}") not in labels)
    if not _LABEL.fullmatch(chosen) or chosen in labels:
        raise BridgeBookError("a label is 1 to 40 letters, digits, dots or dashes, and no two are alike")
    if len(known) >= MAX_BRIDGES:
        raise BridgeBookError(f"there are {MAX_BRIDGES} bridges already", remedy="Remove one that does not work.")
    _save(path, (*known, KnownBridge(chosen, new)))
    return chosen


def remove(path: Path, label: str) -> None:
    """Forget a bridge.  Raises BridgeBookError."""
    known = load(path)
    left = tuple(each for each in known if each.label != label)
    if left == known:
        raise BridgeBookError("there is no bridge with that label", remedy="`ramson bridge list` shows the labels.")
    _save(path, left)


def _save(path: Path, bridges: tuple[KnownBridge, ...]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    FileCache(path).save("".join(f"{each.label} {each.link.uri}\n" for each in bridges).encode())

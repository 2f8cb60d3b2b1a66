"""What nodes say there is to fetch, until polls have brought it.

A notice is a reason to ask, and nothing else: what it names may be known already, may not have reached the node that is
asked next, or may never have existed.  So each name is looked for three times, within seconds, and then forgotten;
what is real comes with the next poll anyway.  Pure but for the store's word for what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

MOST: Final = 64  # names looked for at a time; one poll brings all there is, however many are named
LOOKS: Final = (0.0, 1.0, 4.0)  # seconds to wait before each of them


class Announced:
    """Names (hashes) of messages; `unseen` returns those of some names that were never fetched."""

    def __init__(self, unseen: Callable[[Collection[str]], Collection[str]]) -> None:
        self._unseen = unseen
        self._names: dict[str, tuple[int, float]] = {}  # how often it was looked for, and when it may be again

    def add(self, name: str, now: float) -> bool:
        """Take note that a node claims to have a message; whether that is anything new."""
        if name in self._names or len(self._names) >= MOST:
            return False
        self._names[name] = 0, now
        return True

    def due(self) -> float | None:
        """Return from when on there may be a reason to ask; None if there is none."""
        return min((since for _, since in self._names.values()), default=None)

    def is_due(self, now: float) -> bool:
        """Whether there is a reason to ask now, after what was fetched meanwhile is left out."""
        unseen = self._unseen(self._names)
        self._names = {name: what for name, what in self._names.items() if name in unseen}
        due = self.due()
        return due is not None and due <= now

    @property
    def names(self) -> tuple[str, ...]:
        """What is announced now."""
        return tuple(self._names)

    def looked_for(self, names: Collection[str], now: float) -> None:
        """Take note that a poll was answered which began after these were announced."""
        for name in names:
            if name in self._names:
                looks = self._names[name][0] + 1
                if looks < len(LOOKS):
                    self._names[name] = looks, now + LOOKS[looks]
                else:
                    del self._names[name]

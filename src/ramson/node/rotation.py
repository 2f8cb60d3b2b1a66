"""When which node is tested: the random rotation, and the failing nodes that are tested again.

Pure bookkeeping on keys and moments: it never tests anybody and reads no clock.  Moments are seconds of one
monotonic clock.  Spec: testing-and-uptime.md §1.

Theory of operation.  All testable nodes are shuffled and taken one by one; when none is left they are shuffled anew.
A node that appears is put at a random place among those still to come, so it does not wait for the next shuffle (as it
does in the reference server), and not all testers meet it at the same moment.  A node that failed leaves the
rotation until a retest passes; its retests grow rarer.  A node is never tested twice at a time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

INTERVAL: Final = (10.0, 3.0)  # seconds between random tests: mean and deviation of a normal distribution
RETEST_STEP: Final = 10.0  # seconds by which each earlier failure puts off the next retest
RETEST_NOISE: Final = (10.0, 3.0)
LONGEST_RETEST: Final = 120.0
RETESTS_AT_ONCE: Final = 4

_RUNNING: Final = math.inf


@dataclass(slots=True)
class _Failing:
    """How often a node has failed in a row, and when it is tested again."""

    failures: int
    at: float


class Rotation:
    """Chooses among keys; `now` is the moment it begins."""

    def __init__(self, entropy: random.Random, now: float) -> None:
        self._entropy = entropy
        self._keys: AbstractSet[bytes] = frozenset()
        self._coming: list[bytes] = []  # the last is next
        self._failing: dict[bytes, _Failing] = {}
        self._random_at = now + self._draw(INTERVAL)

    @property
    def failing(self) -> int:
        """How many nodes failed their last test."""
        return len(self._failing)

    def failures(self, key: bytes) -> int:
        """How often in a row a node has failed."""
        entry = self._failing.get(key)
        return 0 if entry is None else entry.failures

    def follow(self, keys: AbstractSet[bytes]) -> None:
        """Learn who may be tested now; who is not among them any more is forgotten."""
        if self._coming:
            for key in sorted(keys - self._keys):
                self._coming.insert(self._entropy.randrange(len(self._coming) + 1), key)
        self._keys = keys
        self._failing = {key: entry for key, entry in self._failing.items() if key in keys}

    def due(self, now: float) -> list[bytes]:
        """Return whom to test now: failing nodes whose time has come, and at its time one of the others."""
        ripe = sorted((entry.at, key) for key, entry in self._failing.items() if entry.at <= now)
        chosen = [key for _, key in ripe[:RETESTS_AT_ONCE]]
        for key in chosen:
            self._failing[key].at = _RUNNING
        if now >= self._random_at:
            self._random_at = now + self._draw(INTERVAL)
            chosen += self._next()
        return chosen

    def next_at(self) -> float:
        """Return when somebody is due next."""
        return min([self._random_at, *(entry.at for entry in self._failing.values())])

    def tested(self, key: bytes, now: float, *, passed: bool) -> None:
        """Learn how a test went."""
        if passed or key not in self._keys:
            self._failing.pop(key, None)
            return
        entry = self._failing.setdefault(key, _Failing(0, _RUNNING))
        entry.at = now + min(RETEST_STEP * entry.failures + self._draw(RETEST_NOISE), LONGEST_RETEST)
        entry.failures += 1

    def _next(self) -> list[bytes]:
        """Take one key off the rotation, if there is any that is not failing."""
        for _ in range(2):  # what is left of this round, then a whole new one
            while self._coming:
                key = self._coming.pop()
                if key in self._keys and key not in self._failing:
                    return [key]
            self._coming = sorted(self._keys)
            self._entropy.shuffle(self._coming)
        return []

    def _draw(self, distribution: tuple[float, float]) -> float:
        return max(0.0, self._entropy.normalvariate(*distribution))

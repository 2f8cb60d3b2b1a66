"""The coarse clock of a listener: one timer for all its connections, whatever their number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ramson.world.http import HttpLimits

LINGER = 10.0  # seconds an ending connection may go on writing
QUIET = 1.0  # seconds of silence after which an ending connection is closed


@dataclass(slots=True)
class Ticks:
    """How many ticks have passed (`now`) and how many each time limit lasts.  A limit never ends early."""

    interval: float  # seconds
    head: int
    body: int
    idle: int
    linger: int
    quiet: int
    now: int = 0

    @classmethod
    def of(cls, limits: HttpLimits) -> Ticks:
        """Ticks fine enough for the shortest limit, at most one a second."""
        shortest = min(limits.head_timeout, limits.body_timeout, limits.idle_timeout)
        interval = min(1.0, max(0.02, shortest / 4))

        def ticks(seconds: float) -> int:
            return math.ceil(seconds / interval) + 1

        return cls(
            interval,
            ticks(limits.head_timeout),
            ticks(limits.body_timeout),
            ticks(limits.idle_timeout),
            ticks(LINGER),
            ticks(QUIET),
        )

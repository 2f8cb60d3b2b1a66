"""How often our own swarm is asked for news: often while people talk, seldom while nothing happens.

A storage node can notify a client of new mail, but only over a connection of the client's own to a node of its swarm
(spec node/storage-rpc.md, `monitor.messages`), which would learn our address together with our account id.  There is no
such thing through a path.  So news is asked for, and this is how soon.

How often we ask tells our guard, which sees times and sizes anyway, whether a conversation is going on.  Each wait is
drawn anew, so that two devices, or a device before and after a change of its address, have no beat in common.
Spec: messaging.md §3.7 (others ask every 5 s at all times).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Final

from ramson.messenger.pulse import Pulse

TALKING: Final = 2.5  # seconds between two polls
USUAL: Final = 5.0
IDLE: Final = 10.0
TALK: Final = 180.0  # seconds after the last word
QUIET: Final = 3600.0
JITTER: Final = 0.25


class Pace:
    """The time between polls of one account."""

    def __init__(self, entropy: random.Random) -> None:
        self._entropy = entropy
        self._watchers = 0
        self._last: float | None = None
        self._changed = Pulse()

    def active(self) -> None:
        """Something was written, here or to us."""
        self._last = asyncio.get_running_loop().time()
        self._changed.fire()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody looks at a conversation while the block runs."""
        self._watchers += 1
        self._changed.fire()
        try:
            yield
        finally:
            self._watchers -= 1

    def interval(self) -> float:
        """Return how many seconds, on average, are to lie between two polls now."""
        now = asyncio.get_running_loop().time()
        if self._last is None:
            self._last = now - TALK  # a client that was just opened is not idle
        quiet = now - self._last
        if self._watchers or quiet < TALK:
            return TALKING
        return USUAL if quiet < QUIET else IDLE

    async def wait(self) -> None:
        """Wait until it is time for the next poll."""
        loop = asyncio.get_running_loop()
        began, jitter = loop.time(), self._entropy.uniform(1 - JITTER, 1 + JITTER)
        while (left := began + self.interval() * jitter - loop.time()) > 0:
            await self._changed.wait(left)

"""How often our own swarm is asked for news: often while people talk, seldom while nothing happens.

Unless its owner says otherwise, a client asks and is not told: a storage node tells clients of new mail only over a
connection of their own (`ramson.network.subscriptions`), which shows it our address together with our account id.

How often we ask tells our guard, which sees times and sizes anyway, whether a conversation is going on.  Each wait is
drawn anew, so that two devices, or a device before and after a change of its address, have no beat in common.

While nodes do tell us, we ask seldom, and at once when one says that there is something.  What nodes say can make us
ask `BURST` times in a row and then no more often than others ask while they talk, whatever they say.
Spec: messaging.md §3.7 (others ask every 5 s at all times).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Final, Protocol

from ramson.messenger.pulse import Pulse

TALKING: Final = 2.5  # seconds between two polls
USUAL: Final = 5.0
IDLE: Final = 10.0
TOLD: Final = 45.0  # while nodes tell us of messages; one that keeps silent costs us that much
TALK: Final = 180.0  # seconds after the last word
QUIET: Final = 3600.0
JITTER: Final = 0.25
BURST: Final = 4  # polls that notices may cause in a row; then one in TALKING seconds


class Allowance:
    """Lets something happen `BURST` times at once and then every `TALKING` seconds; times in seconds."""

    def __init__(self) -> None:
        self._spent = 0.0  # when all of it would be there again

    def ready(self) -> float:
        """Return from when on it may happen."""
        return self._spent - (BURST - 1) * TALKING

    def spend(self, now: float) -> None:
        """Take note that it happens."""
        self._spent = max(self._spent, now) + TALKING


class Reasons(Protocol):
    """What speaks for asking before it is time."""

    def due(self) -> float | None:
        """Return from when on (seconds of the loop) there may be a reason; None if there is none."""
        ...

    def is_due(self, now: float) -> bool:
        """Whether there really is one now."""
        ...


class Pace:
    """The time between polls of one account."""

    def __init__(self, entropy: random.Random) -> None:
        self._entropy = entropy
        self._watchers = 0
        self._last: float | None = None
        self._changed = Pulse()
        self._told = self._missed = False
        self._allowance = Allowance()

    def active(self) -> None:
        """Something was written, here or to us."""
        self._last = asyncio.get_running_loop().time()
        self._changed.fire()

    def told(self, *, told: bool) -> None:
        """Nodes tell us of messages from now on, or do so no longer."""
        if told and not self._told:
            self._missed = True  # what came before they did
        self._told = told
        self._changed.fire()

    def stir(self) -> None:
        """There may be a reason to ask."""
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
        """Return how many seconds, on average, are to lie between two polls if nobody tells us."""
        now = asyncio.get_running_loop().time()
        if self._last is None:
            self._last = now - TALK  # a client that was just opened is not idle
        quiet = now - self._last
        if self._watchers or quiet < TALK:
            return TALKING
        return USUAL if quiet < QUIET else IDLE

    async def wait(self, reasons: Reasons | None = None, *, failed: bool = False) -> None:
        """Wait until it is time for the next poll; one that `failed` is repeated as if nobody told us."""
        loop = asyncio.get_running_loop()
        began, jitter = loop.time(), self._entropy.uniform(1 - JITTER, 1 + JITTER)
        while True:
            now = loop.time()
            interval = TOLD if self._told and not failed else self.interval()
            until = began + interval * jitter
            if until <= now:
                break
            due = now if self._missed else None if reasons is None else reasons.due()
            if due is not None:
                due = max(due, self._allowance.ready())
                if due <= now:
                    if self._missed or (reasons is not None and reasons.is_due(now)):
                        self._allowance.spend(now)
                        break
                    continue
                until = min(until, due)
            await self._changed.wait(until - now)
        self._missed = False

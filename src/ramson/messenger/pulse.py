"""A signal that wakes everyone who waits at that moment, and is then over."""

from __future__ import annotations

import asyncio


class Pulse:
    """Waiters look at the truth elsewhere (the database) and use this only to look again at the right time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Return at the next pulse, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass

"""Nodes that live in the launcher's own process: a network for a machine that has no memory for a process each.

A resident looks to the devnet like a `Worker`.  It runs the same service on the same sockets; what is different is
that it cannot crash: to kill it is to close it at once, and a defect that ends the process ends all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ramson.devnet.processes import DevnetError
from ramson.errors import RamsonError

Make = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(slots=True)
class Resident:
    """One service of the network; `make` makes it anew for each of its lives."""

    name: str
    make: Make
    _life: asyncio.Task[None] | None = field(default=None, repr=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._life is not None and not self._life.done()

    @property
    def pid(self) -> int:
        """The process id it shares with all."""
        if not self.running:
            raise DevnetError(f"{self.name} is not running")
        return os.getpid()

    async def start(self) -> None:
        """Start it and wait until it serves.  Raises DevnetError when it does not."""
        up, self._stop = asyncio.Event(), asyncio.Event()
        self._life = asyncio.create_task(self._live(up, self._stop), name=self.name)
        waiting = asyncio.create_task(up.wait())
        try:
            await asyncio.wait((self._life, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not up.is_set():
            error = self._life.exception()
            remedy = error.remedy if isinstance(error, RamsonError) else ""
            raise DevnetError(f"{self.name} did not start: {error}", remedy=remedy) from error

    async def kill(self) -> None:
        """Close it without waiting for its requests."""
        if self._life is not None and self.running:
            self._life.cancel()
            await asyncio.wait([self._life])

    async def stop(self) -> None:
        """Close it gently."""
        self._stop.set()
        if self._life is not None:
            await asyncio.wait([self._life])

    async def _live(self, up: asyncio.Event, stop: asyncio.Event) -> None:
        async with self.make():
            up.set()
            await stop.wait()

"""Blocking work on a thread of its own, one piece at a time, in the order given.

An executor would cost two futures and a wake-up of the event loop for every piece; here the results of
all pieces that end while the loop is busy are delivered by one wake-up.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from ramson.errors import LocalError

T = TypeVar("T")


class DiskClosedError(LocalError):
    """Work was given to a disk that has been closed."""


class ThreadDisk:
    """A `world.Disk`.  Work that was given is done, even if whoever waits for it is cancelled."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: SimpleQueue[tuple[Callable[[], Any] | None, asyncio.Future[Any]]] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._announced = False
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` off the event loop and return what it returns or raise what it raises."""
        if self._closed:
            raise DiskClosedError("this disk is closed", remedy="make a new one with World.disk")
        result: T = await self._put(work)
        return result

    async def close(self) -> None:
        """Finish what was given and stop."""
        if not self._closed:
            self._closed = True
            if self._loop is not None:
                await self._put(None)

    def _put(self, work: Callable[[], Any] | None) -> asyncio.Future[Any]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._toil, name="ramson-disk", daemon=True).start()
        future = self._loop.create_future()
        self._work.put((work, future))
        return future

    # ---- on the thread

    def _toil(self) -> None:
        while True:
            work, future = self._work.get()
            if work is None:
                self._announce(future, None, None)
                return
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                self._announce(future, None, error)
            else:
                self._announce(future, result, None)
            del work, future

    def _announce(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._done.append((future, result, error))
        # `_deliver` takes the flag down before it looks: a result appended under a raised flag is seen
        if not self._announced:
            self._announced = True
            try:
                future.get_loop().call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._done.clear()

    # ---- on the loop

    def _deliver(self) -> None:
        self._announced = False
        while self._done:
            future, result, error = self._done.popleft()
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

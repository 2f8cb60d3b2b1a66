"""What keeps an open account running: its tasks, and the network's memory in its file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Protocol, Self

from ramson.messenger.store import Store
from ramson.messenger.vault import AccountFileError
from ramson.network import Light, Network, NetworkProfile

_log = logging.getLogger(__name__)


class Waiting(Protocol):
    """Something whose delays can be ended."""

    def hurry(self) -> None:
        """End every delay now."""
        ...


class StoreCache:
    """The network's memory, kept in the account file; `what` tells one thing remembered from another.

    The network saves on a thread of its disk, and the file belongs to the event loop: the loop does the writing.
    """

    def __init__(self, store: Store, profile: NetworkProfile, what: str = "network") -> None:
        self._store = store
        self._key = f"{what} {profile.fingerprint}"
        self._loaded = store.load(self._key)
        self._loop = asyncio.get_running_loop()

    def load(self) -> bytes | None:
        """Return what was saved."""
        return self._loaded

    def save(self, data: bytes) -> None:
        """Save; from any thread."""
        self._loop.call_soon_threadsafe(self._write, data)

    def _write(self, data: bytes) -> None:
        if self._store.closed:  # the account was deleted while its network was still up
            return
        try:
            self._store.save(self._key, data)
        except AccountFileError as error:
            _log.warning("the node list could not be saved: %s", error)


class Tasks:
    """A task group that ends when it is left, and that raises what went wrong in it by itself, not in a group."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._started: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something until the group is left."""
        self._started.append(self._group.create_task(work, name=name))

    async def stop(self) -> None:
        """End all that runs, and wait for the end."""
        for task in self._started:
            task.cancel()
        await asyncio.gather(*self._started, return_exceptions=True)
        self._started.clear()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._started:
            task.cancel()
        # A cancellation may come from the group, because a task failed; any other error is the caller's own.
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._group.__aexit__(*(kind, error, traceback) if cancelled else (None, None, None))
        except BaseExceptionGroup as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group


async def hurry(network: Network, *waiting: Waiting) -> None:
    """Let what waits for a path try again whenever there is one."""
    async for status in network.watch():
        if status.light is not Light.RED:
            for each in waiting:
                each.hurry()

"""What runs while a server is entered: its store is open, its listener listens, and its chores are done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, Listener, World


class Store(Protocol):
    """What a server keeps things in."""

    async def open(self) -> None:
        """Open it."""

    async def close(self) -> None:
        """Close it."""


class Serving:
    """Opens `store`, answers plain HTTP at `listen` by `handle`, and does the `chores` by name, while it is entered.

    It is left in the opposite order: nothing uses a store that is closed.
    """

    def __init__(
        self,
        world: World,
        listen: Endpoint,
        handle: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]],
        *,
        limits: HttpLimits,
        store: Store,
        chores: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
    ) -> None:
        self._world = world
        self._listen = listen
        self._handle = handle
        self._limits = limits
        self._store = store
        self._chores = chores
        self._listener: Listener | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._listen if self._listener is None else self._listener.endpoint

    async def __aenter__(self) -> Self:
        await self._store.open()
        try:
            self._listener = await self._world.net.listen(
                self._listen, self._handle, certificate=None, limits=self._limits
            )
        except BaseException:
            await self._store.close()
            raise
        self._group = await asyncio.TaskGroup().__aenter__()
        self._tasks = [self._group.create_task(chore(), name=name) for name, chore in self._chores.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._listener is not None:
                await self._listener.close()
                self._listener = None
            if self._group is not None:
                for task in self._tasks:
                    task.cancel()
                cancelled = isinstance(error, asyncio.CancelledError)  # only the group knows whether by itself
                await self._group.__aexit__(*(kind, error, trace) if cancelled else (None, None, None))
        finally:
            await self._store.close()

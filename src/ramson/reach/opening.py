"""From what a person says about the way out to the `Entry` that a `Network` is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ramson.network.cache import Cache, MemoryCache
from ramson.network.entry import Entry
from ramson.reach.candidates import candidates
from ramson.reach.fixed import FixedRoute
from ramson.reach.ladder import Ladder
from ramson.reach.memory import Memory
from ramson.reach.settings import ReachSettings
from ramson.world import World


@asynccontextmanager
async def open_entry(
    world: World, settings: ReachSettings, state: Path, memory: Cache | None = None
) -> AsyncIterator[Entry]:
    """Open the way out and close it afterwards.

    Where the settings leave no choice it is that one, else the ladder chooses.  Transports keep what they need under
    `state`; what worked last and what freezes is kept in `memory`, which tells where somebody has been and so belongs
    in an encrypted place.  Raises TransportFailed when the only way needs a program that cannot be started.
    """
    kept = Memory(memory if memory is not None else MemoryCache(), world.disk())
    found = candidates(world, settings, state, kept)
    if len(found) == 1:
        try:
            await kept.load()
            route = await found[0].open()
            try:
                yield FixedRoute(route, world.entropy, label=found[0].label)
            finally:
                await route.close()
        finally:
            await kept.close()
        return
    async with Ladder(world, found, kept, country=settings.country) as ladder:
        yield ladder

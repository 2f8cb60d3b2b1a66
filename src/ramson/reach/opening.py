"""From what a person says about the way out to the `Entry` that a `Network` is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ramson.network.entry import Entry
from ramson.reach import plain
from ramson.reach.bridge import BridgeRoute
from ramson.reach.fixed import FixedRoute
from ramson.reach.route import Route, Rung
from ramson.reach.settings import ReachSettings
from ramson.reach.transport import open_transport
from ramson.world import World


@asynccontextmanager
async def open_entry(world: World, settings: ReachSettings, state: Path) -> AsyncIterator[Entry]:
    """Open the way out and close it afterwards; transports keep what they need under `state`.

    Raises TransportFailed when the route pinned needs a program that cannot be started.
    """
    usual = Rung.PROXY if settings.proxies else Rung.DIRECT
    route = await open_route(world, settings, usual if settings.pinned is None else settings.pinned, state)
    try:
        yield FixedRoute(route, world.entropy)
    finally:
        await route.close()


async def open_route(world: World, settings: ReachSettings, rung: Rung, state: Path) -> Route:
    """Open the first route of this rung that the settings know; see `open_entry`."""
    match rung:
        case Rung.DIRECT:
            return plain.direct(world.outlets)
        case Rung.SPLIT:
            return plain.split(world.outlets)
        case Rung.PROXY:
            return plain.proxied(world.outlets, settings.proxies[0])
        case Rung.BRIDGE:
            return BridgeRoute(world, world.outlets.direct(), settings.bridges[0])
        case Rung.TRANSPORT:
            return await open_transport(world, settings.transports[0], state)

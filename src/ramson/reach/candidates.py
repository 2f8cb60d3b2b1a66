"""The ways out that the settings allow, for the ladder to choose from.

Whoever names a proxy does not want to be seen without it: then proxies are the only candidates.  Otherwise these are
the straight way, the split hello, Tor where it listens on this machine, bridges, and bridges behind transports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from ramson.protocol.bridge import BridgeLink
from ramson.reach import plain
from ramson.reach.bridge import BridgeLists, BridgeRoute
from ramson.reach.memory import Memory
from ramson.reach.order import Candidate
from ramson.reach.route import Route, Rung
from ramson.reach.settings import ReachSettings
from ramson.reach.thrift import Thrift
from ramson.reach.transport import open_transport
from ramson.world import Outlets, ProxyAddress, World

# Where Tor and Tor Browser listen.  Nobody is asked whether they run: a closed port is a way out that fails at once.
TOR: Final = (ProxyAddress.parse("tor://127.0.0.1:9050"), ProxyAddress.parse("tor://127.0.0.1:9150"))


def candidates(world: World, settings: ReachSettings, state: Path, memory: Memory | None = None) -> list[Candidate]:
    """Return what may be chosen from; transports keep what they need under `state`, what freezes is in `memory`.

    Bridges come in any order: of the many who were given the same links not all shall try the same one first.
    """
    of_bridges, of_nodes = Thrift(world, memory), Thrift(world, memory, kind="nodes")
    bridges = list(enumerate(settings.bridges, 1))
    proxies = [
        _candidate(Rung.PROXY, number, f"{each.kind} {each.endpoint}", partial(_proxied, world, each))
        for number, each in enumerate(settings.proxies, 1)
    ]
    if settings.pinned is Rung.PROXY or (settings.pinned is None and proxies):
        return proxies
    found = [
        Candidate("straight", Rung.DIRECT, "the straight way", partial(_opened, plain.direct, world, of_nodes)),
        Candidate("split", Rung.SPLIT, "a split hello", partial(_opened, plain.split, world, of_nodes)),
        *(_candidate(Rung.PROXY, 0, str(each.endpoint), partial(_proxied, world, each)) for each in TOR),
        *(
            _candidate(Rung.BRIDGE, number, link.uri, partial(_bridge, world, link, f"bridge {number}", of_bridges))
            for number, link in world.entropy.sample(bridges, len(bridges))
        ),
        *(
            _candidate(Rung.TRANSPORT, number, each.link.uri, partial(open_transport, world, each, state))
            for number, each in enumerate(settings.transports, 1)
        ),
    ]
    return [each for each in found if settings.pinned in {None, each.rung}]


def bridge_lists(world: World, settings: ReachSettings) -> tuple[BridgeLists, ...]:
    """Return the bridges as a channel of node lists: those alone that may be used as ways out."""
    if settings.pinned not in {None, Rung.BRIDGE} or (settings.pinned is None and settings.proxies):
        return ()
    return (BridgeLists(world, settings.bridges),) if settings.bridges else ()


def _candidate(rung: Rung, number: int, what: str, opening: Callable[[], Awaitable[Route]]) -> Candidate:
    """Return a candidate whose name tells one from another and shows neither."""
    digest = hashlib.blake2b(what.encode(), digest_size=8, person=b"ramson way").hexdigest()
    label = f"{rung.name.lower()} {number}" if number else "Tor"
    return Candidate(f"{rung.name.lower()} {digest}", rung, label, opening)


async def _opened(make: Callable[[Outlets, Thrift], Route], world: World, thrift: Thrift) -> Route:
    return make(world.outlets, thrift)


async def _proxied(world: World, proxy: ProxyAddress) -> Route:
    return plain.proxied(world.outlets, proxy, Thrift(world))


async def _bridge(world: World, link: BridgeLink, label: str, thrift: Thrift) -> Route:
    return BridgeRoute(world, world.outlets.direct(), link, label=label, thrift=thrift)

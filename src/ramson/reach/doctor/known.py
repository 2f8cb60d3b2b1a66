"""Which nodes are known before anybody is asked: those of the last run, and those of lists on this machine."""

from __future__ import annotations

from ramson.errors import ParseError, RamsonError
from ramson.network import cache as memory
from ramson.network.entry import DirectEntry
from ramson.network.judge import FoundList, judge
from ramson.network.profile import NetworkProfile
from ramson.protocol import node_list
from ramson.protocol.nodes import NodeRecord
from ramson.world import World


async def known_nodes(world: World, profile: NetworkProfile, cached: bytes | None) -> tuple[NodeRecord, ...]:
    """Return the nodes to draw from; none if none are known.  `cached` is what the last run's cache holds."""
    if cached is not None:
        try:
            snapshot = memory.decode(cached, profile.fingerprint, now_ms=world.clock.now())
        except ParseError:
            pass
        else:
            return tuple(node for node in snapshot.nodes if node.contactable)
    found: list[FoundList] = []
    for source in profile.lists:
        if source.local:
            try:
                found.append(FoundList(source.name, node_list.decode(await source.fetch(_nowhere(world)))))
            except RamsonError:
                continue
    verdict = judge(found, None, profile.authority, world.clock.now(), min_nodes=profile.min_pool)
    return tuple(node for node in verdict.nodes or profile.bundled if node.contactable)


def _nowhere(world: World) -> DirectEntry:
    """Return what a local list is handed and makes no use of."""
    return DirectEntry(world.net, world.entropy)

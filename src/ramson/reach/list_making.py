"""What a maintainer needs to make a signed list: the nodes that seeds list now, a sample of them, and a comparison.

Nothing here signs.  Spec: REACH *Finding nodes without the seeds*; docs/node-lists.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ramson.errors import RamsonError
from ramson.network.directory import SEED_HEADERS, SEED_TIMEOUT
from ramson.network.entry import Entry
from ramson.network.errors import ListsContradict, NoSeeds
from ramson.network.judge import FoundList, Standing, identity, judge
from ramson.network.paths import draw
from ramson.network.profile import NetworkProfile, SeedUrl
from ramson.protocol import seed
from ramson.protocol.node_list import Statement, listable
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.world import HttpRequest

ENOUGH: Final = 2 / 3  # of a list's nodes that seeds have to list as well before somebody signs it


@dataclass(frozen=True, slots=True)
class Survey:
    """What seeds list now and a list can hold; `agreed` if several of them say so.  `height` is the lowest named."""

    nodes: tuple[NodeRecord, ...]
    height: int
    agreed: bool


async def survey(entry: Entry, profile: NetworkProfile, now_ms: int) -> Survey:
    """Ask all seeds of a network; one that has none describes its nodes itself.  Raises NoSeeds, ListsContradict."""
    if not profile.seeds:
        return Survey(profile.bundled, 0, agreed=True)
    answers: dict[str, NodeList] = {}

    async def ask(url: SeedUrl) -> None:
        query = HttpRequest("POST", url.target, SEED_HEADERS, seed.service_nodes_query())
        try:
            reply = await entry.fetch(url.endpoint, query, tls=url.tls, timeout=SEED_TIMEOUT)
            answers[str(url.endpoint)] = seed.parse_service_nodes(reply.body)
        except RamsonError:
            return

    async with asyncio.TaskGroup() as group:
        for url in profile.seeds:
            group.create_task(ask(url), name="seed query")
    if not answers:
        raise NoSeeds("No seed node gives the list of nodes")
    found = [FoundList(voice, answer.nodes) for voice, answer in answers.items()]
    verdict = judge(found, None, profile.authority, now_ms, min_nodes=profile.min_pool)
    if verdict.anchor is None:
        raise ListsContradict
    height = min(answer.height for answer in answers.values())
    nodes = tuple(filter(listable, verdict.nodes))
    return Survey(nodes, height, agreed=verdict.anchor.standing is Standing.AGREED)


def sample(
    nodes: Sequence[NodeRecord], count: int, *, diversity: int | None, entropy: random.Random
) -> list[NodeRecord]:
    """Draw nodes for a starter list, from distinct subnets as far as there are so many."""
    drawn = draw(nodes, count, diversity=diversity, entropy=entropy)
    rest = [node for node in nodes if node not in drawn]
    return drawn + entropy.sample(rest, min(count - len(drawn), len(rest)))


def share_listed(statement: Statement, nodes: Sequence[NodeRecord]) -> float:
    """Return what share of a list's nodes is among `nodes`, with the same addresses and keys."""
    listed = {identity(node) for node in nodes}
    return sum(identity(node) in listed for node in statement.nodes) / len(statement.nodes)

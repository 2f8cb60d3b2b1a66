"""What an examination will contact, in words, before it contacts anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ramson.errors import LocalError
from ramson.network.profile import NetworkProfile, SeedUrl
from ramson.protocol.nodes import NodeRecord
from ramson.reach.bridge import BridgeLists
from ramson.reach.candidates import bridge_lists, candidates
from ramson.reach.order import Candidate, first_order
from ramson.reach.route import Rung
from ramson.reach.settings import ReachSettings
from ramson.world import World

SAMPLE: Final = 10  # nodes
SPARING_SAMPLE: Final = 3  # nodes, where each costs a bridge something
ASKED_BY_WAY: Final = 3  # nodes, of which one has to answer

_FETCHING: Final = frozenset({Rung.DIRECT, Rung.SPLIT, Rung.PROXY})


@dataclass(frozen=True, slots=True)
class Plan:
    """Seeds, nodes to draw from, and ways out; the first of these is the one that seeds and nodes are asked by.

    `resolver` is the URL of a resolver that is asked over HTTPS for the seeds' names, empty if none may be.
    """

    seeds: tuple[SeedUrl, ...]
    nodes: tuple[NodeRecord, ...] = field(repr=False)
    ways: tuple[Candidate, ...]
    lists: tuple[BridgeLists, ...] = ()
    min_nodes: int = 1
    resolver: str = ""

    @property
    def sample(self) -> int:
        """How many nodes are asked at most."""
        return SAMPLE if self.fetches else SPARING_SAMPLE

    @property
    def fetches(self) -> bool:
        """Whether seeds can be asked."""
        return bool(self.ways) and self.ways[0].rung in _FETCHING

    @property
    def straight(self) -> bool:
        """Whether seeds and nodes are asked straight, without anything between."""
        return bool(self.ways) and self.ways[0].rung is Rung.DIRECT

    @property
    def contacts(self) -> tuple[str, ...]:
        """Whom an examination contacts and how, a line each; no address of a proxy or a bridge is in it."""
        if not self.ways:
            return ()
        first = self.ways[0].label
        lines = []
        if self.fetches and self.seeds:
            hosts = ", ".join(seed.endpoint.host for seed in self.seeds)
            lines.append(f"the seeds of the network, by {first}: {hosts}")
        lines.append(self._drawn(first))
        few = f"up to {ASKED_BY_WAY}" if len(self.nodes) < ASKED_BY_WAY else f"{ASKED_BY_WAY}"
        lines.extend(f"{few} of these nodes by {way.label}{_note(way)}" for way in self.ways[1:])
        if self.resolver:
            host = urlsplit(self.resolver).hostname
            lines.append(f"the resolver {host}, over HTTPS, which learns that this device asks for the seeds' names")
        return tuple(dict.fromkeys(lines))

    def _drawn(self, way: str) -> str:
        if not self.nodes:
            return f"up to {self.sample} nodes of the network that a seed or a bridge names, drawn at random, by {way}"
        if len(self.nodes) > self.sample:
            return f"{self.sample} nodes of the network, drawn at random, by {way}"
        return f"all nodes of the network that are known here, {len(self.nodes)}, by {way}"


def make_plan(
    world: World,
    profile: NetworkProfile,
    settings: ReachSettings,
    *,
    nodes: tuple[NodeRecord, ...],
    state: Path,
    resolver: str = "",
) -> Plan:
    """Plan an examination by the ways that the settings allow, and no others.  Raises LocalError."""
    if resolver and urlsplit(resolver).scheme not in {"https", "http"}:
        raise LocalError("a resolver is named by its URL", remedy="Such as https://9.9.9.9/dns-query.")
    allowed = settings.for_network(profile.name)
    ways = _ordered(candidates(world, allowed, state), allowed.country)
    plan = Plan(profile.seeds, nodes, ways, bridge_lists(world, allowed), profile.min_pool)
    if not resolver:
        return plan
    if not plan.straight:
        raise LocalError(
            "names are compared only where the straight way may be taken", remedy="Leave the resolver out."
        )
    return Plan(plan.seeds, nodes, ways, plan.lists, plan.min_nodes, resolver)


def _ordered(ways: Sequence[Candidate], country: str) -> tuple[Candidate, ...]:
    """Put first what everything is asked by: the plainest way, or what is usual in a country where that is watched."""
    sorted_ways = first_order(ways, (), country)
    first = next((way for way in sorted_ways if not optional(way)), None)
    return tuple(sorted_ways) if first is None else (first, *(way for way in sorted_ways if way is not first))


def _note(way: Candidate) -> str:
    return ", if it runs on this machine" if optional(way) else ""


def optional(way: Candidate) -> bool:
    """Whether a way is only looked for: nobody said that it is there."""
    return way.rung is Rung.PROXY and way.label == "Tor"

"""Which nodes may be hops: a person's choice of countries and networks, and what the choice costs.

Pure.  The choice is about the three hops of paths only: which nodes keep a recipient's mail is not ours to choose.
Whoever learns of an unusual choice can tell its maker from others, so what it leaves of the crowd is counted.
Spec: app-features.md; REACH does not ask for it, users do (bootstrap-and-paths.md, *ask for*).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Final

from ramson.errors import LocalError
from ramson.protocol.nodes import NodeRecord

CountryOf = Callable[[str], str | None]

FEW_COUNTRIES: Final = 5  # fewer than so many are worth a warning
SMALL_SHARE: Final = 0.5  # less than so much of all nodes is worth a warning


class BadHopPolicy(LocalError):
    """A country or network was written in a way that cannot be understood."""


@dataclass(frozen=True, slots=True)
class HopPolicy:
    """Countries (two letters, ISO 3166) and IPv4 networks of hops: those to avoid, and those that alone are good.

    Empty collections mean no rule.  With a rule about countries, a node whose country is unknown is no hop.
    """

    avoid: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    avoid_networks: tuple[IPv4Network, ...] = ()
    only_networks: tuple[IPv4Network, ...] = ()

    @classmethod
    def parse(cls, *, avoid: Iterable[str] = (), only: Iterable[str] = ()) -> HopPolicy:
        """Read countries and networks as they are typed: `RU`, `185.0.0.0/8`.  Raises BadHopPolicy."""
        avoided, wanted = _parse(avoid), _parse(only)
        if both := sorted(avoided[0] & wanted[0]):
            raise BadHopPolicy(f"{', '.join(both)} cannot be both avoided and wanted")
        return cls(avoided[0], wanted[0], avoided[1], wanted[1])

    @property
    def empty(self) -> bool:
        """Whether every node may be a hop."""
        return not (self.avoid or self.only or self.avoid_networks or self.only_networks)

    def allows(self, address: str, country_of: CountryOf) -> bool:
        """Whether a node at this address may be a hop."""
        return self._network_allows(address) and self._country_allows(address, country_of)

    def _network_allows(self, address: str) -> bool:
        if not (self.avoid_networks or self.only_networks):
            return True
        try:
            ip = IPv4Address(address)
        except AddressValueError:
            return False
        if any(ip in network for network in self.avoid_networks):
            return False
        return not self.only_networks or any(ip in network for network in self.only_networks)

    def _country_allows(self, address: str, country_of: CountryOf) -> bool:
        if not (self.avoid or self.only):
            return True
        country = country_of(address)
        if country is None or country in self.avoid:
            return False
        return not self.only or country in self.only


ANY_NODE: Final = HopPolicy()


@dataclass(frozen=True, slots=True)
class Crowd:
    """Among how many one hides: all nodes, those that may be hops, and in how many countries these are."""

    nodes: int
    allowed: int
    countries: int

    @property
    def warning(self) -> str:
        """What the choice costs, in plain words; empty if little."""
        if self.allowed >= self.nodes * SMALL_SHARE and (self.countries >= FEW_COUNTRIES or self.allowed == self.nodes):
            return ""
        share = 100 * self.allowed // self.nodes if self.nodes else 0
        return (
            f"This leaves {self.allowed} of {self.nodes} nodes ({share} %) in {self.countries}"
            f" {'country' if self.countries == 1 else 'countries'} for your paths. The fewer they are, the easier it is"
            " to watch all of them, and to tell you from others if somebody learns of your choice."
        )


def crowd(policy: HopPolicy, nodes: Collection[NodeRecord], country_of: CountryOf) -> Crowd:
    """Count what a choice leaves."""
    allowed = [node for node in nodes if policy.allows(node.ip, country_of)]
    return Crowd(len(nodes), len(allowed), len({country_of(node.ip) for node in allowed} - {None}))


def _parse(words: Iterable[str]) -> tuple[frozenset[str], tuple[IPv4Network, ...]]:
    countries: set[str] = set()
    networks: list[IPv4Network] = []
    for word in words:
        text = word.strip()
        if len(text) == 2 and text.isascii() and text.isalpha():
            countries.add(text.upper())
            continue
        try:
            networks.append(IPv4Network(text))
        except ValueError:
            raise BadHopPolicy(
                f"{text!r} is neither a country nor a network",
                remedy="Write a country with two letters (DE), a network with its prefix length (185.0.0.0/8).",
            ) from None
    return frozenset(countries), tuple(networks)

"""Paths of three hops and the choice of nodes for them.

Pure: candidates and entropy in, nodes out.  No path holds a node or a subnet twice.  Spec: bootstrap-and-paths.md §2.3.

A node is drawn evenly from all candidates, and then every candidate of its subnet leaves the draw.  That is the
spec's rule (one random node for each /24, repeated as often as the /24 has nodes) said shorter: a subnet is
hit in proportion to its size, and within it every node is as likely as another.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from ramson.protocol.nodes import NodeRecord

HOPS = 3


@dataclass(frozen=True, slots=True)
class Path:
    """Guard, middle, last: the three nodes a request goes through before its destination."""

    guard: NodeRecord
    middle: NodeRecord
    last: NodeRecord

    @property
    def hops(self) -> tuple[NodeRecord, NodeRecord, NodeRecord]:
        """The nodes in the order in which a request meets them."""
        return self.guard, self.middle, self.last

    def holds(self, ed25519: bytes) -> bool:
        """Whether the node with this key is one of the hops."""
        return any(node.ed25519 == ed25519 for node in self.hops)

    def same_nodes(self, other: Path) -> bool:
        """Whether the hops are the same nodes, whatever is known of them by now."""
        return [hop.ed25519 for hop in self.hops] == [hop.ed25519 for hop in other.hops]

    def patched(self, gone: bytes, fresh: NodeRecord) -> Path:
        """Return the path without the node `gone` (not the guard) and with `fresh` appended at its end."""
        stays = self.last if self.middle.ed25519 == gone else self.middle
        return Path(self.guard, stays, fresh)


def subnet(node: NodeRecord, diversity: int | None) -> str:
    """Name the subnet of a node: the first `diversity` bits of its address.

    Without a diversity rule, and for an address that is no IPv4 address, every node is a subnet of its own.
    """
    if diversity is None:
        return node.ed25519.hex()
    try:
        address = int(IPv4Address(node.ip))
    except AddressValueError:
        return node.ip
    return f"{address >> (32 - diversity):x}/{diversity}"


def subnets(nodes: Iterable[NodeRecord], diversity: int | None) -> frozenset[str]:
    """Return the subnets of some nodes."""
    return frozenset(subnet(node, diversity) for node in nodes)


def draw(
    candidates: Iterable[NodeRecord],
    count: int,
    *,
    avoid: Collection[str] = (),
    diversity: int | None,
    entropy: random.Random,
) -> list[NodeRecord]:
    """Draw up to `count` nodes from distinct subnets, none of them in the subnets to `avoid`.

    Fewer come back only when there are fewer subnets.
    """
    homes = [(node, subnet(node, diversity)) for node in candidates]
    homes = [(node, home) for node, home in homes if home not in avoid]
    drawn: list[NodeRecord] = []
    while homes and len(drawn) < count:
        node, taken = entropy.choice(homes)
        drawn.append(node)
        homes = [(other, home) for other, home in homes if home != taken]
    return drawn


def complete(
    beside: Sequence[NodeRecord],
    candidates: Iterable[NodeRecord],
    *,
    elsewhere: Collection[NodeRecord] = (),
    diversity: int | None,
    entropy: random.Random,
) -> list[NodeRecord] | None:
    """Draw the nodes that a path needs beside those it has; None when there are not enough.

    Subnets of `beside` are never used again.  Subnets of `elsewhere` (hops of other paths) are avoided when they can
    be: two paths that share a subnet are better than one path.
    """
    wanted = HOPS - len(beside)
    candidates = list(candidates)
    own = subnets(beside, diversity)
    for avoid in (own | subnets(elsewhere, diversity), own):
        drawn = draw(candidates, wanted, avoid=avoid, diversity=diversity, entropy=entropy)
        if len(drawn) == wanted:
            return drawn
    return None

"""What follows for a node when the swarms change: to whom it owes which messages.

Pure: two lists in, debts out, however many blocks lie between the lists.  Spec: swarms.md §4, table; where the text
says that today's nodes do nothing (moved, old swarm still there), members may miss what only this node had, and get it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ramson.errors import ParseError
from ramson.node.mailbox import Debt
from ramson.protocol import bt
from ramson.protocol.nodes import NodeList
from ramson.protocol.swarms import nearest, position

_RING = 2**64


@dataclass(frozen=True, slots=True)
class Swarms:
    """Who is in which swarm: the part of a node list that handing over goes by."""

    members: dict[int, frozenset[bytes]]

    @classmethod
    def of(cls, nodes: NodeList) -> Swarms:
        """Take it from a list."""
        return cls({swarm: frozenset(node.ed25519 for node in members) for swarm, members in nodes.swarms.items()})

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of all swarms, ascending."""
        return tuple(sorted(self.members))

    def of_node(self, ed25519: bytes) -> int | None:
        """Return the swarm a node is in."""
        return next((swarm for swarm, members in self.members.items() if ed25519 in members), None)

    def encode(self) -> bytes:
        """Write it down; equal values give equal bytes."""
        return bt.encode(
            {swarm.to_bytes(8, "big"): b"".join(sorted(members)) for swarm, members in self.members.items()}
        )

    @classmethod
    def decode(cls, data: bytes) -> Swarms:
        """Read what `encode` wrote.  Raises ParseError."""
        members: dict[int, frozenset[bytes]] = {}
        document = bt.decode(data)
        if not isinstance(document, dict):
            raise ParseError("swarms: not a dict")
        for swarm, keys in document.items():
            if len(swarm) != 8 or not isinstance(keys, bytes) or len(keys) % 32:
                raise ParseError("swarms: not a swarm")
            members[int.from_bytes(swarm, "big")] = frozenset(keys[at : at + 32] for at in range(0, len(keys), 32))
        return cls(members)


def debts(before: Swarms, after: Swarms, own: bytes) -> list[Debt]:
    """Return what the node with the Ed25519 key `own` owes after a change, in a fixed order."""
    was, now = before.of_node(own), after.of_node(own)
    if was is None or now is None:
        return []
    owed: dict[tuple[int, bytes], Debt] = {}

    def owe(swarm: int, peers: frozenset[bytes], *, only_missed: bool = False) -> None:
        for peer in peers - {own}:
            owed[swarm, peer] = Debt(peer, swarm, only_missed)

    if now != was:
        if was in after.members:
            owe(was, after.members[was] & before.members[was], only_missed=True)
        else:
            for heir in heirs(before.ids, was, after.ids):
                owe(heir, after.members[heir])
    if was in after.members:
        owe(was, after.members[was] - before.members[was])
    for swarm in after.members.keys() - before.members.keys():
        owe(swarm, after.members[swarm])
    return [owed[key] for key in sorted(owed)]


def heirs(before: tuple[int, ...], swarm: int, after: tuple[int, ...]) -> set[int]:
    """Return the swarms of the list `after` to which accounts of a swarm of the list `before` belong."""
    place = before.index(swarm)
    left, right = before[place - 1], before[(place + 1) % len(before)]
    if len(before) == 1:
        return set(after)
    # The accounts strictly nearer to the swarm than to its left neighbour, up to half-way to the right one.
    first = left + ((swarm - left) % _RING) // 2 + 1
    last = swarm + ((right - swarm) % _RING) // 2
    reach = (last - first) % _RING
    inside = {other for other in after if (other - first) % _RING <= reach}
    ends = {nearest(after, point % _RING) for point in (first, last)}
    return inside | {end for end in ends if end is not None}


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The part of the ring that a swarm owns, known by its id and those of its neighbours."""

    left: int
    own: int
    right: int

    @classmethod
    def of(cls, ids: tuple[int, ...], own: int) -> Neighbourhood:
        """Take it from the ids of all swarms, ascending."""
        place = ids.index(own)
        return cls(ids[place - 1], own, ids[(place + 1) % len(ids)])

    def encode(self) -> bytes:
        """Return 24 bytes by which members see whether they speak of the same accounts."""
        return b"".join(swarm.to_bytes(8, "big") for swarm in (self.left, self.own, self.right))

    def owns(self) -> Callable[[bytes], bool]:
        """Return what tells whether an account (33 bytes) is in it."""
        ids, own = sorted({self.left, self.own, self.right}), self.own
        return lambda account: nearest(ids, position(account)) == own

"""Which swarm holds an account's messages: the same rule for clients and nodes.

A swarm id is an unsigned 64-bit point on a ring; an account is a point too, and belongs to the nearest
swarm.  This module never assigns nodes to swarms; that is the registry's.  Spec: swarms.md §1–2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from struct import Struct

from ramson.errors import LocalError

# The swarm id of a node that is in no swarm: newly registered or decommissioned.
UNASSIGNED = 2**64 - 1

_RING = 2**64
_WORDS = Struct(">4Q")


def position(account_raw: bytes) -> int:
    """Return the point of an account (33 bytes with network byte, or the 32 bytes of its key).

    Raises LocalError for any other length.
    """
    if len(account_raw) not in {32, 33}:
        raise LocalError("an account is 33 bytes, or 32 without its network byte")
    a, b, c, d = _WORDS.unpack(account_raw[-32:])
    point: int = a ^ b ^ c ^ d
    return point


def nearest(swarm_ids: Sequence[int], position: int) -> int | None:
    """Return the id nearest to `position` on the ring, ties to the left; None when there are no swarms.

    `swarm_ids` must be sorted ascending and must not contain `UNASSIGNED`.
    """
    if not swarm_ids:
        return None
    index = bisect_left(swarm_ids, position)
    right = swarm_ids[index % len(swarm_ids)]
    left = swarm_ids[index - 1]
    return right if (right - position) % _RING < (position - left) % _RING else left

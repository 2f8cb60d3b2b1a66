"""Who has to go when too many are connected: a choice between connections, made without touching one.

It never chooses a connection for which a handler is at work: its request was taken on.

Theory of operation.  Turning newcomers away would let whoever came first keep everybody else out, for nothing but
open connections.  So a newcomer pushes somebody out, and it is one of the caller who holds most: a single caller with
a thousand connections loses its own before anyone with two or three loses one.  Of that caller's connections the one
goes on which for longest nothing whole was received: an idle one, or one that never came further than half a
handshake or half a head.  Honest clients hardly notice: they are quicker than that, and open an idle connection again
when they need it.  Only where there is no such connection one goes whose request body or reply is on its way.
Several places are made at once, so that a flood does not have all connections looked through for each newcomer.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import Final, Protocol, TypeVar

WAITING, MOVING, WORKING = range(3)  # how much a connection is worth; bare numbers, for they are compared
SHARE: Final = 64  # one place in so many is made at a time


class Held(Protocol):
    """What is asked of a connection: its worth, and when something whole was last received on it."""

    @property
    def worth(self) -> int:
        """Return WAITING, MOVING or WORKING."""
        ...

    @property
    def since(self) -> float:
        """Return that moment; only the order counts."""
        ...


H = TypeVar("H", bound=Held)


def places(limit: int) -> int:
    """Return how many places to make at once where there may be `limit`."""
    return max(1, limit // SHARE)


def leavers(held: Mapping[str, Collection[H]], wanted: int) -> list[H]:
    """Choose up to `wanted` of the connections `held` by each caller, which are in the order they were made."""
    for worth in (WAITING, MOVING):
        queues = []
        for number, mine in enumerate(held.values()):
            candidates = [one for one in mine if one.worth == worth]
            if candidates:
                candidates.sort(key=lambda one: one.since)
                queues.append((-len(mine), number, candidates[::-1]))
        heapq.heapify(queues)
        chosen: list[H] = []
        while queues and len(chosen) < wanted:
            size, number, candidates = queues[0]
            chosen.append(candidates.pop())
            if candidates:
                heapq.heapreplace(queues, (size + 1, number, candidates))
            else:
                heapq.heappop(queues)
        if chosen:
            return chosen
    return []

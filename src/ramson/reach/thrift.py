"""Whether connections have to be short in the network this machine is in.

Where they are frozen after some 16 KB, whoever finds that out pays for it with requests that stay silent, just when
everything waits for a way out.  So a connection to a bridge carries much, and more than one request, only after one has
done so; those to nodes are kept until they freeze.  What one bridge found out all bridges of one way out share, and
the straight way shares with the split hello; it is kept with what worked last, for the next start.
"""

from __future__ import annotations

from typing import Final

from ramson.reach.memory import Memory
from ramson.world import World

THRIFTY_FOR: Final = 1_800_000  # ms
PROOF: Final = 24 * 1024  # bytes


class Thrift:
    """What is known of the present network; kept in `memory`, if there is one, apart for each `kind` of ways."""

    def __init__(self, world: World, memory: Memory | None = None, *, kind: str = "") -> None:
        self._now = world.clock.now
        self._gateway = world.outlets.gateway
        self._kind = kind
        self._memory = memory
        self._until: dict[str, int] = {}
        self._proved: set[str] = set()

    @property
    def needed(self) -> bool:
        """Whether a connection must not carry much."""
        network = self._network()
        until = self._until.get(network, 0) if self._memory is None else self._memory.freezes_until(network)
        return 0 < until - self._now() <= THRIFTY_FOR  # what is further off was noted under a wrong clock

    @property
    def may_keep(self) -> bool:
        """Whether a connection may carry much, and be kept for more requests."""
        return self._network() in self._proved and not self.needed

    def carried(self, size: int) -> None:
        """Take note of so many bytes that came through on one connection."""
        if size >= PROOF:
            self._proved.add(self._network())

    async def learn(self) -> None:
        """Take note that a connection was frozen just now."""
        network, until = self._network(), self._now() + THRIFTY_FOR
        self._proved.discard(network)
        if self._memory is None:
            self._until[network] = until
        else:
            await self._memory.note_freeze(network, until)

    def _network(self) -> str:
        gateway = self._gateway()
        return f"{gateway} {self._kind}" if gateway and self._kind else gateway

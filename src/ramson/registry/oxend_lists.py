"""What is made of the daemon's node lists: which is good enough to begin with, and which addresses are carried over.

Values in, values out.  Spec: oxend-interface.md §3 step 3, swarms.md §4.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median_high
from typing import Final

from ramson.protocol.nodes import NodeList, NodeRecord

SUFFICIENT: Final = 100  # nodes
SUFFICIENT_ON_TESTNET: Final = 10
MAX_WITHOUT_ADDRESS: Final = 0.03  # of all nodes
SYNC_SECONDS: Final = 3600.0  # after which a list is taken as it is
KEPT_HASHES: Final = 30  # blocks


def has_address(node: NodeRecord) -> bool:
    """Whether all that other nodes need to reach this one is known."""
    return node.contactable and node.omq_port != 0


def is_sufficient(nodes: NodeList, *, testnet: bool) -> bool:
    """Whether a list can be the whole network rather than what a daemon knows while it is still syncing."""
    total = len(nodes.nodes)
    without = sum(not has_address(node) for node in nodes.nodes)
    return total >= (SUFFICIENT_ON_TESTNET if testnet else SUFFICIENT) and without <= MAX_WITHOUT_ADDRESS * total


def inherit_addresses(nodes: NodeList, previous: NodeList | None) -> NodeList:
    """Give nodes whose address the list leaves out the one that `previous` had; nodes are known by their legacy key."""
    if previous is None or all(map(has_address, nodes.nodes)):
        return nodes
    known = {node.legacy: node for node in previous.nodes if has_address(node)}

    def complete(node: NodeRecord) -> NodeRecord:
        old = None if has_address(node) else known.get(node.legacy)
        if old is None:
            return node
        return replace(node, ip=old.ip, https_port=old.https_port, omq_port=old.omq_port)

    return replace(nodes, nodes=tuple(map(complete, nodes.nodes)))


class Verdict(Enum):
    """What to do with a daemon's list while there is none yet."""

    USE = "use it"
    ASK_SEEDS = "ask the seeds how long the chain is"
    WAIT = "wait for a later one"


@dataclass(slots=True)
class Syncing:
    """Decides which list of a daemon is the first to be used.  Times are seconds of a monotonic clock."""

    testnet: bool
    target: int | None = None  # the height that was heard of from seeds
    _began: float | None = None

    def judge(self, nodes: NodeList, now: float) -> Verdict:
        """Judge the daemon's newest list."""
        if self._began is None:
            return Verdict.USE if is_sufficient(nodes, testnet=self.testnet) else Verdict.ASK_SEEDS
        # spec gap: when no seed answers, nothing is known that the daemon's list could be compared with
        if self.target is None or nodes.height >= self.target or now - self._began >= SYNC_SECONDS:
            return Verdict.USE
        return Verdict.WAIT

    def seeds_answered(self, heights: list[int], now: float) -> None:
        """Learn the heights that seeds told; none if no seed answered."""
        self._began = now
        # spec gap: the middle one, so that a single wrong seed cannot hold the node up
        self.target = median_high(heights) if heights else None


class BlockHashes:
    """The hashes (hex) of the last blocks."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[int, str] = OrderedDict()

    def add(self, height: int, block_hash: str) -> None:
        """Remember a block, forgetting those heard of longest ago."""
        self._hashes[height] = block_hash
        self._hashes.move_to_end(height)
        while len(self._hashes) > KEPT_HASHES:
            self._hashes.popitem(last=False)

    def get(self, height: int) -> str | None:
        """Return the hash of the block at `height`."""
        return self._hashes.get(height)

    def missing(self, top: int, count: int) -> list[int]:
        """Return which of the last `count` heights up to `top` are unknown."""
        return [height for height in range(max(1, top - count + 1), top + 1) if height not in self._hashes]

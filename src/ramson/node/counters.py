"""What a node counts while it works: plain integers, so that counting costs a hot path next to nothing.

One `Counters` belongs to one node and is handed to its parts.  Nothing here tells who did what: no account, no
address of a user, no hash.  What is made of the numbers is the business of `metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from ramson.protocol.storage import METHODS

K = TypeVar("K")

GROUP_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # upper bounds of the histogram of commits
MAX_PEERS: Final = 64  # peers counted apart; those beyond are counted together
OTHER_PEERS: Final = "other"


class OnionOutcome(StrEnum):
    """What became of a layer."""

    ANSWERED = "answered"  # it was for this node
    PASSED_ON = "passed_on"  # another node answered
    RELAYED = "relayed"  # a server answered
    UNREADABLE = "unreadable"
    UNKNOWN_NODE = "unknown_node"
    NODE_FAILED = "node_failed"
    SERVER_FAILED = "server_failed"
    REFUSED = "refused"  # a server at a forbidden address or path
    BUSY = "busy"
    NOT_READY = "not_ready"


class PeerTestOutcome(StrEnum):
    """How a test of another node's reachability went."""

    PASSED = "passed"
    NO_OMQ = "no_omq"
    NO_HTTPS = "no_https"
    NO_QUIC = "no_quic"  # but both of the others
    NEITHER = "neither"
    DISTRUSTED = "distrusted"  # it answers, but does not keep what it should


class StorageTestOutcome(StrEnum):
    """How a test of what a swarm member keeps went."""

    HELD = "held"
    MISSING = "missing"
    MOOT = "moot"  # the message is gone here too, or the swarm does not agree about it
    SILENT = "silent"
    UNABLE = "unable"  # the peer is a node that knows no such tests


def zeros(keys: type[K]) -> dict[K, int]:
    """Make a count of nothing for each member of an enumeration."""
    return dict.fromkeys(keys, 0)  # type: ignore[call-overload,no-any-return] # an enumeration's type is iterable


@dataclass(slots=True, eq=False)
class Counters:
    """All counts since the node started."""

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(METHODS, 0))  # by storage method
    refused: int = 0  # storage requests answered with a status of 400 or more
    forwarded: int = 0  # storage requests of other members
    stored: int = 0  # messages that were new
    stored_again: int = 0
    store_failures: int = 0
    retrieved: int = 0  # messages given out
    retrieved_bytes: int = 0
    onions: dict[OnionOutcome, int] = field(default_factory=lambda: zeros(OnionOutcome))
    rate_limited: int = 0
    replication_failures: dict[str, int] = field(default_factory=dict)  # by the beginning of the peer's key
    handed_over: int = 0  # messages that other nodes brought
    swept: int = 0
    commits: list[int] = field(default_factory=lambda: [0] * len(GROUP_SIZES))
    commit_operations: int = 0
    commit_seconds: float = 0.0
    swarm_changes: int = 0
    peer_tests: dict[PeerTestOutcome, int] = field(default_factory=lambda: zeros(PeerTestOutcome))
    peer_reports: int = 0
    peer_reports_lost: int = 0
    storage_tests: dict[StorageTestOutcome, int] = field(default_factory=lambda: zeros(StorageTestOutcome))
    storage_tests_answered: int = 0

    def commit(self, operations: int, seconds: float) -> None:
        """Count a transaction of the mailbox."""
        self.commits[min(bisect_left(GROUP_SIZES, operations), len(GROUP_SIZES) - 1)] += 1
        self.commit_operations += operations
        self.commit_seconds += seconds

    def replication_failed(self, peer: bytes) -> None:
        """Count that a member, by its Ed25519 key, did not do its part of a request."""
        name, counts = peer.hex()[:8], self.replication_failures
        if name not in counts and len(counts) >= MAX_PEERS:
            name = OTHER_PEERS
        counts[name] = counts.get(name, 0) + 1

"""How a node is set up: where it listens and keeps its data, and what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ramson.errors import LocalError
from ramson.node.addresses import is_loopback
from ramson.node.mailbox import DEFAULT_MAX_BYTES
from ramson.world import Endpoint

MIN_DATABASE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of one node.

    `https` and `omq` are the endpoints to listen at (port 0 takes a free one); `data_dir` holds the mailbox and
    is made with mode 0700.  `testnet` accepts account ids of 64 digits.  `allow_private_relay` lets onion
    requests go to servers at loopback and private addresses: for networks on one machine, and for nothing else.
    `max_database_bytes` bounds the mailbox, `max_connections` the HTTPS connections at one time, and
    `max_connections_per_address` those of one address.  `test_peers` makes this node test whether others can be
    reached, `test_storage` whether swarm members keep what they should.
    With `quic` it answers over QUIC at the UDP port with OMQ's number, and tests others over QUIC.
    `metrics` is where the node tells how it is doing, on loopback; None for nowhere.
    """

    https: Endpoint
    omq: Endpoint
    data_dir: Path
    testnet: bool = False
    allow_private_relay: bool = False
    max_database_bytes: int = DEFAULT_MAX_BYTES
    max_connections: int = 10_000
    max_connections_per_address: int = 1_000
    test_peers: bool = True
    test_storage: bool = True
    metrics: Endpoint | None = None
    quic: bool = False

    def __post_init__(self) -> None:
        if self.max_database_bytes < MIN_DATABASE_BYTES:
            raise LocalError(f"a mailbox needs at least {MIN_DATABASE_BYTES} bytes, not {self.max_database_bytes}")
        if self.max_connections < 1 or self.max_connections_per_address < 1:
            raise LocalError("a node needs at least one connection")
        if self.metrics is not None and not is_loopback(self.metrics.host):
            raise LocalError(
                f"metrics may be shown on loopback only, not at {self.metrics}",
                remedy="use 127.0.0.1, and a tunnel or a proxy with a password to look from elsewhere",
            )

"""How a node is doing, as one value: what the metrics, `ramson node status` and tests look at.

It reads and changes nothing.  Nothing in it tells about a user: there are numbers, this node's own public key, and the
first digits of its peers' keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramson._version import __version__
from ramson.node.counters import Counters
from ramson.node.incoming_pings import IncomingPings
from ramson.node.mailbox import Mailbox, MailboxError, MailboxStats
from ramson.node.monitor import Monitor
from ramson.node.process import ProcessFigures, figures
from ramson.node.reachability import Reachability
from ramson.node.standing import Standing
from ramson.node.storage_audit import StorageAudit
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.registry import Health, OxendRegistry, Registry
from ramson.world import Clock

STATS_SECONDS: Final = 15.0  # how old the count of messages may be: counting reads an index through


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member of the swarm: the first digits of its key, and how often it failed tests in a row."""

    name: str
    failures: int
    replication_failures: int


@dataclass(frozen=True, slots=True)
class Status:
    """A node at one moment.  Times are seconds, sizes bytes; `mailbox` is None when it cannot be read."""

    version: str
    ed25519: str
    uptime: float
    unready: tuple[str, ...]
    swarm: str  # hex; `ffffffffffffffff` when in none
    swarm_seconds: float
    peers: tuple[Peer, ...]
    listed_nodes: int
    list_height: int
    connections: int
    quic_connections: int
    subscriptions: int
    failing_peers: int
    suspect_peers: int
    silence: dict[str, float]  # since the last ping or the start, by transport
    pinged: dict[str, bool]  # whether there was one since the start
    mailbox: MailboxStats | None
    process: ProcessFigures
    daemon: Health | None
    counters: Counters
    swarm_life: SwarmLifeStats


class Observer:
    """Looks at the parts of one node.  `connections` and `quic_connections` count the open ones of its listeners."""

    def __init__(
        self,
        *,
        clock: Clock,
        data_dir: Path,
        standing: Standing,
        registry: Registry,
        mailbox: Mailbox,
        monitor: Monitor,
        pings: IncomingPings,
        reachability: Reachability,
        audit: StorageAudit,
        counters: Counters,
        swarm_life: SwarmLifeStats,
        connections: Callable[[], int],
        quic_connections: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._data_dir = data_dir
        self._standing = standing
        self._registry = registry
        self._mailbox = mailbox
        self._monitor = monitor
        self._pings = pings
        self._reachability = reachability
        self._audit = audit
        self._counters = counters
        self._swarm_life = swarm_life
        self._connections = connections
        self._quic_connections = quic_connections
        self._began = clock.monotonic()
        self._counted: tuple[float, MailboxStats | None] | None = None
        self._swarm = (standing.swarm_id, self._began)

    def swarm_changed(self) -> None:
        """Learn that the node is in another swarm from now on."""
        self._swarm = (self._standing.swarm_id, self._clock.monotonic())
        self._counters.swarm_changes += 1

    def status(self) -> Status:
        """Look at the node now."""
        now, nodes, counters = self._clock.monotonic(), self._standing.nodes, self._counters
        swarm_id, since = self._swarm
        return Status(
            version=__version__,
            ed25519=self._standing.ed25519.hex(),
            uptime=now - self._began,
            unready=self._standing.unready(),
            swarm=f"{swarm_id:x}",
            swarm_seconds=now - since,
            peers=tuple(self._peer(node.ed25519) for node in self._standing.others),
            listed_nodes=len(nodes.nodes),
            list_height=nodes.height,
            connections=self._connections(),
            quic_connections=self._quic_connections(),
            subscriptions=len(self._monitor),
            failing_peers=self._reachability.failing,
            suspect_peers=self._audit.suspects,
            silence={transport.value.lower(): self._pings.silence(transport) for transport in self._pings.transports},
            pinged={transport.value.lower(): self._pings.ever(transport) for transport in self._pings.transports},
            mailbox=self._stats(now),
            process=figures(self._data_dir),
            daemon=self._registry.health if isinstance(self._registry, OxendRegistry) else None,
            counters=counters,
            swarm_life=self._swarm_life,
        )

    def _peer(self, ed25519: bytes) -> Peer:
        name = ed25519.hex()[:8]
        return Peer(name, self._reachability.failures(ed25519), self._counters.replication_failures.get(name, 0))

    def _stats(self, now: float) -> MailboxStats | None:
        if self._counted is None or now - self._counted[0] >= STATS_SECONDS:
            try:
                self._counted = now, self._mailbox.stats()
            except MailboxError:
                self._counted = now, None
        return self._counted[1]

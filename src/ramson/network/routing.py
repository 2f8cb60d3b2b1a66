"""The state of a client's way through the network: pool, guards, paths, known swarms, and who has failed how often.

Pure: no I/O, no clock; randomness is handed in, what happens is told to a trace.  `requests` reports every
outcome here, the path builder asks what is missing, the guard watch what is doubtful.
Spec: bootstrap-and-paths.md §2.2 (after success), §2.3, §2.5.

Theory of operation.  A *node* is in the pool until a list no longer has it or it has failed three times; it then
leaves every swarm and path too.  A *path* that loses a hop is patched and keeps its guard, because each new guard
is one more node that sees this client's address; a path that loses its guard is dropped.  A path that has
failed three times is dropped, and its guard is forgotten.

    outcome                     path        its middle and last     destination
    reply decrypted             forgive 1   forgive 1               forgive 1, if it is a proper answer
    blame_path                  +1          +1 each                 -
    blame_destination           -           -                       +1
    next node missing           patched     the named one leaves    leaves, if it is the one named
    silence                     doubtful    suspected               suspected
      then the guard answers    +1          +1 each (time-out)      +1 (time-out)
      then only others answer   +1          -                       -
      then nobody answers       -           -                       -
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ramson.network.failures import NODE_FAILURES, PATCHES, PATH_FAILURES, TABLE, Failure
from ramson.network.paths import Path, complete, draw, subnets
from ramson.network.swarm_cache import SwarmCache
from ramson.network.trace import (
    HopChosen,
    NodeDropped,
    PathBuilt,
    PathDropped,
    PathPatched,
    PoolLoaded,
    Source,
    Trace,
    no_trace,
)
from ramson.protocol.nodes import NodeRecord

PATHS = 2  # wanted at all times


@dataclass(slots=True, eq=False)
class _Standing:
    """A path in use and how it has done.

    `patches` counts since the last reply.  The path is `working` if its guard answered when last heard of, and
    `doubtful` after a silence; `suspects`, its guard before all, are the nodes that may have been silent.
    """

    path: Path
    failures: int = 0
    patches: int = 0
    working: bool = True
    doubtful: bool = False
    suspects: dict[bytes, None] = field(default_factory=dict)


class Routing:
    """Pool, guards, paths and swarms of one client, kept consistent with each other.

    `diversity` is the IPv4 prefix length within which hops must differ (None: no rule); `min_pool` the number of
    nodes, and of subnets, below which no path is built.
    """

    def __init__(
        self, *, diversity: int | None, min_pool: int, entropy: random.Random, trace: Trace = no_trace
    ) -> None:
        self._diversity = diversity
        self._min_pool = min_pool
        self._entropy = entropy
        self._trace = trace
        self._pool: dict[bytes, NodeRecord] = {}
        self._failures: dict[bytes, int] = {}
        self._guards: list[bytes] = []
        self._standings: list[_Standing] = []
        self.swarms = SwarmCache()

    # The pool.

    @property
    def pool(self) -> Mapping[bytes, NodeRecord]:
        """All nodes in use, by Ed25519 key."""
        return MappingProxyType(self._pool)

    @property
    def usable(self) -> bool:
        """Whether the pool is large and varied enough to build paths from."""
        return (
            len(self._pool) >= self._min_pool and len(subnets(self._pool.values(), self._diversity)) >= self._min_pool
        )

    def load(self, nodes: Iterable[NodeRecord], source: Source) -> None:
        """Replace the pool; nodes no longer listed leave swarms and paths, and all failures are forgotten.

        Guards stay remembered unless the new list lacks them.  Nodes without an address are left out.
        """
        self._pool = {node.ed25519: node for node in nodes if node.contactable}
        self._failures.clear()
        self._guards = [key for key in self._guards if key in self._pool]
        self.swarms.keep_only(self._pool)
        for standing in list(self._standings):
            standing.failures = 0
            self._relist(standing)
        self._trace(PoolLoaded(source, len(self._pool)))

    def _relist(self, standing: _Standing) -> None:
        """Bring a path in line with a new list: other addresses, nodes that are gone."""
        guard = self._pool.get(standing.path.guard.ed25519)
        if guard is None:
            self._drop_path(standing, "its first node is no longer listed")
            return
        standing.path = Path(guard, *(self._pool.get(hop.ed25519, hop) for hop in standing.path.hops[1:]))
        for hop in standing.path.hops[1:]:
            if hop.ed25519 not in self._pool and standing in self._standings:
                self._patch(standing, hop.ed25519)

    def random_nodes(self, count: int, *, beside: Iterable[bytes] = ()) -> list[NodeRecord]:
        """Draw up to `count` nodes to ask something, from distinct subnets, not those of the keys `beside`."""
        skip = set(beside)
        candidates = (node for key, node in self._pool.items() if key not in skip)
        return draw(candidates, count, diversity=self._diversity, entropy=self._entropy)

    def drop_node(self, ed25519: bytes, why: str) -> None:
        """Take a node out of pool, guards, swarms and paths."""
        node = self._pool.pop(ed25519, None)
        self._failures.pop(ed25519, None)
        if ed25519 in self._guards:
            self._guards.remove(ed25519)
        self.swarms.drop_node(ed25519)
        if node is not None:
            self._trace(NodeDropped(node, why))
        for standing in list(self._standings):
            if standing.path.guard.ed25519 == ed25519:
                self._drop_path(standing, "its first node left the pool")
            elif standing.path.holds(ed25519):
                self._patch(standing, ed25519)

    # Guards.

    @property
    def guards(self) -> tuple[bytes, ...]:
        """Ed25519 keys of the guards, in use or remembered."""
        return tuple(self._guards)

    def remember_guards(self, keys: Iterable[bytes]) -> None:
        """Set the guards; those the pool does not know are left out, and those in use stay."""
        used = [standing.path.guard.ed25519 for standing in self._standings]
        self._guards = list(dict.fromkeys([*used, *(key for key in keys if key in self._pool)]))

    @property
    def idle_guards(self) -> tuple[NodeRecord, ...]:
        """Remembered guards without a path, at most one for each missing path."""
        used = {standing.path.guard.ed25519 for standing in self._standings}
        idle = [self._pool[key] for key in self._guards if key not in used]
        return tuple(idle[: self.missing])

    @property
    def doubtful_guards(self) -> tuple[NodeRecord, ...]:
        """Guards of paths that fell silent, to be looked at directly."""
        return tuple(standing.path.guard for standing in self._standings if standing.doubtful)

    def guard_seen(self, ed25519: bytes, *, good: bool, online: bool) -> None:
        """Take note of a direct look at the guard of a doubtful path; `online` tells whether any node answers."""
        for standing in list(self._standings):
            if standing.path.guard.ed25519 != ed25519:
                continue
            standing.working = good
            if good:
                self._settle(standing)
            else:
                standing.suspects.clear()
                if online:
                    self._fail(standing)

    def _settle(self, standing: _Standing) -> None:
        """End the doubt about a path whose guard answers: what was silent is to blame, unless we were offline."""
        suspects = list(standing.suspects)
        standing.suspects.clear()
        standing.working, standing.doubtful = True, False
        if suspects:
            self._fail(standing)
        for suspect in suspects[1:]:
            self.blame_node(suspect)

    def guard_candidates(self, count: int, *, beside: Iterable[bytes] = ()) -> list[NodeRecord]:
        """Draw up to `count` nodes to test as guards: not hops of paths, not guards, not the keys `beside`."""
        used = [hop for standing in self._standings for hop in standing.path.hops]
        skip = {*beside, *self._guards, *(hop.ed25519 for hop in used)}
        candidates = [node for key, node in self._pool.items() if key not in skip]
        apart = subnets(used, self._diversity)
        return draw(candidates, count, avoid=apart, diversity=self._diversity, entropy=self._entropy) or draw(
            candidates, count, diversity=self._diversity, entropy=self._entropy
        )

    # Paths.

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths in use."""
        return tuple(standing.path for standing in self._standings)

    @property
    def working(self) -> tuple[Path, ...]:
        """The paths whose guard answered, whatever it said, when it was last tried."""
        return tuple(standing.path for standing in self._standings if standing.working)

    @property
    def missing(self) -> int:
        """How many paths are still to be built."""
        return PATHS - len(self._standings)

    def build(self, guard: NodeRecord, *, sparing: Collection[bytes] = ()) -> Path | None:
        """Build a path behind a guard that was found good, without the nodes to be spared.

        Returns None when the pool has not enough nodes for it, or when the guard has left it or become a hop meanwhile.
        """
        if guard.ed25519 not in self._pool or any(path.holds(guard.ed25519) for path in self.paths):
            return None
        drawn = self._complete([guard], without=sparing)
        if drawn is None:
            return None
        path = Path(guard, *drawn)
        if guard.ed25519 not in self._guards:
            self._guards.append(guard.ed25519)
        self._standings.append(_Standing(path))
        for position, hop in enumerate(path.hops, start=1):
            self._trace(HopChosen(position, hop))
        self._trace(PathBuilt(path))
        return path

    def choose(self, avoid: bytes | None = None, *, after: Path | None = None) -> Path | None:
        """Choose a path at random that does not hold the node `avoid`, the destination; None when there is none.

        `after` is the path that has just failed the same request: another is taken if there is one.  If every path
        holds `avoid`, one for this request alone is made behind a guard already in use.
        """
        fit = [path for path in self.paths if avoid is None or not path.holds(avoid)]
        others = [path for path in fit if after is None or path.guard.ed25519 != after.guard.ed25519]
        if fit:
            return self._entropy.choice(others or fit)
        for standing in self._standings:
            if avoid is not None and standing.path.guard.ed25519 != avoid:
                drawn = self._complete([standing.path.guard], without=[avoid], sharing=True)
                if drawn is not None:
                    return Path(standing.path.guard, *drawn)
        return None

    def _complete(
        self, beside: Sequence[NodeRecord], *, without: Collection[bytes] = (), sharing: bool = False
    ) -> list[NodeRecord] | None:
        """Draw what a path with the hops `beside` lacks; `sharing` allows hops of other paths."""
        taken = {*self._guards, *(hop.ed25519 for hop in beside), *without}
        elsewhere = [] if sharing else [hop for path in self.paths for hop in path.hops if hop not in beside]
        taken.update(hop.ed25519 for hop in elsewhere)
        candidates = [node for key, node in self._pool.items() if key not in taken]
        elsewhere.extend(self._pool[key] for key in self._guards if key in self._pool)
        return complete(beside, candidates, elsewhere=elsewhere, diversity=self._diversity, entropy=self._entropy)

    def _patch(self, standing: _Standing, gone: bytes) -> None:
        before = standing.path
        stays = [hop for hop in before.hops if hop.ed25519 != gone]
        drawn = self._complete(stays)
        if drawn is None:
            self._drop_path(standing, "no node is left to patch it with", keep_guard=True)
            return
        standing.path = before.patched(gone, drawn[0])
        self._trace(PathPatched(before, standing.path))

    def _drop_path(self, standing: _Standing, why: str, *, keep_guard: bool = False) -> None:
        self._standings.remove(standing)
        if not keep_guard and standing.path.guard.ed25519 in self._guards:
            self._guards.remove(standing.path.guard.ed25519)
        self._trace(PathDropped(standing.path, why))

    # Outcomes.

    def answered(self, path: Path) -> None:
        """Take note of a reply that decrypted: the path carried a request to its destination and back."""
        # spec gap: the spec only clears failures with a new list.  Then a path with a rare loss would change its
        # guard every hour; so each reply makes up for one failure, and a hop that fails more than it works still goes.
        standing = self._standing_of(path)
        if standing is not None:
            self._settle(standing)
            standing.failures = max(0, standing.failures - 1)
            standing.patches = 0
        for hop in path.hops[1:]:
            self.forgive_node(hop.ed25519)

    def failed(
        self, failure: Failure, path: Path, *, destination: bytes | None = None, named: bytes | None = None
    ) -> None:
        """Apply the failure table.  `destination` and `named` (the node a hop called missing) are Ed25519 keys."""
        treatment = TABLE[failure]
        standing = self._standing_of(path)
        blamed = [hop.ed25519 for hop in path.hops[1:]] if treatment.blame_path else []
        if treatment.blame_destination and destination is not None:
            blamed.append(destination)
        if treatment.silence:
            if standing is not None:
                standing.doubtful = True
                standing.working &= failure is not Failure.GUARD_UNREACHABLE
                standing.suspects.update(dict.fromkeys([path.guard.ed25519, *blamed]))
            return
        if standing is not None:
            self._settle(standing)
        if treatment.drop_named:
            self._missing_node(path, named, destination)
        if treatment.blame_path and standing is not None:
            self._fail(standing)
        for node in blamed:
            self.blame_node(node)

    def blame_node(self, ed25519: bytes) -> None:
        """Count one failure of a node; the third takes it out."""
        if ed25519 not in self._pool:
            return
        self._failures[ed25519] = self._failures.get(ed25519, 0) + 1
        if self._failures[ed25519] >= NODE_FAILURES:
            self.drop_node(ed25519, f"it failed {NODE_FAILURES} times")

    def forgive_node(self, ed25519: bytes) -> None:
        """Let something a node did well make up for one failure."""
        if self._failures.get(ed25519, 0) > 0:
            self._failures[ed25519] -= 1

    def _missing_node(self, path: Path, named: bytes | None, destination: bytes | None) -> None:
        standing = self._standing_of(path)
        # A hop's word is not authenticated: it may speak of nodes this request was to go through, and of no other.
        believable = {hop.ed25519 for hop in path.hops[1:]} | {destination}
        if named is not None and named in believable:
            self.drop_node(named, "another node does not know it")
            if standing is None:
                return
            standing.patches += 1
            if standing.patches < PATCHES:
                return
            standing.patches = 0
        if standing is not None:
            self._fail(standing)
        for hop in path.hops[1:]:
            self.blame_node(hop.ed25519)

    def _fail(self, standing: _Standing) -> None:
        """Count one failure of a path; the third drops it and its guard."""
        standing.failures += 1
        if standing.failures >= PATH_FAILURES and standing in self._standings:
            why = f"it failed {PATH_FAILURES} times"
            self._drop_path(standing, why)
            self.drop_node(standing.path.guard.ed25519, f"its path: {why}")

    def _standing_of(self, path: Path) -> _Standing | None:
        """Find the path in use that a request's path is, or was before a patch; every path has its own guard."""
        return next((known for known in self._standings if known.path.guard.ed25519 == path.guard.ed25519), None)

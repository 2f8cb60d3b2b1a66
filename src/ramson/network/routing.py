"""The state of a client's way through the network: pool, guards, paths, known swarms, and who has failed how often.

Pure: no I/O, no clock; randomness is handed in, what happens is told to a trace.  `requests` reports every
outcome here, the path builder asks what is missing, the guard watch what is doubtful.
Spec: bootstrap-and-paths.md §2.2 (after success), §2.3, §2.5.

Theory of operation.  A *node* is in the pool until a list no longer has it or it has failed three times; it then
leaves every swarm and path too.  A *path* that loses a hop is patched and keeps its guard, because each new guard
is one more node that sees this client's address; a path that loses its guard is dropped.  A path that has
failed three times behind a guard that answers gets two other nodes there; if it is the guard that failed, or if the
path was renewed so twice already, it is dropped and its guard forgotten.

    outcome                     path        its middle and last     destination
    reply decrypted             forgive 1   forgive 1               forgive 1, if it is a proper answer
    blame_path                  +1          +1 each                 -
    blame_destination           -           -                       +1
    next node missing           patched     the named one leaves    leaves, if it is the one named
    silence                     doubtful    accused                 accused
      then a reply comes        -           -                       +1 (time-out)
      then the guard answers    +1          +1 each (time-out)      +1 (time-out)
      then only others answer   +1          -                       -
      then nobody answers       -           -                       -
    silence while nobody        doubtful    -                       -
      else answered either

A path that failed or lets a request wait is *suspect* until a reply comes through it: requests go by another while
there is one, and it is tested (`path_watch`).  All requests that fail meanwhile count once, so a path is given up
only after one request and two tests, or three tests, have failed one after the other.

While no path is sound, requests need not wait for that: a path has a *reserve*, two other nodes behind the same guard,
which are the very ones that it will be renewed with.  So its guard gets no draw of nodes more than without reserves,
only an earlier use of the next one, and no other guard is met.  What a reserve does counts against nobody but itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from ramson.network.failures import NODE_FAILURES, PATCHES, PATH_FAILURES, RENEWALS, TABLE, Failure
from ramson.network.paths import Path, complete, draw, subnets
from ramson.network.standing import Reserve, Standing
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


def _everyone(_node: NodeRecord) -> bool:
    return True


class Routing:
    """Pool, guards, paths and swarms of one client, kept consistent with each other.

    `diversity` is the IPv4 prefix length within which hops must differ (None: no rule); `min_pool` the number of
    nodes, and of subnets, below which no path is built.  `may_be_hop` says which nodes paths may be made of, and
    `pinned` (Ed25519 keys of guard, middle and last) is a path that is taken while it can be.
    """

    def __init__(
        self,
        *,
        diversity: int | None,
        min_pool: int,
        entropy: random.Random,
        trace: Trace = no_trace,
        may_be_hop: Callable[[NodeRecord], bool] = _everyone,
        pinned: Sequence[bytes] = (),
    ) -> None:
        self._may_be_hop = may_be_hop
        self._pinned = tuple(pinned)
        self._hops: dict[bytes, NodeRecord] = {}  # the part of the pool that paths may be made of
        self._diversity = diversity
        self._min_pool = min_pool
        self._entropy = entropy
        self._trace = trace
        self._pool: dict[bytes, NodeRecord] = {}
        self._listed: Mapping[bytes, NodeRecord] = {}
        self._failures: dict[bytes, int] = {}
        self._guards: list[bytes] = []
        self._standings: list[Standing] = []
        self.swarms = SwarmCache()

    # The pool.

    @property
    def pool(self) -> Mapping[bytes, NodeRecord]:
        """All nodes in use, by Ed25519 key."""
        return MappingProxyType(self._pool)

    @property
    def listed(self) -> Mapping[bytes, NodeRecord]:
        """All nodes of the last list, also those that left the pool since: they still keep what they keep."""
        return MappingProxyType(self._listed)

    @property
    def usable(self) -> bool:
        """Whether the pool is large and varied enough to build paths from."""
        return (
            len(self._hops) >= self._min_pool and len(subnets(self._hops.values(), self._diversity)) >= self._min_pool
        )

    def load(self, nodes: Iterable[NodeRecord], source: Source) -> None:
        """Replace the pool; nodes no longer listed leave swarms and paths, and all failures are forgotten.

        Guards stay remembered unless the new list lacks them.  Nodes without an address are left out.
        """
        self._listed = {node.ed25519: node for node in nodes if node.contactable}
        self._pool = dict(self._listed)
        self._hops = {key: node for key, node in self._pool.items() if self._may_be_hop(node)}
        self._failures.clear()
        self._guards = [key for key in self._guards if key in self._hops]
        self.swarms.keep_only(self._pool)
        for standing in list(self._standings):
            self._relist(standing)
            self._keep_reserve(standing)
            standing.failures = standing.renewals = 0
        self._trace(PoolLoaded(source, len(self._pool)))

    def _relist(self, standing: Standing) -> None:
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
        self._hops.pop(ed25519, None)
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
        self._guards = list(dict.fromkeys([*used, *(key for key in keys if key in self._hops)]))

    @property
    def idle_guards(self) -> tuple[NodeRecord, ...]:
        """Remembered guards without a path, at most one for each missing path."""
        used = {standing.path.guard.ed25519 for standing in self._standings}
        keys = dict.fromkeys([*self._pinned[:1], *self._guards])
        idle = [self._hops[key] for key in keys if key not in used and key in self._hops]
        return tuple(idle[: self.missing])

    @property
    def doubtful_guards(self) -> tuple[NodeRecord, ...]:
        """Guards of paths that fell silent, to be looked at directly."""
        return tuple(standing.path.guard for standing in self._standings if standing.doubtful)

    def guard_seen(self, ed25519: bytes, *, good: bool, online: bool) -> None:
        """Take note of a direct look at the guard of a doubtful path; `online` tells whether any node answers."""
        for standing in list(self._standings):
            if standing.path.guard.ed25519 != ed25519 or not standing.doubtful:
                continue
            standing.working = good
            if good:
                self._settle(standing)
            else:
                standing.silence = None
                standing.charged &= online
                standing.accused.clear()
                if online:
                    self._fail(standing, renewable=False)

    def _settle(self, standing: Standing) -> None:
        """End the doubt about a path whose guard answers: what was silent is to blame, unless we were offline."""
        silence, accused = standing.silence, list(standing.accused)
        standing.silence = None
        standing.accused.clear()
        standing.working, standing.doubtful = True, False
        if silence is not None:
            standing.ambiguous = TABLE[silence].blame_destination
            self._fail(standing, renewable=TABLE[silence].blame_path)
        for node in accused:
            self.blame_node(node)

    def guard_candidates(self, count: int, *, beside: Iterable[bytes] = ()) -> list[NodeRecord]:
        """Draw up to `count` nodes to test as guards: not hops of paths, not guards, not the keys `beside`."""
        used = [hop for standing in self._standings for hop in standing.path.hops]
        skip = {*beside, *self._guards, *self._pinned, *(hop.ed25519 for hop in used)}
        candidates = [node for key, node in self._hops.items() if key not in skip]
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
    def suspects(self) -> tuple[Path, ...]:
        """The paths to be tested: through which nothing came since something failed, but whose guard answers."""
        return tuple(standing.path for standing in self._standings if standing.suspect and not standing.doubtful)

    @property
    def missing(self) -> int:
        """How many paths are still to be built."""
        return PATHS - len(self._standings)

    def build(self, guard: NodeRecord, *, sparing: Collection[bytes] = ()) -> Path | None:
        """Build a path behind a guard that was found good, without the nodes to be spared.

        Returns None when the pool has not enough nodes for it, or when the guard has left it or become a hop meanwhile.
        """
        if guard.ed25519 not in self._hops or any(path.holds(guard.ed25519) for path in self.paths):
            return None
        drawn = self._pinned_behind(guard) or self._complete([guard], without=[*sparing, *self._pinned])
        if drawn is None:
            return None
        path = Path(guard, *drawn)
        if guard.ed25519 not in self._guards:
            self._guards.append(guard.ed25519)
        self._standings.append(Standing(path))
        for position, hop in enumerate(path.hops, start=1):
            self._trace(HopChosen(position, hop))
        self._trace(PathBuilt(path))
        return path

    def _pinned_behind(self, guard: NodeRecord) -> list[NodeRecord] | None:
        """Return the other hops of the pinned path if it begins with this guard and all are still there."""
        if self._pinned[:1] != (guard.ed25519,) or any(key not in self._hops for key in self._pinned):
            return None
        if any(path.holds(key) for path in self.paths for key in self._pinned):
            return None
        return [self._hops[key] for key in self._pinned[1:]]

    def _is_pinned(self, path: Path) -> bool:
        return self._pinned == tuple(hop.ed25519 for hop in path.hops)

    @property
    def pinned(self) -> Path | None:
        """The pinned path, while it is in use."""
        return next((path for path in self.paths if self._is_pinned(path)), None)

    def reroll(self, *, guards: bool) -> None:
        """Put other nodes into all paths because a person wants it; other guards only if asked for.

        Each new guard is one more node that has seen this client's address.
        """
        self._pinned = ()
        for standing in list(self._standings):
            if guards:
                self._drop_path(standing, "another was wanted")
            else:
                self._renew(standing)

    def choose(self, avoid: bytes | None = None, *, after: Path | None = None) -> Path | None:
        """Choose a path at random that does not hold the node `avoid`, the destination; None when there is none.

        `after` is the path that has just failed the same request: another is taken if there is one.  Suspect paths
        are taken only if there is no other, and those by which a request was in vain only if there is no reserve
        either.  If every other path holds `avoid`, one for this request alone is made behind a guard already in use.
        """
        fit = [standing for standing in self._standings if avoid is None or not standing.path.holds(avoid)]
        for standing in fit:
            if standing.sound and self._is_pinned(standing.path) and standing.path != after:
                return standing.path
        others = [each for each in fit if after is None or each.path.guard.ed25519 != after.guard.ed25519]
        hopeful = [each for each in others if each.working and not each.unheard]
        for among in ([each for each in others if each.sound], [each for each in fit if each.sound], hopeful):
            if among:
                return self._entropy.choice(among).path
        if not self._sound and (reserve := self._reserve(avoid, () if after is None else (after,))) is not None:
            return reserve
        if others:
            return self._entropy.choice(others).path
        return self._spare(avoid, self._standings if not fit else self._sound) or (fit[0].path if fit else None)

    def beside(self, tried: Sequence[Path], avoid: bytes | None, *, last: bool = False) -> Path | None:
        """Return a sound path without the node `avoid` other than those `tried`; None without one.

        As in `choose` it may be for this request alone, or a reserve if no path is sound, but no reserve for the `last`
        way that a request may take.  A new guard it never has.
        """
        if not self._sound:
            return None if last else self._reserve(avoid, tried)
        guards = {path.guard.ed25519 for path in tried}
        others = [each for each in self._sound if each.path.guard.ed25519 not in guards]
        for among in (others, self._sound):
            for standing in among:
                if standing.path not in tried and (avoid is None or not standing.path.holds(avoid)):
                    return standing.path
        return self._spare(avoid, others)

    def _reserve(self, avoid: bytes | None, tried: Collection[Path]) -> Path | None:
        """Return the reserve from which an answer is likeliest to come, without the node `avoid`; None without one.

        Those `tried` are none.  One that was silent once still comes before a path that is known to fail.
        """
        found: list[tuple[bool, int, Reserve]] = []
        for standing in self._entropy.sample(self._standings, len(self._standings)):
            self._keep_reserve(standing)
            reserve = self._drawn_reserve(standing) if standing.renewals < RENEWALS else None
            if reserve is not None and reserve.path not in tried and (avoid is None or not reserve.path.holds(avoid)):
                found.append((standing.doubtful, -reserve.merit, reserve))
        if not found:
            return None
        best = min(found, key=lambda each: each[:2])[2]
        best.used = True
        return best.path

    def _drawn_reserve(self, standing: Standing) -> Reserve | None:
        """Return what a path will be renewed with; None when no nodes are left for that."""
        if standing.reserve is None:
            guard = standing.path.guard
            drawn = self._complete([guard], without=[hop.ed25519 for hop in standing.path.hops])
            standing.reserve = Reserve(Path(guard, *drawn)) if drawn is not None else None
        return standing.reserve

    def _keep_reserve(self, standing: Standing) -> None:
        """Give up a reserve of which a node has gone or become a hop; if it was used, that counts as a renewal."""
        if standing.reserve is None:
            return
        reserve = standing.reserve.path
        hops = {*self._guards, *(hop.ed25519 for path in self.paths for hop in path.hops)}
        fit = all(self._hops.get(hop.ed25519) == hop and hop.ed25519 not in hops for hop in reserve.hops[1:])
        if not fit or reserve.guard != standing.path.guard:
            standing.renewals += standing.reserve.used
            standing.reserve = None

    def _reserve_of(self, path: Path) -> Reserve | None:
        """Find the reserve that a request's path is."""
        reserves = (standing.reserve for standing in self._standings)
        return next((each for each in reserves if each is not None and each.path.same_nodes(path)), None)

    @property
    def _reserved(self) -> list[NodeRecord]:
        """The nodes in reserve."""
        reserves = (standing.reserve for standing in self._standings)
        return [hop for each in reserves if each is not None for hop in each.path.hops[1:]]

    @property
    def _sound(self) -> list[Standing]:
        return [standing for standing in self._standings if standing.sound]

    def _spare(self, avoid: bytes | None, among: Sequence[Standing]) -> Path | None:
        """Make a path for one request to the node `avoid` behind one of the guards whose paths hold it."""
        for standing in sorted(among, key=lambda each: not each.sound):
            guard = standing.path.guard
            if avoid is not None and standing.path.holds(avoid) and guard.ed25519 != avoid:
                drawn = self._complete([guard], without=[avoid], sharing=True)
                if drawn is not None:
                    return Path(guard, *drawn)
        return None

    def test_destination(self, path: Path) -> NodeRecord | None:
        """Draw a node to ask something by a path to test it: not on any path, no guard, and none that failed lately."""
        used = [*self._guards, *(hop.ed25519 for known in self.paths for hop in known.hops)]
        used.extend(hop.ed25519 for hop in self._reserved)
        failed = [key for key in self._failures if self.has_failed(key)]
        for beside in ([*used, *failed], used, [hop.ed25519 for hop in path.hops]):
            if drawn := self.random_nodes(1, beside=beside):
                return drawn[0]
        return None

    def _complete(
        self, beside: Sequence[NodeRecord], *, without: Collection[bytes] = (), sharing: bool = False
    ) -> list[NodeRecord] | None:
        """Draw what a path with the hops `beside` lacks; `sharing` allows hops of other paths."""
        taken = {*self._guards, *(hop.ed25519 for hop in beside), *without}
        elsewhere = [] if sharing else [hop for path in self.paths for hop in path.hops if hop not in beside]
        taken.update(hop.ed25519 for hop in elsewhere)
        elsewhere.extend(self._pool[key] for key in self._guards if key in self._pool)
        candidates = [node for key, node in self._hops.items() if key not in taken]
        reserved = {hop.ed25519 for hop in self._reserved}
        for among in ([node for node in candidates if node.ed25519 not in reserved], candidates):
            drawn = complete(beside, among, elsewhere=elsewhere, diversity=self._diversity, entropy=self._entropy)
            if drawn is not None:
                return drawn
        return None

    def _patch(self, standing: Standing, gone: bytes) -> None:
        before = standing.path
        stays = [hop for hop in before.hops if hop.ed25519 != gone]
        drawn = self._complete(stays)
        if drawn is None:
            self._drop_path(standing, "no node is left to patch it with", keep_guard=True)
            return
        standing.path = before.patched(gone, drawn[0])
        self._trace(PathPatched(before, standing.path))

    def _renew(self, standing: Standing) -> None:
        """Put two other nodes behind the guard of a path."""
        self._keep_reserve(standing)
        before, reserve = standing.path, self._drawn_reserve(standing)
        if reserve is None:
            self._drop_path(standing, "no nodes are left to renew it with", keep_guard=True)
            return
        standing.path, standing.reserve = reserve.path, None
        standing.suspect &= reserve.merit < 1
        standing.unheard = False
        standing.failures = standing.patches = 0
        standing.renewals += 1
        standing.charged = False
        self._trace(PathPatched(before, standing.path))

    def _drop_path(self, standing: Standing, why: str, *, keep_guard: bool = False) -> None:
        self._standings.remove(standing)
        if not keep_guard and standing.path.guard.ed25519 in self._guards:
            self._guards.remove(standing.path.guard.ed25519)
        self._trace(PathDropped(standing.path, why))

    # Outcomes.

    def waits(self, path: Path, *, alone: bool = True) -> None:
        """Take note that a request waits long for its reply: the path is suspect, but nothing counts against it yet.

        If it is not `alone`, but waits by another path too, the silence may be the destination's, and is no reason to
        test this path.
        """
        standing = self._standing_of(path)
        if standing is not None and standing.path.same_nodes(path):
            standing.unheard = True
            standing.suspect |= alone
        if (reserve := self._reserve_of(path)) is not None:
            reserve.merit = -1

    def answered(self, path: Path, *, test: bool = False) -> None:
        """Take note of a reply that decrypted: the path carried a request to its destination and back.

        The reply to a `test` clears the path of suspicion, but it makes up only for a failure that may have been the
        destination's: a path that carries tests and nothing else is given up.
        """
        # spec gap: the spec only clears failures with a new list.  Then a path with a rare loss would lose its nodes
        # every hour; so each reply makes up for one failure, and a hop that fails more than it works still goes.
        standing = self._standing_of(path)
        forgive = not test
        if (reserve := self._reserve_of(path)) is not None:
            reserve.merit = 1
        if standing is not None and standing.path.same_nodes(path):
            # With a single path nothing else would tell a path that carries only tests from destinations that are gone.
            forgive = forgive or (standing.ambiguous and len(self._standings) > 1)
            if standing.silence is not None:  # not counted yet, and made up for by this
                standing.silence = None
                for hop in path.hops:
                    standing.accused.pop(hop.ed25519, None)
                forgive = False
            self._settle(standing)
            standing.suspect = standing.unheard = standing.charged = standing.ambiguous = False
            standing.patches = 0
            if forgive:
                standing.failures = max(0, standing.failures - 1)
        if forgive:
            for hop in path.hops[1:]:
                self.forgive_node(hop.ed25519)

    def failed(
        self,
        failure: Failure,
        path: Path,
        *,
        destination: bytes | None = None,
        named: bytes | None = None,
        online: bool = True,
        test: bool = False,
    ) -> None:
        """Apply the failure table.  `destination` and `named` (the node a hop called missing) are Ed25519 keys.

        Without `online`, when nobody at all answered meanwhile, a silence is a reason to look and to test only.  What
        fails by a path that is suspect for another failure says nothing new, as it may have been on its way before,
        unless it is a `test`.
        """
        treatment = TABLE[failure]
        reserve = self._reserve_of(path)
        if reserve is not None and (treatment.blame_path or treatment.silence):
            reserve.merit = -1  # and nothing else: it is judged when it has become the path
        standing = self._standing_of(path)
        own = standing is not None and standing.path.same_nodes(path)
        if standing is not None and own and test and treatment.silence and not standing.suspect:
            return  # a reply has come by this path since the test was sent
        told = standing is not None and own and standing.charged and not test
        blamed = [hop.ed25519 for hop in path.hops[1:]] if treatment.blame_path and not told and reserve is None else []
        if treatment.blame_destination and destination is not None:
            blamed.append(destination)
        if treatment.silence:
            if standing is not None:
                charged = online and not told and (own or not treatment.blame_path)
                standing.charged |= charged and own and not test
                self._doubt(standing, failure, charged=charged, accused=blamed if online else ())
            return
        if standing is not None:
            self._settle(standing)
        if treatment.drop_named:
            self._missing_node(path, named, destination)
        if treatment.blame_path and standing is not None and own and not told:
            standing.charged |= not test
            self._fail(standing)
        for node in blamed:
            self.blame_node(node)

    def doubt_all(self) -> None:
        """Forget what is held for or against the paths, and have all looked at: the way to their guards is another."""
        for standing in self._standings:
            standing.failures = 0
            standing.silence = None
            standing.accused.clear()
            standing.suspect = standing.doubtful = True
            standing.unheard = standing.charged = standing.ambiguous = False

    def _doubt(self, standing: Standing, failure: Failure, *, charged: bool, accused: Iterable[bytes]) -> None:
        """Suspect a path after a silence until its guard has been looked at."""
        standing.suspect = standing.unheard = standing.doubtful = True
        standing.working &= failure is not Failure.GUARD_UNREACHABLE
        standing.accused.update(dict.fromkeys(accused))
        if charged and standing.silence is None:
            standing.silence = failure

    def blame_node(self, ed25519: bytes) -> None:
        """Count one failure of a node; the third takes it out, but not a guard in use, which its path is to judge."""
        if ed25519 not in self._pool:
            return
        self._failures[ed25519] = self._failures.get(ed25519, 0) + 1
        in_use = any(path.guard.ed25519 == ed25519 for path in self.paths)
        if self._failures[ed25519] >= NODE_FAILURES and not in_use:
            self.drop_node(ed25519, f"it failed {NODE_FAILURES} times")

    def has_failed(self, ed25519: bytes) -> bool:
        """Whether failures of a node are still held against it."""
        return self._failures.get(ed25519, 0) > 0

    def is_doubted(self, ed25519: bytes) -> bool:
        """Whether a node has failed lately, or may be what is silent on a suspect path: others are asked first."""
        return self.has_failed(ed25519) or any(each.suspect and each.path.holds(ed25519) for each in self._standings)

    def forgive_node(self, ed25519: bytes) -> None:
        """Let something a node did well make up for one failure."""
        if self.has_failed(ed25519):
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
            self._fail(standing, renewable=False)
        for hop in path.hops[1:]:
            self.blame_node(hop.ed25519)

    def _fail(self, standing: Standing, *, renewable: bool = True) -> None:
        """Count one failure of a path; the third renews it behind its guard, or drops it and its guard."""
        standing.failures += 1
        standing.suspect = standing.unheard = True
        self._keep_reserve(standing)
        if standing.failures < PATH_FAILURES or standing not in self._standings:
            return
        if renewable and standing.renewals < RENEWALS:
            self._renew(standing)
            return
        why = f"it failed {PATH_FAILURES} times"
        self._drop_path(standing, why)
        self.drop_node(standing.path.guard.ed25519, f"its path: {why}")

    def _standing_of(self, path: Path) -> Standing | None:
        """Find the path in use that a request's path is, or was before a patch; every path has its own guard."""
        return next((known for known in self._standings if known.path.guard.ed25519 == path.guard.ed25519), None)

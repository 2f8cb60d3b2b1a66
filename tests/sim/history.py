"""What was asked of a network and what it answered, and whether that is consistent with the promises of its nodes.

Pure: a `History` in, texts of violations out.  All times are true milliseconds unless they are called local, nodes
are numbers.  `docs/proofs.md` says what is proved by it.

Theory of operation.  No order of all operations is assumed, only what the history shows.  An operation takes effect
on a member at some time between its start and its `last` moment: the reply, or for one that some member did not
answer a while later, as what is on its way may still arrive.  What a member said it did is evidence; what it may have
done is a possibility.  A claim that a message must be there needs evidence, and no possibility against it; so does a
claim that it must be gone.  Where operations overlap, or met different members, nothing is claimed but that the
members agree in the end: `Verdict.claims` counts, so that a test can refuse a history about which nothing was claimed.

A message is only missed while somebody is left who had it: `custody` follows, over changes of the list, the
nodes from which the swarm could have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ramson.protocol.swarms import nearest, position

LATE = 45_000  # ms after the end of an operation in which a member that did not answer may still carry it out
ALLOWANCE = 15_000  # ms that an expired message may be served: sweeps are 10 s apart, and take time
SLACK = 90_000  # ms by which clocks may differ where an expiry is compared with the end of the run


class Key(NamedTuple):
    account: bytes
    namespace: int
    hash: str


class State(NamedTuple):
    """A copy at a member, ordered as members order them; without data if it is a ghost."""

    birth: int
    dead: bool
    version: int
    expiry: int


class Kind(StrEnum):
    STORE = "store"
    DELETE = "delete"
    DELETE_ALL = "delete_all"
    DELETE_BEFORE = "delete_before"
    EXPIRE_ALL = "expire_all"
    SET = "expire"
    SHORTEN = "expire shorten"
    EXTEND = "expire extend"
    REVOKE = "revoke"
    UNREVOKE = "unrevoke"


KILLS = {Kind.DELETE, Kind.DELETE_ALL, Kind.DELETE_BEFORE}
LOWERS = {Kind.EXPIRE_ALL, Kind.SET, Kind.SHORTEN}
RAISES = {Kind.STORE, Kind.SET, Kind.EXTEND}
TOKENS = {Kind.REVOKE, Kind.UNREVOKE}


@dataclass(frozen=True)
class Op:
    """An operation.  `namespace` None is all; `value` is the expiry asked for, or the time of `delete_before`.

    `said` has, for each member that reported success, the hashes it named and their expiries (0: deleted).
    `settled` means that every member the swarm was thought to have reported.
    """

    kind: Kind
    account: bytes
    start: int
    end: int
    said: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    settled: bool = True
    namespace: int | None = 0
    hashes: frozenset[str] = frozenset()
    value: int = 0
    timestamp: int = 0
    token: bytes = b""

    @property
    def last(self) -> int:
        return self.end if self.settled else self.end + LATE

    def precedes(self, other: Op) -> bool:
        return self.last < other.start

    def evidence(self, key: Key) -> set[int]:
        return {node for node, hashes in self.said.items() if key.hash in hashes}

    def speaks_of(self, store: Op) -> bool:
        """Tell whether this delete is about a message with the timestamp of this store."""
        return self.kind is not Kind.DELETE_BEFORE or store.timestamp <= self.value

    def may_touch(self, key: Key, timestamp: int) -> bool:
        if self.account != key.account or self.kind in TOKENS or (self.settled and not self.evidence(key)):
            return False
        if self.kind in {Kind.DELETE, Kind.SET, Kind.SHORTEN, Kind.EXTEND}:
            return key.hash in self.hashes
        if self.kind is Kind.STORE:
            return key.hash in self.hashes and key.namespace == self.namespace
        if self.kind is Kind.DELETE_BEFORE and timestamp > self.value:
            return False
        return self.namespace in {None, key.namespace}


@dataclass(frozen=True)
class Read:
    """A namespace read from one member, from the start.  It has been up, with a quick disk, since `ready_since`."""

    node: int
    account: bytes
    namespace: int
    start: int
    end: int
    local: int
    served: Mapping[str, int]
    more: bool = False
    ready_since: int = 0


@dataclass(frozen=True)
class TokenRead:
    """An attempt to read with a subaccount's token."""

    node: int
    account: bytes
    token: bytes
    start: int
    end: int
    refused: bool


@dataclass(frozen=True)
class Snapshot:
    """What one node has on its disk: messages, ghosts, and which tokens it holds revoked (or not)."""

    messages: Mapping[Key, State] = field(default_factory=dict)
    ghosts: Mapping[Key, State] = field(default_factory=dict)
    tokens: Mapping[tuple[bytes, bytes], bool] = field(default_factory=dict)

    def state(self, key: Key) -> State | None:
        return self.messages.get(key) or self.ghosts.get(key)


@dataclass(frozen=True)
class Membership:
    """Who is in which swarm from `at` on, and what everybody had at that moment."""

    at: int
    swarm: Mapping[int, int]
    has: Mapping[int, Snapshot] = field(default_factory=dict)

    def owner(self, account: bytes) -> int | None:
        return nearest(sorted(set(self.swarm.values())), position(account))

    def members(self, account: bytes) -> set[int]:
        own = self.owner(account)
        return {node for node, swarm in self.swarm.items() if swarm == own}


@dataclass
class History:
    """Everything; the first membership is that of the start, the last that of the end, taken when all was quiet."""

    ops: list[Op] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    token_reads: list[TokenRead] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)

    @property
    def end(self) -> Membership:
        return self.memberships[-1]


@dataclass
class Verdict:
    violations: list[str] = field(default_factory=list)
    claims: Counter[str] = field(default_factory=Counter)


def check(history: History, *, converged: bool = True) -> Verdict:
    """Check everything; without `converged` nothing is claimed about members other than those that answered."""
    verdict = Verdict()
    by_key = _by_key(history)
    for key, ops in by_key.items():
        if converged:
            _check_end(history, key, ops, verdict)
    _check_reads(history, by_key, verdict)
    _check_tokens(history, verdict, converged=converged)
    if converged:
        _check_agreement(history, by_key, verdict)
    return verdict


# ---- messages


def _by_key(history: History) -> dict[Key, list[Op]]:
    """Return for each message that was ever stored the operations that may have touched it."""
    first: dict[Key, int] = {}
    for op in history.ops:
        if op.kind is Kind.STORE:
            for name in op.hashes:
                key = Key(op.account, op.namespace or 0, name)
                first[key] = min(op.timestamp, first.get(key, op.timestamp))
    touched = {key: [op for op in history.ops if op.may_touch(key, stamp)] for key, stamp in first.items()}
    return {key: ops for key, ops in touched.items() if any(op.kind is Kind.STORE for op in ops)}


def custody(
    history: History, account: bytes, nodes: Iterable[int], since: int, holds: Callable[[Snapshot], bool]
) -> set[int]:
    """Return the nodes which, at the end, the swarm could have from what `nodes` had at the time `since`.

    A node keeps custody while it is in any swarm: one that moves owes others what it has.  As soon as members of
    the account's own swarm have it, custody is theirs.
    """
    before = max((m for m in history.memberships if m.at <= since), key=lambda m: m.at)
    kept = {node for node in nodes if node in before.swarm}
    for after in (m for m in history.memberships if m.at > since):
        own = {node for node in before.members(account) if node in after.has and holds(after.has[node])}
        kept = {node for node in (own or kept) if node in after.swarm}
        before = after
    return kept


def _check_end(history: History, key: Key, ops: list[Op], verdict: Verdict) -> None:
    end = history.end
    until, gone, bound = present_until(history, key, ops), is_gone(history, key, ops), expires_by(history, key, ops)
    if until is not None:
        verdict.claims["present" if until > end.at + SLACK else "present for a while"] += 1
    verdict.claims["deleted"] += gone
    verdict.claims["expired"] += not gone and bound + ALLOWANCE + SLACK < end.at
    if until is None and not gone:
        verdict.claims["contested"] += 1
    for node in sorted(end.members(key.account)):
        there = key in end.has[node].messages
        if until is not None and until > end.at + SLACK and not there:
            verdict.violations.append(f"lost: {_name(key)} is missing at node {node} {_told(ops)}")
        if gone and there:
            verdict.violations.append(f"undeleted: {_name(key)} is at node {node} {_told(ops)}")
        if not gone and there and bound + ALLOWANCE + SLACK < end.at:
            verdict.violations.append(f"outlived: {_name(key)} is still at node {node} {_told(ops)}")


def present_until(history: History, key: Key, ops: list[Op]) -> int | None:
    """Return until when the swarm must have the message, None if nothing can be claimed."""
    kills = [op for op in ops if op.kind in KILLS]
    stores = [op for op in ops if op.kind is Kind.STORE and op.evidence(key)]
    if not stores:
        return None
    # Born again: only if it was somebody who knew of every delete that stored it again.
    stores = [op for op in stores if all(kill.precedes(op) and kill.evidence(key) & op.evidence(key) for kill in kills)]
    if not stores:
        return None
    since = min(op.start for op in stores)
    claims = [
        op.value
        for op in ops
        if op.kind in RAISES
        and op.start >= since
        and op.evidence(key)
        and custody(history, key.account, op.evidence(key), op.end, _holds_until(key, op.value))
    ]
    if not claims:
        return None
    return min([max(claims), *(op.value for op in ops if op.kind in LOWERS)])


def is_gone(history: History, key: Key, ops: list[Op]) -> bool:
    """Tell whether the message must be deleted everywhere in the end."""
    kills = [op for op in ops if op.kind in KILLS]
    stores = [op for op in ops if op.kind is Kind.STORE]
    if not all(store.precedes(kill) and kill.speaks_of(store) for store in stores for kill in kills):
        return False
    return any(
        custody(history, key.account, kill.evidence(key), kill.end, lambda snapshot: _is_dead(snapshot, key))
        for kill in kills
        if kill.evidence(key)
    )


def expires_by(history: History, key: Key, ops: list[Op]) -> int:
    """Return when the message must have expired everywhere at the latest."""
    raises = [op for op in ops if op.kind in RAISES]
    lowers = [op for op in ops if op.kind in LOWERS]
    for lower in (op for op in lowers if op.evidence(key)):
        if all(op.precedes(lower) for op in raises if op is not lower) and custody(
            history, key.account, lower.evidence(key), lower.end, lambda snapshot: _is_lowered(snapshot, key)
        ):
            return max(op.value for op in lowers)
    return max(op.value for op in raises)


def _holds_until(key: Key, expiry: int) -> Callable[[Snapshot], bool]:
    return lambda snapshot: key in snapshot.messages and snapshot.messages[key].expiry >= expiry


def _is_dead(snapshot: Snapshot, key: Key) -> bool:
    state = snapshot.ghosts.get(key)
    return state is not None and state.dead


def _is_lowered(snapshot: Snapshot, key: Key) -> bool:
    state = snapshot.state(key)
    return state is not None and (state.dead or state.version > 0)


# ---- reads


def _check_reads(history: History, by_key: Mapping[Key, list[Op]], verdict: Verdict) -> None:
    for read in history.reads:
        for name, expiry in read.served.items():
            verdict.claims["served"] += 1
            if read.local > expiry + ALLOWANCE and read.start > read.ready_since + ALLOWANCE:
                verdict.violations.append(
                    f"expired: node {read.node} served {name[:6]} {read.local - expiry} ms after its expiry"
                )
            key = Key(read.account, read.namespace, name)
            if key not in by_key:
                verdict.violations.append(f"invented: node {read.node} served {_name(key)}, which nobody stored")
            elif _was_deleted_here(read, key, by_key[key]):
                verdict.violations.append(
                    f"undeleted: node {read.node} served {_name(key)} at {read.start} {_told(by_key[key])}"
                )
        if not read.more:
            for key, ops in by_key.items():
                if (
                    (key.account, key.namespace) == (read.account, read.namespace)
                    and key.hash not in read.served
                    and _was_stored_here(read, key, ops)
                ):
                    verdict.violations.append(
                        f"forgotten: node {read.node} did not serve {_name(key)} at {read.start} {_told(ops)}"
                    )


def _was_deleted_here(read: Read, key: Key, ops: list[Op]) -> bool:
    """Tell whether this very member reported the delete of a message that was never stored again."""
    kills = [op for op in ops if op.kind in KILLS]
    here = any(read.node in kill.evidence(key) and kill.end < read.start for kill in kills)
    stores = [op for op in ops if op.kind is Kind.STORE]
    return here and all(store.precedes(kill) and kill.speaks_of(store) for store in stores for kill in kills)


def _was_stored_here(read: Read, key: Key, ops: list[Op]) -> bool:
    """Tell whether this very member must still have a message it reported to have stored."""
    if any(op.kind in KILLS and op.start <= read.end for op in ops):
        return False
    expiries = [op.value for op in ops if op.kind in LOWERS and op.start <= read.end]
    kept = [op.said[read.node][key.hash] for op in ops if op.kind is Kind.STORE and _said_before(op, read, key)]
    return bool(kept) and min([max(kept), *expiries]) > max(read.local, read.end) + SLACK


def _said_before(op: Op, read: Read, key: Key) -> bool:
    return read.node in op.evidence(key) and op.end < read.start


# ---- tokens


def _check_tokens(history: History, verdict: Verdict, *, converged: bool) -> None:
    changes = [op for op in history.ops if op.kind in TOKENS]
    for read in history.token_reads:
        ops = [op for op in changes if op.token == read.token and op.start <= read.end]
        last = _last(ops)
        if last is not None and read.node in last.said and last.end < read.start:
            verdict.claims["token read"] += 1
            if read.refused != (last.kind is Kind.REVOKE):
                verdict.violations.append(
                    f"token: node {read.node} {'refused' if read.refused else 'allowed'} a token after its {last.kind}"
                )
    if not converged:
        return
    for account, token in sorted({(op.account, op.token) for op in changes}):
        last = _last([op for op in changes if op.token == token])
        if (
            last is None
            or not last.said
            or not custody(history, account, last.said, last.end, _knows(account, token, last))
        ):
            continue
        verdict.claims["token"] += 1
        for node in sorted(history.end.members(account)):
            if history.end.has[node].tokens.get((account, token), False) != (last.kind is Kind.REVOKE):
                verdict.violations.append(f"token: node {node} does not know of the last {last.kind} of a token")


def _last(ops: list[Op]) -> Op | None:
    """Return the operation that all others precede."""
    last = max(ops, key=lambda op: op.start, default=None)
    return last if last is not None and all(op is last or op.precedes(last) for op in ops) else None


def _knows(account: bytes, token: bytes, op: Op) -> Callable[[Snapshot], bool]:
    return lambda snapshot: snapshot.tokens.get((account, token)) == (op.kind is Kind.REVOKE)


# ---- agreement


def _check_agreement(history: History, by_key: Mapping[Key, list[Op]], verdict: Verdict) -> None:
    """Members of a swarm have the same messages with the same expiries, but for those expiring just now."""
    end = history.end
    swarms: dict[int, list[int]] = {}
    for node, swarm in sorted(end.swarm.items()):
        swarms.setdefault(swarm, []).append(node)
    for swarm, members in swarms.items():
        views = [
            {
                key: state
                for key, state in end.has[node].messages.items()
                if end.owner(key.account) == swarm and state.expiry > end.at + SLACK
            }
            for node in members
        ]
        tokens = [
            {token for token, revoked in end.has[node].tokens.items() if revoked and end.owner(token[0]) == swarm}
            for node in members
        ]
        verdict.claims["swarms compared"] += 1
        for node, view, revoked in zip(members, views, tokens, strict=True):
            for key in sorted(set(view) ^ set(views[0]) | {key for key in view if view[key] != views[0].get(key)}):
                verdict.violations.append(
                    f"differ: {_name(key)} is {end.has[node].state(key)} at node {node}, "
                    f"{end.has[members[0]].state(key)} at node {members[0]} {_told(by_key.get(key, []))}"
                )
            if revoked != tokens[0]:
                verdict.violations.append(f"differ: revoked tokens of nodes {node} and {members[0]}")


def _name(key: Key) -> str:
    return f"{key.account.hex()[:6]}/{key.namespace}/{key.hash[:6]}"


def _told(ops: list[Op]) -> str:
    return "(" + "; ".join(f"{op.kind} {op.start}–{op.last} to {op.value} by {sorted(op.said)}" for op in ops) + ")"

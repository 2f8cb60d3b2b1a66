"""What the answers of a swarm are worth: receipts for what its members vouch for.

Pure: replies in, receipts out.  A node that is asked speaks for the others too, so nothing it says about a member
counts without that member's signature, and nothing signed counts from a node our list does not know.
Spec: storage-rpc.md §4, *Per-member entries*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ramson.crypto.hashing import message_hash
from ramson.network.paths import Path
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import (
    AccountRequest,
    DeletedEntry,
    ExpireEntry,
    RetrievedMessage,
    Signed,
    StoreEntry,
    SwarmReply,
    verify_entry,
)
from ramson.protocol.storage.entries import flat


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """A message is stored: its hash, the members that signed for it, those that failed, the time, the path used."""

    hash: str
    stored_by: tuple[NodeRecord, ...]
    failed: tuple[NodeRecord, ...]
    timestamp: int
    path: Path


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What one node had: messages by namespace, in its order; `more` when it has still more.

    A message's `hash` is the node's name for it: the position to go on reading from.  What the message is really
    called only `crypto.hashing.message_hash` of its data tells.  `extended` are those of the hashes whose expiry was to
    be extended that the swarm still has.
    """

    node: NodeRecord
    messages: Mapping[int, tuple[RetrievedMessage, ...]]
    more: bool
    extended: frozenset[str] = frozenset()

    @property
    def last(self) -> dict[int, str]:
        """The last hash of every namespace that had messages: where to go on reading at this node."""
        return {namespace: found[-1].hash for namespace, found in self.messages.items() if found}


@dataclass(frozen=True, slots=True)
class Polled:
    """What several nodes had: each one's answer, and their messages by namespace, each once, by time."""

    answers: tuple[Retrieved, ...]
    messages: Mapping[int, tuple[RetrievedMessage, ...]]


@dataclass(frozen=True, slots=True)
class DeleteReceipt:
    """Hashes that were deleted, the members that signed for it, and those that failed."""

    deleted: frozenset[str]
    deleted_by: tuple[NodeRecord, ...]
    failed: tuple[NodeRecord, ...]


@dataclass(frozen=True, slots=True)
class ExpireReceipt:
    """Expiries (Unix ms) after the change; a hash that was asked for and is missing is gone from the swarm."""

    expiries: Mapping[str, int]
    changed_by: tuple[NodeRecord, ...]
    failed: tuple[NodeRecord, ...]


@dataclass(frozen=True, slots=True)
class Vouched:
    """Reports with a valid signature, by member, and the members without one."""

    signed: Mapping[NodeRecord, Signed]
    failed: tuple[NodeRecord, ...]


def vouched(request: AccountRequest, reply: SwarmReply, known: Mapping[bytes, NodeRecord]) -> Vouched:
    """Sort the members' reports by whether they can be believed; nodes that are not `known` are left out."""
    signed: dict[NodeRecord, Signed] = {}
    failed: list[NodeRecord] = []
    for key, report in reply.members.items():
        node = known.get(key)
        if node is None:
            continue
        if isinstance(report, Signed) and verify_entry(request, key, report):
            signed[node] = report
        else:
            failed.append(node)
    return Vouched(signed, tuple(failed))


def stored_by(found: Vouched, expected: str) -> tuple[tuple[NodeRecord, ...], tuple[NodeRecord, ...]]:
    """Return the members that signed for the message with this hash, and those that did not."""
    good = tuple(
        node
        for node, report in found.signed.items()
        if isinstance(report.entry, StoreEntry) and report.entry.hash == expected
    )
    return good, found.failed + tuple(node for node in found.signed if node not in good)


def deleted(found: Vouched, requested: Sequence[str]) -> DeleteReceipt:
    """Sum up what the members deleted of the `requested` hashes."""
    everything = deleted_all(found)
    return replace(everything, deleted=everything.deleted & set(requested))


def deleted_all(found: Vouched) -> DeleteReceipt:
    """Sum up what the members deleted when all was to be deleted."""
    reports = (report.entry for report in found.signed.values())
    gone = {name for entry in reports if isinstance(entry, DeletedEntry) for name in flat(entry.hashes)}
    return DeleteReceipt(frozenset(gone), tuple(found.signed), found.failed)


def expired(found: Vouched, requested: Sequence[str]) -> ExpireReceipt:
    """Sum up the expiries the members report; where they differ the latest counts, for it can still be read there."""
    latest: dict[str, int] = {}
    for report in found.signed.values():
        if isinstance(report.entry, ExpireEntry):
            for name, expiry in _expiries(report.entry):
                latest[name] = max(expiry, latest.get(name, 0))
    return ExpireReceipt(
        {name: latest[name] for name in requested if name in latest}, tuple(found.signed), found.failed
    )


def _expiries(entry: ExpireEntry) -> list[tuple[str, int]]:
    changed = (entry.expiry,) * len(entry.updated) if isinstance(entry.expiry, int) else entry.expiry
    return [*zip(entry.updated, changed, strict=False), *(entry.unchanged or {}).items()]


def merge(account: bytes, answers: Sequence[Retrieved]) -> dict[int, tuple[RetrievedMessage, ...]]:
    """Unite what several nodes had; the same message is known by the hash computed of its data."""
    found: dict[int, dict[str, RetrievedMessage]] = {}
    for answer in answers:
        for namespace, messages in answer.messages.items():
            known = found.setdefault(namespace, {})
            for message in messages:
                known.setdefault(message_hash(account, namespace, message.data), message)
    return {ns: tuple(sorted(known.values(), key=lambda each: each.timestamp)) for ns, known in found.items()}

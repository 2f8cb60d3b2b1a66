"""What the replies of a swarm say, and whether its members vouch for it.

Pure: results in, receipts out.  A node that is asked speaks for the others too, so nothing it says about a member
counts without that member's signature, and nothing signed counts from a node our list does not know.
Spec: storage-rpc.md §4, *Per-member entries*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ramson.crypto.hashing import message_hash
from ramson.errors import ParseError
from ramson.network.paths import Path
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage.entries import (
    DeletedEntry,
    ExpireEntry,
    Signed,
    StoreEntry,
    flat,
    read_report,
    verify_entry,
)
from ramson.protocol.storage.kinds import decode_base64
from ramson.protocol.storage.limits import MAX_DATA
from ramson.protocol.storage.requests import AccountRequest

MAX_MEMBERS = 200  # entries of a reply; each costs a signature check
MAX_MESSAGES = 50_000  # of one namespace in one reply; more do not fit 7.8 MB


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """A message is stored: its hash, the members that signed for it, those that failed, the time, the path used."""

    hash: str
    stored_by: tuple[NodeRecord, ...]
    failed: tuple[NodeRecord, ...]
    timestamp: int
    path: Path


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as one node keeps it.

    `hash` is the node's name for it: the position to go on reading from.  What the message is called, only
    `crypto.hashing.message_hash` of its data tells.  Times are Unix ms; `expiry` is when the node forgets it.
    """

    hash: str
    timestamp: int
    expiry: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of one namespace in the node's order of arrival; `more` says that this was not all."""

    messages: tuple[StoredMessage, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What one node had: messages by namespace, in its order; `more` when it has still more."""

    node: NodeRecord
    messages: Mapping[int, tuple[StoredMessage, ...]]
    more: bool

    @property
    def last(self) -> dict[int, str]:
        """The last hash of every namespace that had messages: where to go on reading at this node."""
        return {namespace: found[-1].hash for namespace, found in self.messages.items() if found}


@dataclass(frozen=True, slots=True)
class Polled:
    """What several nodes had: each one's answer, and their messages by namespace, each once, by time."""

    answers: tuple[Retrieved, ...]
    messages: Mapping[int, tuple[StoredMessage, ...]]


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


def vouched(request: AccountRequest, document: Mapping[str, Any], known: Mapping[bytes, NodeRecord]) -> Vouched:
    """Sort the members' reports in a reply by whether they can be believed.  Raises ParseError."""
    reports = document.get("swarm")
    if not isinstance(reports, dict) or len(reports) > MAX_MEMBERS:
        raise ParseError("storage reply: no `swarm`, or too many members")
    signed: dict[NodeRecord, Signed] = {}
    failed: list[NodeRecord] = []
    for key, report in reports.items():
        node = known.get(_node_key(key))
        if node is None:
            continue
        believed = _believed(request, node, report)
        if believed is None:
            failed.append(node)
        else:
            signed[node] = believed
    return Vouched(signed, tuple(failed))


def _node_key(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _believed(request: AccountRequest, node: NodeRecord, document: Any) -> Signed | None:
    try:
        report = read_report(request, document)
    except ParseError:
        return None
    if isinstance(report, Signed) and verify_entry(request, node.ed25519, report):
        return report
    return None


def stored_by(found: Vouched, expected: str) -> tuple[tuple[NodeRecord, ...], tuple[NodeRecord, ...]]:
    """Return the members that signed for the message with this hash, and those that did not."""
    good = tuple(
        node
        for node, report in found.signed.items()
        if isinstance(report.entry, StoreEntry) and report.entry.hash == expected
    )
    bad = tuple(node for node in found.signed if node not in good)
    return good, found.failed + bad


def deleted(found: Vouched, requested: Sequence[str]) -> DeleteReceipt:
    """Sum up what the members deleted."""
    gone = {
        name
        for report in found.signed.values()
        if isinstance(report.entry, DeletedEntry)
        for name in flat(report.entry.hashes)
    }
    return DeleteReceipt(frozenset(gone & set(requested)), tuple(found.signed), found.failed)


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


def parse_page(document: Mapping[str, Any]) -> Page:
    """Read the reply to one `retrieve`.  Raises ParseError."""
    listed, more = document.get("messages"), document.get("more", False)
    if not isinstance(listed, list) or len(listed) > MAX_MESSAGES or not isinstance(more, bool):
        raise ParseError("retrieve reply: no `messages`, too many, or no valid `more`")
    return Page(tuple(_message(entry) for entry in listed), more)


def _message(entry: Any) -> StoredMessage:
    if not isinstance(entry, dict):
        raise ParseError("retrieve reply: a message that is no object")
    name, data = entry.get("hash"), entry.get("data")
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not isinstance(data, str):
        raise ParseError("retrieve reply: a message without `hash` or `data`")
    try:
        content = decode_base64(data)
    except ValueError:
        raise ParseError("retrieve reply: `data` is not base64") from None
    if len(content) > MAX_DATA:
        raise ParseError("retrieve reply: a message larger than any can be")
    return StoredMessage(name, _time(entry, "timestamp"), _time(entry, "expiration"), content)


def merge(account: bytes, answers: Sequence[Retrieved]) -> dict[int, tuple[StoredMessage, ...]]:
    """Unite what several nodes had; the same message is known by the hash computed of its data."""
    found: dict[int, dict[str, StoredMessage]] = {}
    for answer in answers:
        for namespace, messages in answer.messages.items():
            known = found.setdefault(namespace, {})
            for message in messages:
                known.setdefault(message_hash(account, namespace, message.data), message)
    return {ns: tuple(sorted(known.values(), key=lambda each: each.timestamp)) for ns, known in found.items()}


def parse_expiries(document: Mapping[str, Any]) -> dict[str, int]:
    """Read the reply to `get_expiries`: Unix ms by hash.  Raises ParseError."""
    listed = document.get("expiries")
    if not isinstance(listed, dict):
        raise ParseError("get_expiries reply: no `expiries`")
    return {name: _time(listed, name) for name in listed}


def _time(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ParseError(f"storage reply: `{name}` is no time")
    return value

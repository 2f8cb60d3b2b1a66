"""What nodes answer, read strictly: the client's side of the storage RPC.

`read_reply` turns the body of status 200 into the reply type of the request; of refusals only 421 has a body to be
read, with `read_get_swarm`.  Every number, text and list is checked and bounded; anything else is a ParseError.
Signatures are not verified here: see `entries.verify_entry`.  Spec: storage-rpc.md §4–5, node/CORRECTIONS.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any, Final, TypeAlias, overload

import msgspec

from ramson.errors import ParseError
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import requests as r
from ramson.protocol.storage.entries import Failed, Report, Signed, StoreEntry, read_report
from ramson.protocol.storage.json_document import decode_json
from ramson.protocol.storage.kinds import decode_base64, is_hash
from ramson.protocol.storage.limits import MAX_DATA, MAX_INT, MAX_RETRIEVE, MAX_SUBREQUESTS, MIN_INT

MAX_MEMBERS: Final = 500  # of one swarm; healthy ones have about ten
MAX_MESSAGES: Final = MAX_RETRIEVE // 143 + 1  # of one reply: each counts 143 bytes at least

WRONG_SWARM: Final = 421


class RetrievedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as a node keeps it; times in ms."""

    hash: str
    timestamp: int
    expiry: int
    data: bytes


class RetrieveReply(msgspec.Struct, frozen=True):
    """Messages in the node's order of arrival; with `more`, ask again from the last one's hash."""

    messages: tuple[RetrievedMessage, ...]
    more: bool
    t: int
    hf: tuple[int, int]


class SwarmReply(msgspec.Struct, frozen=True):
    """What each member reported, by its Ed25519 key (32 bytes)."""

    members: dict[bytes, Report]
    t: int
    hf: tuple[int, int]

    @property
    def succeeded(self) -> dict[bytes, Signed]:
        """The members that report success.  Their signatures are still to be verified."""
        return {node: report for node, report in self.members.items() if isinstance(report, Signed)}

    @property
    def failed(self) -> dict[bytes, Failed]:
        """The members that report failure or did not answer."""
        return {node: report for node, report in self.members.items() if isinstance(report, Failed)}


class StoreReply(SwarmReply, frozen=True):
    """What each member reported about a store."""

    @property
    def hash(self) -> str | None:
        """The hash a member that stored it reports (None if none did)."""
        entries = (report.entry for report in self.members.values() if isinstance(report, Signed))
        return next((entry.hash for entry in entries if isinstance(entry, StoreEntry)), None)


class GetExpiriesReply(msgspec.Struct, frozen=True):
    """Expiries in ms of those messages the node has."""

    expiries: dict[str, int]


class GetSwarmReply(msgspec.Struct, frozen=True):
    """The members of an account's swarm; the reply to `get_swarm` and the body of a 421."""

    nodes: tuple[NodeRecord, ...]
    swarm_id: int


class InfoReply(msgspec.Struct, frozen=True):
    """A node's version and time in ms."""

    version: tuple[int, int, int]
    timestamp: int
    hf: tuple[int, int]


class OxendReply(msgspec.Struct, frozen=True):
    """What the daemon answered, unread."""

    result: Any


class Result(msgspec.Struct, frozen=True):
    """One result of a batch or sequence: a status, and the decoded body (structured) or a text."""

    code: int
    body: Any


class BatchReply(msgspec.Struct, frozen=True):
    """Results in the order of the requests; a sequence that failed has fewer."""

    results: tuple[Result, ...]


class IfElseReply(msgspec.Struct, frozen=True):
    """Which way the node went and what came of it; no result when that branch was not given."""

    condition: bool
    result: Result | None
    hf: tuple[int, int]
    height: int


Reply: TypeAlias = (
    RetrieveReply
    | SwarmReply
    | StoreReply
    | GetExpiriesReply
    | GetSwarmReply
    | InfoReply
    | OxendReply
    | BatchReply
    | IfElseReply
)


@overload
def read_reply(request: r.Store, body: Any) -> StoreReply: ...
@overload
def read_reply(request: r.Retrieve, body: Any) -> RetrieveReply: ...
@overload
def read_reply(request: r.GetExpiries, body: Any) -> GetExpiriesReply: ...
@overload
def read_reply(request: r.GetSwarm, body: Any) -> GetSwarmReply: ...
@overload
def read_reply(request: r.Info, body: Any) -> InfoReply: ...
@overload
def read_reply(request: r.OxendRequest, body: Any) -> OxendReply: ...
@overload
def read_reply(request: r.Batch | r.Sequence, body: Any) -> BatchReply: ...
@overload
def read_reply(request: r.IfElse, body: Any) -> IfElseReply: ...
@overload
def read_reply(request: r.AccountRequest, body: Any) -> SwarmReply: ...
@overload
def read_reply(request: r.Request, body: Any) -> Reply: ...
def read_reply(request: r.Request, body: Any) -> Reply:
    """Read the body of status 200: JSON as bytes or text, or already decoded (as in a batch).  Raises ParseError."""
    document = _decoded(body)
    match request:
        case r.Store():
            return StoreReply(*_swarm_reply(request, document))
        case r.Retrieve():
            return _retrieve_reply(document)
        case r.GetExpiries():
            return _expiries_reply(document)
        case r.GetSwarm():
            return read_get_swarm(document)
        case r.Info():
            return InfoReply(_version(document), _integer(document, "timestamp"), _hardfork(document))
        case r.OxendRequest():
            if "result" not in document:
                raise ParseError("a node's reply has no `result`")
            return OxendReply(document["result"])
        case r.Batch() | r.Sequence():
            return _batch_reply(request.requests, document)
        case r.IfElse():
            result = document.get("result")
            return IfElseReply(
                _flag(document, "condition"),
                None if result is None else _result(result),
                _hardfork(document),
                _integer(document, "height"),
            )
        case _:
            return SwarmReply(*_swarm_reply(request, document))


def read_get_swarm(body: Any) -> GetSwarmReply:
    """Read a swarm: the reply to `get_swarm`, and the body of a 421.  Raises ParseError."""
    document = _decoded(body)
    nodes = _list(document, "snodes", MAX_MEMBERS)
    text = document.get("swarm")
    if not isinstance(text, str) or not _SWARM_ID.fullmatch(text):
        raise _wrong("swarm")
    swarm_id = int(text, 16)
    return GetSwarmReply(tuple([_node(node, swarm_id) for node in nodes]), swarm_id)


_SWARM_ID: Final = re.compile(r"[0-9a-fA-F]{1,16}", re.ASCII)
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def _wrong(name: str) -> ParseError:
    return ParseError(f"a node's reply has no valid `{name}`")


def _decoded(body: Any) -> dict[str, Any]:
    document = decode_json(body) if isinstance(body, bytes) else body
    if isinstance(document, str):
        document = decode_json(document.encode("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise ParseError("a node's reply is not an object")
    return document


def _integer(document: dict[str, Any], name: str, least: int = MIN_INT, most: int = MAX_INT) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name)
    return value


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name)
    if not isinstance(value, bool):
        raise _wrong(name)
    return value


def _list(document: dict[str, Any], name: str, most: int) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise _wrong(name)
    return value


def _integers(document: dict[str, Any], name: str, count: int) -> tuple[int, ...]:
    value = _list(document, name, count)
    if len(value) != count or not all(type(part) is int and 0 <= part <= MAX_INT for part in value):
        raise _wrong(name)
    return tuple(value)


def _hardfork(document: dict[str, Any]) -> tuple[int, int]:
    major, revision = _integers(document, "hf", 2)
    return major, revision


def _version(document: dict[str, Any]) -> tuple[int, int, int]:
    major, minor, patch = _integers(document, "version", 3)
    return major, minor, patch


def _key(document: dict[str, Any], name: str) -> bytes:
    value = document.get(name)
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise _wrong(name)
    return bytes.fromhex(value)


def _swarm_reply(request: r.Request, document: dict[str, Any]) -> tuple[dict[bytes, Report], int, tuple[int, int]]:
    members = document.get("swarm")
    if not isinstance(members, dict) or len(members) > MAX_MEMBERS:
        raise _wrong("swarm")
    reports: dict[bytes, Report] = {}
    for node, report in members.items():
        if not _KEY.fullmatch(node):
            raise _wrong("swarm")
        try:
            reports[bytes.fromhex(node)] = read_report(request, report)
        except ParseError:
            # One member's nonsense must not hide what the others did.
            reports[bytes.fromhex(node)] = Failed(bad_peer_response=True)
    return reports, _integer(document, "t"), _hardfork(document)


def _retrieve_reply(document: dict[str, Any]) -> RetrieveReply:
    messages = [_message(message) for message in _list(document, "messages", MAX_MESSAGES)]
    return RetrieveReply(tuple(messages), _flag(document, "more"), _integer(document, "t"), _hardfork(document))


def _message(document: Any) -> RetrievedMessage:
    if not isinstance(document, dict):
        raise _wrong("messages")
    name = document.get("hash")
    if not isinstance(name, str) or not is_hash(name):
        raise _wrong("hash")
    try:
        data = decode_base64(document.get("data"))
    except ValueError:
        raise _wrong("data") from None
    if len(data) > MAX_DATA:
        raise _wrong("data")
    return RetrievedMessage(name, _integer(document, "timestamp"), _integer(document, "expiration"), data)


def _expiries_reply(document: dict[str, Any]) -> GetExpiriesReply:
    expiries = document.get("expiries")
    if not isinstance(expiries, dict) or not all(is_hash(name) for name in expiries):
        raise _wrong("expiries")
    return GetExpiriesReply({name: _integer(expiries, name) for name in expiries})


def _node(document: Any, swarm_id: int) -> NodeRecord:
    if not isinstance(document, dict):
        raise _wrong("snodes")
    ip = document.get("ip")
    try:
        ip = str(IPv4Address(ip)) if isinstance(ip, str) else ""
    except ValueError:
        ip = ""
    if not ip:
        raise _wrong("ip")
    return NodeRecord(
        ed25519=_key(document, "pubkey_ed25519"),
        x25519=_key(document, "pubkey_x25519"),
        legacy=_key(document, "pubkey_legacy"),
        ip=ip,
        https_port=_integer(document, "port_https", 0, 65535),
        omq_port=_integer(document, "port_omq", 0, 65535),
        swarm_id=swarm_id,
    )


def _result(document: Any) -> Result:
    if not isinstance(document, dict) or "body" not in document:
        raise _wrong("result")
    return Result(_integer(document, "code", 100, 999), document["body"])


def _batch_reply(requests: Sequence[r.Request], document: dict[str, Any]) -> BatchReply:
    results = _list(document, "results", min(len(requests), MAX_SUBREQUESTS))
    return BatchReply(tuple([_result(result) for result in results]))

"""The question every client asks first, and its answer: which nodes are there.

JSON-RPC as seed nodes and the daemon speak it, from both ends.  HTTP and certificates are elsewhere.
Spec: registry-and-rewards.md §4 *Client view*, oxend-interface.md §4 *rpc.get_service_nodes*,
bootstrap-and-paths.md §2.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ramson.crypto.entropy import Entropy
from ramson.errors import ParseError
from ramson.protocol import strict_json
from ramson.protocol.nodes import NO_ADDRESS, NodeList, NodeRecord
from ramson.protocol.swarms import UNASSIGNED

METHODS: Final = frozenset({"get_n_service_nodes", "get_service_nodes", "get_all_service_nodes"})
# Never answered over public HTTP: 403.
ADMIN_METHODS: Final = frozenset(
    {
        "bls_registration_request",
        "get_service_node_privkey",
        "get_service_privkeys",
        "lokinet_ping",
        "report_peer_status",
        "report_peer_storage_server_status",
        "storage_server_ping",
    }
)
# What clients ask for, in the order of the specification's example.
CLIENT_FIELDS: Final = (
    "public_ip",
    "storage_port",
    "pubkey_x25519",
    "pubkey_ed25519",
    "requested_unlock_height",
    "height",
)

MAX_REPLY: Final = 16 * 1024 * 1024
MAX_QUERY: Final = 64 * 1024
MAX_NODES: Final = 20_000

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
UNKNOWN_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602  # spec gap: JSON-RPC's own code for parameters of a wrong type

RpcId: TypeAlias = str | int | float | None


class RpcError(ParseError):
    """A query that gets an error: its JSON-RPC `code`, the text, and the `id` of the request if it was legible."""

    def __init__(self, code: int, message: str, rpc_id: RpcId = None) -> None:
        super().__init__(message)
        self.code = code
        self.rpc_id = rpc_id


class AdminMethod(RpcError):
    """A method that is not for the public: HTTP 403."""


@dataclass(frozen=True, slots=True)
class Query:
    """A request for nodes.

    `fields` None means all; a `limit` above 0 asks for that many at random, below 0 for all in random order.
    """

    method: str = "get_service_nodes"
    active_only: bool = False
    fields: frozenset[str] | None = None
    limit: int = 0
    pubkeys: frozenset[str] = frozenset()
    poll_block_hash: str = ""
    id: RpcId = None


# ---- the client


def service_nodes_query(fields: Iterable[str] = CLIENT_FIELDS) -> bytes:
    """Return the JSON-RPC request body for all active nodes.  It never carries a limit."""
    params = {"active_only": True, "fields": dict.fromkeys(fields, True)}
    # In the order other clients write it, so that the request looks like theirs.
    return strict_json.encode_in_order({"jsonrpc": "2.0", "method": "get_n_service_nodes", "params": params})


def parse_service_nodes(body: bytes) -> NodeList:
    """Read a seed's reply.  Raises ParseError, also for a reply that lists no usable node."""
    if len(body) > MAX_REPLY:
        raise ParseError("node list: too large")
    result = strict_json.decode_object(body).get("result")
    if not isinstance(result, dict):
        raise ParseError("node list: an error, or no result")
    nodes = parse_result(result)
    if not nodes.nodes:
        raise ParseError("node list: no usable node")
    return nodes


def parse_result(result: Mapping[str, Any], *, keep_unreachable: bool = False) -> NodeList:
    """Read the `result` of get_service_nodes, also as storage nodes pass it on.

    Entries without keys, or malformed, are left out, and so are those without an address unless
    `keep_unreachable`; of two entries with one Ed25519 key the first counts.  Raises ParseError.
    """
    states = result.get("service_node_states")
    if not isinstance(states, list) or len(states) > MAX_NODES:
        raise ParseError("node list: no `service_node_states`, or too many")
    nodes: dict[bytes, NodeRecord] = {}
    for state in states:
        node = _record(state) if isinstance(state, dict) else None
        if node is not None and (keep_unreachable or node.contactable):
            nodes.setdefault(node.ed25519, node)
    block_hash = result.get("block_hash")
    return NodeList(
        tuple(nodes.values()),
        _integer(result, "height", 2**63),
        block_hash if isinstance(block_hash, str) else "",
        (_integer(result, "hardfork", 256), _integer(result, "snode_revision", 256)),
    )


def _record(state: Mapping[str, Any]) -> NodeRecord | None:
    ed25519, x25519 = _key(state, "pubkey_ed25519"), _key(state, "pubkey_x25519")
    if not ed25519 or not x25519 or state.get("funded") is False:
        return None
    return NodeRecord(
        ed25519=ed25519,
        x25519=x25519,
        legacy=_key(state, "service_node_pubkey"),
        ip=_ip(state),
        https_port=_integer(state, "storage_port", 2**16),
        omq_port=_integer(state, "storage_lmq_port", 2**16),
        swarm_id=_integer(state, "swarm_id", 2**64, UNASSIGNED),
        requested_unlock_height=_integer(state, "requested_unlock_height", 2**63),
    )


def _key(state: Mapping[str, Any], name: str) -> bytes:
    text = state.get(name)
    try:
        key = bytes.fromhex(text) if isinstance(text, str) and len(text) == 64 else b""
    except ValueError:
        return b""
    return key if len(key) == 32 else b""


def _ip(state: Mapping[str, Any]) -> str:
    text = state.get("public_ip")
    try:
        return str(ipaddress.IPv4Address(text)) if isinstance(text, str) else NO_ADDRESS
    except ValueError:
        return NO_ADDRESS


def _integer(document: Mapping[str, Any], name: str, limit: int, default: int = 0) -> int:
    value = document.get(name)
    return value if type(value) is int and 0 <= value < limit else default


# ---- the server


def parse_query(body: bytes) -> Query:
    """Read a JSON-RPC request at the seed.  Raises RpcError, to be answered with `encode_error`."""
    if len(body) > MAX_QUERY:
        raise RpcError(INVALID_REQUEST, "Invalid request: too large")
    try:
        document = strict_json.decode(body)
    except ParseError:
        raise RpcError(PARSE_ERROR, "Parse error") from None
    if not isinstance(document, dict):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    rpc_id = document.get("id")
    if isinstance(rpc_id, bool) or not isinstance(rpc_id, str | int | float | None):
        raise RpcError(INVALID_REQUEST, "Invalid request: id")
    method, params = document.get("method"), document.get("params")
    if not isinstance(method, str) or not isinstance(params, dict | None):
        raise RpcError(INVALID_REQUEST, "Invalid request", rpc_id)
    if method in ADMIN_METHODS or method.startswith("admin."):
        raise AdminMethod(UNKNOWN_METHOD, "Forbidden", rpc_id)
    if method not in METHODS:
        raise RpcError(UNKNOWN_METHOD, "Method not found", rpc_id)
    return query_of(method, params or {}, rpc_id)


def query_of(method: str, params: Mapping[str, Any], rpc_id: RpcId = None) -> Query:
    """Make a query of its parameters.  Raises RpcError for parameters of a wrong type."""
    active_only = params.get("active_only", False)
    limit = params.get("limit", 0)
    pubkeys = params.get("service_node_pubkeys", [])
    poll = params.get("poll_block_hash", "")
    if not isinstance(active_only, bool) or type(limit) is not int or not isinstance(poll, str):
        raise RpcError(INVALID_PARAMS, "Invalid params", rpc_id)
    if not isinstance(pubkeys, list) or not all(isinstance(key, str) for key in pubkeys):
        raise RpcError(INVALID_PARAMS, "Invalid params: service_node_pubkeys", rpc_id)
    return Query(method, active_only, _fields(params, rpc_id), limit, frozenset(pubkeys), poll, rpc_id)


def _fields(params: Mapping[str, Any], rpc_id: RpcId) -> frozenset[str] | None:
    fields = params.get("fields")
    if isinstance(fields, dict):
        fields = [name for name, wanted in fields.items() if wanted is True]
    if fields is None or fields == []:
        return None
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise RpcError(INVALID_PARAMS, "Invalid params: fields", rpc_id)
    if "all" not in fields:
        return frozenset(fields)
    without = {name[1:] for name in fields if name.startswith("-")}
    return frozenset(_ALL_FIELDS - without) if without else None


def service_nodes_result(nodes: NodeList, query: Query, entropy: Entropy) -> dict[str, Any]:
    """Return the `result` object for a query.  `entropy` picks and shuffles when a limit is given."""
    top: dict[str, Any] = {
        "height": nodes.height,
        "target_height": nodes.height,
        "block_hash": nodes.block_hash,
        "hardfork": nodes.hardfork[0],
        "snode_revision": nodes.hardfork[1],
    }
    if query.fields is not None:
        top = {name: value for name, value in top.items() if name in query.fields}
    top["status"] = "OK"
    if query.poll_block_hash:
        if query.poll_block_hash == nodes.block_hash:
            return top | {"unchanged": True}
        top["unchanged"] = False
    chosen = [node for node in nodes.nodes if node.assigned or not query.active_only]
    if query.pubkeys:
        chosen = [node for node in chosen if node.legacy.hex() in query.pubkeys]
    if query.limit:
        chosen.sort(key=lambda _: entropy.randbytes(8))
        chosen = chosen[: query.limit] if query.limit > 0 else chosen
    return top | {"service_node_states": [_state(node, query.fields) for node in chosen]}


def _state(node: NodeRecord, fields: frozenset[str] | None) -> dict[str, Any]:
    state = {
        "service_node_pubkey": node.legacy.hex(),
        "pubkey_ed25519": node.ed25519.hex(),
        "pubkey_x25519": node.x25519.hex(),
        "public_ip": node.ip or NO_ADDRESS,
        "storage_port": node.https_port,
        "storage_lmq_port": node.omq_port,
        "swarm_id": node.swarm_id,
        "swarm": f"{node.swarm_id:x}",
        "requested_unlock_height": node.requested_unlock_height,
        "active": node.assigned,
        "funded": True,
    }
    return state if fields is None else {name: value for name, value in state.items() if name in fields}


_ALL_FIELDS: Final = frozenset(
    {
        "active",
        "block_hash",
        "funded",
        "hardfork",
        "height",
        "pubkey_ed25519",
        "pubkey_x25519",
        "public_ip",
        "requested_unlock_height",
        "service_node_pubkey",
        "snode_revision",
        "storage_lmq_port",
        "storage_port",
        "swarm",
        "swarm_id",
        "target_height",
    }
)


def encode_service_nodes(nodes: NodeList, query: Query, entropy: Entropy) -> bytes:
    """Write the JSON-RPC reply to a query."""
    return encode_result(service_nodes_result(nodes, query, entropy), query.id)


def encode_result(result: Any, rpc_id: RpcId) -> bytes:
    """Write a JSON-RPC reply."""
    return strict_json.encode({"jsonrpc": "2.0", "id": rpc_id, "result": result})


def encode_error(error: RpcError) -> bytes:
    """Write a JSON-RPC error."""
    body = {"code": error.code, "message": str(error)}
    return strict_json.encode({"jsonrpc": "2.0", "id": error.rpc_id, "error": body})

"""`network.json`: a whole network described in one file, as the conformance suite reads it.

Devnets write it, file registries and clients of closed networks read it.  It holds public keys only, except
for `phantom` nodes, which exist to be impersonated by tests.  Spec: the conformance suite's README;
`seeds`, `diversity`, `file_server` and `node_lists` (and `height`, `block_hash`) are ours.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from ramson.errors import ParseError
from ramson.protocol import list_channels, strict_json
from ramson.protocol.file_server import BadServerUrl, FileServer
from ramson.protocol.list_channels import ListChannels
from ramson.protocol.nodes import NodeList, NodeRecord

MAX_SIZE: Final = 16 * 1024 * 1024
DEFAULT_DIVERSITY: Final = 24
_DIGEST_SIZE = 32
_HEX_64 = re.compile(r"[0-9a-fA-F]{1,16}")


class NodeState(StrEnum):
    """What a node of the file is: running; listed but down; running without a swarm; listed without an address."""

    ACTIVE = "active"
    DEAD = "dead"
    UNASSIGNED = "unassigned"
    PHANTOM = "phantom"


@dataclass(frozen=True, slots=True)
class NetworkNode:
    """One node: its record, and what only the file knows.  `x25519_secret` is given for phantoms alone."""

    name: str
    state: NodeState
    record: NodeRecord
    x25519_secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Seed:
    """Where a seed answers JSON-RPC, and the SHA-256 of its certificate's SubjectPublicKeyInfo (None: not pinned)."""

    url: str
    pin: bytes | None = None


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """The file's content.

    `ons` is the name the daemon knows: `{"name_hash": hex, "result": {…}}`.  `diversity` is the IPv4 prefix
    length within which no two hops of a path may lie: 24 as on the public network, 32 when nodes share a /24.
    `file_server` is the one that clients of this network use: `{"url": …, "pubkey": X25519 in hex, "ranges": bool,
    "resumable": bool}`.
    `node_lists` says who signs lists of its nodes and where such lists are (`list_channels`).
    """

    nodes: tuple[NetworkNode, ...]
    testnet: bool = True
    hardfork: tuple[int, int] = (19, 4)
    seeds: tuple[Seed, ...] = ()
    diversity: int = DEFAULT_DIVERSITY
    height: int = 1
    block_hash: str = ""
    ons: Mapping[str, Any] | None = None
    file_server: FileServer | None = None
    node_lists: ListChannels | None = None

    def node_list(self) -> NodeList:
        """Return the nodes as a registry would list them: all, the dead and the phantoms too."""
        return NodeList(tuple(node.record for node in self.nodes), self.height, self.block_hash, self.hardfork)


def parse(data: bytes) -> NetworkFile:
    """Read the file.  Unknown keys are ignored.  Raises ParseError that names the field."""
    if len(data) > MAX_SIZE:
        raise ParseError("network file: too large")
    document = strict_json.decode_object(data)
    hardfork = _get(document, "hardfork", list, [19, 4])
    if len(hardfork) != 2 or not all(type(part) is int and 0 <= part < 256 for part in hardfork):
        raise ParseError("network file: `hardfork` is not [major, revision]")
    diversity = _get(document, "diversity", int, DEFAULT_DIVERSITY)
    if not 0 <= diversity <= 32:
        raise ParseError("network file: `diversity` is not a prefix length")
    return NetworkFile(
        nodes=tuple(_node(node) for node in _objects(document, "nodes", required=True)),
        testnet=_get(document, "testnet", bool, default=True),
        hardfork=(hardfork[0], hardfork[1]),
        seeds=tuple(_seed(seed) for seed in _objects(document, "seeds", required=False)),
        diversity=diversity,
        height=_bounded(document, "height", 2**63 - 1, 1),
        block_hash=_get(document, "block_hash", str, ""),
        ons=_get(document, "ons", dict, None),
        file_server=_file_server(_get(document, "file_server", dict, None)),
        node_lists=_node_lists(_get(document, "node_lists", dict, None)),
    )


def encode(network: NetworkFile) -> bytes:
    """Write the file, indented for people."""
    document: dict[str, Any] = {
        "testnet": network.testnet,
        "hardfork": list(network.hardfork),
        "diversity": network.diversity,
        "height": network.height,
        "block_hash": network.block_hash,
        "seeds": [_seed_document(seed) for seed in network.seeds],
        "nodes": [_node_document(node) for node in network.nodes],
    }
    if network.ons is not None:
        document["ons"] = network.ons
    if network.file_server is not None:
        server = network.file_server
        document["file_server"] = {
            "url": server.url,
            "pubkey": server.x25519.hex(),
            "ranges": server.ranges,
            "resumable": server.resumable,
        }
    if network.node_lists is not None:
        document["node_lists"] = list_channels.to_document(network.node_lists)
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _node(document: Mapping[str, Any]) -> NetworkNode:
    try:
        state = NodeState(_get(document, "state", str, "active"))
    except ValueError:
        raise ParseError("network file: unknown `state` of a node") from None
    secret = _key(document, "x25519_privkey") if "x25519_privkey" in document else None
    ip = _get(document, "ip", str)
    try:
        ipaddress.IPv4Address(ip)
    except ValueError:
        raise ParseError("network file: `ip` is not an IPv4 address") from None
    record = NodeRecord(
        ed25519=_key(document, "pubkey_ed25519"),
        x25519=_key(document, "pubkey_x25519"),
        legacy=_key(document, "pubkey_legacy"),
        ip=ip,
        https_port=_bounded(document, "https_port", 65535),
        omq_port=_bounded(document, "omq_port", 65535),
        swarm_id=_swarm_id(document),
        requested_unlock_height=_bounded(document, "requested_unlock_height", 2**63 - 1, 0),
    )
    return NetworkNode(_get(document, "name", str), state, record, secret)


def _node_document(node: NetworkNode) -> dict[str, Any]:
    record = node.record
    document: dict[str, Any] = {
        "name": node.name,
        "ip": record.ip,
        "https_port": record.https_port,
        "omq_port": record.omq_port,
        "pubkey_ed25519": record.ed25519.hex(),
        "pubkey_x25519": record.x25519.hex(),
        "pubkey_legacy": record.legacy.hex(),
        "swarm_id": record.swarm_id,
        "state": str(node.state),
    }
    if record.requested_unlock_height:
        document["requested_unlock_height"] = record.requested_unlock_height
    if node.x25519_secret is not None:
        document["x25519_privkey"] = node.x25519_secret.hex()
    return document


def _seed(document: Mapping[str, Any]) -> Seed:
    url = _get(document, "url", str)
    if not url.startswith(("https://", "http://")):
        raise ParseError("network file: the `url` of a seed is neither http nor https")
    pin = _get(document, "pin", str, None)
    if pin is None:
        return Seed(url)
    try:
        digest = binascii.a2b_base64(pin, strict_mode=True)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_SIZE:
        raise ParseError("network file: the `pin` of a seed is not base64 of 32 bytes")
    return Seed(url, digest)


def _seed_document(seed: Seed) -> dict[str, str]:
    return {"url": seed.url} | ({"pin": b64encode(seed.pin).decode()} if seed.pin is not None else {})


def _file_server(document: Mapping[str, Any] | None) -> FileServer | None:
    if document is None:
        return None
    key, ranges = _key(document, "pubkey"), _get(document, "ranges", bool, default=False)
    resumable = _get(document, "resumable", bool, default=False)
    try:
        return FileServer(_get(document, "url", str), key, ranges=ranges, resumable=resumable)
    except BadServerUrl:
        raise ParseError("network file: the `url` of the file server is not http[s]://host[:port]") from None


def _node_lists(document: Mapping[str, Any] | None) -> ListChannels | None:
    return None if document is None else list_channels.from_document(document)


_REQUIRED: Final = object()


def _get(document: Mapping[str, Any], name: str, kind: type[Any], default: Any = _REQUIRED) -> Any:
    value = document.get(name, default)
    if value is default and default is not _REQUIRED:
        return value
    if type(value) is not kind:
        raise ParseError(f"network file: `{name}` is missing or no {kind.__name__}")
    return value


def _bounded(document: Mapping[str, Any], name: str, maximum: int, default: Any = _REQUIRED) -> int:
    value: int = _get(document, name, int, default)
    if not 0 <= value <= maximum:
        raise ParseError(f"network file: `{name}` is out of range")
    return value


def _objects(document: Mapping[str, Any], name: str, *, required: bool) -> list[dict[str, Any]]:
    entries: list[Any] = _get(document, name, list, _REQUIRED if required else [])
    if not all(isinstance(entry, dict) for entry in entries):
        raise ParseError(f"network file: `{name}` is not a list of objects")
    return entries


def _key(document: Mapping[str, Any], name: str) -> bytes:
    text: str = _get(document, name, str)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32 or len(text) != 64:
        raise ParseError(f"network file: `{name}` is not 64 hexadecimal digits")
    return key


def _swarm_id(document: Mapping[str, Any]) -> int:
    value = document.get("swarm_id")
    if isinstance(value, str) and _HEX_64.fullmatch(value):
        value = int(value, 16)
    if type(value) is not int or not 0 <= value < 2**64:
        raise ParseError("network file: `swarm_id` is neither a 64-bit integer nor hexadecimal")
    return value

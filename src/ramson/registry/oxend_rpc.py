"""oxend's calls, as values: what is asked, and what its replies may be.

It holds no state and never retries.  A daemon is trusted, but it may be broken, of another version or not a
daemon at all, so every reply is checked before it is believed.  Spec: oxend-interface.md §2–4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol import strict_json
from ramson.protocol.nodes import NodeList
from ramson.protocol.seed import parse_result
from ramson.registry.registry import RegistryError
from ramson.world import DaemonLink, PeerRefused, PeerTimeout

LIST_FIELDS: Final = (
    "block_hash",
    "funded",
    "hardfork",
    "height",
    "pubkey_ed25519",
    "pubkey_x25519",
    "public_ip",
    "service_node_pubkey",
    "snode_revision",
    "storage_lmq_port",
    "storage_port",
    "swarm_id",
)
MAX_TEXT: Final = 1000  # characters of a daemon's text that are shown to anybody

OK: Final = "OK"


@dataclass(frozen=True, slots=True)
class NodeSecrets:
    """What a service node's daemon tells it about itself: an Ed25519 seed and a legacy scalar, 32 bytes each."""

    ed25519_seed: bytes = field(repr=False)
    legacy_scalar: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a storage server tells its daemon about itself.

    `ed25519` is its public key, `version` that of the storage server it stands for: the daemon refuses old ones.
    """

    ed25519: bytes
    https_port: int
    omq_port: int
    version: tuple[int, int, int] = (2, 8, 0)


class Oxend:
    """The calls over one connection, each within `timeout` seconds.

    All raise RegistryError when the daemon refuses or does not answer, and ParseError when its answer is not
    what it should be.
    """

    def __init__(self, link: DaemonLink, timeout: float) -> None:
        self._link = link
        self._timeout = timeout

    async def call(self, name: str, params: Mapping[str, Any] | None = None) -> Any:
        """Make an RPC request; the reply is JSON as Python values."""
        try:
            body = [] if params is None else [strict_json.encode(params)]
        except (TypeError, ValueError, RecursionError):  # a client's, nested deeper than anything the daemon knows
            raise RegistryError("Invalid params") from None
        parts = await self._request(name, body)
        if len(parts) != 2:
            raise ParseError("the daemon's reply is not a code and a body")
        code, answer = parts
        if code != b"200":
            raise RegistryError(_text(answer) or f"the daemon failed with code {_text(code)}")
        try:
            return msgspec.json.decode(answer)
        except (ValueError, RecursionError):
            raise ParseError("the daemon's reply is not JSON") from None

    async def secrets(self) -> NodeSecrets:
        """Ask for the node's private keys."""
        reply = _object(await self.call("admin.get_service_node_privkey"))
        pair = _secret(reply, "service_node_ed25519_privkey", 64)
        scalar = _secret(reply, "service_node_privkey", 32)
        x25519 = _secret(reply, "service_node_x25519_privkey", 32)
        try:
            ed25519 = Ed25519KeyPair.from_seed(pair[:32])
            belongs = ed25519.to_x25519().public == X25519KeyPair.from_secret(x25519).public
        except LocalError:
            belongs = False
        if not belongs or ed25519.secret != pair:
            raise ParseError("the daemon's private keys do not belong together")
        return NodeSecrets(ed25519.seed, scalar)

    async def subscribe(self) -> bool:
        """Ask to be told of blocks for the next half hour; True if the daemon was not doing so already."""
        parts = await self._request("sub.block", [])
        if parts not in ([b"OK"], [b"ALREADY"]):
            raise ParseError("the daemon's reply to a subscription is neither OK nor ALREADY")
        return parts == [b"OK"]

    async def service_nodes(self, known_block: str = "") -> NodeList | None:
        """Ask for all nodes; None when the daemon says that the chain still ends with `known_block` (hex).

        Nodes that are unfunded or lack a key are left out, those without an address are not.
        """
        params: dict[str, Any] = {"active_only": False, "fields": dict.fromkeys(LIST_FIELDS, True)}
        if known_block:
            params["poll_block_hash"] = known_block
        reply = _object(await self.call("rpc.get_service_nodes", params))
        if reply.get("unchanged") is True:
            return None
        nodes = parse_result(reply, keep_unreachable=True)
        if nodes.height == 0 or not is_block_hash(nodes.block_hash):
            raise ParseError("the daemon's node list does not say of which block it is")
        return replace(nodes, nodes=tuple(node for node in nodes.nodes if node.legacy))

    async def height(self) -> int:
        """Ask where the chain ends."""
        params = {"fields": {"height": True}, "limit": 1}
        height = _object(await self.call("rpc.get_service_nodes", params)).get("height")
        if type(height) is not int or not 0 < height < 2**63:
            raise ParseError("the daemon does not tell its height")
        return height

    async def block_hash(self, height: int) -> str:
        """Ask for the hash (hex) of the block at `height`."""
        block_hash = await self.call("rpc.get_block_hash", {"height": [height]})
        if not is_block_hash(block_hash):
            raise ParseError("the daemon's block hash is not one")
        return str(block_hash)

    async def ping(self, announcement: Announcement, error: str = "") -> str:
        """Tell the daemon that the storage server is there, and its `error` if it is unwell; return the verdict."""
        params: dict[str, Any] = {
            "version": list(announcement.version),
            "pubkey_ed25519": announcement.ed25519.hex(),
            "https_port": announcement.https_port,
            "omq_port": announcement.omq_port,
        }
        return await self._verdict("admin.storage_server_ping", params | ({"error": error} if error else {}))

    async def report_peer_status(self, legacy: bytes, *, passed: bool) -> str:
        """Tell the daemon how a test of another node went; return its verdict on the report."""
        params = {"type": "storage", "pubkey": legacy.hex(), "passed": passed}
        return await self._verdict("admin.report_peer_status", params)

    async def _verdict(self, name: str, params: Mapping[str, Any]) -> str:
        status = _object(await self.call(name, params), status=False).get("status")
        if not isinstance(status, str):
            raise ParseError("the daemon's reply lacks its status")
        return status[:MAX_TEXT]

    async def _request(self, name: str, parts: list[bytes]) -> list[bytes]:
        try:
            return await self._link.request(name, parts, timeout=self._timeout)
        except (PeerTimeout, PeerRefused) as error:
            raise RegistryError(str(error)) from None


def is_block_hash(value: object) -> bool:
    """Whether a value is a block hash in hex."""
    try:
        return isinstance(value, str) and len(value) == 64 and len(bytes.fromhex(value)) == 32
    except ValueError:
        return False


def _object(reply: Any, *, status: bool = True) -> dict[str, Any]:
    """Check that a reply is an object, and with `status` that it does not say it is a failure."""
    if not isinstance(reply, dict):
        raise ParseError("the daemon's reply is not an object")
    said = reply.get("status", OK)
    if status and said != OK:
        raise RegistryError(str(said)[:MAX_TEXT])
    return reply


def _secret(reply: Mapping[str, Any], name: str, size: int) -> bytes:
    """Read a private key.  The error must not quote it."""
    value = reply.get(name)
    try:
        secret = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        secret = b""
    if len(secret) != size:
        raise ParseError(f"the daemon gives no {name}: is it running as a service node?")
    return secret


def _text(raw: bytes) -> str:
    return raw[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT]

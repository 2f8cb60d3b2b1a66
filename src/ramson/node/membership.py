"""Which accounts are this node's, and who their nodes are, as the current node list has it.

It keeps what can be computed once for a list: the own swarm, and the finished replies to `get_swarm`.  It never asks
for a new list; the registry does.  Spec: swarms.md §2, storage-rpc.md §4 *get_swarm*.
"""

from __future__ import annotations

from typing import Any, Protocol

from ramson.node.replies import encode
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.storage import Encoding
from ramson.protocol.swarms import UNASSIGNED


class CurrentList(Protocol):
    """Where the node list comes from: the part of the registry that is needed here."""

    def current(self) -> NodeList:
        """Return the newest list."""
        ...


class Membership:
    """The current list as this node (by its Ed25519 key) sees it."""

    def __init__(self, registry: CurrentList, own_ed25519: bytes) -> None:
        self._registry = registry
        self._own_ed25519 = own_ed25519
        self._view: View | None = None

    def view(self) -> View:
        """Return what follows from the current list."""
        nodes = self._registry.current()
        if self._view is None or self._view.nodes is not nodes:
            self._view = View(nodes, self._own_ed25519)
        return self._view


class View:
    """What follows from one node list."""

    def __init__(self, nodes: NodeList, own_ed25519: bytes) -> None:
        self.nodes = nodes
        own = nodes.by_ed25519.get(own_ed25519)
        self.swarm_id = None if own is None or own.swarm_id == UNASSIGNED else own.swarm_id
        self.hardfork = nodes.hardfork
        # The beginning of a `get_swarm` reply (up to the time) for each swarm and encoding.
        self._replies: dict[tuple[int | None, Encoding], bytes] = {}

    def owns(self, account: bytes) -> bool:
        """Tell whether the account belongs to this node's swarm."""
        return self.swarm_id is not None and self.nodes.swarm_of(account)[0] == self.swarm_id

    def swarm_reply(self, account: bytes, encoding: Encoding, now: int) -> bytes:
        """Return the reply to `get_swarm`, which is also the body of a 421."""
        swarm_id, members = self.nodes.swarm_of(account)
        reply = self._replies.get((swarm_id, encoding))
        if reply is None:
            reply = self._replies[swarm_id, encoding] = self._begin(swarm_id, members, encoding)
        # `t` is the last key in bencode's order and may be the last in JSON.
        return reply + (b'"t":%d}' if encoding is Encoding.JSON else b"1:ti%dee") % now

    def _begin(self, swarm_id: int | None, members: tuple[NodeRecord, ...], encoding: Encoding) -> bytes:
        document = {
            "snodes": [_describe(node) for node in members],
            "swarm": f"{UNASSIGNED if swarm_id is None else swarm_id:x}",
            "hf": self.hardfork,
        }
        whole = encode(document, encoding)
        return whole[:-1] + b"," if encoding is Encoding.JSON else whole[:-1]


def _describe(node: NodeRecord) -> dict[str, Any]:
    return {
        "address": node.snode_address,
        "pubkey_legacy": node.legacy.hex(),
        "pubkey_x25519": node.x25519.hex(),
        "pubkey_ed25519": node.ed25519.hex(),
        "port": str(node.https_port),
        "port_https": node.https_port,
        "port_omq": node.omq_port,
        "port_quic": node.omq_port,
        "ip": node.ip,
    }

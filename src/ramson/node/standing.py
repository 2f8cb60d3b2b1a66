"""Where this node stands: the list it goes by, its own entry, its swarm, and whether it may serve.

Everything is looked up in the registry's current list at each question, so that a change takes effect with the next
message.  Spec: storage-rpc.md §1 *Readiness*, swarms.md §4, §7.
"""

from __future__ import annotations

from typing import Final

from ramson.node.membership import Membership
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import Registry
from ramson.world import Endpoint, PeerAddress

LOWEST_HARDFORK: Final = (19, 3)


class Standing:
    """The node with Ed25519 key `ed25519` (32 bytes) in the lists of `registry`."""

    def __init__(self, registry: Registry, ed25519: bytes) -> None:
        self._registry = registry
        self._membership = Membership(registry, ed25519)
        self.ed25519 = ed25519
        self._judged: tuple[NodeList, tuple[str, ...]] | None = None
        self._others: tuple[NodeList, tuple[NodeRecord, ...]] | None = None

    @property
    def nodes(self) -> NodeList:
        """The current list."""
        return self._registry.current()

    @property
    def swarm_id(self) -> int:
        """The swarm this node is in; `UNASSIGNED` when it is in none, or not listed."""
        own = self._membership.view().swarm_id
        return UNASSIGNED if own is None else own

    @property
    def others(self) -> tuple[NodeRecord, ...]:
        """The other members of this node's swarm."""
        nodes = self.nodes
        if self._others is None or self._others[0] is not nodes:
            members = nodes.swarm(self.swarm_id)
            self._others = nodes, tuple(node for node in members if node.ed25519 != self.ed25519)
        return self._others[1]

    def owns(self, account: bytes) -> bool:
        """Tell whether an account (33 bytes) belongs to this node's swarm."""
        return self._membership.view().owns(account)

    def is_active(self, x25519: bytes) -> bool:
        """Tell whether a key is that of a node that is in some swarm."""
        node = self.nodes.by_x25519.get(x25519)
        return node is not None and node.assigned

    def unready(self) -> tuple[str, ...]:
        """Say what keeps the node from serving; nothing when it is ready."""
        nodes = self.nodes
        if self._judged is None or self._judged[0] is not nodes:
            self._judged = nodes, tuple(self._reasons())
        return self._judged[1]

    def _reasons(self) -> list[str]:
        reasons = []
        if self.nodes.hardfork < LOWEST_HARDFORK:
            reasons.append("the network is before hardfork 19.3")  # spec gap: no text is given
        if self.swarm_id == UNASSIGNED:
            reasons.append("not in any swarm")
        return reasons


def peer_address(node: NodeRecord) -> PeerAddress | None:
    """Return where a node's OxenMQ listener is; None while its address is unknown."""
    if not node.contactable or node.omq_port == 0:
        return None
    return PeerAddress(Endpoint(node.ip, node.omq_port), node.x25519)

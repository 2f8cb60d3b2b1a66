"""Service nodes as both ends know them: one record a node, and the list of all with its look-ups.

Values only: where a list comes from (seed, daemon, file) is the business of `seed`, `network_file` and the
registry.  Spec: oxend-interface.md §4 *rpc.get_service_nodes*, swarms.md §1–2, storage-rpc.md §4 *get_swarm*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from ramson.protocol.swarms import UNASSIGNED, nearest, position

NO_ADDRESS = "0.0.0.0"

_BASE32Z = "ybndrfg8ejkmcpqxot1uwisza345h769"


def base32z(data: bytes) -> str:
    """Write bytes in z-base-32, unpadded, as node addresses are written."""
    length = -(-len(data) * 8 // 5)
    number = int.from_bytes(data, "big") << (length * 5 - len(data) * 8)
    return "".join(_BASE32Z[number >> 5 * index & 31] for index in range(length - 1, -1, -1))


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One service node.

    Keys are 32 raw bytes each; `x25519` is the converted Ed25519 key, `legacy` the key the chain knows the
    node by (empty when the source of the list does not tell it, as seeds do not).  `ip` is dotted IPv4, empty
    or 0.0.0.0 when unknown.  `requested_unlock_height` is 0 while the node intends to stay.
    """

    ed25519: bytes
    x25519: bytes
    legacy: bytes
    ip: str
    https_port: int
    omq_port: int
    swarm_id: int
    requested_unlock_height: int = 0

    @property
    def snode_address(self) -> str:
        """The node's name on the network: its legacy key in z-base-32, and `.snode`."""
        return base32z(self.legacy) + ".snode"

    @property
    def contactable(self) -> bool:
        """Whether its HTTPS address is known."""
        return self.ip not in {"", NO_ADDRESS} and self.https_port != 0

    @property
    def assigned(self) -> bool:
        """Whether it is in a swarm; a node that is not still relays onion requests."""
        return self.swarm_id != UNASSIGNED


@dataclass(frozen=True)
class NodeList:
    """All nodes at one block.  Look-ups are made once, when first asked for.

    `block_hash` is lower-case hex (empty when unknown), `hardfork` is (hard fork, revision).
    """

    nodes: tuple[NodeRecord, ...]
    height: int
    block_hash: str
    hardfork: tuple[int, int]

    @cached_property
    def by_ed25519(self) -> Mapping[bytes, NodeRecord]:
        """Nodes by Ed25519 key, unassigned ones included."""
        return MappingProxyType({node.ed25519: node for node in self.nodes})

    @cached_property
    def by_x25519(self) -> Mapping[bytes, NodeRecord]:
        """Nodes by X25519 key, unassigned ones included."""
        return MappingProxyType({node.x25519: node for node in self.nodes})

    @cached_property
    def swarms(self) -> Mapping[int, tuple[NodeRecord, ...]]:
        """Members of each swarm, by ascending swarm id; without the unassigned."""
        members: dict[int, list[NodeRecord]] = {}
        for node in self.nodes:
            if node.assigned:
                members.setdefault(node.swarm_id, []).append(node)
        return MappingProxyType({swarm_id: tuple(members[swarm_id]) for swarm_id in sorted(members)})

    @cached_property
    def swarm_ids(self) -> tuple[int, ...]:
        """The ids of all swarms, ascending."""
        return tuple(self.swarms)

    def swarm(self, swarm_id: int) -> tuple[NodeRecord, ...]:
        """Return the members of a swarm; none for an unknown id and for `UNASSIGNED`."""
        return self.swarms.get(swarm_id, ())

    def swarm_of(self, account_raw: bytes) -> tuple[int | None, tuple[NodeRecord, ...]]:
        """Return the id and members of the swarm that owns an account; (None, ()) when there are no swarms."""
        swarm_id = nearest(self.swarm_ids, position(account_raw))
        return (None, ()) if swarm_id is None else (swarm_id, self.swarm(swarm_id))

"""The call `get_service_nodes`: which nodes and which of their fields a caller is told.

Spec: oxend-interface.md §4.  A list from a file knows identity, address and swarm of a node; fields about
stakes, proofs and tests are unknown here and left out.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.registry.registry import RegistryError

ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Selection:
    """Names of wanted fields; None means every one but `excluded`."""

    names: frozenset[str] | None
    excluded: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, fields: object) -> Selection:
        """Read `fields`: a list of names, possibly `all` and `-name`, or an object of name → true.

        Absent or empty means all.  Raises RegistryError.
        """
        if isinstance(fields, str):
            fields = [fields]
        if isinstance(fields, Mapping):
            names: list[Any] = [name for name, wanted in fields.items() if wanted]
        elif isinstance(fields, list):
            names = fields
        elif fields is None:
            names = []
        else:
            raise RegistryError("Invalid request: fields must be a list or an object")
        if not all(isinstance(name, str) for name in names):
            raise RegistryError("Invalid request: fields must be names")
        excluded = frozenset(name[1:] for name in names if name.startswith("-"))
        wanted = frozenset(name for name in names if not name.startswith("-"))
        return cls(None if not wanted or ALL in wanted else wanted, excluded)

    def of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what is wanted."""
        return {
            name: value
            for name, value in values.items()
            if (self.names is None or name in self.names) and name not in self.excluded
        }


def service_nodes(nodes: NodeList, params: Mapping[str, Any], entropy: random.Random | None = None) -> dict[str, Any]:
    """Answer `get_service_nodes`.

    A `limit` above 0 takes so many nodes at random, one below 0 shuffles all; without `entropy` they come in the
    list's order.  Raises RegistryError for parameters of the wrong type.
    """
    selection = Selection.parse(params.get("fields"))
    top = {
        "height": nodes.height,
        "target_height": 0,
        "block_hash": nodes.block_hash,
        "hardfork": nodes.hardfork[0],
        "snode_revision": nodes.hardfork[1],
    }
    polled = params.get("poll_block_hash")
    if polled and polled == nodes.block_hash:
        return {**selection.of(top), "unchanged": True, "status": "OK"}
    found = list(_wanted(nodes, params))
    limit = params.get("limit") or 0
    if not isinstance(limit, int):
        raise RegistryError("Invalid request: limit must be an integer")
    if limit and entropy is not None:
        entropy.shuffle(found)
    if limit > 0:
        found = found[:limit]
    states = [selection.of(_state(node)) for node in found]
    return {**selection.of(top), "service_node_states": states, "status": "OK"}


def _wanted(nodes: NodeList, params: Mapping[str, Any]) -> Iterable[NodeRecord]:
    keys = params.get("service_node_pubkeys") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RegistryError("Invalid request: service_node_pubkeys must be a list of keys")
    active_only = params.get("active_only") or False
    if not isinstance(active_only, bool):
        raise RegistryError("Invalid request: active_only must be a boolean")
    named = frozenset(keys)
    return (
        node for node in nodes.nodes if (node.assigned or not active_only) and (not named or node.legacy.hex() in named)
    )


def _state(node: NodeRecord) -> dict[str, Any]:
    return {
        "service_node_pubkey": node.legacy.hex(),
        "pubkey_ed25519": node.ed25519.hex(),
        "pubkey_x25519": node.x25519.hex(),
        "active": node.assigned,
        "funded": True,
        "requested_unlock_height": node.requested_unlock_height,
        "swarm_id": node.swarm_id,
        "swarm": f"{node.swarm_id:x}",
        "public_ip": node.ip,
        "storage_port": node.https_port,
        "storage_lmq_port": node.omq_port,
    }

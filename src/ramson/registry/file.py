"""A registry that takes its list from a network file: for devnets, closed networks and tests.

It never reads the file itself; whoever does so hands it the parsed `NetworkFile`, and a new one when it changed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from ramson.protocol.network_file import NetworkFile
from ramson.protocol.nodes import NodeList
from ramson.protocol.seed import RpcError, query_of, service_nodes_result
from ramson.registry.registry import RegistryError

_HASH_LENGTHS = frozenset({43, 44, 64})  # base64 without and with padding, hex


class FileRegistry:
    """The nodes of `network`.  `entropy` chooses for `limit`; without it each run chooses alike."""

    def __init__(self, network: NetworkFile, *, entropy: random.Random | None = None) -> None:
        self._entropy = entropy or random.Random(network.height)  # noqa: S311 - chooses public entries, guards nothing
        self._network = network
        self._list = network.node_list()
        self._replaced = asyncio.Event()

    def replace(self, network: NetworkFile) -> None:
        """Take a new list; whoever waits for a change learns of it."""
        self._network = network
        self._list = network.node_list()
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()

    def current(self) -> NodeList:
        """Return the newest list."""
        return self._list

    async def wait_change(self, after: NodeList) -> NodeList:
        """Return the newest list as soon as it differs from `after`."""
        while self._list == after:
            await self._replaced.wait()
        return self._list

    async def call(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        """Answer `get_service_nodes` and `ons_resolve` from the file.  Raises RegistryError."""
        match endpoint:
            case "get_service_nodes":
                try:
                    return service_nodes_result(self._list, query_of(endpoint, params), self._entropy)
                except RpcError as error:
                    raise RegistryError(str(error)) from None
            case "ons_resolve":
                return self._ons_resolve(params)
            case _:
                raise RegistryError(f"Unknown endpoint {endpoint}")

    def _ons_resolve(self, params: Mapping[str, Any]) -> Any:
        name_hash = params.get("name_hash")
        if not isinstance(name_hash, str) or len(name_hash) not in _HASH_LENGTHS:
            raise RegistryError("Invalid request: name_hash must be 64 hex or 44 base64 characters")
        known = self._network.ons or {}
        return known.get("result", {}) if known.get("name_hash") == name_hash else {}

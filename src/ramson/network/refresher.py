"""Renews the node list: five minutes after the start, then every hour, and soon when a swarm has no node left.

Which source is asked is the directory's business; what a node of the network is asked is here.
Spec: bootstrap-and-paths.md §2.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ramson.errors import ParseError
from ramson.network.directory import Directory
from ramson.network.errors import ListsContradict, NoSeeds
from ramson.network.failures import of_node
from ramson.network.requests import Answer, OnionRequests
from ramson.protocol import seed, storage
from ramson.protocol.nodes import NodeRecord

log = logging.getLogger(__name__)

FIRST_REFRESH = 300.0  # seconds after the start
REFRESH_EVERY = 3600.0
REFRESH_AT_MOST_EVERY = 60.0  # and half as often each time, when the last refresh was hurried too
HURRIED_AT_MOST_EVERY = 600.0
FIELDS = ("public_ip", "storage_port", "pubkey_x25519", "pubkey_ed25519")
_QUESTION = storage.OxendRequest(
    endpoint="get_service_nodes", params={"active_only": True, "fields": dict.fromkeys(FIELDS, True)}
)


class Refresher:
    """Keeps the list fresh until it is cancelled."""

    def __init__(self, directory: Directory, requests: OnionRequests) -> None:
        self._directory = directory
        self._requests = requests
        self._wanted = asyncio.Event()
        self._rest = REFRESH_AT_MOST_EVERY

    def hurry(self) -> None:
        """Renew the list soon: nodes that left the pool are needed again."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled; a list that cannot be renewed stays in use."""
        await self._pause(FIRST_REFRESH)
        while True:
            try:
                await self._directory.refresh(self.ask)
            except (NoSeeds, ListsContradict) as error:
                log.info("the node list could not be renewed: %s", error)
            await self._pause(REFRESH_EVERY)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than it takes when the list is wanted, and never less than the rest due."""
        await asyncio.sleep(self._rest)
        try:
            async with asyncio.timeout(seconds - self._rest):
                await self._wanted.wait()
            self._rest = min(HURRIED_AT_MOST_EVERY, 2 * self._rest)
        except TimeoutError:
            self._rest = REFRESH_AT_MOST_EVERY
        self._wanted.clear()

    async def ask(self, node: NodeRecord) -> Sequence[NodeRecord]:
        """Get the list of one node, through the network.  Raises NetworkError."""
        return await self._requests.to_node(node, [_QUESTION], _listed)


def _listed(answer: Answer) -> Sequence[NodeRecord]:
    (answered,) = answer.results
    result = storage.read_reply(_QUESTION, answered.body).result if of_node(answered) is None else None
    if not isinstance(result, dict):
        raise ParseError("node list: the node has none")
    return seed.parse_result(result).nodes

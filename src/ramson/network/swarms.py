"""Finding the swarm that keeps an account's mailbox.

A random node is asked, through the network: a node that saw both an address and an account id would know who reads
which mailbox.  Spec: bootstrap-and-paths.md §2.7, swarms.md §2.

Only nodes of our own list become members: a node that answers with nodes of its own invention is not believed.
Where the list tells swarm ids, the answer must also share a member with the swarm the account maps to.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ramson.network.errors import RequestFailed, SwarmUnavailable
from ramson.network.failures import of_node
from ramson.network.requests import Answer, OnionRequests
from ramson.network.routing import Routing
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.storage import GetSwarm, read_get_swarm

NODES_ASKED = 3
TRIES_PER_NODE = 3


class Swarms:
    """Looks up swarms and remembers them in the routing's cache; `missed` is called when one has no node left."""

    def __init__(
        self, requests: OnionRequests, routing: Routing, entropy: random.Random, missed: Callable[[], None]
    ) -> None:
        self._requests = requests
        self._routing = routing
        self._entropy = entropy
        self._missed = missed

    async def members(self, account: bytes) -> tuple[NodeRecord, ...]:
        """Return the known good members of the account's (33 bytes) swarm in random order, asking if need be.

        Raises SwarmUnavailable, NoPath.
        """
        cache = self._routing.swarms
        if not cache.enough(account):
            await self._look_up(account)
        members = list(cache.members(account))
        if not members:
            # spec gap: nodes that failed come back with the next list.  When they were all the swarm had, that is
            # up to an hour in which nothing can be sent there, although most failed only for a dead hop beside them.
            self._missed()
            raise SwarmUnavailable("No node that keeps this mailbox is known")
        self._entropy.shuffle(members)
        return tuple(members)

    async def _look_up(self, account: bytes) -> None:
        def read(answer: Answer) -> bool:
            (result,) = answer.results
            return of_node(result) is None and self.learn(account, result.body)

        asked: list[bytes] = []
        for _ in range(NODES_ASKED):
            nodes = self._routing.random_nodes(1, beside=asked)
            if not nodes:
                break
            asked.append(nodes[0].ed25519)
            question = [GetSwarm(account=account)]
            try:
                if await self._requests.to_node(nodes[0], question, read, attempts=TRIES_PER_NODE):
                    return
            except RequestFailed:
                continue

    def learn(self, account: bytes, body: Any) -> bool:
        """Take over the swarm that a node named, in a get_swarm reply or with status 421.

        Returns False when it names no node we can believe in.  Raises ParseError.
        """
        pool = self._routing.pool
        members = [pool[node.ed25519] for node in read_get_swarm(body).nodes if node.ed25519 in pool]
        listed = NodeList(tuple(pool.values()), 0, "", (0, 0))
        _, mapped = listed.swarm_of(account)
        if not members or (mapped and not set(mapped) & set(members)):
            return False
        self._routing.swarms.replace(account, members)
        return True

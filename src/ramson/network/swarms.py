"""Finding the swarm that keeps an account's mailbox.

Random nodes are asked, through the network: a node that saw both an address and an account id would know who reads
which mailbox.  Spec: bootstrap-and-paths.md §2.7, swarms.md §2.

Theory of operation.  Only nodes of our own list become members: a node that answers with nodes of its own invention is
not believed.  Where the list tells swarm ids, one answer is enough that shares a member with the swarm the account maps
to.  Where it does not, which is the rule, two nodes must agree before anything is sent to a swarm: one that lies
could lead messages to nodes that keep them from their recipient.  Two nodes are asked at once, each by a path of its
own, and a third if they differ; three that differ are believed in what two of them say.  What a member says
that refuses a request (421) is one such opinion.  Spec: the spec believes the first node asked.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ramson.network.errors import NetworkError, SwarmUnavailable
from ramson.network.failures import of_node
from ramson.network.requests import Answer, OnionRequests
from ramson.network.routing import Routing
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.storage import GetSwarm, read_get_swarm

OPINIONS = 3  # that are compared at most
AGREEING = 2
NODES_ASKED = 5  # for them, as some may not answer
TRIES_PER_NODE = 2
NEXT_NODE_AFTER = 6.0  # seconds; the two first asked are silent by both paths
REMEMBERED = 200  # opinions of nodes that refused

Members = frozenset[bytes]  # Ed25519 keys


class Swarms:
    """Looks up swarms and remembers them in the routing's cache; `missed` is called when one has no node left."""

    def __init__(
        self, requests: OnionRequests, routing: Routing, entropy: random.Random, missed: Callable[[], None]
    ) -> None:
        self._requests = requests
        self._routing = routing
        self._entropy = entropy
        self._missed = missed
        self._heard: dict[bytes, tuple[bytes, Members]] = {}

    async def members(self, account: bytes) -> tuple[NodeRecord, ...]:
        """Return the known good members of the account's (33 bytes) swarm in random order, asking if need be.

        Members that failed lately, or may have as hops, are the last.

        Raises SwarmUnavailable, NoPath.
        """
        cache = self._routing.swarms
        if account in self._heard or not cache.enough(account):
            await self._look_up(account)
        members = list(cache.members(account))
        if not members:
            # spec gap: nodes that failed come back with the next list.  When they were all the swarm had, that is
            # up to an hour in which nothing can be sent there, although most failed only for a dead hop beside them.
            self._missed()
            raise SwarmUnavailable("No node that keeps this mailbox is known")
        self._entropy.shuffle(members)
        members.sort(key=lambda node: self._routing.is_doubted(node.ed25519))
        return tuple(members)

    def hear(self, account: bytes, node: NodeRecord, body: Any) -> None:
        """Take note of the swarm that a node names which refused a request with status 421.  Raises ParseError."""
        named = self._named(account, body)
        if named:
            self._heard.pop(account, None)
            self._heard[account] = node.ed25519, named
            while len(self._heard) > REMEMBERED:
                self._heard.pop(next(iter(self._heard)))

    async def _look_up(self, account: bytes) -> None:
        """Ask nodes until there is agreement, or enough were asked."""
        opinions: list[Members] = []
        asked: list[bytes] = []
        if account in self._heard:
            node, named = self._heard.pop(account)
            asked.append(node)
            opinions.append(named)
        enough = 1 if self._mapped(account) else AGREEING
        agreed = _agreed(opinions, enough)
        asking: list[asyncio.Task[Members]] = []
        late = 0  # looks at which nobody had answered: so many more are asked
        async with asyncio.TaskGroup() as group:
            while not agreed and len(opinions) < OPINIONS:
                wanted = max(1, enough - len(opinions)) + late
                while len(asking) < wanted and len(asked) < NODES_ASKED:
                    nodes = self._routing.random_nodes(1, beside=asked)
                    if not nodes:
                        break
                    asking.append(group.create_task(self._ask(account, nodes[0], len(asked)), name="swarm query"))
                    asked.append(nodes[0].ed25519)
                if not asking:
                    break
                done, _ = await asyncio.wait(asking, timeout=NEXT_NODE_AFTER, return_when=asyncio.FIRST_COMPLETED)
                late += not done
                opinions += [named for task in asking if task.done() and (named := task.result())]
                asking = [task for task in asking if not task.done()]
                agreed = _agreed(opinions, enough)
            for task in asking:
                task.cancel()
        pool = self._routing.pool
        if members := [pool[key] for key in sorted(agreed or _majority(opinions)) if key in pool]:
            self._routing.swarms.replace(account, members)

    async def _ask(self, account: bytes, node: NodeRecord, number: int) -> Members:
        """Ask one node, the number telling by which path; no members if there is no answer to be believed."""
        paths = self._routing.paths
        apart = paths[number % len(paths)] if paths else None
        try:
            return await self._requests.to_node(
                node,
                [GetSwarm(account=account)],
                lambda answer: self._read(account, answer),
                attempts=TRIES_PER_NODE,
                apart=apart,
            )
        except NetworkError:
            return frozenset()

    def _read(self, account: bytes, answer: Answer) -> Members:
        (result,) = answer.results
        return self._named(account, result.body) if of_node(result) is None else frozenset()

    def _named(self, account: bytes, body: Any) -> Members:
        """Return the members that a node names, if they can be believed in, or none.  Raises ParseError."""
        named = frozenset(node.ed25519 for node in read_get_swarm(body).nodes if node.ed25519 in self._routing.pool)
        mapped = self._mapped(account)
        return named if not mapped or mapped & named else frozenset()

    def _mapped(self, account: bytes) -> Members:
        """Return the swarm the account maps to by our own list; none if the list does not tell swarm ids."""
        listed = NodeList(tuple(self._routing.pool.values()), 0, "", (0, 0))
        _, mapped = listed.swarm_of(account)
        return frozenset(node.ed25519 for node in mapped)


def _agreed(opinions: Sequence[Members], enough: int) -> Members:
    """Return the members on which enough opinions agree; none if there are no such."""
    return next((each for each in opinions if opinions.count(each) >= enough), frozenset())


def _majority(opinions: Sequence[Members]) -> Members:
    """Return the members that two opinions name, as when a swarm is just changing."""
    voices = Counter(key for each in opinions for key in each)
    return frozenset(key for key, count in voices.items() if count >= AGREEING)

"""Where lists of nodes come from: seeds asked directly, or nodes asked through the network.

Seeds are the only servers, besides guards, that a client contacts directly; they learn an address and nothing more.
A list from nodes has to be one on which three of them agree.  Spec: bootstrap-and-paths.md §2.1, §2.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from ramson.errors import ParseError
from ramson.network.entry import CannotFetch, Entry
from ramson.network.errors import NetworkError, NoSeeds
from ramson.network.profile import NetworkProfile, SeedUrl
from ramson.network.routing import Routing
from ramson.network.trace import SeedFailed, Source, Trace
from ramson.protocol import seed
from ramson.protocol.nodes import NodeRecord
from ramson.world import HttpRequest, NetError, Stage

log = logging.getLogger(__name__)

SEED_TIMEOUT = 5.0  # seconds
SEED_ATTEMPTS = 4
SEED_FIRST_PAUSE = 1.0  # seconds, doubled after each attempt
SEED_HEADERS = {"User-Agent": "WhatsApp", "Accept-Language": "en-us"}

ASKED = 3  # nodes whose lists are compared
MIN_AGREED = 24  # nodes that all of them must list
MIN_AGREED_SHARE = 2 / 3
NODES_ATTEMPTS = 4
MIN_POOL_TO_ASK_NODES = 17

_WHY = {
    Stage.NAME: "their names cannot be looked up",
    Stage.CONNECT: "no connection to them can be made",
    Stage.PROXY: "the proxy or transport cannot be used",
    Stage.TLS: "the encrypted connection to them fails or is not with the right key",
    Stage.REPLY: "they send no proper answer",
    Stage.TIMEOUT: "they do not answer in time",
}

AskNode = Callable[[NodeRecord], Awaitable[Sequence[NodeRecord]]]


def agree(answers: Sequence[Sequence[NodeRecord]]) -> tuple[NodeRecord, ...]:
    """Return the nodes that all answers list with the same address and keys; none when they agree on too few."""
    if len(answers) < ASKED:
        return ()
    known = [{(n.ip, n.https_port, n.ed25519, n.x25519) for n in answer if n.contactable} for answer in answers]
    shared = set.intersection(*known)
    # spec gap: the spec asks for 24 nodes only, so one liar among the three could cut the list down to 24 nodes of
    # its choice.  Agreement on less than two thirds of what the middle one lists is no agreement.
    usual = sorted(map(len, known))[len(known) // 2]
    if len(shared) < max(MIN_AGREED, MIN_AGREED_SHARE * usual):
        return ()
    return tuple(n for n in answers[0] if (n.ip, n.https_port, n.ed25519, n.x25519) in shared)


class Directory:
    """Fetches node lists and loads them into the routing."""

    def __init__(self, entry: Entry, profile: NetworkProfile, routing: Routing, trace: Trace) -> None:
        self._entry = entry
        self._profile = profile
        self._routing = routing
        self._trace = trace

    async def load_from_seeds(self) -> None:
        """Ask all seeds at once, several times if need be; the first valid list wins.

        When none answers, the bundled nodes are taken if there are any.  Raises NoSeeds.
        """
        whys: list[str] = []
        for attempt in range(SEED_ATTEMPTS if self._profile.seeds else 0):
            if attempt:
                await asyncio.sleep(SEED_FIRST_PAUSE * 2 ** (attempt - 1))
            whys.clear()
            nodes = await self._first_valid(whys)
            if nodes is not None:
                self._routing.load(nodes, Source.SEEDS)
                return
        if not self._profile.bundled:
            why = Counter(whys).most_common(1)[0][0] if whys else "this network has none"
            raise NoSeeds(f"No seed node gives the list of nodes: {why}")
        self._routing.load(self._profile.bundled, Source.BUNDLED)

    async def _first_valid(self, whys: list[str]) -> tuple[NodeRecord, ...] | None:
        won: list[tuple[NodeRecord, ...]] = []

        async def ask(url: SeedUrl) -> None:
            try:
                nodes = await self._ask_seed(url)
            except CannotFetch:
                why = "the way out in use does not lead to them"
            except NetError as error:
                why = _WHY[error.stage]
            except ParseError:
                why = "their answers make no sense"
            else:
                won.append(nodes)
                for other in asking:
                    other.cancel()
                return
            whys.append(why)
            self._trace(SeedFailed(url.endpoint.host, why))

        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(url), name="seed query") for url in self._profile.seeds]
        return won[0] if won else None

    async def _ask_seed(self, url: SeedUrl) -> tuple[NodeRecord, ...]:
        query = HttpRequest("POST", url.target, SEED_HEADERS, seed.service_nodes_query())
        reply = await self._entry.fetch(url.endpoint, query, tls=url.tls, timeout=SEED_TIMEOUT)
        if reply.status != 200:
            raise ParseError(f"seed: status {reply.status}")
        nodes = tuple(node for node in seed.parse_service_nodes(reply.body).nodes if node.contactable)
        if len(nodes) < self._profile.min_pool:
            raise ParseError("seed: a list too short to build a path from")
        return nodes

    async def refresh(self, ask: AskNode) -> None:
        """Renew the list: from three random nodes if the pool is large enough, else from the seeds.

        `ask` gets one node's list through an onion request and raises NetworkError.  Raises NoSeeds.
        """
        for _ in range(NODES_ATTEMPTS):
            if len(self._routing.pool) < MIN_POOL_TO_ASK_NODES:
                break
            nodes = agree(await self._ask_nodes(ask))
            if nodes:
                self._routing.load(nodes, Source.NODES)
                return
        await self.load_from_seeds()

    async def _ask_nodes(self, ask: AskNode) -> list[Sequence[NodeRecord]]:
        answers: list[Sequence[NodeRecord]] = []

        async def ask_one(node: NodeRecord) -> None:
            try:
                answers.append(await ask(node))
            except NetworkError as error:
                log.info("a node gave no list: %s", type(error).__name__)

        async with asyncio.TaskGroup() as group:
            for node in self._routing.random_nodes(ASKED):
                group.create_task(ask_one(node), name="node list query")
        return answers

"""Where lists of nodes come from: seeds asked directly, signed lists by any channel, nodes asked through the network.

Seeds are the only servers, besides guards, that a client contacts directly of itself; they learn an address and nothing
more.  What a list is worth is decided in `judge`; a list from nodes has to be one on which three of them agree.
Spec: bootstrap-and-paths.md §2.1, §2.2; REACH *Finding nodes without the seeds*.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from ramson.errors import ParseError, RamsonError
from ramson.network.entry import CannotFetch, Entry
from ramson.network.errors import ListsContradict, NetworkError, NoSeeds
from ramson.network.judge import SMALLEST_ANCHOR, FoundList, Known, Standing, Verdict, identity, judge
from ramson.network.list_source import ListSource
from ramson.network.profile import NetworkProfile, SeedUrl
from ramson.network.routing import Routing
from ramson.network.trace import ListAdopted, ListFailed, ListRefused, SeedFailed, Source, Trace
from ramson.protocol import node_list, seed
from ramson.protocol.nodes import NodeRecord
from ramson.world import HttpRequest, NetError, Stage

log = logging.getLogger(__name__)

SEED_TIMEOUT = 5.0  # seconds
SEED_ATTEMPTS = 4
SEED_FIRST_PAUSE = 1.0  # seconds, doubled after each attempt
SECOND_SEED = 2.0  # seconds that others get once one has answered, to confirm or contradict it
LIST_TIMEOUT = 60.0  # seconds, for one channel; each has shorter limits of its own
SEED_HEADERS = {"User-Agent": "WhatsApp", "Accept-Language": "en-us"}

ASKED = 3  # nodes whose lists are compared
MIN_AGREED = SMALLEST_ANCHOR  # nodes that all of them must list
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
    known = [{identity(node) for node in answer if node.contactable} for answer in answers]
    shared = set.intersection(*known)
    # spec gap: the spec asks for 24 nodes only, so one liar among the three could cut the list down to 24 nodes of
    # its choice.  Agreement on less than two thirds of what the middle one lists is no agreement.
    usual = sorted(map(len, known))[len(known) // 2]
    if len(shared) < max(MIN_AGREED, MIN_AGREED_SHARE * usual):
        return ()
    return tuple(node for node in answers[0] if identity(node) in shared)


class Directory:
    """Fetches node lists and loads them into the routing; `now` is this device's time in Unix ms."""

    def __init__(
        self, entry: Entry, profile: NetworkProfile, routing: Routing, trace: Trace, now: Callable[[], int]
    ) -> None:
        self._entry = entry
        self._profile = profile
        self._routing = routing
        self._trace = trace
        self._now = now
        self.known: Known | None = None
        self.contradicted = False  # at the last try, lists that were found contradicted what is known or each other

    def remember(self, known: Known) -> None:
        """Start with what was known in the last run."""
        self.known = known
        self._routing.load(known.nodes, Source.CACHE)

    async def load(self) -> bool:
        """Find a list to start from, or another one because too few nodes of the last answered.

        Seeds are asked at once, several times if need be, and the channels for signed lists besides.  When nothing
        is found, what is known or bundled gets another chance; whether something was found is returned.
        Raises NoSeeds, ListsContradict.
        """
        try:
            await self._find(1 if self.known else SEED_ATTEMPTS)
        except (NoSeeds, ListsContradict):
            if self.known is None:
                raise
            self._routing.load(self.known.nodes, Source.CACHE)
            return False
        return True

    async def _find(self, attempts: int) -> None:
        whys: list[str] = []
        self.contradicted = False
        for attempt in range(attempts if self._profile.seeds or self._profile.lists else 0):
            if attempt:
                await asyncio.sleep(SEED_FIRST_PAUSE * 2 ** (attempt - 1))
            whys.clear()
            verdict, source = await self._consult(whys)
            if verdict.anchor is not None:
                self._adopt(verdict, verdict.anchor, source)
                return
            self.contradicted = verdict.contradiction
        if self.contradicted:
            raise ListsContradict
        if not self._profile.bundled:
            why = Counter(whys).most_common(1)[0][0] if whys else "this network has none"
            raise NoSeeds(f"No seed node gives the list of nodes: {why}")
        self._routing.load(self._profile.bundled, Source.BUNDLED)

    def _adopt(self, verdict: Verdict, anchor: Known, source: Source) -> None:
        self.known = anchor
        self._trace(ListAdopted(anchor.voice, anchor.standing, verdict.stale))
        self._routing.load(verdict.nodes, source)

    async def _consult(self, whys: list[str]) -> tuple[Verdict, Source]:
        """Ask whom it takes for a verdict that stands: what is on this device, then seeds, then other channels."""
        found = await self._fetch_lists(local=True)
        verdict = self._judge(found)
        source = Source.LIST
        if not _stands(verdict) or verdict.signed is None:
            answers = await self._ask_seeds(whys)
            found += answers
            verdict = self._judge(found)
            source = Source.SEEDS if answers and verdict.signed is None else Source.LIST
        if not _stands(verdict):
            others = await self._fetch_lists(local=False)
            verdict = self._judge(found + others)
            source = Source.LIST if verdict.signed is not None else source
        for voice, why in verdict.refused:
            log.info("a list of nodes was not used: %s", why.value)
            self._trace(ListRefused(voice, why))
        return verdict, source

    def _judge(self, found: Sequence[FoundList]) -> Verdict:
        return judge(found, self.known, self._profile.authority, self._now(), min_nodes=self._profile.min_pool)

    async def _fetch_lists(self, *, local: bool) -> list[FoundList]:
        found: list[FoundList] = []

        async def fetch(source: ListSource) -> None:
            try:
                async with asyncio.timeout(LIST_TIMEOUT):
                    found.append(FoundList(source.name, node_list.decode(await source.fetch(self._entry))))
            except (RamsonError, TimeoutError) as error:
                self._trace(ListFailed(source.name, str(error) or "it does not answer in time"))

        async with asyncio.TaskGroup() as group:
            for source in self._profile.lists:
                if source.local == local:
                    group.create_task(fetch(source), name="node list channel")
        return found

    async def _ask_seeds(self, whys: list[str]) -> list[FoundList]:
        """Ask all seeds at once; when one has answered, the others get a moment to confirm or contradict it."""
        found: list[FoundList] = []

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
                found.append(FoundList(str(url.endpoint), nodes))
                return
            whys.append(why)
            self._trace(SeedFailed(url.endpoint.host, why))

        async with asyncio.TaskGroup() as group:
            asking = {group.create_task(ask(url), name="seed query") for url in self._profile.seeds}
            while asking and not found:
                _, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECOND_SEED):
                    while asking and not _stands(self._judge(found)):
                        _, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            for late in asking:
                late.cancel()
        return found

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

        `ask` gets one node's list through an onion request and raises NetworkError.  What only one voice ever said is
        first held against others, for nodes of a false list confirm it.  Raises NoSeeds, ListsContradict.
        """
        if self.known is not None and not self.known.vouched and len(self._profile.seeds + self._profile.lists) > 1:
            verdict, source = await self._consult([])
            if verdict.anchor is not None and verdict.anchor.vouched:
                self._adopt(verdict, verdict.anchor, source)
                return
        for _ in range(NODES_ATTEMPTS):
            if len(self._routing.pool) < MIN_POOL_TO_ASK_NODES:
                break
            nodes = agree(await self._ask_nodes(ask))
            if nodes:
                standing, voice = (self.known.standing, self.known.voice) if self.known else (Standing.PROVISIONAL, "")
                self.known = Known(nodes, standing, voice, self._now())
                self._routing.load(nodes, Source.NODES)
                return
        await self._find(SEED_ATTEMPTS)

    async def _ask_nodes(self, ask: AskNode) -> list[Sequence[NodeRecord]]:
        answers: list[Sequence[NodeRecord]] = []

        async def ask_one(node: NodeRecord) -> None:
            try:
                answers.append(await ask(node))
            except NetworkError as error:
                log.info("a node gave no list: %s", type(error).__name__)

        async with asyncio.TaskGroup() as group:
            for node in self._routing.random_nodes(ASKED, beside=self._newcomers()):
                group.create_task(ask_one(node), name="node list query")
        return answers

    def _newcomers(self) -> set[bytes]:
        """Return the nodes that a seed named besides those of an anchor: they do not vouch for the next one."""
        if self.known is None:
            return set()
        return set(self._routing.pool) - {node.ed25519 for node in self.known.nodes}


def _stands(verdict: Verdict) -> bool:
    """Whether there is no need to ask anybody else."""
    return verdict.anchor is not None and verdict.anchor.vouched and not verdict.stale

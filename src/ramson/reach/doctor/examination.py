"""Examining what can be reached from here: seeds, a sample of nodes, and every way out, each by real requests.

Theory of operation.  Seeds and nodes are asked by the first way that is allowed, the straight one unless a person
wants another.  A node is asked by an onion request that only it can answer, so that whoever answers in its place is
found out; nodes that answered are then asked for some 30 KB, which a filter that freezes connections does not let
through.  After that every other way has to bring such a request to one of three nodes.  It all ends in a bounded
time, with what was found until then.  Spec: REACH, *What the person sees*.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from ramson.errors import ParseError, RamsonError
from ramson.network import guard_test
from ramson.network.clock import ClockOffset
from ramson.network.directory import SEED_HEADERS
from ramson.network.entry import CannotFetch, DirectEntry
from ramson.network.profile import SeedUrl
from ramson.protocol import node_list, onion, seed, storage, strict_json
from ramson.protocol.nodes import NodeRecord
from ramson.reach.doctor import names
from ramson.reach.doctor.findings import Findings, NameCheck, Subject, Trial
from ramson.reach.doctor.plan import ASKED_BY_WAY, Plan, optional
from ramson.reach.order import Candidate
from ramson.reach.route import Route, Rung, Symptom, symptom
from ramson.world import HttpRequest, HttpResponse, Net, NetError, World

WHOLE: Final = 60.0  # seconds
EACH: Final = 8.0  # seconds
LIST_SECONDS: Final = 15.0  # for all bridges that are asked for a list of nodes
AT_ONCE: Final = 5  # nodes: many connections in one moment are themselves a thing that filters look for
LONG_ASKED: Final = 2  # nodes
LONG_BYTES: Final = 24 * 1024  # of the long question; its answer is longer in a network of some size

_STRAIGHT: Final = frozenset({Rung.DIRECT, Rung.SPLIT})
_INFO: Final = storage.Batch(requests=(storage.Info(),))
_FIELDS: Final = ("public_ip", "storage_port", "pubkey_ed25519", "pubkey_x25519", "service_node_pubkey", "swarm_id")
_LONG: Final = strict_json.encode(
    {
        "jsonrpc": "2.0",
        **storage.to_json(
            storage.Batch(
                requests=(
                    storage.OxendRequest(
                        endpoint="get_service_nodes",
                        params={"active_only": True, "limit": 120, "fields": dict.fromkeys(_FIELDS, True)},
                    ),
                )
            )
        ),
    }
).ljust(LONG_BYTES)

Show = Callable[[str], None]
Ask = Callable[[], Awaitable[Symptom | None]]


async def examine(world: World, plan: Plan, *, show: Show = lambda _text: None, seconds: float = WHOLE) -> Findings:
    """Contact what the plan names and return what was found within `seconds`; `show` is told what is being done."""
    work = _Examination(world, plan, show)
    complete = True
    try:
        async with asyncio.timeout(seconds):
            await work.run()
    except TimeoutError:
        complete = False
    finally:
        await work.close()
    return work.findings(complete=complete)


class _Examination:
    def __init__(self, world: World, plan: Plan, show: Show) -> None:
        self._world = world
        self._plan = plan
        self._show = show
        self._clock = ClockOffset()
        self._trials: dict[str, Trial] = {}
        self._names: list[NameCheck] = []
        self._nodes = plan.nodes
        self._answering: list[NodeRecord] = []
        self._long: list[bool] = []
        self._routes: list[Route] = []
        self._net: Net | None = world.outlets.direct() if plan.straight else None

    async def run(self) -> None:
        """Do everything, one thing after the other."""
        if not self._plan.ways:
            return
        first = self._plan.ways[0]
        base = await self._open(first)
        if base is None:
            self._keep(Trial(Subject.ROUTE, first.label, Symptom.PROXY, rung=first.rung))
        else:
            self._show("Asking seeds…")
            await self._try_seeds(base)
            if not self._nodes:
                await self._list_from_bridges()
            await self._try_nodes(base, first)
        self._show("Trying the ways out…")
        async with asyncio.TaskGroup() as group:
            for way in self._plan.ways[1:] if self._nodes else ():
                group.create_task(self._try_way(way), name="way out")
        if base is not None and self._answering:
            self._show("Asking for more than a filter that freezes connections lets through…")
            await self._try_long(base)

    async def close(self) -> None:
        """Close what was opened."""
        for route in self._routes:
            await route.close()
        if self._net is not None:
            await self._net.close()

    def findings(self, *, complete: bool) -> Findings:
        """Return what was found so far."""
        return Findings(
            tuple(sorted(self._trials.values(), key=_place)),
            tuple(self._names),
            len(self._long),
            sum(self._long),
            self._clock.offset_ms if self._clock.voices else None,
            complete,
            bool(self._plan.ways) and self._plan.ways[0].rung in _STRAIGHT,
        )

    # Seeds.

    async def _try_seeds(self, base: Route) -> None:
        if not self._plan.fetches:
            return
        async with asyncio.TaskGroup() as group:
            for url in self._plan.seeds:
                group.create_task(self._try_seed(base, url), name="seed")

    async def _try_seed(self, base: Route, url: SeedUrl) -> None:
        host, found = url.endpoint.host, set[str]()

        def see(address: str) -> bool:
            found.add(address)
            return True

        query = HttpRequest("POST", url.target, SEED_HEADERS, seed.service_nodes_query())

        async def ask() -> Symptom | None:
            if self._net is not None:
                reply = await self._net.request(url.endpoint, query, tls=url.tls, timeout=EACH, allow=see)
            else:
                reply = await base.fetch(url.endpoint, query, tls=url.tls, timeout=EACH)
            return self._read_list(reply)

        await self._attempt(Trial(Subject.SEED, host), ask)
        if self._net is not None and self._plan.resolver and not _is_address(host):
            await self._compare(self._net, host, found)

    def _read_list(self, reply: HttpResponse) -> Symptom | None:
        if reply.status != 200:
            return Symptom.HTTP
        try:
            nodes = tuple(node for node in seed.parse_service_nodes(reply.body).nodes if node.contactable)
        except ParseError:
            return Symptom.HTTP
        if len(nodes) < self._plan.min_nodes:
            return Symptom.HTTP
        self._nodes = self._nodes or nodes
        return None

    async def _compare(self, net: Net, host: str, ours: set[str]) -> None:
        try:
            theirs = await names.addresses(net, self._plan.resolver, host, seconds=EACH)
        except (NetError, ParseError):
            theirs = frozenset()
        agrees = bool(ours & theirs) if theirs else None
        self._names.append(NameCheck(host, agrees))

    async def _list_from_bridges(self) -> None:
        """Take the nodes to ask from a bridge where nobody else named any; who signed them matters not for asking."""
        for lists in self._plan.lists:
            with contextlib.suppress(RamsonError, TimeoutError):
                async with asyncio.timeout(LIST_SECONDS):
                    data = await lists.fetch(DirectEntry(self._world.net, self._world.entropy))
                self._nodes = tuple(node for node in node_list.decode(data).statement.nodes if node.contactable)

    # Nodes.

    async def _try_nodes(self, base: Route, way: Candidate) -> None:
        sample = self._drawn(self._nodes, self._plan.sample)
        places, done = asyncio.Semaphore(AT_ONCE), 0

        async def try_one(number: int, node: NodeRecord) -> None:
            nonlocal done
            async with places:
                trial = await self._attempt(Trial(Subject.NODE, f"node {number}"), lambda: self._ask(base, node))
            done += 1
            self._show(f"Asking nodes… {done} of {len(sample)}")
            if trial.failed is None:
                self._answering.append(node)

        began = self._world.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, node in enumerate(sample, 1):
                group.create_task(try_one(number, node), name="node")
        if sample:
            trials = [trial for trial in self._trials.values() if trial.subject is Subject.NODE]
            outcome = None if self._answering else trials[0].failed
            self._keep(self._timed(Trial(Subject.ROUTE, way.label, outcome, rung=way.rung), began))

    async def _ask(self, route: Route, node: NodeRecord) -> Symptom | None:
        """Ask a node whether it is there, and for its time.  Raises NetError."""
        asked = guard_test.question(node, self._world.entropy)
        sent = self._world.clock.now()
        reply = await route.post(node, asked.body, timeout=EACH)
        if not guard_test.passed(asked, reply):
            return Symptom.ONION
        self._clock.observe(node.ed25519, sent_ms=sent, received_ms=self._world.clock.now(), t=_time(asked, reply))
        return None

    async def _try_long(self, base: Route) -> None:
        async def try_one(node: NodeRecord) -> None:
            asked = onion.build((), onion.NodeHop(node.ed25519, node.x25519), _LONG, entropy=self._world.entropy)
            try:
                await base.post(node, asked.body, timeout=EACH)
            except NetError:
                self._long.append(True)
            else:
                self._long.append(False)

        async with asyncio.TaskGroup() as group:
            for node in self._drawn(self._answering, LONG_ASKED):
                group.create_task(try_one(node), name="long question")

    # Ways out.

    async def _try_way(self, way: Candidate) -> None:
        trial = Trial(Subject.ROUTE, way.label, rung=way.rung, optional=optional(way))

        async def ask() -> Symptom | None:
            route = await self._open(way)
            if route is None:
                return Symptom.PROXY
            nodes = self._drawn(self._answering or self._nodes, ASKED_BY_WAY)
            return await _first_good([self._settled(route, node) for node in nodes])

        await self._attempt(trial, ask)

    async def _settled(self, route: Route, node: NodeRecord) -> Symptom | None:
        try:
            return await self._ask(route, node)
        except NetError as error:
            return symptom(error)
        except ParseError:  # a key that is none
            return Symptom.ONION

    async def _open(self, way: Candidate) -> Route | None:
        try:
            async with asyncio.timeout(EACH):
                route = await way.open()
        except (RamsonError, OSError, TimeoutError):
            return None
        self._routes.append(route)
        return route

    # Notes.

    async def _attempt(self, trial: Trial, ask: Ask) -> Trial:
        began = self._world.clock.monotonic()
        try:
            trial = replace(trial, failed=await ask())
        except CannotFetch:
            return trial
        except NetError as error:
            trial = replace(trial, failed=symptom(error), denied=error.denied)
        except ParseError:  # a key that is none
            trial = replace(trial, failed=Symptom.ONION)
        trial = self._timed(trial, began)
        self._keep(trial)
        return trial

    def _timed(self, trial: Trial, began: float) -> Trial:
        return replace(trial, seconds=round(self._world.clock.monotonic() - began, 1))

    def _keep(self, trial: Trial) -> None:
        """Note an outcome; of two ways with one name, as where Tor may listen, the better one counts."""
        name = f"{trial.subject} {trial.label}"
        before = self._trials.get(name)
        if before is None or before.failed is not None:
            self._trials[name] = trial

    def _drawn(self, nodes: Sequence[NodeRecord], count: int) -> list[NodeRecord]:
        return self._world.entropy.sample(list(nodes), min(count, len(nodes)))


async def _first_good(asking: Sequence[Coroutine[Any, Any, Symptom | None]]) -> Symptom | None:
    """Return None as soon as one has not failed, else how the last failed."""
    outcome: Symptom | None = Symptom.HTTP
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in asking]
        for finished in asyncio.as_completed(tasks):
            outcome = await finished
            if outcome is None:
                break
        for task in tasks:
            task.cancel()
    return outcome


def _time(asked: onion.OnionRequest, reply: HttpResponse) -> object:
    """Return the time that a node gave with its answer, None if it gave none."""
    try:
        results = storage.read_reply(_INFO, onion.open_node_reply(asked.reply, reply.body).body).results
    except ParseError:
        return None
    body = results[0].body if results else None
    return body.get("t", body.get("timestamp")) if isinstance(body, dict) else None


def _place(trial: Trial) -> tuple[int, int, int, str]:
    """Where a trial stands among others."""
    subjects = list(Subject)
    return subjects.index(trial.subject), trial.rung or 0, len(trial.label), trial.label


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

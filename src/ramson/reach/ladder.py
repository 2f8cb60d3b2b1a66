"""Choosing a way out by trying: the `Entry` that finds a route which gets through, and another when that one fails.

Theory of operation.  One task climbs: it probes the routes in order with a real onion request to a node, a new one
every second or as soon as one has failed, and crowns the first that is answered.  The order begins with what worked
last on this network, right before the straight way; the way in which the straight way failed tells what comes next.
Everything that is to be sent waits for a crowned route.  When a request waits and nobody at all has answered for some
seconds, the climber looks at the route in use before any other, so a slow guard costs one probe and a censor that
switches on is passed in seconds.  A destination that is slow while others answer costs nothing.
The second route that answered is kept as a spare, to be looked at first when the crowned one falls.

It never asks anything of anybody before it was told of a node, and it contacts no bridge, proxy or transport while
the straight way answers.  Without a known node only `fetch` goes out, by each way in turn.  Spec: REACH, *Choosing*.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from ramson.errors import RamsonError
from ramson.network import guard_test
from ramson.network.entry import Notice
from ramson.protocol.nodes import NodeRecord
from ramson.reach import words
from ramson.reach.memory import Memory
from ramson.reach.order import Candidate, first_order
from ramson.reach.race import race
from ramson.reach.route import CannotFetch, Route, Rung, Symptom, symptom
from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Stage, Tls, World

log = logging.getLogger(__name__)

PROBE_SECONDS = 6.0  # how long a probe may take
PROBED = 2  # nodes asked by one route at once: one of them may be dead
SILENCE = 3.0  # seconds without any reply by it, after which a route by which a request waits is suspect
GRACE = 1.0  # seconds that requests have to come back by a way that was given up
MANY_FAILURES = 3  # in a row
TELLING = frozenset({Symptom.PROXY, Symptom.FROZEN, Symptom.HELLO})  # one of these is enough
KNOWN = 64  # nodes remembered to probe with
FIRST_REST = 5.0  # seconds a way is left alone after failing, doubled each time
LONGEST_REST = {Rung.DIRECT: 15.0, Rung.SPLIT: 15.0}  # others are troubled more rarely
LONGEST_REST_OF_OTHERS = 60.0
NETWORK_LOOK = 5.0  # seconds between two looks at which network this is


@dataclass(frozen=True, slots=True)
class WayStatus:
    """What is known of the way out: the one in use, those being tried, and how the straight way failed, if it did."""

    using: Candidate | None = None
    trying: tuple[str, ...] = ()
    symptom: Symptom | None = None


@dataclass(slots=True)
class _Step:
    """What has been learned of a candidate."""

    candidate: Candidate
    route: Route | None = None
    failures: int = 0
    rests_until: float = 0.0
    heard: float = -math.inf  # when anybody answered by this way last
    symptom: Symptom | None = None
    flawed: bool = False  # connections of this way stop in the middle, which no probe shows
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    travelling: dict[asyncio.Timeout, None] = field(default_factory=dict)  # in order: a run of a simulation repeats

    def answered(self) -> None:
        """Forget its failures."""
        self.failures, self.rests_until, self.symptom = 0, 0.0, None

    def start_over(self) -> None:
        """Forget all that speaks against it."""
        self.answered()
        self.flawed = False


class Ladder:
    """An `Entry` over several candidates; an async context manager that owns the climbing task and all routes.

    `country` (two letters) is where the person says to be; see `order`.
    """

    def __init__(self, world: World, candidates: Sequence[Candidate], memory: Memory, *, country: str = "") -> None:
        self._country = country
        self._clock = world.clock
        self._entropy = world.entropy
        self._network_name = world.outlets.gateway
        self._memory = memory
        self._steps = {candidate.name: _Step(candidate) for candidate in candidates}
        self._using: _Step | None = None
        self._spare: _Step | None = None
        self._known: dict[bytes, NodeRecord] = {}
        self._failures = 0
        self._network = ""
        self._wanted, self._crowned, self._moved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []
        self._on_other_way: list[Callable[[], None]] = []
        self._on_status: list[Callable[[], None]] = []
        self._status = WayStatus()

    # Life.

    async def __aenter__(self) -> Self:
        self._network = self._network_name()
        await self._memory.load()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for work, name in ((self._climbing(), "ladder"), (self._watching_network(), "network watch")):
            self._running.append(self._tasks.create_task(work, name=name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        for task in self._running:
            task.cancel()
        try:
            cancelled = isinstance(error, asyncio.CancelledError)  # it may come from the group: only the group can tell
            await tasks.__aexit__(*(kind, error, trace) if cancelled else (None, None, None))
        finally:
            for step in self._steps.values():
                if step.route is not None:
                    await step.route.close()
            await self._memory.close()

    # Entry.

    async def send(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """See Entry."""
        self._know(guard)
        began = self._clock.monotonic()
        step, route = await self._way(timeout)
        left = timeout - (self._clock.monotonic() - began)
        try:
            async with self._travelling(step):
                reply = await route.post(guard, sealed, timeout=left)
        except NetError as error:
            self._failed(step, error)
            raise
        except TimeoutError:
            raise NetError(Stage.TIMEOUT, "the way out was given up for another") from None
        step.heard = asyncio.get_running_loop().time()
        if step is self._using:
            self._failures = 0
        return reply

    async def test(self, node: NodeRecord) -> bool:
        """See Entry."""
        return await guard_test.run(node, self.send, self._entropy)

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """See Entry.  While no route is crowned, each way that can carry it is tried."""
        if self._using is not None and self._using.route is not None:
            return await self._using.route.fetch(endpoint, request, tls=tls, timeout=timeout)
        got: list[HttpResponse] = []
        errors: list[NetError] = []

        async def attempt(candidate: Candidate) -> Symptom | None:
            try:
                route = await self._open(self._steps[candidate.name])
                got.append(await route.fetch(endpoint, request, tls=tls, timeout=timeout))
            except NetError as error:
                errors.append(error)
                return symptom(error)
            return None

        order = [candidate for candidate in self._order() if candidate.rung is not Rung.BRIDGE]
        try:
            async with asyncio.timeout(timeout):
                await race(order, attempt, favourites=self._favourites(), finish=False)
        except TimeoutError:
            errors.append(NetError(Stage.TIMEOUT, "no way out answered in time", reached=Stage.CONNECT))
        if not got:
            raise next((error for error in errors if not isinstance(error, CannotFetch)), None) or CannotFetch()
        return got[0]

    def watch(self, changed: Callable[[], None], told: Callable[[], None]) -> None:
        """See Entry."""
        self._on_other_way.append(changed)
        self._on_status.append(told)

    @property
    def notice(self) -> Notice:
        """See Entry."""
        status = self._status
        if status.using is not None:
            return Notice(words.usage(status.using), way=status.using.label)
        candidates = [step.candidate for step in self._steps.values()]
        return Notice(words.trouble(status.symptom, status.trying, candidates), lost=True)

    @property
    def straight(self) -> bool:
        """See Entry."""
        return self._using is not None and self._using.candidate.rung <= Rung.SPLIT

    @property
    def status(self) -> WayStatus:
        """What is known of the way out now."""
        return self._status

    # The way in use.

    def _know(self, node: NodeRecord) -> None:
        self._known.pop(node.ed25519, None)
        self._known[node.ed25519] = node
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    async def _way(self, seconds: float) -> tuple[_Step, Route]:
        """Return the crowned route, waiting for it if need be.  Raises NetError."""
        if self._using is None:
            self._wanted.set()
            try:
                async with asyncio.timeout(seconds):
                    await self._crowned.wait()
            except TimeoutError:
                raise NetError(Stage.TIMEOUT, "no way out has been found yet", reached=Stage.CONNECT) from None
        step = self._using
        if step is None or step.route is None:
            raise NetError(Stage.CONNECT, "the way out was lost")
        return step, step.route

    @contextlib.asynccontextmanager
    async def _travelling(self, step: _Step) -> AsyncIterator[None]:
        """Have the way looked at when it falls silent during the block; end it (TimeoutError) once it is given up.

        While others answer by the way, it is not the way that keeps a request waiting.
        """
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def suspect() -> None:
            nonlocal timer
            quiet_at = step.heard + SILENCE
            if step is not self._using:
                return
            if quiet_at > loop.time():
                timer = loop.call_at(quiet_at, suspect)
            else:
                self._wanted.set()

        timer = loop.call_later(SILENCE, suspect)
        try:
            async with asyncio.timeout(None) as limit:
                step.travelling[limit] = None
                try:
                    yield
                finally:
                    step.travelling.pop(limit, None)
        finally:
            timer.cancel()

    def _failed(self, step: _Step, error: NetError) -> None:
        if step is self._using:
            how = symptom(error)
            self._failures += 1
            if how is Symptom.FROZEN and step.candidate.rung is Rung.BRIDGE and self._failures < MANY_FAILURES:
                return  # it goes on by shorter connections; to look for another way would show nodes to who watches
            if how is Symptom.FROZEN and not step.flawed:
                self._flaw(step)
            if self._failures >= MANY_FAILURES or how in TELLING:
                self._wanted.set()

    def _flaw(self, step: _Step) -> None:
        """Prefer any other way from now on, and that as soon as one is found."""
        straight = (Rung.DIRECT, Rung.SPLIT)
        for other in self._steps.values():
            if other is step or (step.candidate.rung in straight and other.candidate.rung in straight):
                other.flawed = True  # what freezes the one freezes the other

    # Climbing.

    async def _climbing(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            # Without a node there is nobody to probe with: whoever brings the first one wants it again.
            while self._known and not await self._climb():
                await self._rest()

    async def _climb(self) -> bool:
        """Probe until a way answers, and crown it; whether one did."""
        answered: list[_Step] = []

        async def attempt(candidate: Candidate) -> Symptom | None:
            step = self._steps[candidate.name]
            self._show(trying=(*self._status.trying, candidate.label))
            how = await self._probe(step)
            self._note(step, how)
            if how is None:
                answered.append(step)
                if len(answered) == 1:
                    await self._crown(step)
                elif step is not self._using:
                    self._spare = step
            return how

        doubted = self._using is not None
        await race(self._order(), attempt, favourites=self._favourites(), finish=True, doubted=doubted)
        self._show(trying=())
        if not answered:
            self._uncrown(self._straight_symptom() or Symptom.PROXY)
        return bool(answered)

    def _favourites(self) -> list[str]:
        """Return what is to be looked at before the straight way: what is in use, the spare, what worked last here."""
        last = self._steps.get(self._memory.recall(self._network) or "")
        held = [step for step in (self._using, self._spare, last) if step is not None and not step.flawed]
        return list(dict.fromkeys(step.candidate.name for step in held))

    def _order(self) -> list[Candidate]:
        now = self._clock.monotonic()
        rested = [step.candidate for step in self._steps.values() if step.rests_until <= now or step is self._using]
        order = first_order(rested, self._favourites(), self._country)
        return sorted(order, key=lambda candidate: self._steps[candidate.name].flawed)

    async def _probe(self, step: _Step) -> Symptom | None:
        """Ask some nodes something by this way; None if one answered as itself, else how it failed."""
        try:
            route = await self._open(step)
        except NetError as error:
            return symptom(error)
        nodes = self._entropy.sample(list(self._known.values()), min(PROBED, len(self._known)))
        outcomes = await asyncio.gather(*(self._ask(route, node) for node in nodes))
        return None if None in outcomes else outcomes[0]

    async def _ask(self, route: Route, node: NodeRecord) -> Symptom | None:
        asked = guard_test.question(node, self._entropy)
        try:
            reply = await route.post(node, asked.body, timeout=PROBE_SECONDS)
        except NetError as error:
            return symptom(error)
        return None if guard_test.passed(asked, reply) else Symptom.ONION

    async def _open(self, step: _Step) -> Route:
        """Return the candidate's route, made if need be.  Raises NetError."""
        async with step.opening:
            if step.route is None:
                try:
                    step.route = await step.candidate.open()
                except NetError:
                    raise
                except (RamsonError, OSError) as error:
                    raise NetError(Stage.PROXY, "the way out could not be prepared") from error
            return step.route

    def _note(self, step: _Step, how: Symptom | None) -> None:
        if how is None:
            step.answered()
            return
        step.symptom = how
        longest = LONGEST_REST.get(step.candidate.rung, LONGEST_REST_OF_OTHERS)
        step.rests_until = self._clock.monotonic() + min(longest, FIRST_REST * 2**step.failures)
        step.failures += 1
        log.info("no way out by rung %d: %s", step.candidate.rung, how.value)

    async def _crown(self, step: _Step) -> None:
        before, self._using, self._failures = self._using, step, 0
        if self._spare is step:
            self._spare = None
        self._crowned.set()
        self._show(using=step.candidate, symptom=self._straight_symptom())
        if before is not step:
            if before is not None:
                soon = asyncio.get_running_loop().time() + GRACE
                for limit in before.travelling:
                    limit.reschedule(soon)
            log.info("the way out is rung %d", step.candidate.rung)
            for changed in self._on_other_way:
                changed()
            await self._memory.remember(self._network, step.candidate.name)

    def _uncrown(self, how: Symptom | None) -> None:
        self._using = self._spare = None
        self._crowned.clear()
        self._show(using=None, symptom=how)

    def _straight_symptom(self) -> Symptom | None:
        for step in self._steps.values():
            if step.candidate.rung is Rung.DIRECT:
                return Symptom.FROZEN if step.flawed else step.symptom
        return None

    async def _rest(self) -> None:
        """Wait until a way may be tried again, or this machine is in another network."""
        seconds = min(step.rests_until for step in self._steps.values()) - self._clock.monotonic()
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._moved.wait()

    async def _watching_network(self) -> None:
        """Start over when this machine is in another network than before."""
        while True:
            await asyncio.sleep(NETWORK_LOOK)
            network = self._network_name()
            if network == self._network:
                continue
            log.info("this machine is in another network now")
            self._network = network
            for step in self._steps.values():
                step.start_over()
            self._uncrown(None)
            self._moved.set()
            self._wanted.set()

    def _show(self, **changes: Any) -> None:
        status = replace(self._status, **changes)
        if status != self._status:
            self._status = status
            for told in self._on_status:
                told()

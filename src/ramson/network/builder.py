"""Keeps two paths standing: gets a list when there is none, finds guards, builds behind them, and tries again.

All choices are `routing`'s; here are only the tests of guards and the pauses.  Spec: bootstrap-and-paths.md §2.3.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from ramson.network.directory import Directory
from ramson.network.entry import Entry
from ramson.network.errors import ListsContradict, NetworkError, NoPath
from ramson.network.routing import Routing
from ramson.network.trace import GuardTested, Trace
from ramson.protocol.nodes import NodeRecord

BATCH = 2  # guards tested at a time
ROUNDS = 6
QUICK_TRIES = 4  # a second apart; then the pauses double
PAUSE = 1.0  # seconds
LONGEST_PAUSE = 60.0
LONGEST_PAUSE_WITH_PATH = 600.0  # a network that has only one path for us is not asked for another all the time


class PathBuilder:
    """Builds what paths are missing whenever it is woken, until it is cancelled.

    `trouble` is told, in words for a person, what stands in the way, and the empty text when nothing does.
    """

    def __init__(
        self, entry: Entry, directory: Directory, routing: Routing, *, trouble: Callable[[str], None], trace: Trace
    ) -> None:
        self._entry = entry
        self._directory = directory
        self._routing = routing
        self._trouble = trouble
        self._trace = trace
        self._wanted = asyncio.Event()
        self._doubtful = False  # the list is not worth another try: too few of its nodes answered

    def wake(self) -> None:
        """Say that a path is missing, or that there is a new list to build one from."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        failures = 0
        while True:
            try:
                await self._build()
            except NetworkError as error:
                failures += 1
                pause = self._pause_after(failures)
                self._trouble(f"{error}; trying again in {pause:.0f} s. {error.remedy}")
                await self._pause(pause)
            else:
                failures = 0
                self._trouble("")
                await self._wanted.wait()
                self._wanted.clear()

    def _pause_after(self, failures: int) -> float:
        longest = LONGEST_PAUSE_WITH_PATH if self._routing.paths else LONGEST_PAUSE
        doubled = min(failures - QUICK_TRIES, 16)
        return PAUSE if doubled < 0 else min(longest, PAUSE * 2.0**doubled)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until something happens that may help."""
        self._wanted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()

    async def _build(self) -> None:
        """Build what is missing.  Raises NoSeeds, ListsContradict and NoPath; paths already built stay."""
        if not self._routing.missing:
            return
        online = True
        if self._doubtful or not self._routing.usable:
            online = await self._directory.load()
            self._doubtful = False
        if not self._routing.usable:
            raise NoPath("The list of nodes is too short or too uniform to build a path from")
        silent = await self._test(self._routing.idle_guards)
        tested: list[bytes] = []
        for _ in range(ROUNDS):
            if not self._routing.missing:
                break
            if guards := [guard for guard in self._routing.idle_guards if guard.ed25519 not in silent]:
                silent |= await self._test(guards)  # their paths were dropped meanwhile, not they
                continue
            candidates = self._routing.guard_candidates(BATCH, beside=tested)
            tested.extend(node.ed25519 for node in candidates)
            # If nobody gave a list we may be offline, and back at any moment: then it is the guards' turn first.
            await self._test(candidates, guards=() if online else self._routing.idle_guards)
        if self._routing.paths:
            # Only now that another node could be reached is one that could not be worth forgetting.
            self._routing.remember_guards(())
        if self._routing.missing:
            self._doubtful = True
            if self._directory.contradicted and not self._routing.paths:
                raise ListsContradict
            raise NoPath(
                "Only one path can be built: too few of the network's nodes answer"
                if self._routing.paths
                else "None of the nodes tried as a first step answers"
            )

    async def _test(self, nodes: Sequence[NodeRecord], *, guards: Sequence[NodeRecord] = ()) -> set[bytes]:
        """Test some nodes at once and build behind each that answers, as soon as it does; the keys of those silent.

        With `guards`, remembered ones, these are tested as well, and the others wait until all of them were.
        """
        silent: set[bytes] = set()
        sparing = [node.ed25519 for node in (*guards, *nodes)]
        guards_tested = asyncio.Event()

        async def test(node: NodeRecord) -> None:
            good = await self._entry.test(node)
            self._trace(GuardTested(node, good))
            if not good:
                silent.add(node.ed25519)
                return
            if node not in guards:
                await guards_tested.wait()
            if self._routing.missing:
                self._routing.build(node, sparing=sparing)

        async with asyncio.TaskGroup() as group:
            testing = {node: group.create_task(test(node), name="guard test") for node in (*guards, *nodes)}
            if guards:
                await asyncio.wait([testing[guard] for guard in guards])
            guards_tested.set()
        return silent

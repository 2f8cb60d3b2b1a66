"""Looks at guards that fell silent, to tell a guard that is gone from something behind it and from being offline.

A guard's silence counts only if another node answered a question sent at the same moment: one that answers later shows
that we are online again, not that we were.  The guards of other paths are that other node, and strangers only if no
guard answers.  What follows from a look is `routing`'s to say (`Routing.guard_seen`).
Spec: bootstrap-and-paths.md §2.5, §2.9 *Online flag*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ramson.network.entry import Entry
from ramson.network.routing import Routing
from ramson.network.trace import GuardTested, Trace
from ramson.protocol.nodes import NodeRecord

LOOK_AGAIN = 5.0  # seconds
STRANGERS = 2  # other nodes that are tried when no guard answers


class GuardWatch:
    """Looks at the guards of doubtful paths when woken, and again and again while they do not answer."""

    def __init__(self, entry: Entry, routing: Routing, trace: Trace) -> None:
        self._entry = entry
        self._routing = routing
        self._trace = trace
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Say that a path fell silent."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while guards := self._routing.doubtful_guards:
                await self._look(guards)
                if self._routing.doubtful_guards:
                    await asyncio.sleep(LOOK_AGAIN)

    async def _look(self, guards: Sequence[NodeRecord]) -> None:
        others = [path.guard for path in self._routing.paths if path.guard not in guards]
        seen = await self._test([*guards, *others])
        if not any(seen):
            seen = await self._test([*guards, *self._routing.guard_candidates(STRANGERS)])
        for guard, good in zip(guards, seen, strict=False):
            self._routing.guard_seen(guard.ed25519, good=good, online=any(seen))
            self._trace(GuardTested(guard, good))

    async def _test(self, nodes: Sequence[NodeRecord]) -> list[bool]:
        async with asyncio.TaskGroup() as group:
            tests = [group.create_task(self._entry.test(node), name="guard test") for node in nodes]
        return [test.result() for test in tests]

"""Trying several ways at once, each some time after the one before: happy eyeballs for ways out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ramson.reach.order import Candidate, after_failure, must_wait, pause_before
from ramson.reach.route import Symptom

Attempt = Callable[[Candidate], Awaitable[Symptom | None]]


async def race(
    order: Sequence[Candidate], attempt: Attempt, *, favourites: Sequence[str], finish: bool, doubted: bool = False
) -> None:
    """Attempt one after the other until one succeeds, that is, returns no symptom.

    The next is started when its time has come or one before has failed, see `order`.  After a success none is
    started; those that run are let run to their end with `finish`, or cancelled.  What was won, attempts tell.  The
    first may be `doubted` only.
    """
    clock = asyncio.get_running_loop().time
    waiting = list(order)
    running: dict[asyncio.Task[Symptom | None], Candidate] = {}
    due = clock()  # when the next is started
    won = False

    async def run(candidate: Candidate) -> Symptom | None:
        return await attempt(candidate)

    async with asyncio.TaskGroup() as group:
        while running or (waiting and not won):
            if waiting and not won and (clock() >= due or not running):
                started = waiting.pop(0)
                running[group.create_task(run(started), name="way out")] = started
                due = clock() + (pause_before(waiting[0], started, favourites, doubted=doubted) if waiting else 0)
                continue
            pause = due - clock() if waiting and not won else None
            done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                candidate, how = running.pop(task), task.result()
                if how is None:
                    won = True
                    continue
                waiting = after_failure(waiting, candidate, how)
                if waiting and not must_wait(waiting[0], running.values(), favourites):
                    due = clock()
            if won and not finish:
                for task in running:
                    task.cancel()
                return

"""Calls the handlers of synchronous bots on a fake network: a thread and the loop, of which one runs at a time.

While the handler's thread works, the virtual world stands still; while it waits for a verb, the world goes on.  So a
run of a test is the same each time, though it has threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from ramson.sync.bot import outcome
from ramson.sync.loop import Host, Loop, limited

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Verb:
    work: Callable[[], Awaitable[Any]]
    host: Host | None
    context: Context


@dataclass(frozen=True, slots=True)
class _End:
    raised: bool
    value: Any


class _Turn:
    """What a handler's thread asks, and what it is answered; see `ramson.sync.loop.Loop`."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[_Verb | _End] = SimpleQueue()
        self.answers: SimpleQueue[_End] = SimpleQueue()

    def run(self, work: Callable[[], Awaitable[T]], host: Host | None = None) -> T:
        """Let the world go on until the work is done."""
        self.asked.put(_Verb(work, host, copy_context()))
        answer = self.answers.get()
        if answer.raised:
            raise answer.value
        return cast("T", answer.value)


class LockstepCalls:
    """See `ramson.sync.bot.Calls`."""

    async def call(self, function: Callable[[Loop], T]) -> T:
        """Call it, and return what it returns."""
        turn = _Turn()
        threading.Thread(
            target=lambda: turn.asked.put(_End(*outcome(lambda: function(turn)))), name="bot handler", daemon=True
        ).start()
        while isinstance(asked := turn.asked.get(), _Verb):
            task = asyncio.get_running_loop().create_task(limited(asked.work, asked.host), context=asked.context)
            try:
                turn.answers.put(_End(raised=False, value=await task))
            except asyncio.CancelledError as error:
                turn.answers.put(_End(raised=True, value=error))
                raise
            except Exception as error:  # noqa: BLE001 - it is raised in the thread
                turn.answers.put(_End(raised=True, value=error))
        if asked.raised:
            raise asked.value
        return cast("T", asked.value)

"""A bot at work: takes messages from its client, calls handlers and jobs, and stops in good order.

Theory of operation.  `workers` tasks share `Client.messages`, so at most so many messages are in hand; the
rest waits in the account file, and then in the swarm.  A conversation that is being handled is passed over by the other
workers, so its messages are handled one after the other, in the order the client gives them, and however many there
are, they take one worker.  So is one that has had as many messages handled as its `Rate` allows, until
it may go on: nothing is dropped, and what one person writes is never in the way of another.

A message counts as delivered when its worker asks for the next one.  A handler that raises has had its message: the
error is told, and work goes on.  A process that is killed has not: the messages in hand come again at the next
start, and their handlers are called a second time.  Replies are in the account file before a message counts
as delivered.

Stopping: workers that wait for a message end at once; what was not begun is left for the next start; handlers that
run may end within `grace` seconds, and replies may leave; then what still runs is cancelled, and its message comes
again.  So the client must be left with an exception (`Left`): otherwise it would take what is in hand for delivered.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ramson.bot.arguments import BadArguments
from ramson.bot.rate import Rate, Turns
from ramson.bot.router import Job, bot_type
from ramson.crypto.account import AccountId
from ramson.errors import RamsonError
from ramson.messenger import Client, Message
from ramson.messenger.running import Tasks

if TYPE_CHECKING:
    from ramson.bot.bot import Bot

ErrorFunction: TypeAlias = Callable[[Exception, Message | None], Awaitable[str | None]]

_log = logging.getLogger(__name__)


class Left(Exception):
    """Work ends: no error, but how a client is told to keep what is in hand."""


class Serving:
    """One run of a bot with an open client."""

    def __init__(
        self, bot: Bot, client: Client, on_error: ErrorFunction | None, *, workers: int, grace: float, rate: Rate | None
    ) -> None:
        self._bot = bot
        self._client = client
        self._on_error = on_error
        self._workers = workers
        self._grace = grace
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()
        self._busy: set[AccountId] = set()
        self._turns = Turns(rate)

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Work for as long as the block runs; its end, if it is a good one, is a graceful stop."""
        async with Tasks() as tasks:
            tasks.start(self._run(), "bot")
            yield
            await self._stop()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"bot worker {number}")
            for job in self._bot.jobs():
                group.create_task(self._repeat(job), name=f"bot job {job.function.__name__}")
        self._ended.set()

    async def _stop(self) -> None:
        self._stopping.set()
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._ended.wait()
                await self._client.drain()

    async def _work(self) -> None:
        async with aclosing(self._client.messages(passing_over=self._passed_over)) as messages:
            while (message := await self._next(messages)) is not None:
                self._busy.add(message.conversation)
                self._turns.take(message.conversation, asyncio.get_running_loop().time())
                try:
                    await self._handle(message)
                finally:
                    self._busy.discard(message.conversation)

    def _passed_over(self) -> Collection[AccountId]:
        return self._busy.union(self._turns.resting(asyncio.get_running_loop().time()))

    async def _next(self, messages: AsyncGenerator[Message, None]) -> Message | None:
        """Return the next message, or None when there is to be no more; the one before counts as delivered."""
        try:
            # What is asked for with no time at all still marks the one before.
            async with asyncio.timeout(0 if self._stopping.is_set() else None) as wait:
                self._waits.add(wait)
                try:
                    message = await anext(messages)
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            return None
        return None if self._stopping.is_set() else message

    async def _handle(self, message: Message) -> None:
        try:
            answer = await self._answer(message)
        except Exception as error:  # noqa: BLE001 - one message must not end the bot
            answer = await self._failed(error, message)
        try:
            if answer:
                await self._client.send(message.conversation, answer, wait=False)
        except RamsonError as error:
            await self._failed(error, message)

    async def _answer(self, message: Message) -> str | None:
        if (route := self._bot.find(message)) is None:
            return None
        handler, found = route
        things: dict[type, object] = {Message: message, bot_type(): self._bot, re.Match: found.match}
        try:
            bound = handler.wants.bind(things, found)
            if message.request and self._bot.accepts:
                await self._client.accept(message.sender)
            return await handler.function(*bound.args, **bound.kwargs)
        except BadArguments as error:
            command, *_ = message.body.split(maxsplit=1) or [""]
            text = str(error)
            return f"{text[:1].upper()}{text[1:]}.\nUsage: {command} {handler.wants.usage}".rstrip()

    async def _failed(self, error: Exception, message: Message | None) -> str | None:
        """Tell of an error: to the bot's own handler of errors, or to the log, without its text."""
        if self._on_error is not None:
            try:
                return await self._on_error(error, message)
            except Exception as second:  # noqa: BLE001 - see above
                error = second
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno} {place.name}"
        _log.error("a handler failed: %s at %s", type(error).__name__, where)  # its text may quote a message
        return None

    async def _repeat(self, job: Job) -> None:
        while not await self._stops_within(job.seconds):
            try:
                await job.function(**{name: self._bot for name, _ in job.wants.things})
            except Exception as error:  # noqa: BLE001 - one failure must not end the job
                await self._failed(error, None)

    async def _stops_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

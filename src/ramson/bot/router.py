"""Routers: handlers in the order they are declared, jobs that repeat, and other routers included among them.

    weather = Router()

    @weather.on(f.command("weather"))
    async def tell(message: Message, city: str) -> str: ...

    bot.include(weather)

The first handler whose filter lets a message pass gets it, and no other.  An included router's handlers stand where
it was included, also those that it is given later.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from ramson.bot.arguments import BadHandler, Wants, wants
from ramson.bot.filters import Filter, Found, everything
from ramson.errors import LocalError
from ramson.messenger import Message

HandlerFunction: TypeAlias = Callable[..., Awaitable[str | None]]
JobFunction: TypeAlias = Callable[..., Awaitable[None]]
H = TypeVar("H", bound=HandlerFunction)
J = TypeVar("J", bound=JobFunction)

_MATCH: Final[type] = re.Match


@dataclass(frozen=True, slots=True)
class Handler:
    """A function, what it is for, and what it wants."""

    filter: Filter
    function: HandlerFunction
    wants: Wants


@dataclass(frozen=True, slots=True)
class Job:
    """A function that is called every so many seconds."""

    seconds: float
    function: JobFunction
    wants: Wants


class Router:
    """Handlers and jobs; with a filter, only for messages that it lets pass."""

    def __init__(self, only: Filter = everything) -> None:
        self._only = only
        self._parts: list[Handler | Router] = []
        self._jobs: list[Job] = []

    def on(self, only: Filter = everything) -> Callable[[H], H]:
        """Declare an async function the handler of the messages that a filter lets pass.

        A text that it returns is sent as a reply.  See `ramson.bot.arguments` for what it may take.
        Raises BadHandler.
        """

        def declare(function: H) -> H:
            wanted = wants(function, frozenset({Message, bot_type(), _MATCH}))
            if wanted.values and not only.finds_arguments:
                raise BadHandler(
                    f"{function.__qualname__} takes arguments, but its filter finds none",
                    remedy="Use f.command(…), or read message.body.",
                )
            if wanted.wants(_MATCH) and not only.finds_match:
                raise BadHandler(
                    f"{function.__qualname__} takes a match, but its filter finds none", remedy="Use f.regex(…)."
                )
            self._parts.append(Handler(only, function, wanted))
            return function

        return declare

    def every(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> Callable[[J], J]:
        """Declare an async function that is called again and again, first after this time; it may take the Bot.

        A call that takes longer than that delays the next.  Raises BadHandler.
        """
        interval = hours * 3600 + minutes * 60 + seconds
        if interval <= 0:
            raise LocalError("a job needs a time between its calls", remedy="Say hours=…, minutes=… or seconds=….")

        def declare(function: J) -> J:
            wanted = wants(function, frozenset({bot_type()}))
            if wanted.values:
                raise BadHandler(f"{function.__qualname__} is called by the clock: it can take a Bot and nothing else")
            self._jobs.append(Job(interval, function, wanted))
            return function

        return declare

    def include(self, router: Router) -> None:
        """Put the handlers of another router here, and add its jobs."""
        if self in router.routers():
            raise LocalError("a router cannot include itself")
        self._parts.append(router)

    def routers(self) -> Iterator[Router]:
        """Go through this router and all that it includes."""
        yield self
        for part in self._parts:
            if isinstance(part, Router):
                yield from part.routers()

    def handlers(self) -> Iterator[Handler]:
        """Go through the handlers in their order, those of included routers as well."""
        for part in self._parts:
            if isinstance(part, Router):
                yield from part.handlers()
            else:
                yield part

    def jobs(self) -> Iterator[Job]:
        """Go through the jobs, those of included routers as well."""
        yield from self._jobs
        for part in self._parts:
            if isinstance(part, Router):
                yield from part.jobs()

    def find(self, message: Message) -> tuple[Handler, Found] | None:
        """Return the handler of a message and what its filter found, or None if it is for none."""
        if self._only.find(message) is None:
            return None
        for part in self._parts:
            if isinstance(part, Router):
                if (inner := part.find(message)) is not None:
                    return inner
            elif (found := part.filter.find(message)) is not None:
                return part, found
        return None


def bot_type() -> type:
    """Return the type by which handlers ask for the bot."""
    from ramson.bot.bot import Bot  # noqa: PLC0415 - a bot is a router, and handlers of routers take bots

    return Bot

"""Bots whose handlers and jobs are ordinary functions.

    from ramson.sync import Bot, Message

    bot = Bot("echo.ramson", name="Echo")

    @bot.on(f.text)
    def echo(message: Message) -> str:
        return message.body

Theory of operation.  Behind it is the asynchronous Bot.  A call of a function is a thread of its own, so there are at
most as many as workers and jobs; verbs that it uses run on the bot's loop, while the thread waits.  How threads and
loop take turns is a matter of `CALLS`: in a fake network one of them runs at a time.  A thread cannot be cancelled: one
that outlasts the grace of a stop ends with the program, and its message comes again.  Spec: SDK.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

from ramson import bot as asynchronous
from ramson import messenger
from ramson.bot.bot import DEFAULT_RATE
from ramson.bot.filters import Filter, everything
from ramson.bot.rate import Rate
from ramson.crypto.account import AccountId
from ramson.messenger import Receipt
from ramson.network import MAINNET, NetworkProfile
from ramson.reach import ReachSettings
from ramson.sync.facade import Attachable, Client, Message
from ramson.sync.loop import PROCESS_LOOP, Block, Host, Loop, WrongThread, dressed, limited
from ramson.world import World

T = TypeVar("T")
HandlerFunction: TypeAlias = Callable[..., str | None]
JobFunction: TypeAlias = Callable[..., None]
ErrorFunction: TypeAlias = Callable[[Exception, Message | None], str | None]
H = TypeVar("H", bound=HandlerFunction)
J = TypeVar("J", bound=JobFunction)
E = TypeVar("E", bound=ErrorFunction)


class Calls(Protocol):
    """How a function is called from a loop, and gets a Loop to use its verbs with."""

    async def call(self, function: Callable[[Loop], T]) -> T:
        """Call it, and return what it returns."""
        ...


class LoopOfThread:
    """The loop of a bot, for a thread beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Callable[[], Awaitable[T]], host: Host | None = None) -> T:
        """Do the work on the loop; see `ramson.sync.loop.Loop`."""
        return asyncio.run_coroutine_threadsafe(limited(work, host), self._loop).result()


class ThreadCalls:
    """Calls each function in a thread of its own."""

    async def call(self, function: Callable[[Loop], T]) -> T:
        """Call it; see `Calls`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(told: Callable[[Any], None], value: object) -> None:
            if not done.done():  # nobody waits for it any more
                told(value)

        def work() -> None:
            told, value = outcome(lambda: function(LoopOfThread(loop)))
            with suppress(RuntimeError):  # the loop is closed, and nobody waits for it any more
                loop.call_soon_threadsafe(finish, done.set_exception if told else done.set_result, value)

        threading.Thread(target=work, name="bot handler", daemon=True).start()
        return await done


def outcome(function: Callable[[], object]) -> tuple[bool, Any]:
    """Call a function; return whether it raised, and what it raised or returned."""
    try:
        return False, function()
    except StopIteration:
        return True, RuntimeError("a handler raised StopIteration")  # which no future can hold
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
        return True, error


CALLS: Final[ContextVar[Calls]] = ContextVar("calls", default=ThreadCalls())  # noqa: B039 - it has no state
_loop: ContextVar[Loop] = ContextVar("loop")


class Router:
    """Handlers and jobs that are ordinary functions; see `ramson.Router`."""

    def __init__(self, only: Filter = everything) -> None:
        self.inner: asynchronous.Router = asynchronous.Router(only)

    def on(self, only: Filter = everything) -> Callable[[H], H]:
        """Declare a function the handler of the messages that a filter lets pass.

        A text that it returns is sent as a reply.  It takes what handlers of `ramson.Router` take, with the Message and
        the Bot of `ramson.sync`.  Raises BadHandler.
        """

        def declare(function: H) -> H:
            self.inner.on(only)(_asynchronous(function))
            return function

        return declare

    def every(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> Callable[[J], J]:
        """Declare a function that is called again and again, first after this time; it may take the Bot.

        A call that takes longer than that delays the next.  Raises BadHandler.
        """

        def declare(function: J) -> J:
            self.inner.every(hours=hours, minutes=minutes, seconds=seconds)(_asynchronous(function))
            return function

        return declare

    def include(self, router: Router) -> None:
        """Put the handlers of another router here, and add its jobs."""
        self.inner.include(router.inner)


class _Inner(asynchronous.Bot):
    outer: Bot


class Bot(Router):
    """Handlers that are ordinary functions, with an account; the options are those of `ramson.Bot`.

    `run` is for a script; a program that does other things as well uses `with bot:`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        passphrase_file: str | os.PathLike[str] | None = None,
        network: NetworkProfile = MAINNET,
        world: World | None = None,
        reach: ReachSettings | None = None,
        subscribe: bool = False,
        workers: int = 8,
        grace: float = 10.0,
        rate: Rate | None = DEFAULT_RATE,
        accepts: bool = True,
        only: Filter = everything,
    ) -> None:
        self.bot = _Inner(
            path,
            name=name,
            passphrase_file=passphrase_file,
            network=network,
            world=world,
            reach=reach,
            subscribe=subscribe,
            workers=workers,
            grace=grace,
            rate=rate,
            accepts=accepts,
            only=only,
        )
        self.bot.outer = self
        self.inner = self.bot
        self._block: Block[object] | None = None

    def on_error(self, function: E) -> E:
        """Declare `def function(error, message)` to be told when a handler or job (message None) fails.

        A text that it returns is sent as a reply.  Without one, the kind of error and its place are logged.
        """

        async def told(error: Exception, message: messenger.Message | None) -> str | None:
            return await CALLS.get().call(lambda loop: _within(loop, lambda: function(error, dressed(message, loop))))

        self.bot.on_error(told)
        return function

    @property
    def client(self) -> Client:
        """The open account; all that can be done with it can be done with this.  Raises NotOpen."""
        return Client.of(self.bot.client, _loop.get(PROCESS_LOOP))

    @property
    def account_id(self) -> AccountId:
        """The id others write to.  Raises NotOpen."""
        return self.client.account_id

    def send(
        self, to: AccountId | str, text: str = "", *, wait: bool = True, attachments: Sequence[Attachable] = ()
    ) -> Receipt:
        """Send a text, files, or both, as Client.send does."""
        return self.client.send(to, text, wait=wait, attachments=attachments)

    def stop(self) -> None:
        """Let `run` end, in good order; for handlers and jobs.  Raises WrongThread elsewhere."""
        loop = _loop.get(None)
        if loop is None:
            raise WrongThread("a bot is stopped from a thread that is none of its own", remedy="Send SIGTERM.")

        async def stop() -> None:
            self.bot.stop()

        loop.run(stop)

    def run(self, arguments: Sequence[str] | None = None) -> None:
        """Do what the command line says: `serve` (if it says nothing), `init`, `id`, `qr`, `doctor`.  Exits."""
        self.bot.run(arguments)

    def __enter__(self) -> Self:
        self._block = Block(PROCESS_LOOP, self.bot)
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._block is not None:
            self._block.__exit__(kind, error, traceback)


def _within(loop: Loop, function: Callable[[], T]) -> T:
    _loop.set(loop)  # for this thread, which does nothing else
    return function()


def _asynchronous(function: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Return a function as the asynchronous router wants it: what it takes is the same, of the other kind."""
    others: dict[object, type] = {Message: messenger.Message, Bot: asynchronous.Bot}
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise asynchronous.BadHandler(
            f"the types of {function.__qualname__} cannot be read: {error}", remedy="Import them in its module."
        ) from None
    if inspect.iscoroutinefunction(function):
        raise asynchronous.BadHandler(f"{function.__qualname__} is asynchronous", remedy="Use ramson.Bot for it.")

    @functools.wraps(function)
    async def call(*arguments: object, **named: object) -> T:
        def work(loop: Loop) -> T:
            given = [_given(each, loop) for each in arguments]
            return _within(loop, lambda: function(*given, **{name: _given(each, loop) for name, each in named.items()}))

        return await CALLS.get().call(work)

    parameters = [
        each.replace(annotation=others.get(each.annotation, each.annotation)) for each in signature.parameters.values()
    ]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def _given(value: object, loop: Loop) -> object:
    return value.outer if isinstance(value, _Inner) else dressed(value, loop)

"""Where the asynchronous work of a synchronous program is done, and how its values come back.

Theory of operation.  One event loop runs in one thread of its own (`BackgroundLoop`).  A call from any other thread
hands it a coroutine and sleeps until that has ended; Ctrl-C cancels the coroutine, waits for its end and only then
raises.  A context manager lives in one task from its entry to its exit (`Block`), as it would in an
asynchronous program: if that task dies, so does every call that waits beside it.  Values that have verbs are
given back as their synchronous twins (`dressed`); all others pass as they are.

What runs coroutines is a `Loop`: in tests it is a network in virtual time (`ramson.testing.sync`), which stands
still between calls.  Spec: SDK.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import fields
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar, cast

from ramson.errors import LocalError
from ramson.messenger import NotOpen
from ramson.world.real.event_loop import new_event_loop

T = TypeVar("T")
Host: TypeAlias = asyncio.Task[bool]

FAREWELL: Final = 10.0  # seconds that what was interrupted may take to end

_limit: contextvars.ContextVar[float | None] = contextvars.ContextVar("limit", default=None)
_END: Final = object()
_NOTHING: Final = object()


class WrongThread(LocalError):
    """A synchronous call is made from the thread that would have to do the work."""


class Left(Exception):
    """The block of a context manager was left by Ctrl-C or the like, which must not pass through the loop."""


@contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Let every call within the block take so many seconds at most; TimeoutError.

    Each step of an iteration is one call.  What was to be sent is sent nevertheless: only the wait ends.
    """
    outer = _limit.get()
    token = _limit.set(seconds if outer is None else min(seconds, outer))
    try:
        yield
    finally:
        _limit.reset(token)


async def limited(work: Callable[[], Awaitable[T]], host: Host | None) -> T:
    """Do the work within the time of `timeout`, and no longer than its host lives.  Raises what either raises."""
    async with asyncio.timeout(_limit.get()):
        if host is None:
            return await work()
        if host.done():
            await host  # raises what it died of
            return await work()
        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task, host}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        await host
        raise NotOpen("this was closed while a call waited", remedy="Let the threads end before the block does.")


class Loop(Protocol):
    """What runs coroutines for those who have no loop."""

    def run(self, work: Callable[[], Awaitable[T]], host: Host | None = None) -> T:
        """Do the work, in no longer than `timeout` allows and `host` lives, and return what it returns."""
        ...


class BackgroundLoop:
    """An event loop in a thread; it starts with the first call and ends with the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Callable[[], Awaitable[T]], host: Host | None = None) -> T:
        """Do the work in the thread of the loop; see `Loop`.  Raises WrongThread."""
        if threading.current_thread() is self._thread:
            raise WrongThread("ramson.sync is used within an event loop", remedy="Use `await` and ramson itself there.")
        loop = self._running()
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []

        def finish(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                done.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                done.set_exception(error)
            else:
                done.set_result(task.result())

        def start() -> None:
            task = loop.create_task(limited(work, host))
            tasks.append(task)
            task.add_done_callback(finish)

        loop.call_soon_threadsafe(start, context=contextvars.copy_context())
        try:
            concurrent.futures.wait([done])
        except BaseException:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
            concurrent.futures.wait([done], FAREWELL)
            raise
        return done.result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():  # or it is that of a parent
                self._loop = loop = new_event_loop()
                self._thread = threading.Thread(target=self._work, args=(loop,), name="ramson", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            return self._loop

    def close(self) -> None:
        """Cancel all that still runs, and end the thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(FAREWELL)
        atexit.unregister(self.close)

    @staticmethod
    def _work(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.run_until_complete(_end_all())
        loop.close()


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=FAREWELL / 2)


PROCESS_LOOP: Final = BackgroundLoop()
"""The loop of everything in this process that was not given another."""


class Wrapped:
    """An object of the asynchronous API, whose verbs run on a loop.  Made by `of`; usable from several threads."""

    _inner: Any
    _loop: Loop
    _host: Host | None

    @classmethod
    def of(cls, inner: Any, loop: Loop = PROCESS_LOOP) -> Self:
        """Wrap an object that lives on a loop."""
        self = cls.__new__(cls)
        self._inner, self._loop, self._host = inner, loop, None
        return self

    def _wait(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do something asynchronous."""
        return dressed(self._loop.run(work, self._host), self._loop)

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Do something that takes no time, but belongs to the thread of the loop."""

        async def ask() -> Any:
            return question()

        return self._wait(ask)

    def _iterate(self, start: Callable[[], AsyncIterator[Any]]) -> Iteration[Any]:
        return Iteration(self._loop, self._host, start)


class Block(Generic[T]):
    """An asynchronous context manager as an ordinary one; it lives in one task, its `host`."""

    def __init__(self, loop: Loop, context: AbstractAsyncContextManager[Any]) -> None:
        self._loop = loop
        self._context = context
        self.host: Host | None = None

    def __enter__(self) -> T:
        return cast("T", dressed(self._loop.run(self._enter), self._loop))

    async def _enter(self) -> Any:
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[Any] = loop.create_future()
        self._leave: asyncio.Future[Exception | None] = loop.create_future()
        host = loop.create_task(_live(self._context, entered, self._leave), name="ramson.sync")
        try:
            await asyncio.wait({entered, host}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not entered.done():
                host.cancel()
                await asyncio.wait({host})
        if not entered.done():
            await host
        self.host = host
        return entered.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._loop.run(lambda: self._end(error))

    async def _end(self, error: BaseException | None) -> bool:
        """End the host with the error that ended the block; return whether it was swallowed."""
        if self.host is None:
            raise NotOpen("this was not entered", remedy="Use it with `with`.")
        reason = error if error is None or isinstance(error, Exception) else Left()
        if not self._leave.done():
            self._leave.set_result(reason)
        await asyncio.wait({self.host})
        return self.host.result()


async def _live(
    context: AbstractAsyncContextManager[Any],
    entered: asyncio.Future[Any],
    leave: asyncio.Future[Exception | None],
) -> bool:
    """Enter and leave a context manager; return whether it swallowed the error it was left with."""
    error = None
    try:
        async with context as value:
            entered.set_result(value)
            error = await leave
            if error is not None:
                raise error  # noqa: TRY301 - the context manager is to see it
    except Exception as raised:
        if raised is not error:
            raise
        return False
    return error is not None


class Opened(Wrapped):
    """What is used with `with`, once."""

    _block: Block[object]

    def __enter__(self) -> Self:
        self._block = Block(self._loop, self._inner)
        self._block.__enter__()
        self._host = self._block.host
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._block.__exit__(kind, error, traceback)


class Iteration(Generic[T]):
    """An ordinary iterator over what happens; each step waits for the next, as long as `timeout` allows.

    It is for one thread; several iterations of the same kind can go on at once.
    It ends when what it comes from is closed.  A step that was ended by `timeout` or Ctrl-C loses nothing.
    """

    def __init__(self, loop: Loop, host: Host | None, start: Callable[[], AsyncIterator[Any]]) -> None:
        self._loop = loop
        self._host = host
        self._start = start
        self._source: AsyncIterator[Any] | None = None
        self._got: Any = _NOTHING  # by a step that may have been ended before it was handed over

        async def begin() -> None:
            self._source = start()

        loop.run(begin)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            found = self._loop.run(self._step, self._host)
        except NotOpen:
            if self._host is not None and self._host.done():
                raise StopIteration from None
            raise
        self._got = _NOTHING
        if found is _END:
            raise StopIteration
        return cast("T", dressed(found, self._loop))

    async def _step(self) -> Any:
        if self._got is not _NOTHING:
            return self._got
        if self._source is None:
            self._source = self._start()
        try:
            self._got = await anext(self._source, _END)
        except asyncio.CancelledError:
            if isinstance(self._source, AsyncGenerator):
                self._source = None  # it ended with the wait; another one goes on where it was
            raise
        return self._got

    def close(self) -> None:
        """End it."""

        async def end() -> None:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

        self._loop.run(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Values.

_TWINS: Final[dict[type, type]] = {}
C = TypeVar("C", bound=type)


def twin_of(original: type) -> Any:
    """Declare a class the synchronous twin of another: a dataclass derived from it, or a Wrapped."""

    def declare(twin: C) -> C:
        _TWINS[original] = twin
        return twin

    return declare


def dressed(value: Any, loop: Loop) -> Any:
    """Return a value, or a list or tuple of them, as its synchronous twin, if it has one."""
    if isinstance(value, (list, tuple)) and type(value) in {list, tuple}:
        return type(value)(dressed(each, loop) for each in value)
    twin = _TWINS.get(type(value))
    if twin is None:
        return value
    if issubclass(twin, Wrapped):
        return twin.of(value, loop)
    given = {
        each.name: found if each.name.startswith("_") else dressed(found, loop)
        for each in fields(value)
        for found in [getattr(value, each.name)]
    }
    if "_loop" in twin.__dataclass_fields__:  # type: ignore[attr-defined]
        given["_loop"] = loop
    return twin(**given)


def waited(value: Any, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do the work of a verb of a value."""
    loop: Loop = value._loop or PROCESS_LOOP  # noqa: SLF001 - a field of its class's own kind
    return dressed(loop.run(work), loop)

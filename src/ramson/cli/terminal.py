"""What the commands show: results on standard output, progress on standard error and only to a person."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ramson import streams
from ramson.cli.harmless import harmless
from ramson.world.real.event_loop import new_event_loop

if TYPE_CHECKING:
    from ramson.network import PathStatus  # a node's process has no use for it


T = TypeVar("T")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class Interrupted(typer.Exit):
    """Somebody pressed Ctrl-C while a command ran."""

    def __init__(self) -> None:
        super().__init__(streams.INTERRUPTED)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine, on uvloop where that is installed.  Raises Interrupted."""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        raise Interrupted from None


def run_until_stopped(main: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that goes on until somebody has enough of it; that is a good end.

    They press Ctrl-C, send SIGTERM, or read no more of what it prints.
    """

    async def stoppable() -> None:
        task, told = asyncio.current_task(), asyncio.Event()

        def stop() -> None:
            told.set()
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            await main
        except asyncio.CancelledError:
            if not told.is_set():  # it was Ctrl-C
                raise

    try:
        with contextlib.suppress(Interrupted):
            run(stoppable())
    except* BrokenPipeError:
        streams.discard_unwritten()


def result(text: str) -> None:
    """Print a result, at once.  Raises LocalError; BrokenPipeError where nobody reads any more."""
    streams.say(text)


def result_json(value: object) -> None:
    """Print a result as one line of JSON."""
    result(json.dumps(value))


def note(text: str) -> None:
    """Tell a person something beside the result; a program does not want to know."""
    if sys.stderr.isatty():
        typer.echo(harmless(text), err=True)


@contextlib.contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """Show a person that something is going on; what is yielded changes the text."""
    from rich.console import Console  # noqa: PLC0415 - costs a fifth of a short command's time
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(text) as status:
        # As a Text: brackets in a file's name are no markup.
        yield lambda news: status.update(Text(harmless(news)))


@contextlib.asynccontextmanager
async def following(statuses: AsyncIterator[PathStatus], show: Callable[[str], None]) -> AsyncIterator[None]:
    """Show the path's state for as long as the block runs."""

    async def follow() -> None:
        async for status in statuses:
            show(status.reason)

    task = asyncio.get_running_loop().create_task(follow(), name="path display")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

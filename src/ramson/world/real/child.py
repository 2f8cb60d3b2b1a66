"""A program that is to run for as long as we do: started anew when it ends, and ended with us.

It ends with us whatever happens to us if it watches its standard input, whose other end is ours.  Of our environment it
gets what any program needs, and none of our own settings.  Spec: none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from ramson.errors import ParseError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before the program is started anew
STEADY: Final = 60.0  # seconds after which an end is no failure to start
GOODBYE: Final = 2.0  # seconds for each of the ways to be told to end

_KEPT_VARIABLES: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a program that is to be told these."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | dict(told)


async def keep_running(run_once: Callable[[], Awaitable[None]], gives_up: Callable[[Exception | None], bool]) -> None:
    """Run something again and again, with growing pauses between runs that were short.

    `gives_up` is told of each end, with the error if it failed, and says whether it was the last.
    """
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    while True:
        began, failure = loop.time(), None
        try:
            await run_once()
        except (OSError, ParseError, ValueError, TimeoutError) as error:
            failure = error
        if gives_up(failure):
            return
        if loop.time() - began > STEADY:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], variables: Mapping[str, str], *, max_line: int
) -> AsyncIterator[asyncio.StreamReader]:
    """Run a program while the block does; what it says on standard output is to be read.  Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=max_line,
    )
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101 - as above
    try:
        yield process.stdout
    finally:
        process.stdin.close()
        await _end(process, process.stdout)


async def _end(process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
    """See the program end, by less and less friendly ways.

    Its owner is likely being cancelled; the few seconds this takes are bounded, and a child left behind is worse.
    """
    for insist in (None, process.terminate, process.kill):
        if insist is not None:
            with contextlib.suppress(ProcessLookupError):
                insist()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                while await output.read(1 << 16):
                    pass  # until all its ends are closed
                await process.wait()
                return

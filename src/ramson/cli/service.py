"""How a service process of the command line lives: logging, `ready`, and the ways to be told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum

import uvloop

from ramson import streams
from ramson.cli import logs
from ramson.cli.logs import LogFormat
from ramson.world.real import descriptors

__all__ = ["READY", "LogFormat", "LogLevel", "run", "serve", "stop_requested"]

READY = "ready"
GC_ALLOCATIONS = 10_000  # between collections of the youngest; requests make next to no cycles


class LogLevel(StrEnum):
    """How much a service tells on standard error."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _UntilEnd(asyncio.Protocol):
    """Waits for the end of an input, whatever comes before it."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, _error: Exception | None) -> None:
        self._stop.set()


@asynccontextmanager
async def stop_requested(*, with_input: bool) -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGINT or SIGTERM sets, and with `with_input` also the end of standard input."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    transport = None
    if with_input:
        transport, _ = await loop.connect_read_pipe(lambda: _UntilEnd(stop), sys.stdin)
    try:
        yield stop
    finally:
        if transport is not None:
            transport.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _serve(service: AbstractAsyncContextManager[object], *, with_input: bool) -> None:
    up = False

    async def live() -> None:
        nonlocal up
        async with service:
            up = True
            _settle()
            streams.mention(READY)  # a launcher waits for this line
            await stop.wait()

    async with stop_requested(with_input=with_input) as stop:
        life, stopping = asyncio.ensure_future(live()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((life, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not up:  # told to stop while it was still starting, which may take long
                life.cancel()
            await asyncio.wait((life,))
        finally:
            stopping.cancel()
            life.cancel()
        if not life.cancelled():
            life.result()


def _settle() -> None:
    """Spare the garbage collector what lives as long as the service, and let it look after the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)


def serve(
    make: Callable[[], AbstractAsyncContextManager[object]],
    *,
    level: LogLevel,
    log_format: LogFormat = LogFormat.TEXT,
    stop_with_input: bool,
) -> None:
    """Run a service until it is told to stop; it says `ready` on standard output when it serves."""
    logs.set_up(level, log_format)
    descriptors.ask_for_more()

    async def main() -> None:
        await _serve(make(), with_input=stop_with_input)

    run(main())


def run(main: Awaitable[None]) -> None:
    """Run `main` on uvloop."""

    async def wrapped() -> None:
        await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(wrapped())

"""The event loop of programs: uvloop's where there is one, otherwise that of asyncio."""

from __future__ import annotations

import asyncio


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop; for `asyncio.Runner(loop_factory=…)`."""
    try:
        import uvloop  # noqa: PLC0415 - there is none on some systems
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()

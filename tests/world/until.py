"""Waiting for something that has no event, instead of for some time in which it may or may not have come about."""

import asyncio


async def until(condition):
    """Wait until something is so; TimeoutError says that it never was."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)

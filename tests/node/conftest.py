"""A disk on one thread and a clock that stands still unless told."""

import asyncio
import concurrent.futures

import pytest


class ThreadDisk:
    """Work on one thread, as the real disk does it."""

    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.runs = 0

    async def run(self, work):
        self.runs += 1
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def close(self):
        self.pool.shutdown()


class StoppedClock:
    """Wall time that only moves when a test moves it."""

    def __init__(self, now=1_700_000_000_000):
        self.time = now

    def now(self):
        return self.time

    def monotonic(self):
        return self.time / 1000


@pytest.fixture
def disk():
    return ThreadDisk()


@pytest.fixture
def clock():
    return StoppedClock()

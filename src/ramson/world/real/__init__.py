"""The real world: this machine's clock, its randomness, its disks and its sockets.

`world()` is all the rest of the package needs.  It works on asyncio's own event loop and, with less CPU, on
uvloop.
"""

from __future__ import annotations

import random
import time

from ramson.world.real.dialer import Dialer
from ramson.world.real.disk import ThreadDisk
from ramson.world.real.net import RealNet
from ramson.world.real.outlets import RealOutlets
from ramson.world.world import World

__all__ = ["Dialer", "RealNet", "RealOutlets", "SystemClock", "ThreadDisk", "world"]


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        """Wall time in Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()


def world(bind_source: str | None = None, *, dialer: Dialer | None = None) -> World:
    """Make a world for one event loop.

    `bind_source` is the local address outgoing connections come from; `dialer` replaces the way HTTP
    connections come about (routes, proxies).
    """
    entropy = random.SystemRandom()
    return World(
        clock=SystemClock(),
        entropy=entropy,
        net=RealNet(entropy, source=bind_source, dialer=dialer),
        disk=ThreadDisk,
        outlets=RealOutlets(entropy, source=bind_source, dialer=dialer),
    )

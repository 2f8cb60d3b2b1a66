"""The path light: a colour, one plain sentence, and the hops, for a person to look at.

`PathStatus` is a value; `StatusBoard` holds the latest and lets any number of watchers wait for the next.
Spec: bootstrap-and-paths.md §2.9, REACH *What the person sees*.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ramson.network.countries import country_of
from ramson.network.entry import Notice
from ramson.network.paths import Path


class Light(StrEnum):
    """Two working paths or more; one; none."""

    GREEN = "green"
    ORANGE = "orange"
    RED = "red"


class Place(StrEnum):
    """A hop's place on its path."""

    GUARD = "guard"
    MIDDLE = "middle"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Hop:
    """One node of a path as it is shown; `country` is a two-letter code, None if it is unknown."""

    place: Place
    address: str
    country: str | None = None


@dataclass(frozen=True, slots=True)
class PathStatus:
    """How well the network can be reached.

    `paths` are the working ones.  `reason` says what is wrong, what is being tried and what the person can do, and
    `way` by which way out requests reach the first nodes.
    """

    light: Light
    reason: str
    paths: tuple[Path, ...] = ()
    way: str = ""

    @property
    def hops(self) -> tuple[Hop, ...]:
        """The nodes of the first path, from the person outwards; none without a path."""
        if not self.paths:
            return ()
        return tuple(
            Hop(place, node.ip, country_of(node.ip)) for place, node in zip(Place, self.paths[0].hops, strict=True)
        )


CONNECTING = "Looking for a way into the network."
CONNECTED = "Connected: messages travel by two paths of three nodes each."
ONE_PATH = "Connected by one path only; a second one is being built, nothing needs to be done."
UNREACHABLE = (
    "The nodes this device connects to do not answer; other nodes are being tried."
    " Check that the device is online; if it is, try another network, a VPN or a bridge."
)

NOTHING = Notice()


def status_of(
    working: Sequence[Path], *, broken: int, trouble: str, way: Notice = NOTHING, caution: str = ""
) -> PathStatus:
    """Judge the working paths.

    `broken` counts the others, `trouble` is what building paths last met, `way` is about the way out, and `caution` is
    what somebody should know although there are paths.
    """
    paths = tuple(working)
    if paths:
        light, reason = (Light.GREEN, CONNECTED) if len(paths) >= 2 else (Light.ORANGE, trouble or ONE_PATH)
        return PathStatus(
            light, ". ".join(each.rstrip(".") for each in (reason, way.text, caution) if each) + ".", paths, way.way
        )
    if way.lost and way.text:
        return PathStatus(Light.RED, way.text)
    return PathStatus(Light.RED, trouble or (UNREACHABLE if broken else CONNECTING), way=way.way)


class StatusBoard:
    """Holds the present status and wakes those who watch it."""

    def __init__(self) -> None:
        self._status = PathStatus(Light.RED, CONNECTING)
        self._changed = asyncio.Event()

    @property
    def status(self) -> PathStatus:
        """The present status."""
        return self._status

    def show(self, status: PathStatus) -> None:
        """Replace the status; watchers hear of it only if it differs."""
        if status != self._status:
            self._status = status
            self._changed.set()
            self._changed = asyncio.Event()

    async def change(self, seen: PathStatus) -> PathStatus:
        """Wait until the status is another than the one `seen`."""
        while self._status == seen:
            await self._changed.wait()
        return self._status

    async def watch(self) -> AsyncIterator[PathStatus]:
        """Yield the present status, then each new one; a slow watcher gets the latest and misses those between."""
        seen = self._status
        yield seen
        while True:
            seen = await self.change(seen)
            yield seen

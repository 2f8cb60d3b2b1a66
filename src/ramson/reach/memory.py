"""What worked last and what freezes, network by network, so that the next start begins with it.

Networks are known by the opaque names that the world gives them.  Where this is kept is the caller's: it tells where
somebody has been and how he got out, so it belongs in an encrypted place.  Spec: REACH, *Choosing*.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ramson.network.cache import Cache
from ramson.world import Disk

T = TypeVar("T")

MAX_NETWORKS = 32
MAX_SIZE = 16 * 1024  # bytes
_NAME = 128  # characters of a network's or a way's name


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    last: dict[str, str]  # network: way, the most recent last
    freezes: dict[str, int] = {}  # network: until when (Unix ms) connections are kept short there


_decode = msgspec.json.Decoder(_Document).decode


class Memory:
    """The way that worked last in each of the last networks, and which networks freeze; kept in a `Cache`."""

    def __init__(self, cache: Cache, disk: Disk) -> None:
        self._cache = cache
        self._disk = disk
        self._last: dict[str, str] = {}
        self._freezes: dict[str, int] = {}

    async def load(self) -> None:
        """Read what was kept; what is damaged is as good as nothing."""
        data = await self._disk.run(self._cache.load)
        if data is None or len(data) > MAX_SIZE:
            return
        try:
            document = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if document.version == 1 and max(len(document.last), len(document.freezes)) <= MAX_NETWORKS:
            self._last, self._freezes = document.last, document.freezes

    def recall(self, network: str) -> str | None:
        """Return the way that worked last in this network."""
        return self._last.get(network)

    async def remember(self, network: str, way: str) -> None:
        """Keep that a way works in this network.  A disk that fails is no reason to stop."""
        if self._last.get(network) != way and len(way) <= _NAME:
            await self._keep(self._last, network, way)

    def freezes_until(self, network: str) -> int:
        """Return until when (Unix ms) connections are to be kept short in this network; 0 if nothing is known."""
        return self._freezes.get(network, 0)

    async def note_freeze(self, network: str, until_ms: int) -> None:
        """Keep that connections freeze in this network.  A disk that fails is no reason to stop."""
        await self._keep(self._freezes, network, until_ms)

    async def _keep(self, notes: dict[str, T], network: str, note: T) -> None:
        if not network or len(network) > _NAME:
            return
        notes.pop(network, None)
        notes[network] = note
        while len(notes) > MAX_NETWORKS:
            del notes[next(iter(notes))]
        data = msgspec.json.encode(_Document(1, self._last, self._freezes))
        try:
            await self._disk.run(lambda: self._cache.save(data))
        except OSError:
            return

    async def close(self) -> None:
        """Finish writing."""
        await self._disk.close()

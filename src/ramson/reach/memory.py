"""What worked last, network by network, so that the next start begins with it.

Networks are known by the opaque names that the world gives them.  Where this is kept is the caller's: it tells where
somebody has been and how he got out, so it belongs in an encrypted place.  Spec: REACH, *Choosing*.
"""

from __future__ import annotations

import msgspec

from ramson.network.cache import Cache
from ramson.world import Disk

MAX_NETWORKS = 32
MAX_SIZE = 16 * 1024  # bytes
_NAME = 128  # characters of a network's or a way's name


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    last: dict[str, str]  # network: way, the most recent last


_decode = msgspec.json.Decoder(_Document).decode


class Memory:
    """The way that worked last in each of the last networks; kept in a `Cache`."""

    def __init__(self, cache: Cache, disk: Disk) -> None:
        self._cache = cache
        self._disk = disk
        self._last: dict[str, str] = {}

    async def load(self) -> None:
        """Read what was kept; what is damaged is as good as nothing."""
        data = await self._disk.run(self._cache.load)
        if data is None or len(data) > MAX_SIZE:
            return
        try:
            document = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if document.version == 1 and len(document.last) <= MAX_NETWORKS:
            self._last = document.last

    def recall(self, network: str) -> str | None:
        """Return the way that worked last in this network."""
        return self._last.get(network)

    async def remember(self, network: str, way: str) -> None:
        """Keep that a way works in this network.  A disk that fails is no reason to stop."""
        if not network or self._last.get(network) == way or len(network) > _NAME or len(way) > _NAME:
            return
        self._last.pop(network, None)
        self._last[network] = way
        while len(self._last) > MAX_NETWORKS:
            del self._last[next(iter(self._last))]
        data = msgspec.json.encode(_Document(1, self._last))
        try:
            await self._disk.run(lambda: self._cache.save(data))
        except OSError:
            return

    async def close(self) -> None:
        """Finish writing."""
        await self._disk.close()

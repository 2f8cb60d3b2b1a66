"""How many requests an address may make: a token bucket each, for a bounded number of addresses.

It counts and says yes or no; the transports refuse.  Spec: storage-rpc.md §5 429, defaults.md *Rate limit*.

An IPv6 host has many addresses; its network of 64 bits counts as one (`world.callers`).

Theory of operation.  A bucket is the tokens it had and the moment of that; it fills when it is next asked.  Buckets are
kept in the order of last use.  When there are too many, the one unused for longest goes: somebody with that many
addresses could not be limited anyway, and nobody new is turned away.  Every step takes constant time; `sweep`
forgets buckets that are full again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ramson.world import Clock
from ramson.world.callers import caller

SWEEP_SECONDS: Final = 10.0


class RateLimiter:
    """Allows `depth` requests at once and `rate` a second, for each of at most `addresses` addresses."""

    def __init__(self, clock: Clock, *, depth: float = 600, rate: float = 300, addresses: int = 10_000) -> None:
        self._clock = clock
        self._depth = depth
        self._rate = rate
        self._addresses = addresses
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, address: str, cost: float = 1) -> bool:
        """Count a request of this address, or `cost` of them; False when it has made too many."""
        now = self._clock.monotonic()
        buckets = self._buckets
        address = caller(address)
        bucket = buckets.get(address)
        if bucket is None:
            if len(buckets) >= self._addresses:
                buckets.popitem(last=False)
            buckets[address] = (self._depth - cost if cost <= self._depth else self._depth, now)
            return cost <= self._depth
        tokens, then = bucket
        tokens = min(self._depth, tokens + (now - then) * self._rate)
        allowed = tokens >= cost
        buckets[address] = (tokens - cost if allowed else tokens, now)
        buckets.move_to_end(address)
        return allowed

    def sweep(self) -> None:
        """Forget addresses whose buckets are full again; to be called every `SWEEP_SECONDS`."""
        full_since = self._clock.monotonic() - self._depth / self._rate
        # In order of last use: the first bucket used lately ends the search.
        while self._buckets:
            address, (_, then) = next(iter(self._buckets.items()))
            if then > full_since:
                return
            del self._buckets[address]

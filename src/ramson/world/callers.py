"""Whom an address stands for when requests and connections are counted, and how many connections it may make.

An IPv4 address is one caller, or the many behind one translator.  A host with IPv6 is given a network of 64 bits, from
which it can take a new address for every packet; so what is counted is the network.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

MOST_REMEMBERED: Final = 4096  # callers; a newcomer pushes out the one that was counted least lately


def caller(address: str) -> str:
    """Return what to count for an address: an IPv4 address itself, of an IPv6 one its /64; anything else as it is."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(ip) >> 64 << 64)}/64"


class Paces:
    """How fast each caller makes connections: it may make `burst` at once and `pace` a second.

    Whoever goes on making more gets none at all until it slows down.
    """

    def __init__(self, burst: int, pace: float) -> None:
        self._burst = burst
        self._pace = pace
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many there were, and when

    def allows(self, who: str, now: float) -> bool:
        """Count a connection of a caller at `now`, in seconds of any clock; False when it makes too many."""
        tokens, then = self._tokens.pop(who, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - then) * self._pace)
        self._tokens[who] = max(0.0, tokens - 1), now
        if len(self._tokens) > MOST_REMEMBERED:
            self._tokens.popitem(last=False)
        return tokens >= 1

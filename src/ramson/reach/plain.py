"""Routes that ask guards and seeds themselves: the straight way, with a cut ClientHello, or through a proxy.

Routes 0, 1 and 2 differ only in the `Net` they use.

Where connections freeze after some 16 KB, one that is kept for many requests always does.  After two silences on
connections that had carried something, a route goes on *thriftily*, with a connection a request, and all that share its
`Thrift` do, the next start's too.  A reply that is too long for one connection is beyond it; that is what the ladder is
for.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ramson.network.entry import post_onion
from ramson.protocol.nodes import NodeRecord
from ramson.reach.route import Rung
from ramson.reach.thrift import Thrift
from ramson.world import Endpoint, HttpRequest, HttpResponse, Net, NetError, Outlets, ProxyAddress, Stage, Tls

CARRIED = 3000  # bytes received on a connection, from which on its silence may be a freeze
SILENCES = 2  # within WITHIN seconds
WITHIN = 120.0


class PlainRoute:
    """Goes to guards, seeds and mirrors by `net`, which it closes; keeps connections unless `thrift` is needed."""

    def __init__(self, net: Net, rung: Rung, label: str, thrift: Thrift) -> None:
        self._net = net
        self._rung = rung
        self._label = label
        self._silences: deque[float] = deque(maxlen=SILENCES)
        self._thrift = thrift

    @property
    def rung(self) -> Rung:
        """See Route."""
        return self._rung

    @property
    def label(self) -> str:
        """See Route."""
        return self._label

    async def post(self, guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """See Route."""
        try:
            return await post_onion(self._net, guard, body, timeout=timeout, keep=not self._thrift.needed)
        except NetError as error:
            if self._frozen(error):
                await self._thrift.learn()
                await self._net.close()  # connections that have carried something already
            raise

    def _frozen(self, error: NetError) -> bool:
        """Whether silences begin to look like freezes."""
        if error.stage is not Stage.TIMEOUT or error.reached is not Stage.REPLY or error.received < CARRIED:
            return False
        now = asyncio.get_running_loop().time()
        self._silences.append(now)
        return len(self._silences) == SILENCES and now - self._silences[0] <= WITHIN

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """See Route."""
        return await self._net.request(endpoint, request, tls=tls, timeout=timeout)

    async def close(self) -> None:
        """See Route."""
        await self._net.close()


def direct(outlets: Outlets, thrift: Thrift) -> PlainRoute:
    """Return route 0."""
    return PlainRoute(outlets.direct(), Rung.DIRECT, "straight", thrift)


def split(outlets: Outlets, thrift: Thrift) -> PlainRoute:
    """Return route 1."""
    return PlainRoute(outlets.split(), Rung.SPLIT, "split hello", thrift)


def proxied(outlets: Outlets, proxy: ProxyAddress, thrift: Thrift) -> PlainRoute:
    """Return route 2."""
    return PlainRoute(outlets.through(proxy), Rung.PROXY, "proxy", thrift)

"""Routes that ask guards and seeds themselves: the straight way, with a cut ClientHello, or through a proxy.

Routes 0, 1 and 2 differ only in the `Net` they use.
"""

from __future__ import annotations

from ramson.network.entry import post_onion
from ramson.protocol.nodes import NodeRecord
from ramson.reach.route import Rung
from ramson.world import Endpoint, HttpRequest, HttpResponse, Net, Outlets, ProxyAddress, Tls


class PlainRoute:
    """Goes to guards, seeds and mirrors through `net`, which it closes."""

    def __init__(self, net: Net, rung: Rung, label: str) -> None:
        self._net = net
        self._rung = rung
        self._label = label

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
        return await post_onion(self._net, guard, body, timeout=timeout)

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


def direct(outlets: Outlets) -> PlainRoute:
    """Return route 0."""
    return PlainRoute(outlets.direct(), Rung.DIRECT, "straight")


def split(outlets: Outlets) -> PlainRoute:
    """Return route 1."""
    return PlainRoute(outlets.split(), Rung.SPLIT, "split hello")


def proxied(outlets: Outlets, proxy: ProxyAddress, label: str = "proxy") -> PlainRoute:
    """Return route 2."""
    return PlainRoute(outlets.through(proxy), Rung.PROXY, label)

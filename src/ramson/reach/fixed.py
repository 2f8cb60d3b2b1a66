"""An `Entry` that uses one route and no other, whatever happens: what a person gets who pins a route."""

from __future__ import annotations

import random
from collections.abc import Callable

from ramson.network import guard_test
from ramson.network.entry import Notice
from ramson.protocol.nodes import NodeRecord
from ramson.reach.route import Route, Rung
from ramson.world import Endpoint, HttpRequest, HttpResponse, Tls


class FixedRoute:
    """Sends everything by `route`, which its owner closes."""

    def __init__(self, route: Route, entropy: random.Random, *, label: str = "") -> None:
        self._route = route
        self._label = label or route.label
        self._entropy = entropy

    async def send(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """See Entry."""
        return await self._route.post(guard, sealed, timeout=timeout)

    async def test(self, node: NodeRecord) -> bool:
        """See Entry."""
        return await guard_test.run(node, self.send, self._entropy)

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """See Entry."""
        return await self._route.fetch(endpoint, request, tls=tls, timeout=timeout)

    @property
    def notice(self) -> Notice:
        """See Entry: whoever pinned a route knows which one is in use, and whether it works the paths tell."""
        return Notice(way=self._label)

    @property
    def straight(self) -> bool:
        """See Entry."""
        return self._route.rung <= Rung.SPLIT

    def watch(self, changed: Callable[[], None], told: Callable[[], None]) -> None:
        """See Entry: this way out stays what it is."""

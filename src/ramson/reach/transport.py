"""Route 4: a web bridge that is reached through a pluggable transport.

What goes through the transport is what the web bridge of rung 3 is asked; the transport gives it its shape.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ramson.protocol.nodes import NodeRecord
from ramson.reach.bridge import BridgeRoute
from ramson.reach.route import Route, Rung
from ramson.reach.settings import USUAL_PROGRAMS
from ramson.world import (
    Endpoint,
    HttpRequest,
    HttpResponse,
    RunningTransport,
    Tls,
    TransportFailed,
    TransportProgram,
    World,
)

if TYPE_CHECKING:
    from ramson.reach.settings import TransportBridge


class TransportRoute:
    """Goes by `inner`, whose connections a running transport carries; closing it ends both."""

    def __init__(self, inner: Route, running: RunningTransport, label: str) -> None:
        self._inner = inner
        self._running = running
        self._label = label

    @property
    def rung(self) -> Rung:
        """See Route."""
        return Rung.TRANSPORT

    @property
    def label(self) -> str:
        """See Route."""
        return self._label

    async def post(self, guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """See Route."""
        return await self._inner.post(guard, body, timeout=timeout)

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """See Route."""
        return await self._inner.fetch(endpoint, request, tls=tls, timeout=timeout)

    async def close(self) -> None:
        """See Route."""
        try:
            await self._inner.close()
        finally:
            await self._running.close()


async def open_transport(world: World, bridge: TransportBridge, state: Path) -> TransportRoute:
    """Start the transport's program, which may keep state under `state`, and return the route.

    Raises TransportFailed when no program that speaks it can be started.
    """
    method = bridge.line.method
    commands = [bridge.program] if bridge.program else [(name,) for name in USUAL_PROGRAMS[method]]
    failure = TransportFailed(f"no program speaks {method}")
    for command in commands:
        try:
            running = await world.outlets.start(TransportProgram(command, (method,), str(state / method)))
        except TransportFailed as error:
            failure = error
            continue
        net = running.through(method, bridge.line.bridge, bridge.line.arguments)
        return TransportRoute(BridgeRoute(world, net, bridge.link), running, f"{method} bridge")
    raise failure

"""Web bridges on hosts of a simulated network: the real bridge before a site that has nothing to show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ramson.protocol.bridge import BridgeLink, link
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import Limits
from ramson.servers.bridge.counters import Counters
from ramson.servers.bridge.guards import SeedGuards
from ramson.servers.bridge.handler import BridgeHandler
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.sim.network import SimulatedNetwork, shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpResponse, World
from ramson.world.pins import pin_of
from ramson.world.simulated import Simulation

HTTPS_PORT = 443
LIMITS = Limits()
NO_PAGE = HttpResponse(404)


def no_list() -> bytes | None:
    """Give no list of nodes."""
    return None


class SimulatedWebBridge:
    """Bridge `number` of a network, at an address and under a name of its own; it starts with the run.

    `link` is what its clients are given, `node_list` what list of nodes it gives them.  It asks the network's seeds
    where guards are.
    """

    def __init__(
        self,
        simulation: Simulation,
        network: SimulatedNetwork,
        number: int,
        *,
        node_list: Callable[[], bytes | None] = no_list,
        limits: Limits = LIMITS,
    ) -> None:
        self.address = f"10.9.0.{number + 1}"
        self._network = network
        self._node_list = node_list
        self._limits = limits
        self._bridge: Bridge | None = None
        host = simulation.host(self.address)
        self._secret = host.world.entropy.randbytes(32)
        name = f"bridge{number + 1}.example"
        simulation.name(name, self.address)
        pin = pin_of(shared_certificate())
        self.link: BridgeLink = link.make(f"https://{name}/", self._secret, network.profile.name, pin=pin)
        host.start(self._serve)

    @property
    def counters(self) -> Counters:
        """What the bridge has counted in its present life."""
        return self._bridge.counters if self._bridge is not None else Counters()

    async def _serve(self, world: World) -> None:
        bridge = Bridge(
            world,
            (self._secret,),
            SeedGuards(world, self._network.file.seeds, None),
            Nonces(IN_MEMORY, world.disk()),
            Parcels(IN_MEMORY, world.disk(), world.clock, capacity=self._limits.max_kept),
            limits=self._limits,
            allow_private=True,
            node_list=self._node_list,
        )
        self._bridge = bridge
        async with bridge:
            handler = BridgeHandler(bridge, lambda _request: NO_PAGE)
            await world.net.listen(
                Endpoint(self.address, HTTPS_PORT), handler, certificate=shared_certificate(), limits=HttpLimits()
            )
            await asyncio.Event().wait()

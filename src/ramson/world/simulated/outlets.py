"""The ways out of a simulated host; see `world.Outlets`, and `ways` for what each means here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ramson.world.http import Endpoint
from ramson.world.outlets import ProxyAddress, TransportFailed, TransportProgram
from ramson.world.simulated.net import SimulatedNet
from ramson.world.simulated.ways import ByProxy, ByTransport, Way

if TYPE_CHECKING:
    from ramson.world.simulated.host import Incarnation


class SimulatedRunningTransport:
    """A transport program of one incarnation."""

    def __init__(self, life: Incarnation, methods: frozenset[str]) -> None:
        self._life = life
        self._methods = methods
        self._runs = True

    def through(self, method: str, bridge: Endpoint, arguments: Mapping[str, str]) -> SimulatedNet:
        """See world.RunningTransport."""
        runs = lambda: self._runs and method in self._methods  # noqa: E731 - it is asked anew each time
        return SimulatedNet(self._life, Way(between=ByTransport(method, bridge, arguments, runs)))

    async def close(self) -> None:
        """See world.RunningTransport."""
        self._runs = False


class SimulatedOutlets:
    """The `Outlets` of one incarnation of a host."""

    def __init__(self, life: Incarnation) -> None:
        self._life = life

    def direct(self) -> SimulatedNet:
        """See world.Outlets."""
        return SimulatedNet(self._life)

    def split(self) -> SimulatedNet:
        """See world.Outlets."""
        return SimulatedNet(self._life, Way(split=True))

    def through(self, proxy: ProxyAddress) -> SimulatedNet:
        """See world.Outlets."""
        return SimulatedNet(self._life, Way(between=ByProxy(proxy)))

    async def start(self, program: TransportProgram) -> SimulatedRunningTransport:
        """Run a program that the host has (`Host.programs`).  Raises TransportFailed."""
        offered = self._life.host.programs.get(program.command[0])
        if offered is None:
            raise TransportFailed("there is no such program")
        if not offered.intersection(program.methods):
            raise TransportFailed("the program offers none of the transports wanted")
        return SimulatedRunningTransport(self._life, offered.intersection(program.methods))

    def gateway(self) -> str:
        """See world.Outlets."""
        return hashlib.blake2b(self._life.host.gateway.encode(), digest_size=16).hexdigest()

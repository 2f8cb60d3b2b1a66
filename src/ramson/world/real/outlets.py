"""The ways out of this machine; see `world.Outlets`."""

from __future__ import annotations

import random

from ramson.world.outlets import ProxyAddress, RunningTransport, TransportProgram
from ramson.world.real import transport
from ramson.world.real.dialer import Dialer, DirectDialer
from ramson.world.real.gateway import fingerprint
from ramson.world.real.net import RealNet
from ramson.world.real.proxy import ProxyDialer


class RealOutlets:
    """Ways out, each from the local address `source` if given; `dialer` makes the connections of all."""

    def __init__(self, entropy: random.Random, *, source: str | None = None, dialer: Dialer | None = None) -> None:
        self._entropy = entropy
        self._dialer = dialer or DirectDialer(source)

    def direct(self) -> RealNet:
        """See world.Outlets."""
        return RealNet(self._entropy, dialer=self._dialer)

    def split(self) -> RealNet:
        """See world.Outlets."""
        return RealNet(self._entropy, dialer=self._dialer, split=True)

    def through(self, proxy: ProxyAddress) -> RealNet:
        """See world.Outlets."""
        return RealNet(self._entropy, dialer=ProxyDialer(proxy, self._dialer, self._entropy))

    async def start(self, program: TransportProgram) -> RunningTransport:
        """See world.Outlets."""
        return await transport.start(program, self._dialer, self._entropy)

    def gateway(self) -> str:
        """See world.Outlets."""
        return fingerprint()

"""Noticing that nobody pings this node: the first sign that a port is closed to the outside.

It remembers a moment for each transport and logs; it changes nothing.  Spec: testing-and-uptime.md §1 *Self-check*.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from ramson.node.quic_routes import HARDFORK
from ramson.node.standing import Standing
from ramson.world import Clock

SILENCE_SECONDS: Final = 120.0

log = logging.getLogger(__name__)


class Transport(StrEnum):
    """By what a ping came."""

    OMQ = "OMQ"
    HTTPS = "HTTPS"
    QUIC = "QUIC"


class IncomingPings:
    """The last ping of each kind that this node heard; its start counts as one.

    `quic` says whether it answers over QUIC.
    """

    def __init__(self, clock: Clock, standing: Standing, *, quic: bool = False) -> None:
        self._clock = clock
        self._standing = standing
        self._quic = quic
        self._heard = dict.fromkeys(Transport, clock.monotonic())
        self._told = dict(self._heard)
        self._ever: set[Transport] = set()

    @property
    def transports(self) -> Sequence[Transport]:
        """By what pings are to be expected at the network's present hardfork."""
        if self._quic and self._standing.nodes.hardfork >= HARDFORK:
            return tuple(Transport)
        return Transport.OMQ, Transport.HTTPS

    def heard(self, transport: Transport) -> None:
        """Take note of a ping."""
        self._heard[transport] = self._clock.monotonic()
        self._ever.add(transport)

    def ever(self, transport: Transport) -> bool:
        """Tell whether a ping of a kind has come since the start."""
        return transport in self._ever

    def silence(self, transport: Transport) -> float:
        """Return for how many seconds no ping of a kind has come."""
        return self._clock.monotonic() - self._heard[transport]

    async def watch(self) -> None:
        """Warn of silence, again every two minutes, until cancelled."""
        while True:
            now = self._clock.monotonic()
            for transport in self.transports:
                if now - max(self._heard[transport], self._told[transport]) >= SILENCE_SECONDS:
                    self._told[transport] = now
                    self._warn(transport, now - self._heard[transport])
            since = [max(self._heard[transport], self._told[transport]) for transport in self.transports]
            await asyncio.sleep(max(1.0, min(since) + SILENCE_SECONDS - now))

    def _warn(self, transport: Transport, seconds: float) -> None:
        if not self._is_expected():
            return
        log.warning(
            "no other node has pinged this one over %s for %.0f s: is its %s port open to the outside?",
            transport,
            seconds,
            transport,
        )

    def _is_expected(self) -> bool:
        """Tell whether anybody should be pinging: this node is listed, and so is another that is in a swarm."""
        nodes, own = self._standing.nodes, self._standing.ed25519
        return own in nodes.by_ed25519 and any(node.assigned and node.ed25519 != own for node in nodes.nodes)

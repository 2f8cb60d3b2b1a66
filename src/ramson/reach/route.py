"""What a route is, and how its failures are told apart.

A route brings one onion request to a guard.  It opens what connections it needs through the world's outlets, never
falls back to another way by itself, and never shows the address of a proxy or a bridge.  Spec: REACH, *Routes* and
*Choosing*.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Protocol

from ramson.network.entry import CannotFetch
from ramson.protocol.nodes import NodeRecord
from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Stage, Tls

__all__ = ["CannotFetch", "Route", "Rung", "Symptom", "symptom"]


class Rung(IntEnum):
    """The kinds of routes, from the plainest to the most hidden."""

    DIRECT = 0
    SPLIT = 1
    PROXY = 2
    BRIDGE = 3
    TRANSPORT = 4


class Route(Protocol):
    """One way out."""

    @property
    def rung(self) -> Rung:
        """What kind of way it is."""
        ...

    @property
    def label(self) -> str:
        """Its name for people and logs, such as `proxy` or `obfs4 bridge 2`; never an address."""
        ...

    async def post(self, guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """Bring an onion request to a guard and return the guard's reply, whatever its status.  Raises NetError."""
        ...

    async def fetch(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - Net's
    ) -> HttpResponse:
        """Make an ordinary request.  Raises NetError; CannotFetch if this way carries onion requests only."""
        ...

    async def close(self) -> None:
        """Close its connections and end what it started."""
        ...


class Symptom(StrEnum):
    """Where a way failed, as far as that can be seen from here."""

    NAME = "the name could not be looked up"
    TCP = "no connection could be made"
    PROXY = "the proxy or transport cannot be used"
    HELLO = "nothing came back after the first words of the encrypted connection"
    TLS = "the encrypted connection could not be set up"
    FROZEN = "the connection stopped in the middle"
    HTTP = "no proper reply came"
    ONION = "the node did not answer as itself"


_BY_STAGE = {Stage.NAME: Symptom.NAME, Stage.CONNECT: Symptom.TCP, Stage.PROXY: Symptom.PROXY}


def symptom(error: NetError) -> Symptom:
    """Classify a failure.  ONION is never among the answers: what is no NetError, the guard test finds."""
    if error.reached is Stage.TLS:
        return Symptom.TLS if error.received else Symptom.HELLO
    if error.stage is Stage.TIMEOUT and error.replied:
        return Symptom.FROZEN
    return _BY_STAGE.get(error.reached, Symptom.HTTP)

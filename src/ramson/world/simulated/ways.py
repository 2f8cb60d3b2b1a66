"""How a simulated connection comes about: straight, with a split hello, by a proxy, or by a pluggable transport.

Theory of operation.  A connection passes *stops*: this host, what lies between, the listener's host; each leg
takes a delay of its own, and a partition across any of them silences it.  A proxy is a host that knows the names and
connects on; the far end of a transport leads to one fixed listener.  The censor sees the first leg only (`Flow`).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never, TypeAlias

from ramson.errors import LocalError
from ramson.world.http import AddressRefused, Endpoint, NetError, Stage, Tls
from ramson.world.outlets import ProxyAddress, ProxyKind
from ramson.world.simulated.censorship import Flow, Verdict
from ramson.world.simulated.links import SimulatedTransport

if TYPE_CHECKING:
    from ramson.world.simulated.fabric import Fabric
    from ramson.world.simulated.host import Host, Incarnation
    from ramson.world.simulated.net import SimulatedListener

    Bound: TypeAlias = "SimulatedListener | SimulatedTransport | SimulatedProxy | SimulatedBridge"

HANDSHAKE_BYTES = 3000  # what a TLS server says before the first request
_SPOKEN = {ProxyKind.SOCKS5: "socks5", ProxyKind.HTTP: "http-proxy"}


@dataclass(frozen=True, slots=True)
class SimulatedProxy:
    """A proxy that listens on a simulated host; without `users` anybody may use it."""

    life: Incarnation
    kind: ProxyKind
    users: Mapping[str, str]

    def admits(self, proxy: ProxyAddress) -> bool:
        """Whether it speaks so and these are the credentials of one of its users."""
        known = not self.users or (proxy.user in self.users and self.users[proxy.user] == proxy.password)
        return self.kind is proxy.kind and known


@dataclass(frozen=True, slots=True)
class SimulatedBridge:
    """The far end of a pluggable transport: it passes connections on to `target` if the arguments are right."""

    life: Incarnation
    method: str
    arguments: Mapping[str, str]
    target: Endpoint


@dataclass(frozen=True, slots=True)
class ByProxy:
    """Through a proxy."""

    proxy: ProxyAddress


@dataclass(frozen=True, slots=True)
class ByTransport:
    """Through a transport; `runs` tells whether its program does."""

    method: str
    bridge: Endpoint
    arguments: Mapping[str, str]
    runs: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Way:
    """How the requests of one net leave this host."""

    split: bool = False
    between: ByProxy | ByTransport | None = None


STRAIGHT = Way()


@dataclass(slots=True)
class Trip:
    """How far a request has come."""

    reached: Stage = Stage.NAME
    flow: Flow | None = None
    replied: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection; `stops` are the addresses it passes, from ours to the listener's."""

    listener: SimulatedListener
    stops: tuple[str, ...]
    flow: Flow

    def parted(self, fabric: Fabric) -> bool:
        """Whether a partition lies across it."""
        return any(fabric.parted(one, other) for one, other in zip(self.stops, self.stops[1:], strict=False))

    def delay(self, fabric: Fabric, size: int) -> float:
        """Draw the seconds that `size` bytes take from one end to the other."""
        return sum(fabric.delay(one, other, size) for one, other in zip(self.stops, self.stops[1:], strict=False))


@dataclass(slots=True)
class Opening:
    """The making of one connection from one host."""

    life: Incarnation
    way: Way
    trip: Trip
    fabric: Fabric = field(init=False)
    here: str = field(init=False)

    def __post_init__(self) -> None:
        self.fabric = self.life.fabric
        self.here = self.life.host.address

    async def connection(self, endpoint: Endpoint, tls: Tls | None, allow: Callable[[str], bool] | None) -> Connection:
        """Open a connection to `endpoint`.  Raises NetError."""
        match self.way.between:
            case None:
                stops, flow, listener = await self._straight(endpoint, tls, allow)
            case ByProxy(proxy):
                _refuse(allow)
                stops, flow, listener = await self._by_proxy(proxy, endpoint)
            case ByTransport() as transport:
                _refuse(allow)
                stops, flow, listener = await self._by_transport(transport)
        connection = Connection(listener, stops, flow)
        if tls is not None:
            await self._greet(connection, endpoint, tls)
        return connection

    async def _straight(
        self, endpoint: Endpoint, tls: Tls | None, allow: Callable[[str], bool] | None
    ) -> tuple[tuple[str, ...], Flow, SimulatedListener]:
        address = self._resolve(endpoint.host, watched=True)
        if allow is not None and not allow(address):
            raise AddressRefused
        flow = Flow(self.here, Endpoint(address, endpoint.port), "http" if tls is None else "tls", split=self.way.split)
        await self._dial(flow)
        listener = self._listener(self._host(address), endpoint.port)
        return (self.here, address), flow, listener

    async def _by_proxy(
        self, proxy: ProxyAddress, endpoint: Endpoint
    ) -> tuple[tuple[str, ...], Flow, SimulatedListener]:
        first = Endpoint(self._resolve(proxy.endpoint.host, watched=True), proxy.endpoint.port)
        flow = Flow(self.here, first, _SPOKEN[proxy.kind])
        await self._dial(flow, Stage.PROXY)
        found = self._host(first.host).life.net.bound(first.port)
        if not isinstance(found, SimulatedProxy) or not found.admits(proxy):
            raise NetError(Stage.PROXY, "the proxy refuses")
        self.trip.reached = Stage.CONNECT
        address = self._resolve(endpoint.host, watched=False)
        await self._leg(first.host, address)
        return (self.here, first.host, address), flow, self._listener(self._host(address), endpoint.port)

    async def _by_transport(self, transport: ByTransport) -> tuple[tuple[str, ...], Flow, SimulatedListener]:
        if not transport.runs():
            raise NetError(Stage.PROXY, "the transport does not run")
        bridge = transport.bridge
        first = Endpoint(self._resolve(bridge.host, watched=True), bridge.port)
        flow = Flow(self.here, first, transport.method)
        await self._dial(flow, Stage.PROXY)
        found = self._host(first.host).life.net.bound(first.port)
        if (
            not isinstance(found, SimulatedBridge)
            or found.method != transport.method
            or dict(found.arguments) != dict(transport.arguments)
        ):
            raise NetError(Stage.PROXY, "the far end of the transport does not answer")
        target = Endpoint(self._resolve(found.target.host, watched=False), found.target.port)
        await self._leg(first.host, target.host)
        return (self.here, first.host, target.host), flow, self._listener(self._host(target.host), target.port)

    async def _greet(self, connection: Connection, endpoint: Endpoint, tls: Tls) -> None:
        flow = connection.flow
        self.trip.reached, self.trip.flow = Stage.TLS, flow
        if flow.spoken == "tls":
            name = tls.server_name or endpoint.host
            flow.server_name, flow.hello = "" if is_address(name) else name, True
        await self._judge(flow, Stage.TLS)
        await asyncio.sleep(connection.delay(self.fabric, 0) + connection.delay(self.fabric, 0))
        if self.fabric.carry(flow, received=HANDSHAKE_BYTES) is not Verdict.PASS:
            await self._silence()

    async def _dial(self, flow: Flow, stage: Stage = Stage.CONNECT) -> None:
        self.trip.reached = stage
        if flow.target.host not in self.fabric.hosts:
            raise NetError(stage, "no host has this address")
        await self._judge(flow, stage)
        await self._leg(self.here, flow.target.host)

    async def _leg(self, one: str, other: str) -> None:
        if other not in self.fabric.hosts:
            raise NetError(Stage.CONNECT, "no host has this address")
        if self.fabric.parted(one, other):
            self.fabric.fault("parted", one, other)
            await self._silence()
        await asyncio.sleep(self.fabric.delay(one, other) + self.fabric.delay(other, one))

    async def _judge(self, flow: Flow, stage: Stage) -> None:
        match self.fabric.carry(flow):
            case Verdict.DROP:
                await self._silence()
            case Verdict.RESET:
                await asyncio.sleep(self.fabric.delay(self.here, flow.target.host))
                raise NetError(stage, "the connection was reset", received=flow.received)

    async def _silence(self) -> Never:
        await self.fabric.loop.create_future()
        raise AssertionError  # the future is nobody's to resolve

    def _resolve(self, name: str, *, watched: bool) -> str:
        if watched and self.fabric.censor is not None and not is_address(name):
            answer = self.fabric.censor.look_up(self.here, name)
            if answer is not None:
                self.fabric.fault("censored", self.here)
                if not answer:
                    raise NetError(Stage.NAME, "there is no such name")
                return answer
        address = self.fabric.names.get(name)
        if address is not None:
            return address
        if name not in self.fabric.hosts and not is_address(name):
            raise NetError(Stage.NAME, "there is no such name")
        return name

    def _host(self, address: str) -> Host:
        return self.fabric.hosts[address]

    def _listener(self, host: Host, port: int) -> SimulatedListener:
        listener = host.life.net.bound(port)
        if listener is None or isinstance(listener, SimulatedTransport | SimulatedProxy | SimulatedBridge):
            self.fabric.fault("refused", self.here, host.address)
            raise NetError(Stage.CONNECT, "the connection was refused")
        return listener


def _refuse(allow: Callable[[str], bool] | None) -> None:
    if allow is not None:
        raise LocalError("who goes through a proxy cannot choose among the addresses of a name")


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""The simulated network as one host sees it: HTTP in whole messages, and links between nodes.

A request takes a connection (from the pool, or two round trips), then one delay to its listener and
one back, longer by what lies between (a proxy, a transport); each leg may be lost, and a lost leg means
silence until the caller's time limit.  A censor, if there is one, is shown every flow that leaves a host
(`censorship`).  A leg that
was sent arrives whether or not its sender still waits or lives.  TLS costs a round trip and encrypts
nothing; what it proves is modelled: a listener has a certificate or has not, and pins are compared with
the key in it.  No public authority exists here, so a chain cannot be verified.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError
from ramson.world.daemon import ConnectionWatcher, DaemonAddress, DaemonLink, Heard, unheard
from ramson.world.daemon_link import LastingLink
from ramson.world.faults import describe
from ramson.world.http import (
    CannotListen,
    Certificate,
    Endpoint,
    HttpHandler,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    NetError,
    Stage,
    Tls,
)
from ramson.world.omq_engine import OmqEngine
from ramson.world.peers import Command, PeerAddress
from ramson.world.pins import pin_of
from ramson.world.quic import QuicAnswer, QuicListener
from ramson.world.simulated.censorship import Verdict
from ramson.world.simulated.daemon import LastingTransport
from ramson.world.simulated.links import SimulatedTransport
from ramson.world.simulated.ways import STRAIGHT, Connection, Opening, Trip, Way

if TYPE_CHECKING:
    from ramson.world.simulated.host import Incarnation
    from ramson.world.simulated.ways import Bound

log = logging.getLogger(__name__)

FIRST_FREE_PORT = 49152
HEAD_BYTES = 200  # what a request or status line and its headers weigh on the way
FAILED = HttpResponse(500, {}, b"request failed")
GRACE = 10.0  # seconds for requests in progress when a listener closes
ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})


class SimulatedListener:
    """An HTTP listener of one incarnation."""

    def __init__(
        self,
        life: Incarnation,
        endpoint: Endpoint,
        handler: HttpHandler,
        certificate: Certificate | None,
        limits: HttpLimits,
    ) -> None:
        self.life = life
        self.endpoint = endpoint
        self.pin = None if certificate is None else pin_of(certificate)
        self.limits = limits
        self.open = True
        self._handler = handler
        self._exchanges: dict[_Exchange, None] = {}
        self._answers: dict[asyncio.Task[None], None] = {}

    @property
    def connections(self) -> int:
        """How many requests have not been answered: there are no idle connections here."""
        return len(self._exchanges)

    async def close(self) -> None:
        """Accept no more and let requests in progress be answered, for 10 s at most; then cancel them."""
        self.open = False
        self.life.net.release(self.endpoint.port, self)
        if self._answers:
            _, late = await asyncio.wait(self._answers, timeout=GRACE)
            for task in sorted(late, key=hash):
                task.cancel()

    def lose(self) -> None:
        """Reset every connection: the host crashed."""
        self.open = False
        for exchange in list(self._exchanges):
            exchange.reset()

    def serve(self, exchange: _Exchange) -> None:
        """Answer a request that has arrived."""
        request = exchange.request
        if request.path in self.limits.bodyless:
            request = HttpRequest(request.method, request.target, request.headers, b"", request.peer)
        elif len(request.body) > self.limits.max_body:
            exchange.answer(HttpResponse(413, {}, self.limits.too_large.encode()))
            return
        self._exchanges[exchange] = None
        exchange.answered.add_done_callback(lambda _: self._exchanges.pop(exchange, None))
        context = self.life.context()
        try:
            answer = context.run(self._handler, request)
        except Exception as error:  # noqa: BLE001 - a handler's fault costs its caller a reply, nobody else anything
            log.error("handler failed: %s", describe(error))  # noqa: TRY400 - a traceback could quote a message
            exchange.answer(FAILED)
            return
        if isinstance(answer, HttpResponse):
            exchange.answer(answer)
        else:
            task = self.life.fabric.loop.create_task(self._answer_later(exchange, answer), context=context)
            self._answers[task] = None
            task.add_done_callback(self._answers.pop)

    async def _answer_later(self, exchange: _Exchange, answer: Awaitable[HttpResponse]) -> None:
        try:
            exchange.answer(await answer)
        except Exception as error:  # noqa: BLE001 - a handler's fault costs its caller a reply, nobody else anything
            log.error("handler failed: %s", describe(error))  # noqa: TRY400 - a traceback could quote a message
            exchange.answer(FAILED)
        except asyncio.CancelledError:
            exchange.reset()
            raise


class _Exchange:
    """One request on its way to a listener and its reply on the way back.

    `reply` is the caller's end, `answered` the listener's.
    """

    def __init__(self, caller: Incarnation, connection: Connection, request: HttpRequest, trip: Trip) -> None:
        self.fabric = caller.fabric
        self.request = request
        self.reply: asyncio.Future[HttpResponse] = self.fabric.loop.create_future()
        self.answered: asyncio.Future[None] = self.fabric.loop.create_future()
        self._caller = caller
        self._connection = connection
        self._trip = trip
        self._listener = connection.listener
        self._here = caller.host.address
        self._there = connection.listener.life.host.address

    def send(self) -> None:
        """Put the request on its way."""
        request = self.request
        content = (request.method.encode(), request.target.encode(), request.body)
        if self.fabric.draw(self.fabric.model.http_loss):
            self.fabric.fault("request-lost", self._here, self._there, *content)
        elif self._passes(sent=HEAD_BYTES + len(request.body)):
            self.fabric.later(self._delay(len(request.body)), self._arrive, content)

    def answer(self, response: HttpResponse) -> None:
        """Put the reply on its way."""
        if not self._listener.life.alive or self.answered.done():
            return
        self.answered.set_result(None)
        content = (str(response.status).encode(), response.body)
        if self.fabric.draw(self.fabric.model.http_loss):
            self.fabric.fault("reply-lost", self._there, self._here, *content)
            return
        self.fabric.later(self._delay(len(response.body)), self._return, response, content)

    def reset(self) -> None:
        """Tell the caller, a delay later, that the connection is gone."""
        if not self.answered.done():
            self.answered.set_result(None)
            self.fabric.later(self._delay(0), self._fail)

    def _arrive(self, content: tuple[bytes, ...]) -> None:
        if self._connection.parted(self.fabric):
            self.fabric.fault("parted", self._here, self._there, *content)
        elif not self._listener.open:
            self.reset()
        else:
            self.fabric.note("request", self._here, self._there, *content)
            self._listener.serve(self)

    def _return(self, response: HttpResponse, content: tuple[bytes, ...]) -> None:
        if self._connection.parted(self.fabric):
            self.fabric.fault("parted", self._there, self._here, *content)
            return
        before = self._connection.flow.received
        passed = self._passes(received=HEAD_BYTES + len(response.body))
        self._trip.replied = self._connection.flow.received - before
        if not passed:
            return
        self.fabric.note("reply", self._there, self._here, *content)
        if not self.reply.done():
            self.reply.set_result(response)

    def _passes(self, *, sent: int = 0, received: int = 0) -> bool:
        match self.fabric.carry(self._connection.flow, sent=sent, received=received):
            case Verdict.PASS:
                return True
            case Verdict.RESET:
                self.fabric.later(self._delay(0), self._fail)
        return False

    def _fail(self) -> None:
        self.fabric.fault("reset", self._there, self._here)
        if not self.reply.done():
            error = NetError(Stage.REPLY, "the connection was reset", received=self._connection.flow.received)
            self.reply.set_exception(error)

    def _delay(self, size: int) -> float:
        return self._connection.delay(self.fabric, HEAD_BYTES + size)


class SimulatedNet:
    """A `Net` of one incarnation of a host, whose requests leave by one way."""

    def __init__(self, life: Incarnation, way: Way = STRAIGHT) -> None:
        self._life = life
        self._way = way
        self._fabric = life.fabric
        self._bound: dict[int, Bound] = {}
        self._idle: dict[tuple[Endpoint, bool], list[tuple[Connection, float]]] = {}
        self._links: list[SimulatedTransport] = []
        self._next_port = FIRST_FREE_PORT

    async def request(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        *,
        tls: Tls | None,
        timeout: float,  # noqa: ASYNC109 - the promise of Net.request
        max_reply: int = 16 * 1024 * 1024,
        allow: Callable[[str], bool] | None = None,
    ) -> HttpResponse:
        """Send one request; see `Net.request`."""
        self._life.check()
        trip = Trip()
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(endpoint, request, tls, max_reply, allow, trip)
        except TimeoutError:
            self._fabric.fault("timeout", self._life.host.address, self._fabric.names.get(endpoint.host, endpoint.host))
            received = trip.flow.received if trip.flow else 0
            text = f"no reply within {timeout:g} s"
            raise NetError(Stage.TIMEOUT, text, reached=trip.reached, received=received, replied=trip.replied) from None

    async def listen(
        self, endpoint: Endpoint, handler: HttpHandler, *, certificate: Certificate | None, limits: HttpLimits
    ) -> SimulatedListener:
        """Serve HTTP at `endpoint`; see `Net.listen`."""
        self._life.check()
        bound = Endpoint(endpoint.host, self._free_port(endpoint))
        listener = SimulatedListener(self._life, bound, handler, certificate, limits)
        self._bound[bound.port] = listener
        return listener

    async def link(
        self,
        identity: X25519KeyPair,
        commands: Mapping[str, Command],
        *,
        listen: Endpoint | None,
        max_message: int = 10 * 1024 * 1024,
    ) -> OmqEngine:
        """Make an OxenMQ endpoint; see `Net.link`."""
        self._life.check()
        bound = None if listen is None else Endpoint(listen.host, self._free_port(listen))
        transport = SimulatedTransport(self._life, identity, bound, max_message)
        if bound is not None:
            self._bound[bound.port] = transport
        self._links.append(transport)
        return OmqEngine(transport, commands, self._life.world.entropy)

    async def dial(
        self,
        address: DaemonAddress,
        commands: Mapping[str, Command],
        *,
        identity: X25519KeyPair | None = None,
        watcher: ConnectionWatcher | None = None,
        heard: Heard = unheard,
        max_message: int = 16 * 1024 * 1024,
    ) -> DaemonLink:
        """Connect to a node and stay connected; see `Net.dial`.  This world has no other daemons."""
        self._life.check()
        if isinstance(address.place, str) or address.key is None:
            raise LocalError(f"there is no daemon at {address} in a simulated world", remedy="use a FileRegistry")
        entropy = self._life.world.entropy
        identity, peer = identity or X25519KeyPair.generate(entropy), PeerAddress(address.place, address.key)

        def make(changed: ConnectionWatcher) -> LastingTransport:
            transport = LastingTransport(self._life, identity, peer, max_message, watcher=changed, heard=heard)
            self._links.append(transport)
            return transport

        return LastingLink(make, peer, commands, watcher=watcher, entropy=entropy)

    async def listen_quic(self, endpoint: Endpoint, *_arguments: Any, **_options: Any) -> QuicListener:
        """See `Net.listen_quic`; this world has no QUIC."""
        raise LocalError(f"nobody can listen at UDP {endpoint} in a simulated world", remedy="leave QUIC out")

    async def ask_quic(self, endpoint: Endpoint, *_arguments: Any, **_options: Any) -> QuicAnswer:
        """See `Net.ask_quic`; this world has no QUIC."""
        raise LocalError(f"nobody can ask UDP {endpoint} in a simulated world", remedy="leave QUIC out")

    async def close(self) -> None:
        """Close idle client connections."""
        self._idle.clear()

    def lose(self) -> None:
        """Take all listeners and links away: the host crashed."""
        for listener in [each for each in self._bound.values() if isinstance(each, SimulatedListener)]:
            listener.lose()
        for link in self._links:
            link.lose()
        self._bound.clear()
        self._idle.clear()

    def release(self, port: int, holder: Bound) -> None:
        """Free the port of what listens no more."""
        if self._bound.get(port) is holder:
            del self._bound[port]

    def bound(self, port: int) -> Bound | None:
        """Return what listens at a port."""
        return self._bound.get(port)

    async def _exchange(
        self,
        endpoint: Endpoint,
        request: HttpRequest,
        tls: Tls | None,
        max_reply: int,
        allow: Callable[[str], bool] | None,
        trip: Trip,
    ) -> HttpResponse:
        connection = self._reuse(endpoint, tls, allow)
        if connection is None:
            connection = await Opening(self._life, self._way, trip).connection(endpoint, tls, allow)
        trip.reached, trip.flow = Stage.REPLY, connection.flow
        listener = connection.listener
        _prove(listener, tls)
        headers = {"host": str(endpoint), "content-length": str(len(request.body))} | _lower(request.headers)
        sent = HttpRequest(request.method, request.target, headers, request.body, connection.stops[-2])
        exchange = _Exchange(self._life, connection, sent, trip)
        exchange.send()
        response = await exchange.reply
        if len(response.body) > max_reply:
            raise NetError(Stage.REPLY, f"the reply is over {max_reply} bytes")
        if headers.get("connection") != "close":
            until = self._fabric.loop.time() + listener.limits.idle_timeout
            self._idle.setdefault((endpoint, tls is not None), []).append((connection, until))
        headers = {"content-length": str(len(response.body))} | _lower(response.headers)
        if listener.limits.server:
            headers.setdefault("server", listener.limits.server)
        return HttpResponse(response.status, headers, response.body)

    def _reuse(self, endpoint: Endpoint, tls: Tls | None, allow: Callable[[str], bool] | None) -> Connection | None:
        idle = self._idle.get((endpoint, tls is not None), [])
        while idle:
            connection, until = idle.pop()
            allowed = allow is None or allow(connection.stops[-1])
            if allowed and connection.listener.open and self._fabric.loop.time() < until:
                return connection
        return None

    def place(self, thing: Bound, endpoint: Endpoint) -> None:
        """Let something that is no HTTP listener, a proxy or the far end of a transport, take a port."""
        self._bound[self._free_port(endpoint)] = thing

    def _free_port(self, endpoint: Endpoint) -> int:
        if endpoint.host not in ANY_ADDRESS and endpoint.host != self._life.host.address:
            raise CannotListen(f"cannot listen at {endpoint}: a simulated host has one address, its own")
        port = endpoint.port
        if port == 0:
            port, self._next_port = self._next_port, self._next_port + 1
        if port in self._bound:
            raise CannotListen(f"cannot listen at {endpoint}: the port is taken", remedy="choose a free port")
        return port


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _prove(listener: SimulatedListener, tls: Tls | None) -> None:
    if tls is None:
        if listener.pin is not None:
            raise NetError(Stage.REPLY, "the listener speaks TLS only")
        return
    if listener.pin is None:
        raise NetError(Stage.TLS, "the listener does not speak TLS")
    if tls.pins:
        if listener.pin not in tls.pins:
            raise NetError(Stage.TLS, "the certificate's key is not one of the pinned")
    elif tls.verify:
        raise NetError(Stage.TLS, "no public authority vouches for a simulated host")

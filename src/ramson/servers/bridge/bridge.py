"""The bridge itself: which requests are its own, and what it does for them.

It has no web site: `handler`, `asgi` and `wsgi` put it in front of one.  It keeps no record of
anybody and logs no address.  docs/bridge.md; REACH, *Routes*.

Theory of operation.  A request passes two gates.  `admit` looks at its first lines only: the method, the length and the
ticket in the path.  Whatever is not admitted must be handed to the web site as it came, and nothing of it may have
been read.  `answer` opens the body; if that fails, somebody on the way (a CDN, say) put another body to a ticket it
saw first, and the site gets the request as well.  From there on the client is one that has the link, and is answered
sealed, also when it is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import apsw

from ramson.errors import ParseError
from ramson.node.addresses import is_public
from ramson.node.ratelimit import RateLimiter
from ramson.protocol import bridge as protocol
from ramson.protocol.bridge import (
    MAX_TOTAL,
    BridgeReply,
    BridgeRequest,
    Content,
    Forward,
    Kept,
    ListQuery,
    Piece,
    Refusal,
    Refused,
    Rest,
    Ticket,
)
from ramson.protocol.nodes import NodeRecord
from ramson.servers.bridge.config import Limits
from ramson.servers.bridge.counters import Counters, Outcome
from ramson.servers.bridge.guards import Guards
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.world import AddressRefused, Endpoint, HttpRequest, NetError, Stage, Tls, World

FORWARD_SECONDS: Final = 25.0  # a guard's own time limit for the rest of the path is less
DAY_MS: Final = 86_400_000
ONION_PATH: Final = "/onion_req/v2"
# What a reply of the bridge has beside what the web server puts to every reply.
REPLY_HEADERS: Final = {"content-type": "application/octet-stream", "cache-control": "no-store"}

_ANY_CERTIFICATE: Final = Tls()  # who the guard is, the onion layer proves to the client
_ALL: Final = "all"
_BUSY: Final = Refused(Refusal.BUSY)
_LOST: Final = Refused(Refusal.LOST)
_FAILURES: Final = {
    Stage.CONNECT: Refusal.GUARD_UNREACHABLE,
    Stage.NAME: Refusal.GUARD_UNREACHABLE,
    Stage.TIMEOUT: Refusal.GUARD_SILENT,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request whose ticket is good; `key` is the number of the link it was made with."""

    key: int
    ticket: Ticket


class Bridge:
    """Recognises and answers requests, while it is entered.

    `secrets` are those of the links, `node_list` returns the list of nodes that clients are given, if any.  With
    `allow_private` guards may have addresses of a private network or this machine, as in a devnet.
    """

    def __init__(
        self,
        world: World,
        secrets: tuple[bytes, ...],
        guards: Guards,
        nonces: Nonces,
        parcels: Parcels,
        *,
        limits: Limits,
        node_list: Callable[[], bytes | None] = lambda: None,
        allow_private: bool = False,
    ) -> None:
        self._clock = world.clock
        self._net = world.net
        self._secrets = secrets
        self._guards = guards
        self._nonces = nonces
        self._parcels = parcels
        self._limits = limits
        self._node_list = node_list
        self._allow = None if allow_private else is_public
        self._places = asyncio.Semaphore(limits.max_transfers)
        self._by_address = RateLimiter(world.clock, depth=limits.address_burst, rate=limits.address_requests_per_second)
        self._total = RateLimiter(world.clock, depth=limits.request_burst, rate=limits.requests_per_second)
        self._day = 0
        self._today = [0] * len(secrets)
        self.counters = Counters()

    async def __aenter__(self) -> Self:
        await self._nonces.open()
        await self._parcels.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nonces.close()
        await self._parcels.close()
        await self._guards.close()

    @property
    def guards(self) -> int:
        """How many guards can be reached."""
        return len(self._guards.listed.nodes)

    async def refresh(self) -> None:
        """See that the list of guards is not old, before anybody needs it."""
        await self._guards.refresh()

    # The first gate.

    async def admit(self, method: str, target: str, length: int | None) -> Admission | None:
        """Return what is needed to answer a request, or None if it is not the bridge's; `length` is its body's."""
        if method != "POST" or length is None or not protocol.is_class(length):
            return None
        now = self._clock.now()
        found = protocol.find(target.rpartition("/")[2], self._secrets, now_ms=now)
        if found is None:
            return None
        key, ticket = found
        try:
            fresh = await self._nonces.take(ticket.nonce, ticket.slot, protocol.slot_at(now))
        except apsw.Error as error:
            log.error("tickets cannot be remembered, so none is taken: %s", type(error).__name__)  # noqa: TRY400
            return None
        if not fresh:
            self.counters.outcomes[Outcome.USED_AGAIN] += 1
            return None
        return Admission(key, ticket)

    # The second.

    async def answer(self, admission: Admission, body: bytes, peer: str) -> bytes | None:
        """Return the reply's body, or None if the request's cannot be opened.  `peer` is for rate limits only."""
        try:
            request = protocol.decode_request(admission.ticket.open_request(body))
        except ParseError:
            self.counters.outcomes[Outcome.UNREADABLE] += 1
            return None
        try:
            reply = await self._do(request) if self._allowed(admission.key, peer) else _BUSY
        except apsw.Error as error:
            log.error("a transfer cannot be kept: %s", type(error).__name__)  # noqa: TRY400 - it says no more
            reply = _BUSY
        sealed = admission.ticket.seal_reply(protocol.encode_reply(reply))
        self._count(request, reply, len(body), len(sealed))
        return sealed

    def _allowed(self, key: int, peer: str) -> bool:
        day = self._clock.now() // DAY_MS
        if day != self._day:
            self._day, self._today = day, [0] * len(self._secrets)
        self._today[key] += 1
        self._by_address.sweep()
        return (
            self._today[key] <= self._limits.requests_per_day
            and (not peer or self._by_address.allow(_network(peer)))
            and self._total.allow(_ALL)
        )

    async def _do(self, request: BridgeRequest) -> BridgeReply:
        match request:
            case Forward():
                return await self._forward(request)
            case Piece(_, transfer, offset, data):
                if offset + len(data) > MAX_TOTAL:
                    return Refused(Refusal.TOO_LARGE)
                return Kept() if await self._parcels.add(transfer, offset, data) else _LOST
            case Rest(room, transfer, offset):
                part = await self._parcels.part(transfer, offset, protocol.content_space(room))
                return _LOST if part is None else Content(part.status, part.total, part.data)
            case ListQuery(room, transfer):
                await self._guards.refresh()
                given = self._node_list()
                return Refused(Refusal.NO_LIST) if given is None else await self._first(room, transfer, 200, given)

    async def _forward(self, request: Forward) -> BridgeReply:
        onion = request.onion
        if request.before:
            pieces = await self._parcels.take(request.transfer, request.before)
            if pieces is None:
                return _LOST
            onion = pieces + onion
        guard = await self._guards.find(request.guard)
        if guard is None:
            return Refused(Refusal.UNKNOWN_GUARD)
        try:
            async with asyncio.timeout(FORWARD_SECONDS), self._places:
                reply = await self._post(guard, onion)
                return await self._first(request.room, request.transfer, reply[0], reply[1])
        except TimeoutError:
            return _BUSY
        except AddressRefused:
            return Refused(Refusal.UNKNOWN_GUARD)
        except NetError as error:
            return Refused(_FAILURES.get(error.stage, Refusal.GUARD_BROKEN))

    async def _post(self, guard: NodeRecord, onion: bytes) -> tuple[int, bytes]:
        reply = await self._net.request(
            Endpoint(guard.ip, guard.https_port),
            HttpRequest("POST", ONION_PATH, body=onion),
            tls=_ANY_CERTIFICATE,
            timeout=FORWARD_SECONDS - 1,
            max_reply=MAX_TOTAL,
            allow=self._allow,
        )
        return reply.status, reply.body

    async def _first(self, room: int, transfer: bytes, status: int, reply: bytes) -> BridgeReply:
        """Return as much of a reply as there is room for, and keep it if that is not all."""
        space = protocol.content_space(room)
        if len(reply) > space and not await self._parcels.put(transfer, status, reply):
            return _BUSY
        return Content(status, len(reply), reply[:space])

    def _count(self, request: BridgeRequest, reply: BridgeReply, received: int, sent: int) -> None:
        counters = self.counters
        counters.received += received
        counters.sent += sent
        counters.outcomes[_OUTCOMES[reply.reason if isinstance(reply, Refused) else type(request)]] += 1


_OUTCOMES: Final[dict[Refusal | type[BridgeRequest], Outcome]] = {
    Forward: Outcome.FORWARDED,
    Piece: Outcome.PIECE,
    Rest: Outcome.REST,
    ListQuery: Outcome.LIST,
    Refusal.UNKNOWN_GUARD: Outcome.REFUSED_GUARD,
    Refusal.GUARD_UNREACHABLE: Outcome.GUARD_FAILED,
    Refusal.GUARD_SILENT: Outcome.GUARD_FAILED,
    Refusal.GUARD_BROKEN: Outcome.GUARD_FAILED,
    Refusal.BUSY: Outcome.BUSY,
    Refusal.LOST: Outcome.LOST,
    Refusal.NO_LIST: Outcome.LOST,
    Refusal.TOO_LARGE: Outcome.BUSY,
}


def _network(peer: str) -> str:
    """Return whom to count a request for: an IPv4 address, or the /64 that an IPv6 host can choose addresses from."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))

"""The way over a web bridge: onion requests in ordinary POSTs to a volunteer's web site.

What the site is asked is sealed and padded (`ramson.protocol.bridge`); whoever watches sees HTTPS to that site.  The
bridge learns this client's address and the guard, and nothing inside the onion.  Spec: REACH, rung 3; docs/bridge.md.

Theory of operation.  An onion request that does not fit one body goes as pieces, and a reply that does not as parts.  A
body holds up to 512 KiB; but where connections are frozen after some 16 KB, a connection must end before: the route
then goes on *thriftily*, with bodies of 6 KiB at most, each on a connection of its own, one after the other.  It begins
to by itself when a connection seems to have been frozen, and keeps to it for half an hour.  Until a connection has
carried more than that it tries only with what is long enough to matter, and keeps no connections (`reach.thrift`).

A bridge takes a client's clock for what it is within ten minutes.  If the site itself answers, the clock may be wrong,
and the time of the site's own reply says by how much: the request is made once more by that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from ramson.errors import ParseError, RemoteError
from ramson.network.entry import CannotFetch, Entry
from ramson.protocol import bridge as protocol
from ramson.protocol import node_list
from ramson.protocol.bridge import (
    LARGE,
    NONCE_SIZE,
    SMALL,
    TINY,
    TRANSFER_SIZE,
    BridgeLink,
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
from ramson.reach.route import Rung
from ramson.reach.thrift import Thrift
from ramson.world import Endpoint, HttpRequest, HttpResponse, Net, NetError, Stage, Tls, World

CLOCK_DIFFERS: Final = 60_000  # ms by which the site's clock must differ from ours to be believed
BUSY_PAUSE: Final = 1.0  # seconds before a busy bridge is asked again, doubled each time
TRIAL: Final = 64 * 1024  # bytes that are worth finding out whether a connection may carry much
FROZEN_FROM: Final = 10 * 1024  # bytes over a connection, either way, from which a silence may be a freeze
LIST_SECONDS: Final = 8.0  # for a list in one piece, before a connection that has carried much seems frozen
THRIFTY_LIST_SECONDS: Final = 40.0  # for one in some thirty pieces

# What a browser's script would send; only the site, its CDN and whoever has their logs see it.
_HEADERS: Final = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Content-Type": "application/octet-stream",
}
_STAGES: Final = {
    Refusal.GUARD_SILENT: Stage.TIMEOUT,
    Refusal.GUARD_UNREACHABLE: Stage.CONNECT,
    Refusal.UNKNOWN_GUARD: Stage.CONNECT,
}


class BridgeRefused(NetError):
    """The bridge works, but did not do what it was asked; `reason` says why."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(_STAGES.get(reason, Stage.REPLY), f"the bridge says: {reason.name.lower().replace('_', ' ')}")
        self.reason = reason


class SiteAnswered(NetError):
    """The bridge's web site answered as to anybody: there is no bridge (any more), or the link is no longer good."""

    def __init__(self) -> None:
        super().__init__(
            Stage.REPLY,
            "the web site answers, but not as a bridge",
            remedy="Check this machine's clock, and ask for a new link.",
        )


class BridgeRoute:
    """A `Route` over one bridge.  `net` is its own and is closed with it.

    It keeps connections short when `thrift` says so, and always if it is `thrifty`.
    """

    def __init__(
        self,
        world: World,
        net: Net,
        link: BridgeLink,
        *,
        label: str = "bridge",
        thrift: Thrift | None = None,
        thrifty: bool = False,
    ) -> None:
        self._clock = world.clock
        self._entropy = world.entropy
        self._net = net
        self._link = link
        self._label = label
        self._thrift = thrift or Thrift(world)
        self._always_thrifty = thrifty
        self._ahead = 0  # ms that the site's clock is ahead of ours
        pins = frozenset([link.pin] if link.pin else [])
        self._tls = Tls(pins=pins, verify=not pins, server_name=link.front or "") if link.tls else None
        self._endpoint = Endpoint(link.front or link.host, link.port)
        site = link.site.removesuffix(link.path)
        self._headers = {"Host": site.partition("://")[2], **_HEADERS, "Origin": site}

    @property
    def rung(self) -> Rung:
        """See Route."""
        return Rung.BRIDGE

    @property
    def label(self) -> str:
        """See Route."""
        return self._label

    @property
    def thrifty(self) -> bool:
        """Whether connections are kept short."""
        return self._always_thrifty or self._thrift.needed

    async def post(self, guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Route's
        """See Route.  Raises BridgeRefused, SiteAnswered and other NetErrors."""
        errand = self._errand(timeout, len(body))
        at, space = 0, protocol.piece_space(errand.size)
        while len(body) - at > protocol.forward_space(errand.size):
            piece = body[at : at + space]
            if not isinstance(await errand.repeat(Piece(errand.size, errand.transfer, at, piece)), Kept):
                raise _improper()
            at += len(piece)
        # Where connections must be short, one does not carry much in both directions.
        both = errand.size != SMALL or len(body) - at <= protocol.forward_space(TINY)
        forward = Forward(errand.size if both else TINY, errand.transfer, guard.ed25519, at, body[at:])
        return await errand.collect(await self._ask(forward, errand.deadline))

    async def fetch(
        self,
        endpoint: Endpoint,  # noqa: ARG002 - Route's
        request: HttpRequest,  # noqa: ARG002
        *,
        tls: Tls | None,  # noqa: ARG002
        timeout: float,  # noqa: ASYNC109, ARG002
    ) -> HttpResponse:
        """See Route: a bridge goes to guards only."""
        raise CannotFetch

    async def node_list(self, *, timeout: float) -> bytes:  # noqa: ASYNC109 - as in Route
        """Return the list of nodes that the bridge gives, unchecked.  Raises NetError."""
        errand = self._errand(timeout, 0)
        return (await errand.collect(await errand.repeat(ListQuery(errand.size, errand.transfer)))).body

    async def close(self) -> None:
        """See Route."""
        await self._net.close()

    def _errand(self, seconds: float, amount: int) -> _Errand:
        transfer, deadline = self._entropy.randbytes(TRANSFER_SIZE), self._clock.monotonic() + seconds
        return _Errand(self._ask, self._size_for, self._size_for(amount), transfer, deadline)

    def _size_for(self, amount: int) -> int:
        """Return how large bodies may be where so many bytes are to be carried."""
        careful = self.thrifty or (amount <= TRIAL and not self._thrift.may_keep)
        return SMALL if careful else LARGE

    async def _ask(self, request: BridgeRequest, deadline: float) -> BridgeReply:
        """Ask the bridge, by its own clock if need be, and again later if it is busy.

        Raises BridgeRefused, SiteAnswered, NetError.
        """
        pause = BUSY_PAUSE
        while True:
            reply = await self._exchange(request, deadline) or await self._exchange(request, deadline)
            if reply is None:
                raise SiteAnswered
            if not isinstance(reply, Refused):
                return reply
            # To give up at once would have guards tested and paths built anew, by the same busy bridge.
            seconds = pause * self._entropy.uniform(0.5, 1.5)
            if reply.reason is not Refusal.BUSY or self._clock.monotonic() + seconds >= deadline:
                raise BridgeRefused(reply.reason)
            await asyncio.sleep(seconds)
            pause *= 2

    async def _exchange(self, request: BridgeRequest, deadline: float) -> BridgeReply | None:
        """Make one POST; None if the site answered it."""
        now, thrifty = self._clock.now(), self.thrifty
        nonce = self._entropy.randbytes(NONCE_SIZE)
        ticket = Ticket.make(self._link.secret, now_ms=max(0, now + self._ahead), nonce=nonce)
        body = ticket.seal_request(protocol.encode_request(request))
        short = thrifty or not self._thrift.may_keep
        headers = {**self._headers, "Connection": "close"} if short else self._headers
        try:
            response = await self._net.request(
                self._endpoint,
                HttpRequest("POST", f"{self._link.path}{ticket}", headers, body),
                tls=self._tls,
                timeout=max(0.0, deadline - self._clock.monotonic()),
                max_reply=LARGE,
            )
        except NetError as error:
            if not thrifty and _looks_frozen(error, len(body)):
                await self._net.close()  # connections that have carried much already
                await self._thrift.learn()
            raise
        self._thrift.carried(len(body) + len(response.body))
        if response.status == 200 and protocol.is_class(len(response.body)):
            with contextlib.suppress(ParseError):
                return protocol.decode_reply(ticket.open_reply(response.body))
        self._set_clock(response, now)
        return None

    def _set_clock(self, response: HttpResponse, now: int) -> None:
        """Take the time from the site's own answer."""
        try:
            theirs = round(parsedate_to_datetime(response.headers.get("date", "")).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError):
            return
        if abs(theirs - now - self._ahead) > CLOCK_DIFFERS:
            self._ahead = theirs - now


class BridgeLists:
    """The channel (`network.list_source`) by which bridges bring a list of nodes.

    All bridges are one voice: whoever gives somebody three links must not be three sources that agree.
    """

    def __init__(self, world: World, links: Sequence[BridgeLink]) -> None:
        self._world = world
        self._links = links
        self._thrift = Thrift(world)

    @property
    def name(self) -> str:
        """See ListSource."""
        return "bridges"

    @property
    def local(self) -> bool:
        """See ListSource."""
        return False

    async def fetch(self, _entry: Entry) -> bytes:
        """See ListSource: the first list that claims to be signed, or else the first.

        A bridge is asked straight, whatever the way out in use: it is one itself.  Everybody begins with another one,
        for many may have been given the same links.  Raises RemoteError.
        """
        found: list[bytes] = []
        failure: RemoteError = CannotFetch()
        for link in self._world.entropy.sample(self._links, len(self._links)):
            route = BridgeRoute(self._world, self._world.outlets.direct(), link, thrift=self._thrift)
            try:
                given = await _list_by(route)
                if node_list.decode(given).signatures:
                    return given
                found.append(given)
            except (NetError, ParseError) as error:
                failure = error
            finally:
                await route.close()
        if not found:
            raise failure
        return found[0]


@dataclass(frozen=True, slots=True)
class _Errand:
    """The requests to the bridge that one of ours takes: up to `deadline` (monotonic seconds), under one name."""

    ask: Callable[[BridgeRequest, float], Awaitable[BridgeReply]]
    size_for: Callable[[int], int]
    size: int
    transfer: bytes
    deadline: float

    async def repeat(self, request: BridgeRequest) -> BridgeReply:
        """Ask what does no harm when it is asked twice."""
        try:
            return await self.ask(request, self.deadline)
        except BridgeRefused:
            raise
        except NetError as error:
            if error.stage is Stage.TIMEOUT:
                raise
        return await self.ask(request, self.deadline)

    async def collect(self, first: BridgeReply) -> HttpResponse:
        """Return the whole answer that begins with `first`."""
        if not isinstance(first, Content):
            raise _improper()
        body, room = bytearray(first.data), self.size_for(first.total)
        while len(body) < first.total:
            part = await self.repeat(Rest(room, self.transfer, len(body)))
            if not isinstance(part, Content) or part.total != first.total or not part.data:
                raise _improper()
            body += part.data
        if len(body) > first.total:
            raise _improper()
        return HttpResponse(first.status, {}, bytes(body))


async def _list_by(route: BridgeRoute) -> bytes:
    """Return a bridge's list, in small pieces if need be.  Raises NetError."""
    if not route.thrifty:
        try:
            return await route.node_list(timeout=LIST_SECONDS)
        except NetError:
            if not route.thrifty:  # it is not for the length of the list
                raise
    return await route.node_list(timeout=THRIFTY_LIST_SECONDS)


def _looks_frozen(error: NetError, sent: int) -> bool:
    silent = error.stage is Stage.TIMEOUT and error.reached is Stage.REPLY
    return silent and max(error.received, sent) >= FROZEN_FROM


def _improper() -> NetError:
    return NetError(Stage.REPLY, "the bridge gave no proper reply")

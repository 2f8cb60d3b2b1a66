"""The QUIC listener of a node: one UDP port, many connections, and requests on the first stream of each.

It moves requests and answers and knows none of the methods.  spec: storage-rpc.md §1, defaults.md *QUIC*; the limits
are ours.

Theory of operation
-------------------
A datagram is looked at for the connection it belongs to.  One of a newcomer is worth work only if it opens a
handshake.  While few handshakes are unfinished it is taken at its word; from `strangers` on it is sent a token that
only whoever receives at its address can send back (a retry), for which nothing is kept here: a flood with forged
senders gets no further.  Whoever does receive there counts: how quickly a caller opens connections, and how many it
holds.  Who has to go when there are too many is chosen as among the HTTPS connections (`crowd`).

A connection has one stream, the first that its client opens in both directions.  A second one, or anything that is no
frame, ends it.  All that a client can make a node keep is counted: frames that are not whole and replies that are not
taken, of one connection and of all; of all, the largest goes first.  Once a second those are looked for that take too
long over a frame or a reply.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, cast

from aioquic.buffer import Buffer  # type: ignore[attr-defined] # it is made for this
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol.quic_frames import Frame, FrameReader, Kind, encode
from ramson.world.callers import Paces, caller
from ramson.world.faults import describe
from ramson.world.http import CannotListen, Endpoint
from ramson.world.peers import Origin
from ramson.world.quic import QuicAnswer, QuicHandler, QuicLimits, QuicRoute
from ramson.world.real.crowd import WAITING, WORKING, leavers, places
from ramson.world.real.quic_talk import Talk, give
from ramson.world.real.quic_tls import RawKeyConnection, configuration

STREAM: Final = 0  # the first that a client opens in both directions
SMALLEST: Final = 1200  # bytes; a datagram that opens a connection has no fewer
LOOK: Final = 1.0  # seconds between two looks at all connections
LARGE: Final = 64 * 1024  # bytes, from which on a frame leads to a look at what all connections hold
GRACE: Final = 10.0  # seconds for requests in progress when the listener closes
TELL: Final = 60.0  # seconds between two log lines about what was dropped
CONNECTION_ID: Final = 8  # bytes

logger = logging.getLogger(__name__)


class Incoming:
    """One connection; `since` is when it was made or last asked for something, in seconds."""

    def __init__(self, owner: RealQuicListener, quic: RawKeyConnection, host: str, number: int) -> None:
        self.caller = caller(host)
        self.origin = Origin(b"", QuicRoute(number), host)
        self.since = self.made = owner.loop.time()
        self.ids: set[bytes] = set()
        self.established = False
        self.calls = 0
        self.reader = FrameReader()
        self.talk = Talk(quic, owner.send, self._happened, self._gone)
        self._owner = owner
        self._quic = quic
        self._pushed = 0
        self._given = 0  # bytes of replies
        self._taken = (0, self.since)  # how many of them had been taken, and since when not more
        self._unfinished_since = self.since

    @property
    def worth(self) -> int:
        """What it is worth among others: one for which nobody works can go."""
        return WORKING if self.calls else WAITING

    @property
    def unsent(self) -> int:
        """How many bytes of replies have not been taken."""
        return self._quic.unsent(STREAM)

    def is_late(self, now: float, limits: QuicLimits) -> str:
        """Say what takes too long; empty if nothing does."""
        if not self.established:
            return "handshake" if now - self.made >= limits.handshake_timeout else ""
        if self.reader.held and now - self._unfinished_since >= limits.frame_timeout:
            return "frame"
        unsent = self.unsent
        taken = self._given - unsent
        if not unsent or taken > self._taken[0]:
            self._taken = taken, now
        return "reply" if now - self._taken[1] >= limits.stall_timeout else ""

    def push(self, name: str, body: bytes) -> bool:
        """Send a command; False when it does not take it."""
        self._pushed += 1
        return self.send(Frame(Kind.COMMAND, self._pushed, body, name))

    def send(self, frame: Frame) -> bool:
        """Send a frame, unless the client has left too much lying; then it is dropped."""
        data = encode(frame)
        if self.unsent + len(data) > self._owner.limits.unsent:
            self._owner.drop(self, "it takes no replies")
            return False
        try:
            self._quic.send_stream_data(STREAM, data)
        except (RuntimeError, ValueError):  # aioquic's words for a stream whose far end wants no more
            self._owner.drop(self, "the stream is closed")
            return False
        self._given += len(data)
        self.talk.move()
        if len(data) > LARGE:
            self._owner.weigh()
        return True

    def _gone(self) -> None:
        self._owner.forget(self)

    def _happened(self, event: QuicEvent) -> None:
        match event:
            case ConnectionIdIssued(connection_id=name):
                self._owner.name(self, name)
            case ConnectionIdRetired(connection_id=name):
                self._owner.unname(self, name)
            case HandshakeCompleted():
                self.established = True
                self._owner.finished()
            case StreamDataReceived(stream_id=stream, data=data) if stream == STREAM:
                self._take(data)
            case StreamDataReceived():
                self._owner.drop(self, "one stream is enough")
            case StreamReset() | StopSendingReceived():
                self._owner.drop(self, "the stream is closed")
            case ConnectionTerminated():
                self.talk.end("")
                self._owner.forget(self)

    def _take(self, data: bytes) -> None:
        if not self.reader.held:
            self._unfinished_since = self._owner.loop.time()
        try:
            for frame in self.reader.feed(data):
                self.since = self._unfinished_since = self._owner.loop.time()
                if self.talk.ended:
                    return
                if frame.kind is Kind.COMMAND:  # nothing is asked of clients, so no reply means anything
                    self._owner.ask(self, frame)
        except ParseError as error:
            self._owner.drop(self, str(error))
        if self.reader.held > LARGE:
            self._owner.weigh()


class RealQuicListener(asyncio.DatagramProtocol):
    """See world.quic.QuicListener."""

    def __init__(self, identity: Ed25519KeyPair, handler: QuicHandler, limits: QuicLimits) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self._configuration = configuration(identity, is_client=False, idle_seconds=limits.idle_timeout)
        self._handler = handler
        self._retry = QuicRetryTokenHandler()
        self._transport: asyncio.DatagramTransport | None = None
        self._named: dict[bytes, Incoming] = {}
        self._held: dict[str, dict[Incoming, None]] = {}
        self._numbered: dict[QuicRoute, Incoming] = {}
        self._strangers = 0  # unfinished handshakes
        self._paces = Paces(limits.burst, limits.pace)
        self._tasks: set[asyncio.Task[None]] = set()
        self._made = 0
        self._dropped = 0
        self._told = -TELL
        self._weighed = -LOOK
        self._closing = False
        self._timer = self.loop.call_later(LOOK, self._look)

    # ---- QuicListener

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        assert self._transport is not None  # noqa: S101 - `listen` returns it only with one
        host, port = self._transport.get_extra_info("sockname")[:2]
        return Endpoint(host, port)

    @property
    def connections(self) -> int:
        """How many connections are open or in their handshake."""
        return len(self._numbered)

    def push(self, origin: Origin, name: str, body: bytes) -> bool:
        """Send a command back along a connection."""
        one = self._numbered.get(origin.route) if isinstance(origin.route, QuicRoute) else None
        return one is not None and one.push(name, body)

    async def close(self) -> None:
        """Accept no more, let requests in progress finish for 10 s, close the connections."""
        if self._closing:
            return
        self._closing = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._timer.cancel()
        for one in list(self._numbered.values()):
            self.drop(one, "the node stops")
        if self._transport is not None:
            self._transport.close()

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's has another type

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Hand a datagram to its connection."""
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID)
        except ValueError:
            return
        one = self._named.get(header.destination_cid)
        if one is None:
            one = None if self._closing or len(data) < SMALLEST else self._newcomer(header, address)
        if one is not None:
            one.talk.received(data, address)

    def send(self, data: bytes, address: Any) -> None:
        """Send a datagram, unless the system takes none for now: QUIC sends again what is lost."""
        give(self._transport, data, address)

    # ---- who comes in

    def _newcomer(self, header: QuicHeader, address: Any) -> Incoming | None:
        if header.version is not None and header.version != QuicProtocolVersion.VERSION_1:
            if header.packet_type != QuicPacketType.VERSION_NEGOTIATION:
                versions = [int(QuicProtocolVersion.VERSION_1)]
                self.send(encode_quic_version_negotiation(header.destination_cid, header.source_cid, versions), address)
            return None
        if header.packet_type != QuicPacketType.INITIAL or len(header.destination_cid) < CONNECTION_ID:
            return None
        original, retried = header.destination_cid, None
        if header.token:
            try:
                original = self._retry.validate_token(
                    address=address,
                    destination_cid=header.destination_cid,
                    token=header.token,
                    now=self.loop.time(),
                )
            except ValueError:
                return None
            retried = header.destination_cid
        elif self._strangers >= self.limits.strangers:
            self._ask_again(header, address)
            return None
        return self._admit(header, address, original, retried)

    def _ask_again(self, header: QuicHeader, address: Any) -> None:
        """Have a newcomer show that it receives at its address."""
        name = os.urandom(CONNECTION_ID)
        token = self._retry.create_token(
            address=address,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=name,
            now=self.loop.time(),
        )
        assert header.version is not None  # noqa: S101 - an initial packet has one
        packet = encode_quic_retry(
            version=header.version,
            source_cid=name,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self.send(packet, address)

    def _admit(self, header: QuicHeader, address: Any, original: bytes, retried: bytes | None) -> Incoming | None:
        host = address[0].removeprefix("::ffff:")
        if not self._make_room(caller(host)):
            self._dropped += 1
            return None
        quic = RawKeyConnection(
            self._configuration,
            expected=None,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )
        self._made += 1
        one = Incoming(self, quic, host, self._made)
        self._held.setdefault(one.caller, {})[one] = None
        self._numbered[QuicRoute(self._made)] = one
        self._strangers += 1
        self.name(one, header.destination_cid)
        self.name(one, quic.host_cid)
        return one

    def _make_room(self, who: str) -> bool:
        limits = self.limits
        if not self._paces.allows(who, self.loop.time()):
            return False
        mine = self._held.get(who, {})
        if len(mine) >= limits.per_caller and not self._drop_some({who: mine}, places(limits.per_caller)):
            return False
        return len(self._numbered) < limits.connections or self._drop_some(self._held, places(limits.connections))

    # ---- what connections report

    def name(self, one: Incoming, name: bytes) -> None:
        """Learn under which id datagrams of a connection come."""
        self._named[name] = one
        one.ids.add(name)

    def unname(self, one: Incoming, name: bytes) -> None:
        """Learn that a connection has an id no more."""
        self._named.pop(name, None)
        one.ids.discard(name)

    def finished(self) -> None:
        """Count a handshake that came to its end."""
        self._strangers -= 1

    def forget(self, one: Incoming) -> None:
        """Count a connection out, if it was not yet."""
        route = one.origin.route
        if not isinstance(route, QuicRoute) or self._numbered.pop(route, None) is None:
            return
        self._strangers -= not one.established
        for name in one.ids:
            self._named.pop(name, None)
        mine = self._held[one.caller]
        del mine[one]
        if not mine:
            del self._held[one.caller]

    def drop(self, one: Incoming, reason: str) -> None:
        """End a connection at once."""
        self.forget(one)
        one.talk.end(reason)

    def weigh(self) -> None:
        """Drop those that have most lying here, while it is too much in all; at most ten times a second."""
        now = self.loop.time()
        if now - self._weighed < LOOK / 10:
            return
        self._weighed = now
        self._lighten(lambda one: one.unsent, self.limits.unsent_in_all)
        self._lighten(lambda one: one.reader.held, self.limits.unfinished_in_all)

    def ask(self, one: Incoming, frame: Frame) -> None:
        """Have a request answered."""
        if one.calls >= self.limits.calls or self._closing:
            self._reply(one, frame.number, QuicAnswer(self.limits.busy, failed=True))
            return
        answer = self._handler(one.origin, frame.endpoint, frame.body)
        if isinstance(answer, QuicAnswer):
            self._reply(one, frame.number, answer)
            return
        one.calls += 1
        task = self.loop.create_task(self._reply_later(one, frame.number, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply_later(self, one: Incoming, number: int, answer: Awaitable[QuicAnswer]) -> None:
        try:
            self._reply(one, number, await answer)
        except Exception as error:  # noqa: BLE001 - a handler's fault costs its caller a reply, nobody else anything
            logger.error("handler failed: %s", describe(error))  # noqa: TRY400 - a traceback could quote a message
        finally:
            one.calls -= 1

    def _reply(self, one: Incoming, number: int, answer: QuicAnswer) -> None:
        if one.origin.route in self._numbered:
            one.send(Frame(Kind.ERROR if answer.failed else Kind.REPLY, number, answer.body))

    # ---- looking at all

    def _look(self) -> None:
        self._timer = self.loop.call_later(LOOK, self._look)
        now = self.loop.time()
        for one in list(self._numbered.values()):
            late = one.is_late(now, self.limits)
            if late:
                self.drop(one, f"too slow: {late}")
        self.weigh()
        if self._dropped and now - self._told >= TELL:
            logger.warning(
                "crowded: %d QUIC connections were dropped or refused, %d are open", self._dropped, self.connections
            )
            self._dropped, self._told = 0, now

    def _lighten(self, weight: Callable[[Incoming], int], limit: int) -> None:
        weights = {one: weight(one) for one in self._numbered.values()}
        total = sum(weights.values())
        while total > limit:
            heaviest = max(weights, key=weights.__getitem__)
            total -= weights.pop(heaviest)
            self._dropped += 1
            self.drop(heaviest, "too much is waiting")

    def _drop_some(self, held: Mapping[str, Collection[Incoming]], wanted: int) -> bool:
        chosen = leavers(held, wanted)
        for one in chosen:
            self.drop(one, "too many connections")
        self._dropped += len(chosen)
        return bool(chosen)


async def listen_quic(
    endpoint: Endpoint, identity: Ed25519KeyPair, handler: QuicHandler, limits: QuicLimits
) -> RealQuicListener:
    """Answer over QUIC at a UDP port, proving `identity`.  Raises CannotListen."""
    loop = asyncio.get_running_loop()
    sock = None
    try:
        found = await loop.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        sock.bind(address)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise CannotListen(
            f"cannot listen at UDP {endpoint}: {error.strerror}",
            remedy="choose an address of this machine and a free port",
        ) from error
    _, listener = await loop.create_datagram_endpoint(lambda: RealQuicListener(identity, handler, limits), sock=sock)
    return listener

"""OxenMQ's conversation: requests and their replies, commands and who may give them.  Both worlds use it.

It never touches a socket: a `FrameTransport` moves lists of byte strings between authenticated ends.
Spec: oxend-interface.md §1; CORRECTIONS.md (swarms §7).

Theory of operation
-------------------
A request is known by its tag and by the key it was sent to.  Its reply may arrive by any connection of
that key, not only by the one the request left on, because the other end answers on "the" connection
it has to us.  A peer without a port, which nobody can dial, is asked along the connection from which it last gave a
command that not everybody may give.  A refusal with a tag fails that request; `UNKNOWNCOMMAND` has no tag and fails
all requests for that name at that key, for none of them will ever be answered.

An incoming message is judged in this order: is it well formed (else dropped), is the name known (else
`UNKNOWNCOMMAND`), may this key use it now (else the refusal's code), does a request have its tag (else
`NO_REPLY_TAG`).  A handler that answers later runs as a task of the engine; each category has so many
places and all together so many bytes, and a message that finds no place vanishes, as it does in OxenMQ:
the caller's time limit is the caller's protection.  A handler that fails answers nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutine
from typing import Protocol, cast

from ramson.errors import ParseError
from ramson.protocol import omq
from ramson.world.faults import describe
from ramson.world.http import Endpoint
from ramson.world.peers import Command, Origin, PeerAddress, PeerRefused, PeerTimeout, Reply, open_to_all

logger = logging.getLogger(__name__)

# Places per category for handlers that answer later (defaults.md, storage server internals).
PLACES: Mapping[str, int] = {"sn": 1000, "storage": 200, "monitor": 500}
OTHER_PLACES = 1000
GRACE = 3.0  # seconds for handlers at work when the link closes
MAX_HELD = 256 * 1024 * 1024  # bytes of messages whose handlers have not answered yet
MAX_CALLERS = 4096  # remembered connections of peers


class FrameReceiver(Protocol):
    """What a transport tells the engine."""

    def frames_received(self, origin: Origin, frames: Sequence[bytes]) -> None:
        """Take one message that came from `origin`."""
        ...

    def route_closed(self, route: Hashable) -> None:
        """Learn that nothing sent on `route` arrives any more, and nothing comes from it."""
        ...

    def is_waiting(self, key: bytes) -> bool:
        """Whether a reply from the peer with this key is still expected, so its connection is not idle."""
        ...


class FrameTransport(Protocol):
    """Authenticated connections that carry messages of several parts."""

    def start(self, receiver: FrameReceiver) -> None:
        """Deliver to `receiver` from now on."""
        ...

    def connect(self, peer: PeerAddress) -> Hashable:
        """Return the route to `peer`, beginning to connect if there is none; what is sent meanwhile waits."""
        ...

    def send(self, route: Hashable, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False if the route is gone or takes no more."""
        ...

    def close(self, route: Hashable) -> None:
        """Drop one route."""
        ...

    async def stop(self) -> None:
        """Drop all."""
        ...

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, with the port that was really bound."""
        ...


@dataclass(slots=True)  # not frozen: that would double the cost of making one
class _Pending:
    name: str
    route: Hashable
    reply: asyncio.Future[list[bytes]]


class OmqEngine:
    """A PeerLink over any FrameTransport."""

    def __init__(self, transport: FrameTransport, commands: Mapping[str, Command], entropy: random.Random) -> None:
        self._transport = transport
        self._commands = dict(commands)
        self._entropy = entropy
        self._pending: dict[bytes, dict[bytes, _Pending]] = {}
        self._callers: dict[bytes, Hashable] = {}  # the last route of each key that was let in by name
        self._tasks: set[asyncio.Future[Reply]] = set()
        self._places: Counter[str] = Counter()
        self._held = 0
        self._closing = self._closed = False
        transport.start(self)

    # ---- PeerLink

    @property
    def endpoint(self) -> Endpoint | None:
        """Where this link listens, with the port that was really bound; None if it only dials."""
        return self._transport.endpoint

    def request(
        self, peer: PeerAddress, name: str, parts: Sequence[bytes], *, timeout: float
    ) -> asyncio.Future[list[bytes]]:
        """Send a request; the future has the reply's data parts, or PeerTimeout or PeerRefused."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[list[bytes]] = loop.create_future()
        if self._closed:
            reply.set_exception(PeerTimeout("the link is closed"))
            return reply
        tag = self._entropy.randbytes(omq.TAG_SIZE)
        frames = omq.request(name, tag, parts)
        key = peer.x25519
        route = self._transport.connect(peer) if peer.endpoint.port else self._callers.get(key)
        pending = _Pending(name, route, reply)
        self._pending.setdefault(key, {})[tag] = pending
        if self._transport.send(route, frames):
            timer = loop.call_later(timeout, _time_out, pending, timeout)
        else:
            timer = None
            reply.set_exception(PeerTimeout("the peer cannot be dialled or its connection takes no more"))

        def settled(_reply: asyncio.Future[list[bytes]]) -> None:
            if timer is not None:
                timer.cancel()
            waiting = self._pending[key]
            del waiting[tag]
            if not waiting:
                del self._pending[key]

        reply.add_done_callback(settled)
        return reply

    def push(self, origin: Origin, name: str, parts: Sequence[bytes]) -> bool:
        """Send a command back along an existing connection; False when that connection is gone."""
        return not self._closed and self._transport.send(origin.route, omq.command(name, parts))

    async def close(self) -> None:
        """Let handlers at work finish (3 s at most), then drop every connection and fail every request that waits."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
        self._closed = True
        for pending in self._all_pending():
            _fail(pending, PeerTimeout("the link was closed"))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.stop()

    # ---- FrameReceiver

    def frames_received(self, origin: Origin, frames: Sequence[bytes]) -> None:
        """Take one message that came from `origin`."""
        try:
            message = omq.parse(frames, self._expects_reply)
        except ParseError as error:
            logger.debug("dropped a malformed message: %s", error)
            return
        match message:
            case omq.ReplyMessage(tag, parts):
                waiting = self._pending.get(origin.key)
                pending = None if waiting is None else waiting.get(tag)
                if pending is not None and not pending.reply.done():
                    pending.reply.set_result(list(parts))
            case omq.Call():
                self._called(origin, message)
            case omq.Refusal():
                self._refused(origin, message)
            case omq.Control.HI:
                self._transport.send(origin.route, omq.control(omq.Control.HELLO))
            case omq.Control.BYE:
                self._transport.close(origin.route)
            case omq.Control.HELLO:
                pass

    def route_closed(self, route: Hashable) -> None:
        """Fail the requests that went out on `route`."""
        for pending in self._all_pending():
            if pending.route == route:
                _fail(pending, PeerTimeout("the connection to the peer was closed"))

    def is_waiting(self, key: bytes) -> bool:
        """Whether a reply from the peer with this key is still expected."""
        return key in self._pending

    # ---- outgoing requests

    def _all_pending(self) -> list[_Pending]:
        return [pending for waiting in self._pending.values() for pending in waiting.values()]

    def _refused(self, origin: Origin, refusal: omq.Refusal) -> None:
        waiting = self._pending.get(origin.key, {})
        if refusal.tag is not None:
            concerned = [waiting[refusal.tag]] if refusal.tag in waiting else []
        else:
            concerned = [pending for pending in waiting.values() if pending.name == refusal.name]
        for pending in concerned:
            _fail(pending, PeerRefused(refusal.code.value))

    # ---- incoming calls

    def _expects_reply(self, name: str) -> bool:
        command = self._commands.get(name)
        return command is not None and command.expects_reply

    def _called(self, origin: Origin, call: omq.Call) -> None:
        command = self._commands.get(call.name)
        if self._closing:
            return
        if command is None:
            self._transport.send(origin.route, omq.unknown_command(call))
            return
        try:
            code = command.refuse(origin)
            if code is not None:
                self._transport.send(origin.route, omq.refuse(call, code))
                return
            if command.refuse is not open_to_all:
                self._remember(origin)
            if command.expects_reply and call.tag is None:
                self._transport.send(origin.route, omq.no_reply_tag(call))
                return
            category = call.name.partition(".")[0]
            size = sum(map(len, call.parts))
            if self._places[category] >= PLACES.get(category, OTHER_PLACES) or self._held + size > MAX_HELD:
                logger.warning("category %s is full: a message was dropped", category)
                return
            answer = command.handle(origin, list(call.parts))
            if hasattr(answer, "__await__"):
                self._await(origin, call, cast("Awaitable[Reply]", answer), category, size)
            else:
                self._answer(origin, call, answer)
        except Exception as error:  # noqa: BLE001 - a handler's fault must not stop the link
            logger.error("handler of %s failed: %s", call.name, describe(error))  # noqa: TRY400 - no traceback

    def _remember(self, origin: Origin) -> None:
        if len(self._callers) >= MAX_CALLERS and origin.key not in self._callers:
            self._callers.clear()
        self._callers[origin.key] = origin.route

    def _await(self, origin: Origin, call: omq.Call, answer: Awaitable[Reply], category: str, size: int) -> None:
        # what `ensure_future` finds out about its argument takes as long as making a task of a coroutine
        loop = asyncio.get_running_loop()
        task = loop.create_task(answer) if iscoroutine(answer) else asyncio.ensure_future(answer)
        self._tasks.add(task)
        self._places[category] += 1
        self._held += size

        def done(task: asyncio.Future[Reply]) -> None:
            self._tasks.discard(task)
            self._places[category] -= 1
            self._held -= size
            if task.cancelled():
                return
            try:
                self._answer(origin, call, task.result())
            except Exception as error:  # noqa: BLE001 - as above
                logger.error("handler of %s failed: %s", call.name, describe(error))  # noqa: TRY400 - no traceback

        task.add_done_callback(done)

    def _answer(self, origin: Origin, call: omq.Call, reply: Reply) -> None:
        if call.tag is not None and reply is not None and not self._closed:
            self._transport.send(origin.route, omq.reply(call.tag, reply))


def _time_out(pending: _Pending, timeout: float) -> None:
    _fail(pending, PeerTimeout(f"no reply within {timeout:g} s"))


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.reply.done():
        pending.reply.set_exception(error)

"""Onion requests: to a node (a batch of storage requests) and to a server, with the failure table applied.

Every request goes by a path that does not hold its destination.  What fails on the way is tried again by another
path; what the destination refuses is the caller's to judge.  Spec: bootstrap-and-paths.md §2.4–2.6, onion.md §6.

Theory of operation.  One attempt is: a path, layers around the payload, one POST to the guard, and a reply
that is either clear text from some hop or sealed by the destination.  `_attempt` turns whatever happens into an
opened reply or one `RequestFailed`, and tells the routing which; `_exchange` is the loop of attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

from ramson.crypto.onion import LayerCipher
from ramson.errors import ParseError
from ramson.network import failures
from ramson.network.clock import ClockOffset
from ramson.network.entry import Entry
from ramson.network.errors import ClockSkew, NotAuthorised, RequestFailed, TooManyRequests
from ramson.network.failures import TABLE, Failure, HopError, Retry
from ramson.network.paths import Path
from ramson.network.routing import Routing
from ramson.network.trace import RequestAnswered, RequestSent, Trace
from ramson.protocol import onion, storage, strict_json
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.server_v4 import ServerRequest, ServerResponse, encode_request, open_response
from ramson.protocol.storage import Request, Result
from ramson.world import Clock, NetError, Stage, World

MAX_BATCH = 20
ATTEMPTS = 3
FIRST_PAUSE = 0.1  # seconds, doubled after each attempt
NODE_TIMEOUT = 10.0
SERVER_TIMEOUT = 10.0
MAX_BODY = 10 * 1024 * 1024  # what a guard takes
_SHOWN = 512  # bytes of a refusal that are looked at

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of a batch, in its order, and the path they came by."""

    results: tuple[Result, ...]
    node: NodeRecord
    path: Path


@dataclass(frozen=True, slots=True)
class _Errand:
    """What an attempt sends to whom."""

    destination: onion.NodeHop | onion.ServerDestination
    payload: bytes = field(repr=False)
    seconds: float
    shown: str
    what: tuple[str, ...]

    @property
    def node(self) -> bytes | None:
        """The destination's Ed25519 key, if it is a node."""
        return self.destination.ed25519 if isinstance(self.destination, onion.NodeHop) else None


@dataclass(frozen=True, slots=True)
class _Opened(Generic[T]):
    """A reply of the destination, its path, and the local times of the attempt that brought it."""

    value: T
    path: Path
    sent_ms: int
    received_ms: int


Reader = Callable[[LayerCipher, bytes], T]


def as_it_is(answer: Answer) -> Answer:
    """Read an answer by leaving it to the caller."""
    return answer


FindPath = Callable[[bytes | None, Path | None], Awaitable[Path]]


class OnionRequests:
    """Sends onion requests.  `find_path(avoid, after)` gives a path, or raises NoPath after having waited for one."""

    def __init__(
        self, world: World, entry: Entry, routing: Routing, clock: ClockOffset, find_path: FindPath, trace: Trace
    ) -> None:
        self._clock: Clock = world.clock
        self._entropy = world.entropy
        self._entry = entry
        self._routing = routing
        self._offset = clock
        self._find_path = find_path
        self._trace = trace
        self._numbers = count(1)

    async def to_node(
        self,
        node: NodeRecord,
        requests: Sequence[Request],
        read: Callable[[Answer], T],
        *,
        attempts: int = ATTEMPTS,
        in_order: bool = False,
    ) -> T:
        """Send a batch of up to 20 requests to a node and return what `read` makes of its results, good and bad.

        With `in_order` they are done one after the other, until one fails; its result is then the last.
        A node has failed if its answer makes no sense, or if `read` raises ParseError.
        Raises RequestFailed (also for that), NoPath, TooManyRequests, and what else `read` raises.
        """
        if not 0 < len(requests) <= MAX_BATCH:
            raise TooManyRequests(f"a batch has 1 to {MAX_BATCH} requests, not {len(requests)}", remedy="Send several.")
        batch = (storage.Sequence if in_order else storage.Batch)(requests=tuple(requests))
        payload = strict_json.encode({"jsonrpc": "2.0", **storage.to_json(batch)})
        destination = onion.NodeHop(node.ed25519, node.x25519)
        what = tuple(request.method.name for request in requests)
        errand = _Errand(destination, payload, NODE_TIMEOUT, f"{node.ip}:{node.https_port}", what)

        opened = await self._exchange(errand, onion.open_node_reply, attempts)
        reply, path = opened.value, opened.path
        said = Result(reply.status, reply.body[:_SHOWN].decode("utf-8", "replace"))
        if (failure := failures.of_node(said)) is not None:
            self._routing.failed(failure, path, destination=node.ed25519)
            raise refusal(failure, reply.status)
        try:
            results = _results(batch, reply.body)
            self._note_time(node, results, opened)
            found = read(Answer(results, node, path))
        except ParseError as error:
            self._routing.failed(Failure.DESTINATION_ERROR, path, destination=node.ed25519)
            raise RequestFailed(Failure.DESTINATION_ERROR, str(error)) from None
        self._routing.forgive_node(node.ed25519)
        return found

    def _note_time(self, node: NodeRecord, results: Sequence[Result], opened: _Opened[Any]) -> None:
        times = [result.body["t"] for result in results if isinstance(result.body, dict) and "t" in result.body]
        if times:
            self._offset.observe(node.ed25519, sent_ms=opened.sent_ms, received_ms=opened.received_ms, t=times[-1])

    async def to_server(
        self,
        server: onion.ServerDestination,
        request: ServerRequest,
        *,
        attempts: int = ATTEMPTS,
        seconds: float = SERVER_TIMEOUT,
    ) -> ServerResponse:
        """Send a request to a server and return its answer, whatever its code.

        `seconds` is for one attempt; files want more than the usual 10.  Raises RequestFailed, NoPath.
        """
        errand = _Errand(server, encode_request(request), seconds, server.host, (request.method,))
        return (await self._exchange(errand, open_response, attempts)).value

    async def _exchange(self, errand: _Errand, read: Reader[T], attempts: int) -> _Opened[T]:
        path: Path | None = None
        for attempt in range(1, attempts + 1):
            path = await self._find_path(errand.node, path)
            try:
                return await self._attempt(path, errand, read)
            except RequestFailed as error:
                gone = errand.node is not None and errand.node not in self._routing.pool
                if attempt == attempts or gone or TABLE[error.failure].retry is not Retry.ANOTHER_WAY:
                    raise
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, path: Path, errand: _Errand, read: Reader[T]) -> _Opened[T]:
        number = next(self._numbers)
        self._trace(RequestSent(number, path, errand.shown, errand.what))
        began, sent_ms = self._clock.monotonic(), self._clock.now()
        outcome = await self._carry(path, errand, read)
        elapsed_ms = round((self._clock.monotonic() - began) * 1000)
        if isinstance(outcome, HopError):
            self._routing.failed(outcome.failure, path, destination=errand.node, named=outcome.named)
            self._trace(RequestAnswered(number, path, elapsed_ms, outcome.failure))
            raise RequestFailed(outcome.failure)
        self._routing.answered(path)
        self._trace(RequestAnswered(number, path, elapsed_ms, None))
        return _Opened(outcome, path, sent_ms, sent_ms + elapsed_ms)

    async def _carry(self, path: Path, errand: _Errand, read: Reader[T]) -> T | HopError:
        """Make one attempt; whatever goes wrong on the way comes back as a HopError."""
        hops = [onion.NodeHop(hop.ed25519, hop.x25519) for hop in path.hops]
        try:
            sealed = onion.build(hops, errand.destination, errand.payload, entropy=self._entropy)
        except ParseError:  # a listed key that is none: this path cannot work
            return HopError(Failure.UNREADABLE)
        if len(sealed.body) > MAX_BODY:
            raise TooManyRequests("the request is larger than the 10 MiB a node takes", remedy="Send less at a time.")
        try:
            reply = await self._entry.send(path.guard, sealed.body, timeout=errand.seconds)
        except NetError as error:
            return HopError(Failure.PATH_TIMEOUT if error.stage is Stage.TIMEOUT else Failure.GUARD_UNREACHABLE)
        if (problem := failures.of_hop(reply.status, reply.body, to_server=errand.node is None)) is not None:
            return problem
        try:
            return read(sealed.reply, reply.body)
        except ParseError:
            return HopError(Failure.UNREADABLE)


def _results(batch: storage.Batch | storage.Sequence, body: bytes) -> tuple[Result, ...]:
    """Read the results of a batch.  Raises ParseError unless there is one for each request, up to one that failed."""
    results = storage.read_reply(batch, body).results
    stopped = isinstance(batch, storage.Sequence) and bool(results) and failures.of_node(results[-1]) is not None
    if len(results) != len(batch.requests) and not (stopped and len(results) < len(batch.requests)):
        raise ParseError("batch reply: not as many results as requests")
    return results


def refusal(failure: Failure, status: int, text: str = "") -> RequestFailed:
    """Make the error that tells a caller what a destination said."""
    if failure is Failure.CLOCK:
        return ClockSkew(status=status)
    if failure is Failure.UNAUTHORISED:
        return NotAuthorised()
    return RequestFailed(failure, text, status=status)

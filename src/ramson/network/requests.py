"""Onion requests: to a node (a batch of storage requests) and to a server, with the failure table applied.

Every request goes by a path that does not hold its destination.  What fails on the way is tried again by another
path; what the destination refuses is the caller's to judge.  Spec: bootstrap-and-paths.md §2.4–2.6, onion.md §6.

Theory of operation.  `_exchange` is the loop of attempts.  It does not wait for time limits: when an attempt has been
silent for `SECOND_WAY_AFTER`, and the errand may be done twice, the same is sent by the other path as well, if one
stands there free of suspicion, and if no path does by a reserve, which are the next nodes behind a guard in use.  No
guard is ever met for that.  The first proper answer wins; the silence of the earlier attempts is then held against
their paths.  All ways carry the same content to the same node, sealed anew: what their last hops could learn together,
they could learn from any retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ramson.errors import ParseError
from ramson.network import failures
from ramson.network.attempts import Attempt, Attempts, Errand, Opened, Reader
from ramson.network.clock import ClockOffset
from ramson.network.errors import ClockSkew, Closed, NotAuthorised, RequestFailed, TooManyRequests
from ramson.network.failures import TABLE, Failure, HopError, Retry
from ramson.network.paths import Path
from ramson.network.routing import Routing
from ramson.protocol import onion, storage, strict_json
from ramson.protocol.namespaces import is_public_outbox
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.server_v4 import ServerRequest, ServerResponse, encode_request, open_response
from ramson.protocol.storage import Request, Result

MAX_BATCH = 20
ATTEMPTS = 3
FIRST_PAUSE = 0.1  # seconds, doubled after each attempt
NODE_TIMEOUT = 10.0
# spec gap: a member that is to delete a mailbox waits up to 15 s for others that are silent, and only then tells which
# did not obey; who gives up earlier never learns it.
DELETE_ALL_TIMEOUT = 20.0
SERVER_TIMEOUT = 10.0
# Four hops there and back around the world, a commit to disk and a forwarding to the swarm take about 1.5 s when all
# is well.  Twice that says that something is wrong, and is about as long as a person waits without wondering.
SECOND_WAY_AFTER = 3.0
LOOK_FOR_WAY = 1.0  # seconds between two looks for a second path when there is none yet
_SHOWN = 512  # bytes of a refusal that are looked at

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """The results of a batch, in its order, and the path they came by."""

    results: tuple[Result, ...]
    node: NodeRecord
    path: Path


def as_it_is(answer: Answer) -> Answer:
    """Read an answer by leaving it to the caller."""
    return answer


FindPath = Callable[[bytes | None, Path | None], Awaitable[Path]]


class OnionRequests:
    """Sends onion requests.  `find_path(avoid, after)` gives a path, or raises NoPath after having waited for one."""

    def __init__(self, attempts: Attempts, routing: Routing, clock: ClockOffset, find_path: FindPath) -> None:
        self._attempts = attempts
        self._routing = routing
        self._offset = clock
        self._find_path = find_path

    async def to_node(
        self,
        node: NodeRecord,
        requests: Sequence[Request],
        read: Callable[[Answer], T],
        *,
        attempts: int = ATTEMPTS,
        in_order: bool = False,
        apart: Path | None = None,
    ) -> T:
        """Send a batch of up to 20 requests to a node and return what `read` makes of its results, good and bad.

        With `in_order` they are done one after the other, until one fails; its result is then the last.  It goes by
        another path than `apart` if there is one.
        A node has failed if its answer makes no sense, or if `read` raises ParseError.
        Raises RequestFailed (also for that), NoPath, Closed, TooManyRequests, and what else `read` raises.
        """
        if not 0 < len(requests) <= MAX_BATCH:
            raise TooManyRequests(f"a batch has 1 to {MAX_BATCH} requests, not {len(requests)}", remedy="Send several.")
        batch = (storage.Sequence if in_order else storage.Batch)(requests=tuple(requests))
        payload = strict_json.encode({"jsonrpc": "2.0", **storage.to_json(batch)})
        destination = onion.NodeHop(node.ed25519, node.x25519)
        what = tuple(request.method.name for request in requests)
        patient = any(isinstance(request, storage.DeleteAll) for request in requests)
        seconds = DELETE_ALL_TIMEOUT if patient else NODE_TIMEOUT
        errand = Errand(
            destination, payload, seconds, f"{node.ip}:{node.https_port}", what, all(map(is_repeatable, requests))
        )

        opened = await self._exchange(errand, onion.open_node_reply, attempts, apart)
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

    def _note_time(self, node: NodeRecord, results: Sequence[Result], opened: Opened[Any]) -> None:
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
        repeatable: bool = False,
    ) -> ServerResponse:
        """Send a request to a server and return its answer, whatever its code.

        `seconds` is for one attempt; files want more than the usual 10.  A request that is `repeatable` may reach
        the server twice although it did not fail.  Raises RequestFailed, NoPath.
        """
        errand = Errand(server, encode_request(request), seconds, server.host, (request.method,), repeatable)
        return (await self._exchange(errand, open_response, attempts)).value

    async def _exchange(self, errand: Errand, read: Reader[T], attempts: int, apart: Path | None = None) -> Opened[T]:
        path, made = apart, 0
        while True:
            path = await self._find_path(errand.node, path)
            tries = [self._attempts.begin(path, errand, read)]
            try:
                return await self._first_answer(tries, errand, read, attempts - made)
            except RequestFailed as error:
                made += len(tries)
                path = tries[-1].path
                gone = errand.node is not None and errand.node not in self._routing.pool
                if made >= attempts or gone or TABLE[error.failure].retry is not Retry.ANOTHER_WAY:
                    raise
            await asyncio.sleep(FIRST_PAUSE * 2 ** (made - 1))

    async def _first_answer(self, tries: list[Attempt[T]], errand: Errand, read: Reader[T], left: int) -> Opened[T]:
        """Wait for the first answer; while the newest attempt is silent, put another one beside it.

        That makes up to `left` attempts, and one more if a sound path is found when all are silent.
        """
        waiting = list(tries)
        patience: float | None = SECOND_WAY_AFTER
        while True:
            tasks = [each.task for each in waiting]
            done, _ = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in [each for each in waiting if each.task in done]:
                waiting.remove(attempt)
                if attempt.task.cancelled():
                    raise Closed
                outcome = attempt.task.result()
                if isinstance(outcome, Opened):
                    for earlier in waiting:
                        if earlier.number < attempt.number and not earlier.task.done():
                            self._attempts.overtaken(earlier, attempt)
                    return outcome
                failure = RequestFailed(outcome.failure) if isinstance(outcome, HopError) else outcome
            if not waiting:
                raise failure
            if done:
                continue
            if tries[-1] in waiting and not tries[-1].late:
                self._attempts.waits(tries[-1], alone=len(tries) == 1)
            patience = LOOK_FOR_WAY if errand.repeatable and 1 < left >= len(tries) else None
            paths = [each.path for each in tries]
            if patience and (other := self._routing.beside(paths, errand.node, last=len(tries) == left)) is not None:
                tries.append(self._attempts.begin(other, errand, read, repeats=tries[0].number))
                waiting.append(tries[-1])
                patience = SECOND_WAY_AFTER


def is_repeatable(request: Request) -> bool:
    """Whether doing a request again some seconds later, after others, changes nothing that was not to be changed.

    What touches all messages of a mailbox could by then hit newer ones, and a public outbox keeps what is stored last.
    """
    if isinstance(request, storage.Store):
        return not is_public_outbox(request.namespace)
    return isinstance(request, _REPEATABLE)


_REPEATABLE = (
    storage.Retrieve,
    storage.Delete,
    storage.Expire,
    storage.GetExpiries,
    storage.Info,
    storage.GetSwarm,
    storage.OxendRequest,
)


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

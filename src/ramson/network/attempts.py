"""One onion request on its way: sealed, sent to a guard, and its reply opened or its failure told to the routing.

Whether and by which path something is tried again is `requests`' business.  Spec: bootstrap-and-paths.md §2.4, §2.5.

Theory of operation.  One attempt is: a path, layers around the payload, one POST to the guard, and a reply
that is either clear text from some hop or sealed by the destination.  What was sent cannot be called back, and how
it ends tells something about its path.  So an attempt runs to its reply or its time limit even when nobody waits for
it any more; its task is owned by the network.  A silence may be held against the path before the time limit
(`overtaken`, `unanswered`); the time-out then counts nothing more, and a late reply makes up for it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

from ramson.crypto.onion import LayerCipher
from ramson.errors import ParseError
from ramson.network import failures
from ramson.network.entry import Entry
from ramson.network.errors import TooManyRequests
from ramson.network.failures import TABLE, Failure, HopError
from ramson.network.paths import Path
from ramson.network.routing import Routing
from ramson.network.trace import RequestAnswered, RequestOvertaken, RequestSent, RequestWaits, Trace
from ramson.protocol import onion
from ramson.world import Clock, NetError, Stage, World

log = logging.getLogger(__name__)

MAX_BODY = 10 * 1024 * 1024  # bytes, what a guard takes

T = TypeVar("T")
Reader = Callable[[LayerCipher, bytes], T]
Spawn = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[Any]]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is sent to whom.

    `shown` and `what` are what a trace is told of it.  A `repeatable` errand does the same whether it is done once
    or twice, now or some seconds later.  A `test` is about the path and nothing else.
    """

    destination: onion.NodeHop | onion.ServerDestination
    payload: bytes = field(repr=False)
    seconds: float
    shown: str
    what: tuple[str, ...]
    repeatable: bool = False
    test: bool = False

    @property
    def node(self) -> bytes | None:
        """The destination's Ed25519 key, if it is a node."""
        return self.destination.ed25519 if isinstance(self.destination, onion.NodeHop) else None


@dataclass(frozen=True, slots=True)
class Opened(Generic[T]):
    """A reply of the destination, its path, and the local times (Unix ms) of the attempt that brought it."""

    value: T
    path: Path
    sent_ms: int
    received_ms: int


@dataclass(slots=True, eq=False)
class Attempt(Generic[T]):
    """A request that was sent; its task never raises, it returns how the attempt ended.

    `late` tells that it has been silent for long, `counted` that its silence has been held against its path already.
    """

    number: int
    path: Path
    began: float
    task: asyncio.Task[Opened[T] | HopError | Exception] = field(init=False)
    late: bool = False
    counted: bool = False


class Attempts:
    """Makes attempts; `spawn` starts the tasks, which end when their owner does."""

    def __init__(self, world: World, entry: Entry, routing: Routing, trace: Trace, spawn: Spawn) -> None:
        self._clock: Clock = world.clock
        self._entropy = world.entropy
        self._entry = entry
        self._routing = routing
        self._trace = trace
        self._spawn = spawn
        self._numbers = count(1)
        self._heard = -math.inf  # when anybody answered last

    def begin(self, path: Path, errand: Errand, read: Reader[T], *, repeats: int = 0) -> Attempt[T]:
        """Send an errand by a path; `read` opens the reply.  Raises TooManyRequests."""
        sealed = self._seal(path, errand)
        attempt: Attempt[T] = Attempt(next(self._numbers), path, self._clock.monotonic())
        self._trace(RequestSent(attempt.number, path, errand.shown, errand.what, repeats))
        attempt.task = self._spawn(self._run(attempt, errand, sealed, read), "onion request")
        return attempt

    def waits(self, attempt: Attempt[Any], *, alone: bool) -> None:
        """Take note that an attempt has been silent for long, `alone` or after others at the same errand."""
        attempt.late = True
        self._routing.waits(attempt.path, alone=alone)
        self._trace(RequestWaits(attempt.number, attempt.path, self._elapsed_ms(attempt)))

    def unanswered(self, attempt: Attempt[Any]) -> None:
        """Hold the silence of a test that still runs against its path."""
        attempt.counted = True
        self._routing.failed(Failure.TEST_UNANSWERED, attempt.path, test=True)

    def overtaken(self, attempt: Attempt[Any], by: Attempt[Any]) -> None:
        """Take note that another attempt at the same errand was answered while this one is silent."""
        attempt.counted = True
        self._routing.failed(Failure.OVERTAKEN, attempt.path)
        self._trace(RequestOvertaken(attempt.number, attempt.path, self._elapsed_ms(attempt), by.number))

    def _seal(self, path: Path, errand: Errand) -> onion.OnionRequest | None:
        hops = [onion.NodeHop(hop.ed25519, hop.x25519) for hop in path.hops]
        try:
            sealed = onion.build(hops, errand.destination, errand.payload, entropy=self._entropy)
        except ParseError:  # a listed key that is none: this path cannot work
            return None
        if len(sealed.body) > MAX_BODY:
            raise TooManyRequests("the request is larger than the 10 MiB a node takes", remedy="Send less at a time.")
        return sealed

    async def _run(
        self, attempt: Attempt[T], errand: Errand, sealed: onion.OnionRequest | None, read: Reader[T]
    ) -> Opened[T] | HopError | Exception:
        sent_ms = self._clock.now()
        try:
            outcome = await self._carry(attempt.path, errand, sealed, read)
        except Exception as error:  # noqa: BLE001 - a defect is for whoever waits, and must not end the whole network
            log.error("an onion request met a defect: %s", type(error).__name__)  # noqa: TRY400 - no secrets of a frame
            return error
        elapsed_ms = self._elapsed_ms(attempt)
        if isinstance(outcome, HopError):
            if not (attempt.counted and TABLE[outcome.failure].silence):
                self._routing.failed(
                    outcome.failure,
                    attempt.path,
                    destination=errand.node,
                    named=outcome.named,
                    online=self._heard >= attempt.began,
                    test=errand.test,
                )
            self._trace(RequestAnswered(attempt.number, attempt.path, elapsed_ms, outcome.failure))
            return outcome
        self._routing.answered(attempt.path, test=errand.test and not attempt.counted)
        self._trace(RequestAnswered(attempt.number, attempt.path, elapsed_ms, None))
        return Opened(outcome, attempt.path, sent_ms, sent_ms + elapsed_ms)

    async def _carry(
        self, path: Path, errand: Errand, sealed: onion.OnionRequest | None, read: Reader[T]
    ) -> T | HopError:
        """Make one attempt; whatever goes wrong on the way comes back as a HopError."""
        if sealed is None:
            return HopError(Failure.UNREADABLE)
        try:
            reply = await self._entry.send(path.guard, sealed.body, timeout=errand.seconds)
        except NetError as error:
            return HopError(Failure.PATH_TIMEOUT if error.stage is Stage.TIMEOUT else Failure.GUARD_UNREACHABLE)
        self._heard = self._clock.monotonic()
        if (problem := failures.of_hop(reply.status, reply.body, to_server=errand.node is None)) is not None:
            return problem
        try:
            return read(sealed.reply, reply.body)
        except ParseError:
            return HopError(Failure.UNREADABLE)

    def _elapsed_ms(self, attempt: Attempt[Any]) -> int:
        return round((self._clock.monotonic() - attempt.began) * 1000)

"""Asking a swarm: one random member, and others after it where the failure table allows, or beside it when it is slow.

What is asked and what a good answer is, the caller says; here are the choice of the member, what a refusal changes
(swarm, pool, clock), and who is asked next.  All members know the account anyway, so asking a second one tells nobody
anything new.  Spec: bootstrap-and-paths.md §2.5, §2.7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from ramson.errors import ParseError, RamsonError
from ramson.network import failures
from ramson.network.clock import ClockOffset
from ramson.network.errors import NetworkError, RequestFailed, SwarmUnavailable
from ramson.network.failures import TABLE, Retry, Swarm
from ramson.network.requests import Answer, OnionRequests, as_it_is, is_repeatable, refusal
from ramson.network.routing import Routing
from ramson.network.swarms import Swarms
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import AccountRequest, Info, Result

log = logging.getLogger(__name__)

MEMBERS_TRIED = 3
TRIES_PER_MEMBER = 2
CLOCKS_ASKED = 3
# By then a request was silent for three seconds by one path and for three more by both, so it is the member's silence,
# or that of both paths, which are passed over then: the next member is asked by a reserve.
NEXT_MEMBER_AFTER = 6.2  # seconds

R = TypeVar("R", bound=AccountRequest)
T = TypeVar("T")


class SwarmRequests:
    """Sends batches about one account to members of its swarm."""

    def __init__(self, requests: OnionRequests, swarms: Swarms, routing: Routing, offset: ClockOffset) -> None:
        self._requests = requests
        self._swarms = swarms
        self._routing = routing
        self._offset = offset

    async def ask(
        self,
        account: bytes,
        make: Callable[[NodeRecord], Sequence[R]],
        read: Callable[[Answer, Sequence[R]], T],
        *,
        only: NodeRecord | None = None,
        in_order: bool = False,
    ) -> T:
        """Send a member what `make` makes for it and return what `read` makes of the answer.

        `make` is called anew for every attempt, so that times are those of the attempt.  `read` gets only answers in
        which every result is a success, and raises ParseError for one that is not good enough.  With `only` no other
        member is asked; with `in_order` what is asked is done in order, until something fails.  Raises RequestFailed,
        ClockSkew, NotAuthorised, SwarmUnavailable, NoPath.
        """
        if only is None:
            outcome = await self._ask_members(account, make, read, in_order=in_order)
        else:
            outcome = await self._ask_member(account, only, make(only), make, read, in_order=in_order)
        if isinstance(outcome, RamsonError):
            raise outcome
        return outcome

    async def _ask_members(
        self,
        account: bytes,
        make: Callable[[NodeRecord], Sequence[R]],
        read: Callable[[Answer, Sequence[R]], T],
        *,
        in_order: bool,
    ) -> T | RamsonError:
        """Ask members until one answers well, none may be asked any more, or enough were; errors are returned."""
        tried: dict[bytes, None] = {}
        asking: list[asyncio.Task[T | RamsonError]] = []
        outcome: T | RamsonError = SwarmUnavailable("No other node keeps this mailbox")
        async with asyncio.TaskGroup() as group:
            while True:
                patience = None
                try:
                    member = await self._next(account, tried)
                except NetworkError as error:
                    member, outcome = None, outcome if tried else error
                if member is not None:
                    tried[member.ed25519] = None
                    sent = make(member)
                    one = self._ask_member(account, member, sent, make, read, in_order=in_order)
                    asking.append(group.create_task(one, name="swarm member"))
                    patience = NEXT_MEMBER_AFTER if all(map(is_repeatable, sent)) else None
                if not asking:
                    break
                await asyncio.wait(asking, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                outcomes = [task.result() for task in asking if task.done()]
                asking = [task for task in asking if not task.done()]
                if outcomes:
                    outcome = min(outcomes, key=_may_go_on)
                    if not _may_go_on(outcome):
                        break
            for task in asking:
                task.cancel()
        return outcome

    async def _ask_member(
        self,
        account: bytes,
        member: NodeRecord,
        sent: Sequence[R],
        make: Callable[[NodeRecord], Sequence[R]],
        read: Callable[[Answer, Sequence[R]], T],
        *,
        in_order: bool,
    ) -> T | RamsonError:
        """Ask one member, and once more after setting the clock if it refuses our time; errors are returned."""
        for clock_was_set in (False, True):
            judge = partial(self._judge, account, sent, read)
            try:
                return await self._requests.to_node(member, sent, judge, attempts=TRIES_PER_MEMBER, in_order=in_order)
            except RequestFailed as error:
                if clock_was_set or not TABLE[error.failure].clock:
                    return error
            except RamsonError as error:
                return error
            await self.measure_clock()
            sent = make(member)
        raise AssertionError("the second attempt returns")

    async def _next(self, account: bytes, tried: Collection[bytes]) -> NodeRecord | None:
        """Choose the next member to ask; None when enough were.  Raises NetworkError."""
        if len(tried) == MEMBERS_TRIED:
            return None
        members = await self._swarms.members(account)
        return next((member for member in members if member.ed25519 not in tried), None)

    def _judge(self, account: bytes, sent: Sequence[R], read: Callable[[Answer, Sequence[R]], T], answer: Answer) -> T:
        """Raise RequestFailed for the first result that is a failure, after drawing the consequences, or read on."""
        for result in answer.results:
            failure = failures.of_node(result)
            if failure is None:
                continue
            if TABLE[failure].swarm is Swarm.REPLACE:
                self._replace_swarm(account, answer.node, result)
            if TABLE[failure].blame_destination:
                self._routing.blame_node(answer.node.ed25519)
            raise refusal(failure, result.code, f"{failure.value} ({result.code})")
        return read(answer, sent)

    def _replace_swarm(self, account: bytes, member: NodeRecord, result: Result) -> None:
        try:
            self._swarms.hear(account, member, result.body)
        except ParseError:
            log.info("a node says that it does not keep this mailbox, and not who does")
        self._routing.swarms.drop_member(account, member.ed25519)

    async def measure_clock(self) -> None:
        """Forget the offset to network time and ask some nodes for theirs; nodes that do not answer are left out."""
        self._offset.forget()

        async def ask(node: NodeRecord) -> None:
            try:
                await self._requests.to_node(node, [Info()], as_it_is)
            except NetworkError as error:
                log.info("a node did not tell its time: %s", type(error).__name__)

        async with asyncio.TaskGroup() as group:
            for node in self._routing.random_nodes(CLOCKS_ASKED):
                group.create_task(ask(node), name="clock query")


def _may_go_on(outcome: object) -> bool:
    """Whether another member may be asked after this."""
    return isinstance(outcome, RequestFailed) and TABLE[outcome.failure].retry is not Retry.NOBODY

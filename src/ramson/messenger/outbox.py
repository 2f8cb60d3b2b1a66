"""Sends what waits in the outbox until it is stored, and never sends anything else in its place.

Theory of operation.  A message enters the database together with its sealed envelopes, in one transaction
(`Store.queue`).  From then on only the envelope's bytes travel: a swarm names a message by the hash of
these bytes, so an attempt whose answer was lost can be repeated for ever without making a second message.

Each recipient has a lane.  Lanes run side by side; within a lane one parcel after the other, so that what was
written first arrives first.  A parcel leaves its lane in one of two ways:

    stored     a node of the swarm took it
    refused    it cannot be stored, however often it is tried: the network says so before asking anybody, or
               nodes refuse it `REFUSALS` times in a row (one node's word is not enough; the next attempt asks
               another)

Anything else (no network, no path, time-outs, errors of nodes, a wrong clock) delays the lane, each time
longer, up to `LONGEST_DELAY`; `hurry` ends all delays at once, as when a path is there again.  The copy for
our own other devices waits in the database until the message itself is stored.

All of this is in the database: a restart finds the same lanes.  Two programs with one file open at worst
store the same bytes twice, which the swarm takes for one message.

Spec: messaging.md §3.3, §3.4, §3.7 *Sending*.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Protocol

from ramson.crypto.account import AccountId
from ramson.errors import RemoteError
from ramson.messenger.message import Receipt, State
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Parcel, Store
from ramson.network import CannotStore, Failure, RequestFailed, StoreReceipt

REFUSALS = 5  # in a row, before a message is given up
SHORTEST_DELAY = 1.0  # seconds
LONGEST_DELAY = 120.0
AT_ONCE = 8  # lanes that may use the network at the same time
LOOK_AGAIN = 5.0  # seconds; another program may have put something into the file

_REFUSING = (400, 403, 413)  # malformed, lifetime not valid, too large

_log = logging.getLogger(__name__)


class Carrier(Protocol):
    """The part of the network that the outbox uses."""

    async def store(self, account: AccountId, data: bytes, *, ttl_ms: int, namespace: int = 0) -> StoreReceipt:
        """Store `data` in the account's swarm.  Raises RemoteError, or CannotStore."""
        ...


def no_listener(_receipt: Receipt) -> None:
    """Tell nobody."""


class Outbox:
    """The sending side of one account; `run` does the work.  `on_settled` is told what became of each message."""

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        entropy: random.Random,
        on_settled: Callable[[Receipt], None] = no_listener,
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._entropy = entropy
        self._on_settled = on_settled
        self._lanes: set[AccountId] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._filled = Pulse()
        self._hurry = Pulse()
        self._changed = Pulse()

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            while True:
                for recipient in self._store.recipients():
                    if recipient not in self._lanes:
                        self._lanes.add(recipient)
                        lanes.create_task(self._lane(recipient))
                await self._filled.wait(LOOK_AGAIN)

    def wake(self) -> None:
        """Something was put into the outbox, or a message changed its state before it got there."""
        self._filled.fire()
        self._changed.fire()

    def hurry(self) -> None:
        """End every delay now."""
        self._hurry.fire()

    async def settled(self, message: int) -> Receipt:
        """Wait until a message is sent or has failed for good, and return its receipt."""
        while (receipt := self._store.receipt(message)).state is State.SENDING:
            await self._changed.wait(LOOK_AGAIN)
        return receipt

    async def drained(self) -> None:
        """Wait until the outbox is empty and nothing is to be uploaded for it."""
        while self._store.recipients() or self._store.attached.waiting():
            await self._changed.wait(LOOK_AGAIN)

    async def _lane(self, recipient: AccountId) -> None:
        try:
            while parcel := self._store.next_parcel(recipient):
                await self._send(parcel)
        finally:
            self._lanes.discard(recipient)

    async def _send(self, parcel: Parcel) -> None:
        delay, refusals = SHORTEST_DELAY, 0
        settled: Receipt | None = None
        while self._store.still_waiting(parcel):
            try:
                async with self._slots:
                    stored = await self._carrier.store(
                        parcel.recipient, parcel.data, ttl_ms=parcel.ttl_ms, namespace=parcel.namespace
                    )
            except CannotStore as error:
                settled = self._store.parcel_refused(parcel, str(error))
                break
            except RemoteError as error:
                refusals = refusals + 1 if _is_refusal(error) else 0
                if refusals == REFUSALS:
                    settled = self._store.parcel_refused(parcel, str(error))
                    break
                self._store.parcel_delayed(parcel, str(error))
                self._changed.fire()
                _log.info("a message waits: %s", type(error).__name__)
                await self._hurry.wait(delay * self._entropy.uniform(0.75, 1.25))
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                total = len(stored.stored_by) + len(stored.failed)
                settled = self._store.parcel_stored(
                    parcel, hash=stored.hash, stored=len(stored.stored_by), total=total, at_ms=stored.timestamp
                )
                break
        self._changed.fire()
        self._filled.fire()
        if settled is not None:
            self._on_settled(settled)


def _is_refusal(error: RemoteError) -> bool:
    return isinstance(error, RequestFailed) and (error.failure is Failure.BAD_REQUEST or error.status in _REFUSING)

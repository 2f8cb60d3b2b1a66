"""Pushes the account's configs to its own swarm, so that its other devices learn what was changed here.

Theory of operation.  Nothing is pushed before everything that is in the swarm was fetched once since the start: a
device that does not know the others' work yet would only make them merge for nothing.  A blank config, which
nobody edited, is never pushed.  After a change we wait `DELAY` for more of them, but not while somebody waits for it
to be told (`settled`).  Then one request stores all parts of all changed configs and, if that worked, deletes what
they replace; so at every moment the swarm holds all that is known.  The dumps are saved before the push and after
it.  Whatever goes wrong on the way, the same bytes come out of the next attempt.

The lifetime of what is in the swarm is extended by the inbox's polls.  What the swarm has lost all the same is
stored again.  Spec: config-sync.md §4.4, §4.11; messaging.md §3.7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ramson.crypto.account import AccountKeys
from ramson.errors import RemoteError
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Store
from ramson.network import CannotStore, Item
from ramson.protocol.config import ConfigKind, Push

DELAY: Final = 3.0  # seconds after a change
PAUSE: Final = 5.0  # seconds between two pushes
LONGEST_PAUSE: Final = 120.0
LOOK_AGAIN: Final = 5.0  # seconds; another program may have changed something in the file
MAX_REQUESTS: Final = 20  # in one request to a node

_log = logging.getLogger(__name__)


class Carrier(Protocol):
    """The part of the network that is used here."""

    async def replace(self, keys: AccountKeys, items: Sequence[Item], obsolete: Sequence[str]) -> tuple[str, ...]:
        """Store items and then delete hashes, in our own swarm.  Raises RemoteError, CannotStore."""
        ...


class Sync:
    """The pushing side of one account; `run` does the work.  `now` gives network time in ms, `pushed` is told."""

    def __init__(self, store: Store, carrier: Carrier, now: Callable[[], int], pushed: Callable[[], None]) -> None:
        self._store = store
        self._carrier = carrier
        self._now = now
        self._pushed = pushed
        self._fetched = asyncio.Event()
        self._changed = Pulse()
        self._settled = Pulse()
        self._missing: frozenset[str] = frozenset()
        self._waiting = 0
        self._awaited = Pulse()

    def fetched(self) -> None:
        """Everything in the swarm has been seen: pushing may begin."""
        self._fetched.set()
        self._settled.fire()

    def changed(self) -> None:
        """Look whether something has to be pushed."""
        self._changed.fire()

    def missing(self, hashes: frozenset[str]) -> None:
        """Store again what the swarm has lost of these."""
        self._missing |= hashes
        self._changed.fire()

    async def settled(self) -> None:
        """Wait until the swarm has everything."""
        self._waiting += 1
        self._awaited.fire()
        try:
            while not self._fetched.is_set() or self._store.configs.needs_push:
                await self._settled.wait(LOOK_AGAIN)
        finally:
            self._waiting -= 1

    async def run(self) -> None:
        """Push until cancelled."""
        await self._fetched.wait()
        pause = PAUSE
        while True:
            if not self._store.configs.needs_push and not self._missing:
                await self._changed.wait(LOOK_AGAIN)
                continue
            if not self._waiting:
                await self._awaited.wait(DELAY)
            try:
                await self.push()
                pause = PAUSE
            except (RemoteError, CannotStore) as error:
                _log.info("the configs could not be pushed: %s", type(error).__name__)
                pause = min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def push_all(self) -> None:
        """Push until the swarm has everything it takes, for who does not `run`; after all configs were fetched."""
        pause = PAUSE
        while self._store.configs.needs_push:
            try:
                if not await self.push():
                    return
            except (RemoteError, CannotStore) as error:
                _log.info("the configs could not be pushed: %s", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def push(self) -> bool:
        """Store what the swarm lacks and delete what that replaces; return whether it was any.

        Raises RemoteError, CannotStore.
        """
        lost = self._missing
        pushes = self._store.configs.pushes(self._now()) + self._store.configs.again(lost)
        for together in _requests(pushes):
            items = [Item(int(kind.namespace), data) for kind, push in together for data in push.messages]
            obsolete = sorted({name for _, push in together for name in push.obsolete})
            names = list(await self._carrier.replace(self._store.keys, items, obsolete))
            confirmed: dict[ConfigKind, tuple[int, Sequence[str]]] = {}
            for kind, push in together:
                confirmed[kind] = push.seqno, names[: len(push.messages)]
                del names[: len(push.messages)]
            self._store.configs.confirm(confirmed, self._now())
        self._missing -= lost
        self._pushed()
        self._settled.fire()
        return bool(pushes)


def _requests(pushes: Sequence[tuple[ConfigKind, Push]]) -> list[list[tuple[ConfigKind, Push]]]:
    """Put all pushes into one request, or each into its own if together they are too many."""
    if sum(len(push.messages) for _, push in pushes) < MAX_REQUESTS:
        return [list(pushes)] if pushes else []
    return [[each] for each in pushes]

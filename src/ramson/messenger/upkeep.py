"""Removes what has to disappear, here and in our own swarm.

Theory of operation.  Every message that disappears has its moment in the account file; `run` removes it then, or as
soon as the account is open again.  What has to change in the swarm (to delete a message that was taken back, to let
one that was read expire early, to learn when one expires that another device has read) is on a list in the file
until a node has confirmed it.

Spec: messaging.md §3.4 (unsend), §3.6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from ramson.crypto.account import AccountKeys
from ramson.errors import RemoteError
from ramson.messenger.events import Event, MessageExpired
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Chore, Store

LOOK_AGAIN: Final = 5.0  # seconds
SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
AT_ONCE: Final = 100  # chores in one go

_log = logging.getLogger(__name__)


class Swarm(Protocol):
    """The part of the network that is used here."""

    async def delete(self, keys: AccountKeys, hashes: Sequence[str]) -> object:
        """Delete messages of our own.  Raises RemoteError."""
        ...

    async def expire(
        self, keys: AccountKeys, hashes: Sequence[str], expiry: int, *, shorten: bool = False, extend: bool = False
    ) -> object:
        """Change when messages of our own expire.  Raises RemoteError."""
        ...

    async def get_expiries(self, keys: AccountKeys, hashes: Sequence[str]) -> Mapping[str, int]:
        """Return when messages of our own expire.  Raises RemoteError."""
        ...


class Upkeep:
    """The caretaker of one account; `run` does the work.  `now` gives network time in ms."""

    def __init__(
        self, store: Store, swarm: Swarm, now: Callable[[], int], tell: Callable[[Sequence[Event]], None]
    ) -> None:
        self._store = store
        self._swarm = swarm
        self._now = now
        self._tell = tell
        self._changed = Pulse()

    def changed(self) -> None:
        """There may be something new to do."""
        self._changed.fire()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._expire(), name="expiry")
            group.create_task(self._do_chores(), name="chores")

    def expire(self) -> None:
        """Remove what has to be gone by now."""
        moment = self._store.conversations.next_expiry()
        now = self._now()
        if moment is None or moment > now:
            return
        with self._store.db.transaction():
            gone = self._store.conversations.expire(now)
        self._tell([MessageExpired(peer, sent_ms) for peer, sent_ms in gone])

    async def _expire(self) -> None:
        while True:
            self.expire()
            moment = self._store.conversations.next_expiry()
            ahead = LOOK_AGAIN if moment is None else (moment - self._now()) / 1000
            await self._changed.wait(min(max(ahead, 0.01), LOOK_AGAIN))

    async def _do_chores(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            chores = self._store.chores(AT_ONCE)
            if not chores:
                await self._changed.wait(LOOK_AGAIN)
                continue
            try:
                await self.do(chores)
                pause = SHORTEST_PAUSE
            except RemoteError as error:
                _log.info("our swarm could not be changed: %s", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def do(self, chores: Sequence[Chore]) -> None:
        """Do what is on the list and strike it out.  Raises RemoteError."""
        keys = self._store.keys
        if doomed := [chore for chore in chores if chore.kind == "delete"]:
            await self._swarm.delete(keys, [chore.hash for chore in doomed])
            self._strike(doomed)
        for expiry in sorted({chore.expiry for chore in chores if chore.kind == "shorten"}):
            shortened = [chore for chore in chores if chore.kind == "shorten" and chore.expiry == expiry]
            if expiry > self._now():
                await self._swarm.expire(keys, [chore.hash for chore in shortened], expiry, shorten=True)
            else:
                await self._swarm.delete(keys, [chore.hash for chore in shortened])
            self._strike(shortened)
        if unknown := [chore for chore in chores if chore.kind == "learn"]:
            known = await self._swarm.get_expiries(keys, [chore.hash for chore in unknown])
            with self._store.db.transaction():
                for name, expiry in known.items():
                    self._store.conversations.set_expiry(name, expiry)
                self._store.chores_done(unknown)
            self._changed.fire()

    def _strike(self, chores: Sequence[Chore]) -> None:
        with self._store.db.transaction():
            self._store.chores_done(chores)

"""Fetches what arrived in our own swarm, checks it, and hands each message to its consumer once.

Theory of operation.  Every `INTERVAL` two random nodes of the swarm are asked at the same time for what is new
since the position each of them was last read to.  Nodes are not trusted:

* what they return is named by the hash *we* compute, so a node cannot spoil a message by showing something
  else under its hash first;
* a position moves only in the transaction that stores the messages, and what cannot be read is remembered
  there as well, so that it is never fetched again and never stops what comes after it;
* we poll again at once only if something new came, however often a node says that there is more.

A message is known by its hash, and then by (author, sent time): the copies on several nodes, the same message
sealed twice, and the copy of what we sent ourselves become one.

Consumers.  `messages` yields what others wrote, by sent time.  A message counts as delivered when its consumer
asks for the next one, or when `release` says that it ended well; until then it is given out again after a
restart.  So a crash in the middle of handling repeats that one message, and nothing else is ever repeated or left out.

Spec: messaging.md §3.2 *Receive*, §3.4, §3.7.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.errors import RemoteError
from ramson.messenger.letters import Letter
from ramson.messenger.message import Message
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Position, Store
from ramson.network import Polled, Retrieved
from ramson.protocol.namespaces import Namespace

INTERVAL = 5.0  # seconds
LOOK_AGAIN = 5.0  # seconds; another program may have fetched something into the file
NAMESPACES = (Namespace.DIRECT,)

_log = logging.getLogger(__name__)


class Source(Protocol):
    """The part of the network that the inbox uses."""

    async def poll(
        self, keys: AccountKeys, namespaces: Sequence[int], last: Mapping[bytes, Mapping[int, str]]
    ) -> Polled:
        """Ask two random nodes of our own swarm at once.  Raises RemoteError when neither answers."""
        ...


class Inbox:
    """The receiving side of one account; `run` does the work.

    `read` turns an envelope and its hash into a Letter, or None for what is no text message or not to be
    trusted.  `now` gives Unix ms.
    """

    def __init__(
        self, store: Store, source: Source, read: Callable[[bytes, str], Letter | None], now: Callable[[], int]
    ) -> None:
        self._store = store
        self._source = source
        self._read = read
        self._now = now
        self._arrived = Pulse()
        self._in_hand: set[int] = set()

    async def run(self) -> None:
        """Poll until cancelled."""
        self._store.forget_seen(self._now())
        while True:
            more = False
            try:
                more = await self.poll()
            except RemoteError as error:
                _log.info("polling failed: %s", type(error).__name__)
            await asyncio.sleep(0 if more else INTERVAL)

    async def poll(self) -> bool:
        """Ask two nodes and take in what they have; return whether it is worth asking again at once.

        One answer is enough.  Raises RemoteError when there is none.
        """
        polled = await self._source.poll(self._store.keys, NAMESPACES, self._store.positions())
        fresh = self._take_in(polled.answers)
        return fresh and any(answer.more for answer in polled.answers)

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield what others wrote, in order of sent time, each message once; waits for more, never ends."""
        while True:
            if found := self._store.undelivered(self._in_hand):
                number, message = found
                self._in_hand.add(number)
                yield message
                self._store.delivered(number)
                self._in_hand.discard(number)
            else:
                await self._arrived.wait(LOOK_AGAIN)

    def release(self) -> None:
        """Every consumer ended well: what they have in hand counts as delivered."""
        for number in self._in_hand:
            self._store.delivered(number)
        self._in_hand.clear()

    def _take_in(self, answers: Sequence[Retrieved]) -> bool:
        account = self._store.keys.id.raw
        envelopes: dict[str, bytes] = {}
        positions: list[Position] = []
        for answer in answers:
            for namespace, items in answer.messages.items():
                envelopes.update((message_hash(account, namespace, item.data), item.data) for item in items)
            positions += (Position(answer.node.ed25519, namespace, last) for namespace, last in answer.last.items())
        if not envelopes:
            return False
        fresh = self._store.unseen(envelopes)
        letters = [letter for name in fresh if (letter := self._open(envelopes[name], name))]
        letters.sort(key=lambda letter: (letter.sent_ms, letter.hash))
        if self._store.receive(letters, fresh, positions, self._now()):
            self._arrived.fire()
        return bool(fresh)

    def _open(self, envelope: bytes, name: str) -> Letter | None:
        try:
            return self._read(envelope, name)
        except Exception as error:  # noqa: BLE001 - an envelope that we stumble over must not stop all that follow it
            _log.error("a message could not be read: %s", type(error).__name__)  # no traceback: it may show the text
            return None

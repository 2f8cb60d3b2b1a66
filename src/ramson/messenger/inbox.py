"""Fetches what arrived in our own swarm, checks it, and hands each message to its consumer once.

Theory of operation.  Every few seconds, or when a node says that there is something (see `pace`), two random nodes of
the swarm are asked at the same time for what is new since the position each of them was last read to.  Nodes are not
trusted:

* what they return is named by the hash *we* compute, so a node cannot spoil a message by showing something
  else under its hash first;
* a position moves only in the transaction that stores the messages, and what cannot be read is remembered
  there as well, so that it is never fetched again and never stops what comes after it;
* a message that we stumble over, be it made for that, is passed over and stops none of the others;
* we poll again at once only if something new came, however often a node says that there is more.

A message is known by its hash, and then by (author, sent time): the copies on several nodes, the same message
sealed twice, and the copy of what we sent ourselves become one.

Consumers.  `messages` yields what others wrote, by sent time.  A message counts as delivered when its consumer
asks for the next one, or when `release` says that it ended well; until then it is given out again after a
restart.  So a crash in the middle of handling repeats that one message, and nothing else is ever repeated or left out.

After days away there is much.  It is taken in some at a time; if it is more than one poll brings, polls follow one
another at once.  `CatchUp` events tell how far it is.  Consumers wait meanwhile (for `HOLD` at most, lest a node that
invents news keeps them waiting), so that they get everything by sent time.

Configs come by the same polls.  An account that was restored from its phrase looks for them first, and for
nothing else, until its profile is there or `PATIENCE` is over: what the other devices know decides what the
messages mean.  Once everything was fetched, the account may push (`on_fetched`).  With some polls the lifetime of
our configs is extended, and what the swarm has lost of them is told (`on_missing`).  Who only sends may fetch them
once, and nothing else (`fetch_configs`).

Spec: messaging.md §3.2 *Receive*, §3.4, §3.7; config-sync.md §4.11; identity.md (restore).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.errors import RemoteError
from ramson.messenger.announced import Announced
from ramson.messenger.events import CatchUp, Event
from ramson.messenger.intake import CONFIG_NAMESPACES, Intake, StoredConfig
from ramson.messenger.letters import Letter
from ramson.messenger.message import Message
from ramson.messenger.pace import Pace
from ramson.messenger.pulse import Pulse
from ramson.messenger.store import Position, Store
from ramson.messenger.vault import AccountFileError
from ramson.network import Polled, Retrieved
from ramson.protocol.config import ConfigKind
from ramson.protocol.namespaces import Namespace
from ramson.protocol.storage import RetrievedMessage

BEHIND: Final = "behind"
HOLD: Final = 300.0  # seconds
AT_ONCE: Final = 250  # messages in one transaction, between which other tasks run
LOOK_AGAIN: Final = 5.0  # seconds; another program may have fetched something into the file
PATIENCE: Final = 15.0  # seconds after the first answer, for a restored account's profile
EXTEND_EVERY: Final = 3600.0  # seconds; spec gap: others do it with every poll, which the swarm does not need
NAMESPACES: Final = (Namespace.DIRECT, *CONFIG_NAMESPACES)

_log = logging.getLogger(__name__)


class Source(Protocol):
    """The part of the network that the inbox uses."""

    async def poll(
        self,
        keys: AccountKeys,
        namespaces: Sequence[int],
        last: Mapping[bytes, Mapping[int, str]],
        *,
        extend: Sequence[str] = (),
    ) -> Polled:
        """Ask two random nodes of our own swarm at once.  Raises RemoteError when neither answers."""
        ...


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told: of events, that everything was fetched, and which configs the swarm has lost."""

    on_events: Callable[[Sequence[Event]], None]
    on_fetched: Callable[[], None]
    on_missing: Callable[[frozenset[str]], None]


class Inbox:
    """The receiving side of one account; `run` does the work.

    `read` turns an envelope, its hash and its expiry into a Letter, or None for what is not to be trusted.
    `now` gives Unix ms.
    """

    def __init__(
        self,
        store: Store,
        source: Source,
        read: Callable[[bytes, str, int], Letter | None],
        now: Callable[[], int],
        listeners: Listeners,
        pace: Pace,
    ) -> None:
        self._store = store
        self._pace = pace
        self._announced = Announced(store.unseen)
        self._intake = Intake(store)
        self._source = source
        self._read = read
        self._now = now
        self._listeners = listeners
        self._arrived = Pulse()
        self._in_hand: set[int] = set()
        self._first_answer: float | None = None
        self._extended: float | None = None
        self._caught_up = 0  # messages fetched since we found that there are many
        self._behind_since: float | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        self._store.forget_seen(self._now())
        self._resume()
        while True:
            more = failed = False
            announced = self._announced.names
            try:
                more = await self.poll()
            except RemoteError as error:
                failed = True
                _log.info("polling failed: %s", type(error).__name__)
            else:
                self._announced.looked_for(announced, asyncio.get_running_loop().time())
            if not more:
                await self._pace.wait(self._announced, failed=failed)

    async def fetch_configs(self) -> None:
        """Fetch the configs and no messages, for who does not `run`; tries until it works.

        Those of a restored account are looked for as `run` does it.
        """
        more = True
        while more:
            failed = False
            try:
                more = await self.poll(CONFIG_NAMESPACES)
            except RemoteError as error:
                failed = True
                _log.info("fetching the configs failed: %s", type(error).__name__)
            if failed or (self._store.restoring and not more):
                more = True
                await self._pace.wait(self._announced, failed=failed)

    def told(self, name: str) -> None:
        """Hear from a node that there is a message of this hash: a reason to ask, not more."""
        if self._announced.add(name, asyncio.get_running_loop().time()):
            self._pace.stir()

    async def poll(self, namespaces: Sequence[int] = NAMESPACES) -> bool:
        """Ask two nodes and take in what they have; return whether it is worth asking again at once.

        One answer is enough.  Raises RemoteError when there is none.
        """
        restoring = self._store.restoring
        if restoring:
            namespaces = CONFIG_NAMESPACES
        moment = asyncio.get_running_loop().time()
        due = self._extended is None or moment - self._extended > EXTEND_EVERY
        extend = self._store.configs.active_hashes() if due else []
        polled = await self._source.poll(self._store.keys, namespaces, self._store.positions(), extend=extend)
        if extend:
            self._extended = moment
            self._look_for_lost(extend, polled)
        behind = Namespace.DIRECT in namespaces and any(answer.more for answer in polled.answers)
        fresh = await self._take_in(polled.answers, behind=behind)
        more = fresh > 0 and any(answer.more for answer in polled.answers)
        if not more:
            self._catch_up(0, more=False)
        if self._first_answer is None:
            self._first_answer = moment
        if restoring:
            if self._store.configs.config(ConfigKind.USER_PROFILE).seqno or moment - self._first_answer > PATIENCE:
                self._store.restored(self._now())
                more = True
        elif not more:
            if self._store.wants_name:
                self._store.restored(self._now())
            self._listeners.on_fetched()
        return more

    def _catch_up(self, fetched: int, *, more: bool) -> None:
        """Note and tell how far we are behind."""
        if not more and self._behind_since is None:
            return
        if self._behind_since is None:
            self._behind_since = asyncio.get_running_loop().time()
            self._note_behind(behind=True)
        self._caught_up += fetched
        self._listeners.on_events([CatchUp(self._caught_up, more)])
        if not more:
            self._caught_up, self._behind_since = 0, None
            self._note_behind(behind=False)
            self._arrived.fire()

    def _note_behind(self, *, behind: bool) -> None:
        with self._store.db.transaction():
            self._store.db.set(BEHIND, int(behind))

    def _resume(self) -> None:
        """Go on catching up where a program was ended that did so."""
        if self._first_answer is None and self._behind_since is None and self._store.db.get(BEHIND, 0):
            self._behind_since = asyncio.get_running_loop().time()

    def _holds(self) -> bool:
        """Whether consumers have to wait for what is still to be fetched."""
        since = self._behind_since
        return since is not None and asyncio.get_running_loop().time() - since < HOLD

    def _look_for_lost(self, extended: Sequence[str], polled: Polled) -> None:
        alive = frozenset[str]().union(*(answer.extended for answer in polled.answers))
        if lost := frozenset(extended) - alive:
            self._listeners.on_missing(lost)

    async def messages(
        self, passing_over: Callable[[], Collection[AccountId]] = tuple
    ) -> AsyncGenerator[Message, None]:
        """Yield what others wrote, in order of sent time, each message once; waits for more, never ends.

        Conversations that `passing_over` names are left for later.
        """
        conversations = self._store.conversations
        self._resume()
        while True:
            if not self._holds() and (found := conversations.undelivered(self._in_hand, passing_over())):
                self._in_hand.add(found.id)
                yield found
                self._delivered(found.id)
                self._in_hand.discard(found.id)
            else:
                await self._arrived.wait(LOOK_AGAIN)

    def make_again(self) -> None:
        """Make again what was changed here and undone by merges elsewhere, which are in the swarm now."""
        self._tell(self._intake.make_again(self._now()))

    def release(self) -> None:
        """Every consumer ended well: what they have in hand counts as delivered."""
        for number in self._in_hand:
            self._delivered(number)
        self._in_hand.clear()

    def _delivered(self, number: int) -> None:
        with self._store.db.transaction():
            self._store.conversations.delivered(number)

    async def _take_in(self, answers: Sequence[Retrieved], *, behind: bool) -> int:
        """Take in what is new, some of it at a time, and return how much that was; `behind` says that there is more."""
        account = self._store.keys.id.raw
        found: dict[str, tuple[int, RetrievedMessage]] = {}
        positions: list[Position] = []
        for answer in answers:
            for namespace, items in answer.messages.items():
                for item in items:
                    name = message_hash(account, namespace, item.data)
                    known = found.get(name)
                    # What was made to expire early may not have reached all nodes: the earliest word counts.
                    if known is None or item.expiry < known[1].expiry:
                        found[name] = namespace, item
            positions += (Position(answer.node.ed25519, namespace, last) for namespace, last in answer.last.items())
        if not found:
            return 0
        fresh = sorted(
            self._store.unseen(found),
            key=lambda name: (found[name][0] not in CONFIG_NAMESPACES, found[name][1].timestamp, name),
        )
        for start in range(0, max(len(fresh), 1), AT_ONCE):
            names = fresh[start : start + AT_ONCE]
            last = start + AT_ONCE >= len(fresh)
            # Only with the last of it do the positions move: who is killed before fetches all of it again.
            self._take({name: found[name] for name in names}, positions if last else [])
            fetched = sum(found[name][0] not in CONFIG_NAMESPACES for name in names)
            self._catch_up(fetched, more=not last or (behind and bool(fresh)))
            if not last:
                await asyncio.sleep(0)  # others of this program have a turn
        return len(fresh)

    def _take(self, found: Mapping[str, tuple[int, RetrievedMessage]], positions: Sequence[Position]) -> None:
        letters: list[Letter] = []
        configs: dict[int, list[StoredConfig]] = {}
        for name, (namespace, item) in found.items():
            if namespace in CONFIG_NAMESPACES:
                configs.setdefault(namespace, []).append(StoredConfig(name, item.data, item.timestamp))
            elif letter := self._open(item, name):
                letters.append(letter)
        try:
            told = self._intake.receive(letters, configs, found, positions, self._now())
        except AccountFileError:
            raise
        except Exception as error:  # noqa: BLE001 - a letter that we stumble over must not stop all others
            _log.error("messages could not be taken in together: %s", type(error).__name__)
            told = self._take_singly(letters, configs, found, positions)
        self._tell(told)

    def _tell(self, told: Sequence[Event]) -> None:
        if told:
            self._arrived.fire()
            self._listeners.on_events(told)

    def _take_singly(
        self,
        letters: Sequence[Letter],
        configs: Mapping[int, Sequence[StoredConfig]],
        seen: Collection[str],
        positions: Sequence[Position],
    ) -> list[Event]:
        """Take in what did not go together, but for the letters that are at fault."""
        told = self._intake.receive([], configs, (), [], self._now())
        for letter in sorted(letters, key=lambda each: (each.sent_ms, each.hash)):
            try:
                told += self._intake.receive([letter], {}, [letter.hash], [], self._now())
            except AccountFileError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                _log.error("a message could not be taken in: %s", type(error).__name__)
        return told + self._intake.receive([], {}, seen, positions, self._now())

    def _open(self, item: RetrievedMessage, name: str) -> Letter | None:
        try:
            letter = self._read(item.data, name, item.expiry)
            return letter and replace(letter, stored_ms=item.timestamp)
        except Exception as error:  # noqa: BLE001 - an envelope that we stumble over must not stop all that follow it
            _log.error("a message could not be read: %s", type(error).__name__)  # no traceback: it may show the text
            return None

"""Paying debts: sending a peer the messages that are now its swarm's, until it says that it has them.

Theory of operation.  A debt stands in the database until it is paid or the peer has left that swarm, so neither a crash
nor a peer that is down for a day loses it; after a restart it goes on behind the last page that was acknowledged.
Pages are read from the database in the order of keys, one at a time, two peers at once, and after each the sender
rests for as long as it took: clients come first.

A node of ours is first told what there is, without data, and answers which messages it wants; so what a new member has
from the first of its peers it does not get again from the others, which begin a little later each.  It is told of
deletes and revocations too.  Another node gets version `01`, whole messages, as it knows them.

Spec: swarms.md §5; retries, acknowledgements and `02` are ours.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.node.mailbox import Debt, Held, HeldToken, Key, Mailbox, MailboxError, OpenDebt
from ramson.node.standing import Standing
from ramson.node.swarm.batch import V1_OVERHEAD, Builder, decode_receipt, encode_v1
from ramson.node.swarm.peers import Peers
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol.nodes import NodeRecord
from ramson.world import Clock, PeerRefused, PeerTimeout

DATA: Final = "sn.data"
BATCH_BYTES: Final = 2_000_000  # well below the 9,000,000 of swarms.md §5, for other traffic shares the link
PAGE: Final = 500  # copies read at a time
AT_ONCE: Final = 2  # peers
STAGGER_SECONDS: Final = 5.0  # between the members that begin to tell the same peer
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0  # seconds between attempts
REST_MOST: Final = 1.0  # seconds
ACCOUNTS_AT_ONCE: Final = 200  # looked at between two looks at the event loop

log = logging.getLogger(__name__)


class NotTaken(PeerTimeout):
    """The peer answered, but did not take what it was sent."""


class _Replaced(LocalError):
    """The debt is no longer open: another took its place."""

    def __init__(self) -> None:
        super().__init__("the debt is no longer open")


@dataclass(frozen=True, slots=True)
class Page:
    """Copies and tokens in the order of keys, and the cursor behind them."""

    copies: list[Held]
    tokens: list[HeldToken]
    cursor: bytes


class Handover:
    """Pays the debts in `mailbox`.  `entropy` spreads attempts."""

    def __init__(
        self,
        *,
        standing: Standing,
        mailbox: Mailbox,
        peers: Peers,
        clock: Clock,
        entropy: random.Random,
        stats: SwarmLifeStats,
    ) -> None:
        self._standing = standing
        self._mailbox = mailbox
        self._peers = peers
        self._clock = clock
        self._entropy = entropy
        self._stats = stats
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    def wake(self) -> None:
        """Look at the debts again."""
        self._changed.set()

    async def run(self) -> None:
        """Pay until cancelled."""
        running: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                running = {number: task for number, task in running.items() if not task.done()}
                for debt in self._open():
                    if debt.number not in running:
                        running[debt.number] = tasks.create_task(self._pay(debt), name="hand over")
                await self._changed.wait()

    def _open(self) -> list[OpenDebt]:
        try:
            return self._mailbox.swarm.open_debts()
        except MailboxError as error:
            log.error("handover: debts cannot be read: %s", error)  # noqa: TRY400 - the mailbox's own words
            return []

    async def _pay(self, opened: OpenDebt) -> None:
        number, debt = opened.number, opened.debt
        pause = FIRST_PAUSE
        await asyncio.sleep(self._rank(debt) * STAGGER_SECONDS)
        while True:
            peer = self._creditor(debt)
            if peer is None:
                return  # whoever notes the change of the list forgets the debt with it
            try:
                async with self._places:
                    await self._attempt(number, debt, peer)
            except _Replaced:
                return
            except (PeerTimeout, PeerRefused, MailboxError) as error:
                log.info("handover: to be tried again: %s", error)
                self._stats.retries += 1
            else:
                self._stats.debts_paid += 1
                log.info("handover: a peer has everything, swarm=%x", debt.swarm)
                await self._settle(number)
                return
            await asyncio.sleep(pause * self._entropy.uniform(0.75, 1.25))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _cursor(self, number: int) -> bytes | None:
        """Return how far a debt is paid.  Raises _Replaced when it is no longer open."""
        for opened in self._mailbox.swarm.open_debts():
            if opened.number == number:
                return opened.cursor
        raise _Replaced

    async def _settle(self, number: int) -> None:
        try:
            await self._mailbox.swarm.settle(number)
        except MailboxError as error:
            log.error("handover: a debt cannot be forgotten: %s", error)  # noqa: TRY400 - the mailbox's own words

    def _creditor(self, debt: Debt) -> NodeRecord | None:
        """Return the peer if it is still in that swarm."""
        node = self._standing.nodes.by_ed25519.get(debt.peer)
        return node if node is not None and node.swarm_id == debt.swarm else None

    def _rank(self, debt: Debt) -> int:
        """Return this node's place among the members of its swarm, from which others tell the same peer the same."""
        members = sorted(node.ed25519 for node in self._standing.others if node.ed25519 != debt.peer)
        return sum(member < self._standing.ed25519 for member in members)

    async def _attempt(self, number: int, debt: Debt, peer: NodeRecord) -> None:
        """Send everything that is not acknowledged yet.  Raises _Replaced when the debt is no longer open."""
        ours = await self._peers.is_ours(peer)
        if not ours and debt.only_missed:
            return  # it cannot say what it misses, and to send it everything again is no help
        async for page in self._pages(debt.swarm, self._cursor(number)):
            began = self._clock.monotonic()
            await (self._send(peer, page) if ours else self._send_v1(peer, page))
            if not await self._mailbox.swarm.advance(number, page.cursor):
                raise _Replaced
            await asyncio.sleep(min(self._clock.monotonic() - began, REST_MOST))

    # ---- reading

    async def _pages(self, swarm: int, cursor: bytes | None) -> AsyncIterator[Page]:
        account, after = _read_cursor(cursor)
        seen = 0
        copies: list[Held] = []
        tokens: list[HeldToken] = []
        view = self._mailbox.swarm
        while True:
            if after is None:
                following = view.next_account(account)
                if following is None:
                    break
                account = following
                seen += 1
                if seen % ACCOUNTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if self._standing.nodes.swarm_of(account)[0] != swarm:
                    continue
            while len(found := view.held(account, account, after, PAGE - len(copies))) == PAGE - len(copies):
                yield Page(copies + found, tokens, _write_cursor(found[-1].key))
                copies, tokens, after = [], [], found[-1].key
            copies += found
            tokens += view.tokens(account, account, (b"", b""), PAGE)
            after = None
            if len(tokens) >= PAGE:
                yield Page(copies, tokens, account)
                copies, tokens = [], []
        if copies or tokens:
            yield Page(copies, tokens, account)

    # ---- sending

    async def _send_v1(self, peer: NodeRecord, page: Page) -> None:
        now = self._clock.now()
        messages: list[tuple[Held, bytes]] = []
        size = 0
        for held in page.copies:
            if held.until or held.state.dead or held.state.expiry <= now:
                continue
            found = self._mailbox.swarm.data(held.key)
            if found is None:
                continue
            cost = V1_OVERHEAD + len(held.key.hash) + len(found[1])
            if messages and size + cost > BATCH_BYTES:
                await self._deliver_v1(peer, messages)
                messages, size = [], 0
            messages.append(found)
            size += cost
        if messages:
            await self._deliver_v1(peer, messages)

    async def _deliver_v1(self, peer: NodeRecord, messages: list[tuple[Held, bytes]]) -> None:
        await self._peers.ask(peer, DATA, [encode_v1(messages)])
        self._stats.batches_sent += 1
        self._stats.messages_sent += len(messages)

    async def _send(self, peer: NodeRecord, page: Page) -> None:
        """Tell a peer of copies and tokens, and send it those messages whole that it wants."""
        wanted: list[Key] = []
        builder = self._builder()
        for held in page.copies:
            builder.add(held)
            if builder.size > BATCH_BYTES:
                wanted += await self._deliver(peer, builder)
                builder = self._builder()
        for token in page.tokens:
            builder.add_token(token)
            if builder.size > BATCH_BYTES:
                wanted += await self._deliver(peer, builder)
                builder = self._builder()
        if builder.count:
            wanted += await self._deliver(peer, builder)
        await self._send_whole(peer, wanted)

    async def _send_whole(self, peer: NodeRecord, keys: Iterable[Key]) -> None:
        builder = self._builder()
        for key in keys:
            found = self._mailbox.swarm.data(key)
            if found is None:
                continue  # deleted meanwhile, which the peer was told by the swarm
            builder.add(*found)
            if builder.size > BATCH_BYTES:
                await self._deliver(peer, builder)
                builder = self._builder()
        if builder.count:
            await self._deliver(peer, builder)

    async def _deliver(self, peer: NodeRecord, builder: Builder) -> list[Key]:
        """Send one batch and return the keys of what the peer wants whole."""
        parts = await self._peers.ask(peer, DATA, [builder.batch().encode()])
        if not parts:
            self._peers.mark_foreign(peer)
            raise NotTaken("the peer does not understand batches of our version")
        try:
            receipt = decode_receipt(parts[0], len(builder.entries))
        except ParseError as error:
            raise NotTaken("the peer's answer to a batch makes no sense") from error
        if receipt.foreign:
            raise NotTaken("by the peer's list these accounts are not its own yet")
        self._stats.batches_sent += 1
        self._stats.messages_sent += sum(entry.data is not None for entry in builder.entries)
        return [builder.entries[place].key for place in receipt.wanted]

    def _builder(self) -> Builder:
        return Builder(self._mailbox.swarm.proofs)


def _write_cursor(key: Key) -> bytes:
    return key.account + key.namespace.to_bytes(2, "big", signed=True) + key.hash.encode()


def _read_cursor(cursor: bytes | None) -> tuple[bytes, Key | None]:
    """Return the account a cursor stands at, and the last key of it that was sent; None when all of it was."""
    if cursor is None:
        return b"", None
    account, rest = cursor[:33], cursor[33:]
    if not rest:
        return account, None
    return account, Key(account, int.from_bytes(rest[:2], "big", signed=True), rest[2:].decode())

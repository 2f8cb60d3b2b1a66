"""The mailbox as a member of the swarm deals with it: comparing, listing, taking over, and what is owed to whom.

Reads are immediate, writes awaited and durable, as everywhere in the mailbox.  All of them raise MailboxError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import apsw

from ramson.node.mailbox import copies, debts, listing, merging, tokens
from ramson.node.mailbox.copies import Key
from ramson.node.mailbox.debts import Debt, OpenDebt
from ramson.node.mailbox.digests import FAN, Digests, Owns
from ramson.node.mailbox.errors import explain
from ramson.node.mailbox.lattice import State, TokenState
from ramson.node.mailbox.listing import Held, HeldToken
from ramson.node.mailbox.merging import Merged, Offer
from ramson.node.mailbox.writer import Writer
from ramson.world import Clock

T = TypeVar("T")

GHOST_BYTES: Final = 250  # what a ghost takes: row and two index entries
ROW_BYTES: Final = 400


class MemberView:
    """Made by the mailbox."""

    def __init__(self, writer: Writer, reader: apsw.Connection, digests: Digests, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._digests = digests
        self._clock = clock

    # ---- comparing

    @property
    def digests_ready(self) -> bool:
        """Whether `digests` tells the truth."""
        return self._digests.ready

    def digests(self, prefix: bytes) -> list[int]:
        """Return the 256 digests below a prefix of none or one byte of the accounts' keys."""
        return self._digests.level(prefix)

    async def compute_digests(self, owns: Owns) -> None:
        """Compute all digests anew, counting the accounts that `owns` names."""

        def begin(db: apsw.Connection) -> bool:
            self._digests.begin(owns)
            small = listing.is_small(db)
            if small:
                self._digests.compute(range(FAN), listing.sums(db, b""))
            return small

        def compute(first: int, db: apsw.Connection) -> None:
            self._digests.compute([first], listing.sums(db, bytes([first])))

        if await self._writer.submit(begin, heavy=True):
            return
        for first in range(FAN):
            await self._writer.submit(partial(compute, first), heavy=True)
            await asyncio.sleep(0)

    # ---- listing

    def next_account(self, after: bytes) -> bytes | None:
        """Return the first account behind this one of which anything is held."""
        return self._read(partial(listing.next_account, after=after))

    def ranges(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return the ranges of accounts whose key begins with `prefix`, whatever their network byte."""
        return self._read(partial(listing.ranges, prefix=prefix))

    def held(self, low: bytes, high: bytes, after: Key | None, limit: int) -> list[Held]:
        """Return up to `limit` copies of the accounts from `low` to `high` that come after a key, in order."""
        return self._read(partial(listing.held, low=low, high=high, after=after, limit=limit))

    def tokens(self, low: bytes, high: bytes, after: tuple[bytes, bytes], limit: int) -> list[HeldToken]:
        """Return up to `limit` tokens of the accounts from `low` to `high` that come after (account, token)."""
        return self._read(partial(listing.tokens, low=low, high=high, after=after, limit=limit))

    def state(self, key: Key) -> State | None:
        """Return how a message stands here; None when nothing is known of it."""
        found = self._read(partial(copies.find, key=key))
        return None if found is None else found.state

    def data(self, key: Key) -> tuple[Held, bytes] | None:
        """Return a message and its data; None when it is not here."""
        return self._read(partial(listing.data, key=key))

    def proofs(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return the proofs with these numbers."""
        return self._read(partial(listing.proofs, numbers=numbers))

    # ---- taking over

    async def merge(self, offers: Sequence[Offer]) -> Merged:
        """Take over what is ahead of the copies here, in one transaction."""
        adds = sum(
            (GHOST_BYTES if offer.data is None else ROW_BYTES + len(offer.data)) + len(offer.proof or b"")
            for offer in offers
        )
        work = partial(merging.merge, digests=self._digests, offers=offers, now=self._clock.now())
        return await self._writer.submit(work, adds=adds, heavy=len(offers) > 1)

    async def merge_tokens(self, account: bytes, offered: Mapping[bytes, tuple[TokenState, bytes]]) -> int:
        """Take over later states of an account's tokens, each with its proof; return how many changed."""
        return await self._writer.submit(
            partial(tokens.merge, digests=self._digests, account=account, offered=offered), heavy=True
        )

    # ---- what must not be forgotten

    def recall(self, name: str) -> bytes | None:
        """Return what was remembered under a name."""
        return self._read(partial(debts.recall, name=name))

    async def note_change(
        self, name: str, value: bytes, owed: Sequence[Debt], *, void: Sequence[int] = (), restart: bool = False
    ) -> None:
        """Remember a value, forget the debts that are `void` and owe others because of it, all or nothing.

        With `restart` debts that are open begin anew.
        """

        def work(db: apsw.Connection) -> None:
            debts.remember(db, name, value)
            for number in void:
                debts.settle(db, number)
            debts.owe(db, owed, restart=restart)

        await self._writer.submit(work)

    def open_debts(self) -> list[OpenDebt]:
        """Return what is owed, oldest first."""
        return self._read(debts.open_debts)

    async def advance(self, number: int, cursor: bytes) -> bool:
        """Note how far a debt is paid; False when it is no longer open."""
        return await self._writer.submit(partial(debts.advance, number=number, cursor=cursor))

    async def settle(self, number: int) -> None:
        """Forget a debt that is paid, or that nobody is owed any more."""
        await self._writer.submit(partial(debts.settle, number=number))

    def _read(self, query: Callable[[apsw.Connection], T]) -> T:
        try:
            return query(self._reader)
        except apsw.Error as error:
            raise explain(error) from error

"""Taking over what other nodes have, however it came: checked, verified, and merged.

What a peer says is believed as far as it can do no harm: a message when its hash fits and its account is ours, that it
was deleted or lowered only with the account's own signed request.  Spec: `mailbox.lattice`, `proofs`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from ramson.crypto.hashing import message_hash
from ramson.node.mailbox import Mailbox, Offer, TokenState
from ramson.node.standing import Standing
from ramson.node.swarm.batch import Batch, Entry
from ramson.node.swarm.proofs import Proof, verify
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol.namespaces import DAY_MS
from ramson.world import Clock

MAX_LIFE_MS: Final = 30 * DAY_MS + 60_000  # the longest lifetime of any namespace, and a minute for clocks
MAX_AHEAD_MS: Final = 60 * 60 * 1000  # of a message's timestamp
MAX_COUNT: Final = 2**40  # of births and versions
AT_ONCE: Final = 20  # verifications and hashes between two looks at the event loop
TRANSACTION_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: copies that changed something, copies that are not ours, places of those wanted whole."""

    changed: int
    foreign: int
    wanted: tuple[int, ...]


class Intake:
    """Takes batches into `mailbox`.  Raises MailboxError when it cannot keep them."""

    def __init__(self, standing: Standing, mailbox: Mailbox, clock: Clock, stats: SwarmLifeStats) -> None:
        self._standing = standing
        self._mailbox = mailbox
        self._clock = clock
        self._stats = stats

    async def take(self, batch: Batch) -> Taken:
        """Merge a batch."""
        foreign = 0
        news: list[int] = []
        for place, entry in enumerate(batch.entries):
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)
            if not self._standing.owns(entry.key.account):
                foreign += 1
            elif self._is_news(entry):
                news.append(place)
        tokens = [token for token in batch.tokens if self._standing.owns(token.account)]
        used = {batch.entries[place].proof for place in news} | {token.proof for token in tokens}
        proofs = await self._verify(batch, used - {-1})

        changed = 0
        wanted: list[int] = []
        offers: list[Offer] = []
        places: list[int] = []
        size = 0
        for place in news:
            offer = self._offer(batch.entries[place], proofs)
            offers.append(offer)
            places.append(place)
            size += len(offer.data or b"") + 1000
            if size > TRANSACTION_BYTES or place == news[-1]:
                merged = await self._mailbox.swarm.merge(offers)
                changed += merged.changed
                self._stats.refused += merged.refused
                wanted += [places[index] for index in merged.wanted]
                offers, places, size = [], [], 0

        revocations: dict[bytes, dict[bytes, tuple[TokenState, bytes]]] = {}
        for token in tokens:
            proof = proofs.get(token.proof)
            if proof is not None and proof.revokes(token.account, token.token, token.state):
                revocations.setdefault(token.account, {})[token.token] = (token.state, proof.body)
            else:
                self._stats.refused += 1
        for account, states in revocations.items():
            changed += await self._mailbox.swarm.merge_tokens(account, states)
        self._stats.copies_taken += changed
        return Taken(changed, foreign, tuple(wanted))

    def _is_news(self, entry: Entry) -> bool:
        """Tell whether a copy is ahead of ours and within bounds; and whether its data is what it claims to be."""
        now = self._clock.now()
        key, state = entry.key, entry.state
        known = self._mailbox.swarm.state(key)
        if known is not None and state <= known:
            return False
        if (
            max(state.birth, state.version) > MAX_COUNT
            or state.expiry > now + MAX_LIFE_MS
            or entry.timestamp > now + MAX_AHEAD_MS
            or (entry.data is not None and message_hash(key.account, key.namespace, entry.data) != key.hash)
        ):
            self._stats.refused += 1
            return False
        return True

    async def _verify(self, batch: Batch, places: set[int]) -> dict[int, Proof]:
        verified: dict[int, Proof] = {}
        for count, place in enumerate(sorted(places)):
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
            proof = verify(batch.proofs[place], self._mailbox.is_revoked)
            if proof is not None:
                verified[place] = proof
        return verified

    @staticmethod
    def _offer(entry: Entry, proofs: dict[int, Proof]) -> Offer:
        proof = proofs.get(entry.proof)
        warrant = None if proof is None else proof.warrant(entry.key)
        body = None if proof is None or warrant is None else proof.body
        return Offer(entry.key, entry.state, entry.timestamp, entry.until, entry.data, warrant, body)

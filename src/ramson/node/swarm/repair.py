"""Repair between members of a swarm: finding out what one is missing of another's, and fetching it.

Theory of operation.  Members that hold the same have the same digests (`mailbox.digests`).  A member asks another for
its 256 sums, then for the 256 below each that differs, and then, page by page, for the copies in those buckets that
differ; what it wants whole it fetches last.  It only ever takes: what it has ahead of the other, that one will fetch
in its own round.  It asks every member, after a start, when the swarm's part of the ring has changed, and about every
minute: so what any of them has reaches all in one round, and to see that nothing differs costs 4 kB a member.

A member that lies can waste a bounded amount of time; what it can make us believe is the business of `intake`.
Members of another make, who do not know the command, are left alone.

The parts of the command `sn.ramson` are a word and its arguments:
`hello` → our greeting; `sums`, neighbourhood, prefix → 256 × 16 bytes; `copies`, neighbourhood, buckets (2 bytes each,
ascending), cursor → a batch without data and the next cursor (empty: done); `tokens`, likewise; `whole`, bencoded list
of [account, namespace, hash] → a batch with data and how many of the keys it answers.  A node whose neighbourhood is
another, or whose digests are not ready, answers `later` alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from ramson.errors import ParseError
from ramson.node.mailbox import Key, Mailbox, MailboxError, MemberView
from ramson.node.standing import Standing
from ramson.node.swarm.batch import Batch, Builder, decode
from ramson.node.swarm.changes import Neighbourhood
from ramson.node.swarm.intake import Intake
from ramson.node.swarm.peers import COMMAND, GREETING, HELLO, Peers
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol import bt
from ramson.protocol.namespaces import MAX_NAMESPACE, MIN_NAMESPACE
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage.limits import ACCOUNT_SIZE
from ramson.protocol.swarms import UNASSIGNED
from ramson.world import Origin, PeerRefused, PeerTimeout

SUMS, COPIES, TOKENS, WHOLE, LATER = b"sums", b"copies", b"tokens", b"whole", b"later"

ROUND_SECONDS: Final = 60.0
DIGEST_SIZE: Final = 16
FAN: Final = 256
PAGE: Final = 1_000  # copies in a reply
PAGE_BYTES: Final = 1_000_000
MAX_BUCKETS: Final = 64  # in one request: finding their ranges takes some ten milliseconds
MAX_KEYS: Final = 200  # in one request
MAX_PAGES: Final = 2_000  # that are taken from one peer in one round

log = logging.getLogger(__name__)


class Answerer:
    """Answers other members."""

    def __init__(self, standing: Standing, mailbox: Mailbox, neighbourhood: Callable[[], Neighbourhood | None]) -> None:
        self._standing = standing
        self._view = mailbox.swarm
        self._neighbourhood = neighbourhood

    def answer(self, origin: Origin, parts: Sequence[bytes]) -> list[bytes] | None:
        """Handle the parts of `sn.ramson`; None (no reply) for what makes no sense, and for who is no member."""
        if list(parts[:1]) == [HELLO]:
            return [GREETING]
        if not any(node.x25519 == origin.key for node in self._standing.others):
            return None
        try:
            match parts:
                case [word, ring, prefix] if word == SUMS and len(prefix) <= 1:
                    return self._sums(prefix) if self._agrees(ring) else [LATER]
                case [word, ring, buckets, cursor] if word in {COPIES, TOKENS} and _are_buckets(buckets):
                    if not self._agrees(ring):
                        return [LATER]
                    page = self._copies if word == COPIES else self._tokens
                    return page([buckets[at : at + 2] for at in range(0, len(buckets), 2)], cursor)
                case [word, keys] if word == WHOLE:
                    return self._whole(_read_keys(keys))
        except ParseError as error:
            log.info("repair: a question makes no sense: %s", error)
        except MailboxError as error:
            log.error("repair: no answer: %s", error)  # noqa: TRY400 - the mailbox's own words
        return None

    def _agrees(self, ring: bytes) -> bool:
        own = self._neighbourhood()
        return own is not None and own.encode() == ring and self._view.digests_ready

    def _sums(self, prefix: bytes) -> list[bytes]:
        return [b"".join(value.to_bytes(DIGEST_SIZE, "big") for value in self._view.digests(prefix))]

    def _copies(self, buckets: list[bytes], cursor: bytes) -> list[bytes]:
        """Return a page behind a cursor: the bucket, and the key of the last copy, that the last page ended with."""
        builder = Builder(self._view.proofs)
        bucket, after = cursor[:2], _read_key(cursor[2:]) if cursor[2:] else None
        for current in (each for each in buckets if each >= bucket):
            low = after if current == bucket else None
            for first, last in self._view.ranges(current):
                for held in self._view.held(first, last, low, PAGE):
                    builder.add(held)
                    if builder.count >= PAGE or builder.size > PAGE_BYTES:
                        return [builder.batch().encode(), current + _write_key(held.key)]
        return [builder.batch().encode(), b""]

    def _tokens(self, buckets: list[bytes], cursor: bytes) -> list[bytes]:
        builder = Builder(self._view.proofs)
        bucket, after = cursor[:2], (cursor[2 : 2 + ACCOUNT_SIZE], cursor[2 + ACCOUNT_SIZE :])
        for current in (each for each in buckets if each >= bucket):
            low = after if current == bucket else (b"", b"")
            for first, last in self._view.ranges(current):
                for held in self._view.tokens(first, last, low, PAGE):
                    builder.add_token(held)
                    if builder.count >= PAGE or builder.size > PAGE_BYTES:
                        return [builder.batch().encode(), current + held.account + held.token]
        return [builder.batch().encode(), b""]

    def _whole(self, keys: list[Key]) -> list[bytes]:
        builder = Builder(self._view.proofs)
        answered = 0
        for key in keys:
            found = self._view.data(key) if self._standing.owns(key.account) else None
            if found is not None:
                builder.add(*found)
            answered += 1
            if builder.size > PAGE_BYTES:
                break
        return [builder.batch().encode(), b"%d" % answered]


class NotNow(PeerTimeout):
    """The peer cannot be compared with at present."""


class Repair:
    """Fetches what this node misses of other members' copies."""

    def __init__(
        self,
        *,
        standing: Standing,
        mailbox: Mailbox,
        intake: Intake,
        peers: Peers,
        entropy: random.Random,
        stats: SwarmLifeStats,
    ) -> None:
        self._standing = standing
        self._view: MemberView = mailbox.swarm
        self._intake = intake
        self._peers = peers
        self._entropy = entropy
        self._stats = stats
        self._computed: Neighbourhood | None = None  # of which the digests are
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Look whether the swarm's part of the ring has changed."""
        self._changed.set()

    def neighbourhood(self) -> Neighbourhood | None:
        """Return the part of the ring whose accounts the digests count; None when they count none."""
        return self._computed

    async def run(self) -> None:
        """Repair until cancelled."""
        while True:
            self._changed.clear()
            try:
                chosen = await self._choose()
            except MailboxError as error:
                log.error("repair: no digests: %s", error)  # noqa: TRY400 - the mailbox's own words
                chosen = []
            for peer in chosen:
                await self._round(peer)
            try:
                async with asyncio.timeout(ROUND_SECONDS * self._entropy.uniform(0.75, 1.25)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _choose(self) -> list[NodeRecord]:
        """Return the members to ask in this round, with the digests computed that they are asked to compare."""
        nodes, own = self._standing.nodes, self._standing.swarm_id
        if own == UNASSIGNED:
            self._computed = None
            return []
        others = list(self._standing.others)
        self._entropy.shuffle(others)
        now = Neighbourhood.of(nodes.swarm_ids, own)
        if now != self._computed:
            self._computed = None
            await self._view.compute_digests(now.owns())
            self._computed = now
        return others

    async def _round(self, peer: NodeRecord) -> None:
        try:
            if not await self._peers.is_ours(peer):
                return
            self._stats.rounds += 1
            await self._compare(peer)
        except NotNow as reason:
            log.debug("repair: not now: %s", reason)
        except (PeerTimeout, PeerRefused, ParseError, MailboxError) as error:
            self._stats.failed += 1
            log.info("repair: a round failed: %s", error)

    async def _compare(self, peer: NodeRecord) -> None:
        ring = self._computed
        if ring is None:
            raise NotNow("our own digests are not ready")
        differing: list[bytes] = []
        for first in await self._differing(peer, ring, b""):
            differing += [first + second for second in await self._differing(peer, ring, first)]
        self._stats.differences += len(differing)
        pages = 0
        for at in range(0, len(differing), MAX_BUCKETS):
            buckets = differing[at : at + MAX_BUCKETS]
            for word in (TOKENS, COPIES):  # tokens first: what a revoked one signed is not believed
                cursor = b""
                while True:
                    pages += 1
                    if pages > MAX_PAGES:
                        return
                    body, following = await self._ask(peer, 2, word, ring.encode(), b"".join(buckets), cursor)
                    await self._take(peer, decode(body))
                    if not following:
                        break
                    if following <= cursor or following[:2] not in buckets:
                        raise ParseError("repair: a cursor that does not advance")
                    cursor = following

    async def _differing(self, peer: NodeRecord, ring: Neighbourhood, prefix: bytes) -> list[bytes]:
        """Return the bytes after `prefix` at which the peer's sums are others than ours."""
        (sums,) = await self._ask(peer, 1, SUMS, ring.encode(), prefix)
        if len(sums) != FAN * DIGEST_SIZE:
            raise ParseError("repair: not 256 sums")
        own = self._view.digests(prefix)
        return [
            bytes([byte])
            for byte in range(FAN)
            if own[byte] != int.from_bytes(sums[byte * DIGEST_SIZE : (byte + 1) * DIGEST_SIZE], "big")
        ]

    async def _take(self, peer: NodeRecord, batch: Batch) -> None:
        """Take over a page, and fetch those messages of it that are wanted whole."""
        taken = await self._intake.take(batch)
        wanted = [batch.entries[place].key for place in taken.wanted]
        while wanted:
            keys = wanted[:MAX_KEYS]
            body, answered = await self._ask(peer, 2, WHOLE, bt.encode(keys))
            if not answered.isdigit() or not 1 <= int(answered[:9]) <= len(keys):
                raise ParseError("repair: no count of answers")
            await self._intake.take(decode(body))
            wanted = wanted[int(answered) :]

    async def _ask(self, peer: NodeRecord, count: int, *parts: bytes) -> list[bytes]:
        answer = await self._peers.ask(peer, COMMAND, parts)
        if answer == [LATER]:
            raise NotNow("the peer's digests are not ready, or it has another list")
        if len(answer) != count:
            raise ParseError("repair: an answer of another form")
        return answer


def _are_buckets(buckets: bytes) -> bool:
    if not buckets or len(buckets) % 2 or len(buckets) > 2 * MAX_BUCKETS:
        return False
    numbers = [buckets[at : at + 2] for at in range(0, len(buckets), 2)]
    return all(one < other for one, other in pairwise(numbers))


def _write_key(key: Key) -> bytes:
    return key.account + (key.namespace - MIN_NAMESPACE).to_bytes(2, "big") + key.hash.encode()


def _read_key(cursor: bytes) -> Key:
    if len(cursor) < ACCOUNT_SIZE + 2:
        raise ParseError("repair: not a cursor")
    namespace = int.from_bytes(cursor[ACCOUNT_SIZE : ACCOUNT_SIZE + 2], "big") + MIN_NAMESPACE
    return Key(cursor[:ACCOUNT_SIZE], namespace, cursor[ACCOUNT_SIZE + 2 :].decode("ascii", "replace"))


def _read_keys(body: bytes) -> list[Key]:
    items = bt.decode(body)
    if not isinstance(items, list) or len(items) > MAX_KEYS:
        raise ParseError("repair: not a list of keys")
    keys: list[Key] = []
    for item in items:
        match item:
            case [bytes(account), int(namespace), bytes(text)] if (
                len(account) == ACCOUNT_SIZE and MIN_NAMESPACE <= namespace <= MAX_NAMESPACE
            ):
                keys.append(Key(account, namespace, text.decode("ascii", "replace")))
            case _:
                raise ParseError("repair: not a key")
    return keys

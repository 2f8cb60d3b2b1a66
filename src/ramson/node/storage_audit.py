"""Testing whether the other members of the swarm keep what they should.

The network's own storage tests have been switched off for years, because they raced with the arrival of messages and
blamed the innocent.  These take care not to, at the price of being slow; they work between nodes of this program
only (`storage_proof`), and a node that knows no such tests is left alone.

Theory of operation.  About once a minute a member that has belonged to the swarm for an hour is asked to prove that it
holds a message drawn from those that have been here for half an hour and do not expire soon.  If it has not got it:

1. wait a minute, and see whether the message is still here unchanged: it may have been deleted meanwhile; ask again;
2. ask the remaining members the same.  Only if more of them hold the message than lack it is it missing.  Otherwise
   this node may be the one that did not hear of a deletion, and the test is moot.

A member is *suspect* after three misses in a row (a warning in the log), and *distrusted* after ten in a row over
65 minutes: then the tests of reachability count it as failing, for as long as it proves nothing.  A member that does
not answer at all is a matter of those tests, not of these.  One test runs at a time.

It never repairs anything, never sends a message's data, and never logs an account or a hash.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from hmac import compare_digest
from typing import Final

from ramson.node.counters import Counters, StorageTestOutcome
from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.mailbox.sampling import Sample
from ramson.node.standing import Standing, peer_address
from ramson.node.storage_proof import NONCE_SIZE, Challenge
from ramson.protocol.nodes import NodeRecord
from ramson.world import Clock, PeerLink, PeerRefused, PeerTimeout

INTERVAL: Final = (60.0, 15.0)  # seconds between tests: mean and deviation of a normal distribution
SHORTEST: Final = 10.0
REPLY_SECONDS: Final = 5.0
SETTLED_SECONDS: Final = 30 * 60.0  # how long a message must have been here
MEMBER_SECONDS: Final = 60 * 60.0  # how long a member must have been in the swarm
LIFE_LEFT_MS: Final = 10 * 60 * 1000  # how far off a message's expiry must be
DOUBT_SECONDS: Final = 60.0
UNABLE_SECONDS: Final = 60 * 60.0  # how long a node that knows no such tests is not asked again
SUSPECT_AFTER: Final = 3
DISTRUST_AFTER: Final = 10
DISTRUST_SECONDS: Final = 65 * 60.0

log = logging.getLogger(__name__)


class _Answer(Enum):
    HELD = auto()
    LACKED = auto()
    SILENT = auto()
    UNABLE = auto()


@dataclass(slots=True)
class _Record:
    """What is known of a member; moments are seconds of the monotonic clock."""

    since: float
    misses: int = 0  # in a row
    missing_since: float = 0.0
    unable_until: float = 0.0


class StorageAudit:
    """The tests that the node with X25519 key `own` (32 bytes) makes; `link` returns its link, which is made later."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: random.Random,
        standing: Standing,
        mailbox: Mailbox,
        link: Callable[[], PeerLink],
        own: bytes,
        counters: Counters,
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._standing = standing
        self._mailbox = mailbox
        self._link = link
        self._own = own
        self._counters = counters
        self._members: dict[bytes, _Record] = {}
        self._marks: deque[tuple[float, int]] = deque()  # when which message was the newest

    @property
    def suspects(self) -> int:
        """How many members lacked the last three messages they were asked for."""
        return sum(record.misses >= SUSPECT_AFTER for record in self._members.values())

    def distrusts(self, ed25519: bytes) -> bool:
        """Tell whether a node has lacked so many messages, for so long, that it should count as failing."""
        record = self._members.get(ed25519)
        return (
            record is not None
            and record.misses >= DISTRUST_AFTER
            and self._clock.monotonic() - record.missing_since >= DISTRUST_SECONDS
        )

    async def run(self) -> None:
        """Test until cancelled."""
        while True:
            await asyncio.sleep(max(SHORTEST, self._entropy.normalvariate(*INTERVAL)))
            try:
                await self._once()
            except MailboxError as error:
                log.warning("storage test not made: %s", error)

    async def _once(self) -> None:
        self._follow()
        sample = self._draw()
        candidates = [node for node in self._standing.others if self._may_test(node)]
        if sample is None or not candidates:
            return
        node = self._entropy.choice(candidates)
        self._judge(node, await self._test(node, sample))

    def _follow(self) -> None:
        """Keep the records of present members, and remember how far the messages have come."""
        now = self._clock.monotonic()
        self._members = {
            node.ed25519: self._members.get(node.ed25519) or _Record(now) for node in self._standing.others
        }
        self._marks.append((now, self._mailbox.newest()))
        while len(self._marks) > 1 and self._marks[1][0] <= now - SETTLED_SECONDS:
            self._marks.popleft()

    def _draw(self) -> Sample | None:
        then, newest = self._marks[0]
        if self._clock.monotonic() - then < SETTLED_SECONDS:
            return None
        sample = self._mailbox.pick(self._entropy.random(), newest, self._clock.now() + LIFE_LEFT_MS)
        return sample if sample is not None and self._standing.owns(sample.account) else None

    def _may_test(self, node: NodeRecord) -> bool:
        record, now = self._members[node.ed25519], self._clock.monotonic()
        return peer_address(node) is not None and now - record.since >= MEMBER_SECONDS and now >= record.unable_until

    async def _test(self, node: NodeRecord, sample: Sample) -> StorageTestOutcome:
        match await self._ask(node, sample):
            case _Answer.HELD:
                return StorageTestOutcome.HELD
            case _Answer.UNABLE:
                return StorageTestOutcome.UNABLE
            case _Answer.SILENT:
                return StorageTestOutcome.SILENT
            case _Answer.LACKED:
                return await self._ask_again(node, sample)

    async def _ask_again(self, node: NodeRecord, sample: Sample) -> StorageTestOutcome:
        """Give the benefit of the doubt to a member that lacked the message."""
        await asyncio.sleep(DOUBT_SECONDS)
        if self._mailbox.find(sample.account, sample.namespace, sample.hash) != sample:
            return StorageTestOutcome.MOOT
        if node not in self._standing.others or not self._standing.owns(sample.account):
            return StorageTestOutcome.MOOT
        match await self._ask(node, sample):
            case _Answer.HELD:
                return StorageTestOutcome.HELD
            case _Answer.SILENT | _Answer.UNABLE:
                return StorageTestOutcome.SILENT
            case _Answer.LACKED:
                pass
        others = [other for other in self._standing.others if other.ed25519 != node.ed25519]
        async with asyncio.TaskGroup() as asking:
            answers = [asking.create_task(self._ask(other, sample)) for other in others]
        held = sum(answer.result() is _Answer.HELD for answer in answers)
        lacked = sum(answer.result() is _Answer.LACKED for answer in answers)
        if held <= lacked or self._mailbox.find(sample.account, sample.namespace, sample.hash) != sample:
            return StorageTestOutcome.MOOT
        return StorageTestOutcome.MISSING

    async def _ask(self, node: NodeRecord, sample: Sample) -> _Answer:
        address = peer_address(node)
        if address is None:
            return _Answer.SILENT
        challenge = Challenge(sample.account, sample.namespace, sample.hash, self._entropy.randbytes(NONCE_SIZE))
        try:
            parts = await self._link().request(address, "sn.storage_test", [challenge.encode()], timeout=REPLY_SECONDS)
        except (PeerTimeout, PeerRefused):
            return _Answer.SILENT
        match parts:
            case [b"OK", proof] if compare_digest(proof, challenge.proof(self._own, node.x25519, sample.data)):
                return _Answer.HELD
            case [b"OK", _] | [b"other"]:
                return _Answer.LACKED
            case [b"wrong request"]:
                return _Answer.SILENT  # the two of us have different lists at the moment
            case _:
                return _Answer.UNABLE

    def _judge(self, node: NodeRecord, outcome: StorageTestOutcome) -> None:
        self._counters.storage_tests[outcome] += 1
        record = self._members.get(node.ed25519)
        if record is None:
            return
        name, now = node.ed25519.hex()[:8], self._clock.monotonic()
        match outcome:
            case StorageTestOutcome.UNABLE:
                record.unable_until = now + UNABLE_SECONDS
            case StorageTestOutcome.HELD:
                if record.misses:
                    log.info("storage test passed again: node=%s misses=%d", name, record.misses)
                record.misses = 0
            case StorageTestOutcome.MISSING:
                record.missing_since = now if record.misses == 0 else record.missing_since
                record.misses += 1
                level = logging.WARNING if record.misses >= SUSPECT_AFTER else logging.INFO
                log.log(level, "a message is missing at a swarm member: node=%s misses=%d", name, record.misses)
            case _:
                pass

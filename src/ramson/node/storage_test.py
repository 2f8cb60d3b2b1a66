"""Answering storage tests: `sn.storage_test`, by which a swarm member asks for a message it has too.

Two kinds come by that name.  Those of the network have two parts and are answered with the message itself; no node
starts them at present.  Who may test whom at a block follows from the block's hash, so a node answers one tester a
block (testing-and-uptime.md §3, and swarms.md §3 for U(n)).  A daemon tells the hashes of the last blocks; of a network
file's only those are known that came with a list.  Those of this program have one part, a challenge, and
are answered with a proof (`storage_proof`); any member may send them at any time.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from ramson.errors import ParseError
from ramson.node.counters import Counters
from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.standing import Standing
from ramson.node.storage_proof import Challenge
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.world import Origin

KEPT_BLOCKS: Final = 30
PATIENCE_SECONDS: Final = 55.0
SEARCH_SECONDS: Final = 5.0  # between searches for a message that may still arrive: each reads an index through
MAX_WAITING: Final = 20

_OTHER: Final = [b"other"]
_INVALID: Final = [b"invalid parameters"]
_WRONG: Final = [b"wrong request"]


@runtime_checkable
class BlockSource(Protocol):
    """Who knows blocks of which no list came: a daemon's registry."""

    def block_hash(self, height: int) -> str | None:
        """Return the hash (hex) of one of the last blocks."""
        ...


class StorageTests:
    """Answers tests about what is in `mailbox`, as the node with X25519 key `own` (32 bytes)."""

    def __init__(
        self,
        standing: Standing,
        mailbox: Mailbox,
        own: bytes,
        counters: Counters | None = None,
        blocks: BlockSource | None = None,
    ) -> None:
        self._source = blocks
        self._standing = standing
        self._mailbox = mailbox
        self._own = own
        self._counters = counters or Counters()
        self._blocks: OrderedDict[int, str] = OrderedDict()  # height → block hash
        self._waiting = 0
        self._next_block = asyncio.Event()
        self.observe(standing.nodes)

    def observe(self, nodes: NodeList) -> None:
        """Remember the block of a new list."""
        self._blocks[nodes.height] = nodes.block_hash
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        come, self._next_block = self._next_block, asyncio.Event()
        come.set()

    async def answer(self, origin: Origin, parts: Sequence[bytes]) -> list[bytes]:
        """Handle [challenge] or [height, 32-byte hash]; the reply is `OK` and the proof or data, or one word."""
        if len(parts) == 1:
            return self._prove(origin, parts[0])
        if len(parts) != 2:
            return _INVALID
        tester = self._standing.nodes.by_x25519.get(origin.key)
        if tester is None:
            return [b"invalid pubkey"]
        if not parts[0].isdigit() or len(parts[0]) > 19:
            return [b"invalid height"]
        if len(parts[1]) != 32:
            return [b"invalid msg hash"]
        if self._waiting >= MAX_WAITING:
            return _OTHER
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._answer(int(parts[0]), tester, b64encode(parts[1]).decode().rstrip("="))
        except (TimeoutError, MailboxError):
            return _OTHER
        finally:
            self._waiting -= 1

    def _prove(self, origin: Origin, challenge: bytes) -> list[bytes]:
        try:
            asked = Challenge.decode(challenge)
        except ParseError:
            return _INVALID
        if not self._standing.owns(asked.account) or not self._is_member(origin.key):
            return _WRONG
        try:
            found = self._mailbox.find(asked.account, asked.namespace, asked.hash)
        except MailboxError:
            return _OTHER
        self._counters.storage_tests_answered += 1
        return _OTHER if found is None else [b"OK", asked.proof(origin.key, self._own, found.data)]

    def _is_member(self, x25519: bytes) -> bool:
        return any(node.x25519 == x25519 for node in self._standing.others)

    def _block_hash(self, height: int) -> str:
        """Return the hash of a block, empty if it is not known."""
        known = None if self._source is None else self._source.block_hash(height)
        return known or self._blocks.get(height, "")

    async def _answer(self, height: int, tester: NodeRecord, text: str) -> list[bytes]:
        if not self._is_member(tester.x25519):
            return _WRONG  # at any height
        while height > self._standing.nodes.height:
            await self._next_block.wait()
        members = sorted(self._standing.nodes.swarm(self._standing.swarm_id), key=lambda node: node.legacy)
        pair = pair_at(len(members), self._block_hash(height))
        if pair is None or [members[i].ed25519 for i in pair] != [tester.ed25519, self._standing.ed25519]:
            return _WRONG
        while True:
            data = await self._mailbox.find_data(text)
            if data is not None:
                return [b"OK", data]
            await asyncio.sleep(SEARCH_SECONDS)


def pair_at(members: int, block_hash: str) -> tuple[int, int] | None:
    """Return who tests whom, as indices into the members sorted by legacy key; None without a pair or a block."""
    if members < 2 or len(block_hash) < 8:
        return None
    numbers = MersenneTwister64(int.from_bytes(block_hash[:8].encode(), "little"))
    tester = testee = numbers.below(members)
    while testee == tester:
        testee = numbers.below(members)
    return tester, testee


class MersenneTwister64:
    """The 64-bit Mersenne Twister (mt19937-64), the generator the network agrees on."""

    _N, _M = 312, 156
    _MASK = 2**64 - 1
    _LOW31 = 2**31 - 1

    def __init__(self, seed: int) -> None:
        state = [seed & self._MASK]
        for i in range(1, self._N):
            state.append((6364136223846793005 * (state[-1] ^ state[-1] >> 62) + i) & self._MASK)
        self._state = state
        self._index = self._N

    def below(self, limit: int) -> int:
        """Return U(limit): an even choice among 0 … limit−1, as swarms.md §3 draws it."""
        top = self._MASK - self._MASK % limit
        while (number := self._next()) >= top:
            pass
        return number // (top // limit)

    def _next(self) -> int:
        if self._index == self._N:
            self._twist()
        x = self._state[self._index]
        self._index += 1
        x ^= x >> 29 & 0x5555555555555555
        x ^= x << 17 & 0x71D67FFFEDA60000
        x ^= x << 37 & 0xFFF7EEE000000000
        return x ^ x >> 43

    def _twist(self) -> None:
        state = self._state
        for i in range(self._N):
            x = (state[i] & ~self._LOW31) | (state[(i + 1) % self._N] & self._LOW31)
            state[i] = state[(i + self._M) % self._N] ^ x >> 1 ^ (0xB5026F5AA96619E9 if x & 1 else 0)
        self._index = 0

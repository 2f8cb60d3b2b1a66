"""Answering storage tests: `sn.storage_test`, by which a swarm member asks for a message it has too.

No node of the network starts such tests at present; answering them is kept.  Who may test whom at a block
follows from the block's hash, so a node answers one tester a block.  Spec: testing-and-uptime.md §3, and
swarms.md §3 for U(n).
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.standing import Standing
from ramson.protocol.nodes import NodeList
from ramson.world import Origin

KEPT_BLOCKS: Final = 30
PATIENCE_SECONDS: Final = 55.0
SEARCH_SECONDS: Final = 5.0  # between searches for a message that may still arrive: each reads an index through
MAX_WAITING: Final = 20

_OTHER: Final = [b"other"]


class StorageTests:
    """Answers tests about what is in `mailbox`."""

    def __init__(self, standing: Standing, mailbox: Mailbox) -> None:
        self._standing = standing
        self._mailbox = mailbox
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
        """Handle the parts [height, 32-byte hash] of a test; the reply is `OK` and the data, or one word."""
        if len(parts) != 2:
            return [b"invalid parameters"]
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
                return await self._answer(int(parts[0]), tester.ed25519, b64encode(parts[1]).decode().rstrip("="))
        except (TimeoutError, MailboxError):
            return _OTHER
        finally:
            self._waiting -= 1

    async def _answer(self, height: int, tester: bytes, text: str) -> list[bytes]:
        if not any(node.ed25519 == tester for node in self._standing.others):
            return [b"wrong request"]  # at any height
        while height > self._standing.nodes.height:
            await self._next_block.wait()
        members = sorted(self._standing.nodes.swarm(self._standing.swarm_id), key=lambda node: node.legacy)
        pair = pair_at(len(members), self._blocks.get(height, ""))
        if pair is None or [members[i].ed25519 for i in pair] != [tester, self._standing.ed25519]:
            return [b"wrong request"]
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

"""Sums over everything the mailbox holds for its swarm, by which two members find out where they differ.

They are kept in memory, changed with every row, and computed from the database after a start and when the part of the
ring that the swarm owns changes.  Nothing here knows peers or the database.

Theory of operation.  Every state is hashed to 16 bytes, and a bucket's digest is the sum of these modulo 2¹²⁸: a
row that goes is subtracted again.  There are 256 × 256 buckets, by the first two bytes of the account's key; the
digest of a first byte is the sum of its 256 buckets.  Accounts of other swarms do not count, for members hold
different ones of these.  Changes wait for the commit of their transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Final

from ramson.node.mailbox.lattice import State, TokenState

DIGEST_SIZE: Final = 16
FAN: Final = 256
MODULUS: Final = 1 << 8 * DIGEST_SIZE

_STATE: Final = Struct(">hQ?Qq")
_TOKEN: Final = Struct(">q?")

Owns = Callable[[bytes], bool]


def of_message(account: bytes, namespace: int, text: str, state: State) -> int:
    """Return what a message in this state adds to its bucket."""
    digest = blake2b(account + _STATE.pack(namespace, *state) + text.encode(), digest_size=DIGEST_SIZE)
    return int.from_bytes(digest.digest(), "big")


def of_fresh(account: bytes, namespace: int, text: str, expiry: int) -> int:
    """Return the same for the state `fresh(expiry)`, in less time: every store needs it."""
    state = _STATE.pack(namespace, 0, False, 0, expiry)
    return int.from_bytes(blake2b(account + state + text.encode(), digest_size=DIGEST_SIZE).digest(), "big")


def of_token(account: bytes, token: bytes, state: TokenState) -> int:
    """Return what a token in this state adds to its bucket."""
    digest = blake2b(account + _TOKEN.pack(*state) + token, digest_size=DIGEST_SIZE, person=b"token")
    return int.from_bytes(digest.digest(), "big")


def bucket_of(account: bytes) -> int:
    """Return the number of an account's bucket, 0 … 65535."""
    return account[1] << 8 | account[2]


class Digests:
    """The sums, valid for those first bytes that were computed since `begin`."""

    def __init__(self) -> None:
        self._owns: Owns = _nobody
        self._sums = [0] * (FAN * FAN)
        self._tops = [0] * FAN  # by first byte: the sum of its 256 buckets
        self._valid: set[int] = set()  # first bytes
        self._computed: dict[int, dict[int, int]] = {}  # first byte → sums by bucket, of this transaction
        self._changes: dict[int, int] = {}  # bucket → what this transaction adds

    @property
    def ready(self) -> bool:
        """Whether all buckets are valid."""
        return len(self._valid) == FAN

    def level(self, prefix: bytes) -> list[int]:
        """Return the 256 sums below a prefix of no or one byte of the key."""
        if prefix:
            first = prefix[0] << 8
            return self._sums[first : first + FAN]
        return list(self._tops)

    # ---- inside transactions

    def begin(self, owns: Owns) -> None:
        """Forget all sums; from now on the accounts that `owns` names count."""
        self._owns = lru_cache(20_000)(owns)
        self._valid.clear()
        self.rolled_back()

    def compute(self, firsts: Iterable[int], entries: Iterable[tuple[bytes, int]]) -> None:
        """Set the buckets of some first bytes from all (account, sum) of the database that belong to these."""
        sums: dict[int, dict[int, int]] = {first: {} for first in firsts}
        for account, value in entries:
            if self._owns(account):
                bucket = bucket_of(account)
                under = sums[bucket >> 8]
                under[bucket] = under.get(bucket, 0) + value
        self._changes = {bucket: value for bucket, value in self._changes.items() if bucket >> 8 not in sums}
        self._computed |= sums

    def change(self, account: bytes, value: int) -> None:
        """Add a value (a row that goes: its negative)."""
        bucket = account[1] << 8 | account[2]
        if (account[1] in self._valid or account[1] in self._computed) and self._owns(account):
            self._changes[bucket] = self._changes.get(bucket, 0) + value

    def committed(self) -> None:
        """Take over what the transaction changed."""
        for first, sums in self._computed.items():
            self._sums[first * FAN : first * FAN + FAN] = [0] * FAN
            for bucket, value in sums.items():
                self._sums[bucket] = value % MODULUS
            self._tops[first] = sum(sums.values()) % MODULUS
            self._valid.add(first)
        for bucket, value in self._changes.items():
            self._sums[bucket] = (self._sums[bucket] + value) % MODULUS
            self._tops[bucket >> 8] = (self._tops[bucket >> 8] + value) % MODULUS
        self._computed.clear()
        self._changes.clear()

    def rolled_back(self) -> None:
        """Forget what the transaction changed."""
        self._computed.clear()
        self._changes.clear()


def _nobody(_account: bytes) -> bool:
    return False

"""Account ids and the keys behind them.

An id is a prefix byte and a 32-byte key, written as 66 lower-case hexadecimal digits.  An account is 16
random bytes (older ones: a whole 32-byte seed); everything else follows from them.  Spec: identity.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ramson.crypto.entropy import Entropy
from ramson.crypto.keys import KEY_SIZE, Ed25519KeyPair, X25519KeyPair, require_size
from ramson.errors import LocalError, ParseError

ACCOUNT = 0x05  # an X25519 key
GROUP = 0x03  # an Ed25519 key
BLINDED_15 = 0x15
BLINDED_25 = 0x25
ID_SIZE = 33  # bytes: prefix and key
ENTROPY_SIZE = 16

_ID = re.compile(r"[0-9a-fA-F]{66}", re.ASCII)


class AccountIdError(LocalError):
    """A text that is not an account id."""


@dataclass(frozen=True, slots=True, order=True)
class AccountId:
    """Who a mailbox belongs to: a prefix (0x05 an account, 0x03 a group, …) and a 32-byte key."""

    prefix: int
    key: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.prefix <= 0xFF:
            raise AccountIdError("the prefix of an account id is one byte")
        require_size("the key of an account id", self.key)

    @classmethod
    def parse(cls, text: str) -> AccountId:
        """Read 66 hexadecimal digits, of either case, with blanks around them allowed.  Raises AccountIdError."""
        stripped = text.strip()
        if not _ID.fullmatch(stripped):
            what = f"it has {len(stripped)} characters" if len(stripped) != 2 * ID_SIZE else "it has other characters"
            raise AccountIdError(
                f"an account id is 66 hexadecimal digits; {what}", remedy="Copy the whole id and try again."
            )
        return cls.from_bytes(bytes.fromhex(stripped))

    @classmethod
    def from_bytes(cls, raw: bytes) -> AccountId:
        """Read the 33 bytes of prefix and key.  Raises ParseError."""
        if len(raw) != ID_SIZE:
            raise ParseError(f"an account id has {ID_SIZE} bytes, not {len(raw)}")
        return cls(raw[0], raw[1:])

    @property
    def raw(self) -> bytes:
        """The 33 bytes."""
        return b"%c%b" % (self.prefix, self.key)

    @property
    def hex(self) -> str:
        """The 66 lower-case digits."""
        return f"{self.prefix:02x}{self.key.hex()}"

    def __str__(self) -> str:
        return self.hex


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """All keys of one account; `entropy` is what the recovery phrase spells: 16 bytes, or 32 for a full seed."""

    entropy: bytes = field(repr=False, compare=False)
    ed25519: Ed25519KeyPair
    x25519: X25519KeyPair
    id: AccountId

    @classmethod
    def from_entropy(cls, entropy: bytes) -> AccountKeys:
        """Make the account of 16 bytes of entropy.  Raises KeySizeError."""
        require_size("account entropy", entropy, ENTROPY_SIZE)
        return cls.from_seed(entropy + bytes(KEY_SIZE - ENTROPY_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> AccountKeys:
        """Make the account of a 32-byte Ed25519 seed; one with 16 zero bytes at its end is 16 bytes of entropy.

        Raises KeySizeError.
        """
        ed25519 = Ed25519KeyPair.from_seed(seed)
        x25519 = ed25519.to_x25519()
        entropy = seed if any(seed[ENTROPY_SIZE:]) else seed[:ENTROPY_SIZE]
        return cls(entropy, ed25519, x25519, AccountId(ACCOUNT, x25519.public))

    @classmethod
    def generate(cls, entropy: Entropy) -> AccountKeys:
        """Make a new account."""
        return cls.from_entropy(entropy.randbytes(ENTROPY_SIZE))

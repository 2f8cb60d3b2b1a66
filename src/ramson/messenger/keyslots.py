"""What a passphrase opens: the key file of an account, as bytes.

Theory of operation.  An account is two databases, each sealed under a random key of its own, and a key file with
two slots, one for each.  A slot is opened by a passphrase, and nobody else can tell what is in it: an unused slot
and its database are random bytes.  Which of the two is used first is random.  So every account file looks as if a
second passphrase might open another account, whether one does or not, and neither account's own database says.

    0     slot 0
    105   slot 1
    210   what guards the account: 0 a passphrase, 1 a key in the system's keyring
    211   12 random bytes, under which a keyring keeps that key
    223   zeros up to 256

A slot:

    0     head: `r`, layout (2), Argon2id passes, memory as a power of two, 12 random bytes; all of it is the salt
    16    nonce
    40    XChaCha20-Poly1305 of 1 byte (what opening it does), the database's key (32) and its salt (16); the slot's
          number and head are authenticated

Both slots are always tried, whatever the first one gave.  Slots with the same head, as they have at first, cost one
derivation together; a change of passphrase makes a new head only when the cost rises.

The whole file is less than one sector of any disk, so that it is always written at once, and in place: an old slot
does not stay behind in the file system.  This module never keeps a passphrase.
Spec: none (local format); app-features.md, storage and app password.
"""

from __future__ import annotations

import contextlib
import unicodedata
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from nacl import exceptions, pwhash
from nacl.secret import Aead

from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError

SALT_SIZE: Final = 16  # bytes
KEY_SIZE: Final = 32
KEY_FILE_SIZE: Final = 256
MIN_PASSPHRASE: Final = 6  # characters; app-features.md, limits

_MAGIC: Final = ord("r")
LAYOUT: Final = 2
_MAX_PASSES: Final = 16
_MIN_MEMORY, _MAX_MEMORY = 13, 32  # powers of two
_SEALED_SIZE: Final = Aead.NONCE_SIZE + 1 + KEY_SIZE + SALT_SIZE + Aead.MACBYTES
_SLOT_SIZE: Final = SALT_SIZE + _SEALED_SIZE
_NAME_SIZE: Final = 12
_GUARD_AT: Final = 2 * _SLOT_SIZE
_END: Final = _GUARD_AT + 1 + _NAME_SIZE


class AccountFileError(LocalError):
    """An account file cannot be made, opened or used."""


class NotAnAccountFile(AccountFileError):
    """The file is something else, or made by a newer version."""


class WeakPassphrase(AccountFileError):
    """The passphrase cannot protect an account."""


class Guard(IntEnum):
    """What an account is opened with."""

    PASSPHRASE = 0
    KEYRING = 1


class Opens(IntEnum):
    """What happens when a slot is opened."""

    DATABASE = 1
    WIPE = 2  # the other slot and its database are destroyed first


@dataclass(frozen=True, slots=True)
class KeyCost:
    """What one guess of the passphrase costs: Argon2id `passes` over two to the `memory` bytes."""

    passes: int = 4
    memory: int = 26  # 64 MiB, what RFC 9106 says for where memory is short, and one pass more than it asks

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= _MAX_PASSES or not _MIN_MEMORY <= self.memory <= _MAX_MEMORY:
            raise AccountFileError("the cost of a passphrase is out of range")

    def salt(self, entropy: Entropy, *, layout: int = 1) -> bytes:
        """Return a new salt (16 bytes) that says what this costs."""
        return bytes((_MAGIC, layout, self.passes, self.memory)) + entropy.randbytes(SALT_SIZE - 4)

    def raised_to(self, other: KeyCost) -> KeyCost:
        """Return what costs at least as much as either, in work and in memory; this one if it does."""
        if self.memory >= other.memory and self._work >= other._work:
            return self
        return KeyCost(max(self.passes, other.passes), max(self.memory, other.memory))

    @property
    def _work(self) -> int:
        return self.passes << self.memory

    @classmethod
    def of_salt(cls, salt: bytes, *, layout: int = 1) -> KeyCost:
        """Read the cost from a salt.  Raises NotAnAccountFile."""
        if len(salt) == SALT_SIZE and salt[:2] == bytes((_MAGIC, layout)):
            with contextlib.suppress(AccountFileError):
                return cls(salt[2], salt[3])
        raise NotAnAccountFile(
            "this is not an account file, or one of a newer version", remedy="Check the path, or update ramson."
        )


RANDOM_KEY_COST: Final = KeyCost(1, _MIN_MEMORY)  # nobody guesses a key of a keyring, whatever a guess costs


def check_passphrase(passphrase: str) -> None:
    """Raise WeakPassphrase unless an account may be locked with `passphrase`."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise WeakPassphrase(
            f"a passphrase has at least {MIN_PASSPHRASE} characters", remedy="Choose a longer one, such as five words."
        )


def derive(passphrase: str, salt: bytes, cost: KeyCost) -> bytes:
    """Return the key (32 bytes) that a passphrase stands for.  Blocks.  Raises AccountFileError."""
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return pwhash.argon2id.kdf(KEY_SIZE, text, salt, opslimit=cost.passes, memlimit=1 << cost.memory)
    except (exceptions.CryptoError, MemoryError) as error:
        raise AccountFileError(
            f"opening an account takes {(1 << cost.memory) >> 20} MiB of memory for a moment, and there is not enough",
            remedy="Close other programs and try again.",
        ) from error


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a slot: what to do, and the database's key and salt."""

    opens: Opens
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @classmethod
    def fresh(cls, entropy: Entropy, opens: Opens = Opens.DATABASE) -> Contents:
        """Return a new database's key."""
        return cls(opens, entropy.randbytes(KEY_SIZE), entropy.randbytes(SALT_SIZE))


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A slot that a passphrase opened."""

    slot: int
    contents: Contents
    secret: bytes = field(repr=False)  # what the passphrase stands for under the slot's head

    @property
    def other(self) -> int:
        """The number of the other slot."""
        return 1 - self.slot


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file of the present layout; values are changed by making another one."""

    slots: tuple[bytes, bytes] = field(repr=False)
    name: bytes  # under which a keyring keeps the key: it says nothing about the account
    guard: Guard = Guard.PASSPHRASE

    @classmethod
    def fresh(cls, entropy: Entropy, cost: KeyCost, guard: Guard = Guard.PASSPHRASE) -> KeyFile:
        """Return a key file that nothing opens; a key of a keyring needs no costly derivation."""
        head = (cost if guard is Guard.PASSPHRASE else RANDOM_KEY_COST).salt(entropy, layout=LAYOUT)
        slots = (head + entropy.randbytes(_SEALED_SIZE), head + entropy.randbytes(_SEALED_SIZE))
        return cls(slots, entropy.randbytes(_NAME_SIZE), guard)

    @classmethod
    def parse(cls, raw: bytes) -> KeyFile:
        """Read a key file.  Raises NotAnAccountFile."""
        slots = (raw[:_SLOT_SIZE], raw[_SLOT_SIZE : 2 * _SLOT_SIZE])
        for slot in slots:
            KeyCost.of_salt(slot[:SALT_SIZE], layout=LAYOUT)
        if len(raw) != KEY_FILE_SIZE or raw[_GUARD_AT] not in set(Guard) or any(raw[_END:]):
            raise NotAnAccountFile("the account's key file is damaged", remedy="Restore a backup of it.")
        return cls(slots, raw[_GUARD_AT + 1 : _END], Guard(raw[_GUARD_AT]))

    def encode(self) -> bytes:
        """Return the file's 256 bytes."""
        return (b"".join(self.slots) + bytes((self.guard,)) + self.name).ljust(KEY_FILE_SIZE, b"\0")

    def head(self, slot: int) -> bytes:
        """Return the head of a slot, which is its salt."""
        return self.slots[slot][:SALT_SIZE]

    def cost(self, slot: int) -> KeyCost:
        """Return what a guess at a slot costs."""
        return KeyCost.of_salt(self.head(slot), layout=LAYOUT)

    def secret(self, slot: int, passphrase: str) -> bytes:
        """Return what a passphrase stands for at a slot.  Blocks."""
        return derive(passphrase, self.head(slot), self.cost(slot))

    def unlock(self, passphrase: str) -> Unlocked | None:
        """Try a passphrase on both slots.  Blocks for one derivation, or two if the slots' heads differ."""
        first = self.secret(0, passphrase)
        second = first if self.head(0) == self.head(1) else self.secret(1, passphrase)
        found = (self._open(0, first), self._open(1, second))
        return next((unlocked for unlocked in found if unlocked is not None), None)

    def _open(self, slot: int, secret: bytes) -> Unlocked | None:
        sealed = self.slots[slot][SALT_SIZE:]
        try:
            plain = Aead(secret).decrypt(
                sealed[Aead.NONCE_SIZE :], aad=self._bound(slot), nonce=sealed[: Aead.NONCE_SIZE]
            )
            opens = Opens(plain[0])
        except (exceptions.CryptoError, ValueError):
            return None
        return Unlocked(slot, Contents(opens, plain[1 : 1 + KEY_SIZE], plain[1 + KEY_SIZE :]), secret)

    def sealed(self, slot: int, secret: bytes, contents: Contents, entropy: Entropy) -> KeyFile:
        """Return the file with something in a slot; `secret` belongs to the slot's head."""
        plain = bytes((contents.opens,)) + contents.key + contents.salt
        box = Aead(secret).encrypt(plain, aad=self._bound(slot), nonce=entropy.randbytes(Aead.NONCE_SIZE))
        return self._with(slot, self.head(slot) + bytes(box))

    def emptied(self, slot: int, entropy: Entropy, *, head: bytes | None = None) -> KeyFile:
        """Return the file with nothing in a slot, which may get another head."""
        return self._with(slot, (head or self.head(slot)) + entropy.randbytes(_SEALED_SIZE))

    def dearer(self, slot: int, cost: KeyCost, entropy: Entropy) -> KeyFile:
        """Return the file with an empty slot that costs at least `cost`; its head only changes if it must."""
        raised = self.cost(slot).raised_to(cost)
        head = self.head(slot) if raised == self.cost(slot) else raised.salt(entropy, layout=LAYOUT)
        return self.emptied(slot, entropy, head=head)

    def _with(self, slot: int, content: bytes) -> KeyFile:
        return replace(self, slots=(content, self.slots[1]) if slot == 0 else (self.slots[0], content))

    def _bound(self, slot: int) -> bytes:
        return bytes((slot,)) + self.head(slot)

"""A backup of a node's keys: both secrets, sealed under a passphrase.

A node beside an oxend has no keys of its own to back up: they are the daemon's.  A backup is a JSON text that says how
its key was derived, so that it can be opened when the costs have been raised since.  Argon2id makes guessing
passphrases dear, XSalsa20-Poly1305 seals; a wrong passphrase and a damaged file cannot be told apart.  The format is
ramson's own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from nacl import exceptions, pwhash
from nacl.secret import SecretBox

from ramson.errors import LocalError
from ramson.node.keys import NodeKeys, NodeKeysError

FORMAT: Final = "ramson node keys 1"
MIN_PASSPHRASE: Final = 8  # characters
MAX_BACKUP: Final = 4096  # bytes
_SEALED: Final = SecretBox.NONCE_SIZE + SecretBox.MACBYTES + 64

_MIB: Final = 1024 * 1024


class BackupError(LocalError):
    """The backup cannot be made or opened; the message says why."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What deriving the key costs: passes over so many bytes of memory."""

    passes: int = pwhash.argon2id.OPSLIMIT_SENSITIVE
    memory: int = 256 * _MIB

    def __post_init__(self) -> None:
        if not (1 <= self.passes <= 64 and 8192 <= self.memory <= 2048 * _MIB):
            raise BackupError("the backup's costs are out of range", remedy="it may be damaged; use another copy")


class _Backup(msgspec.Struct, frozen=True):
    """The document; `salt` and `sealed` are base64 in JSON, `ed25519` is public and tells whose backup it is."""

    format: Literal["ramson node keys 1"]
    ed25519: str
    passes: int
    memory: int
    salt: bytes
    sealed: bytes


def seal(keys: NodeKeys, passphrase: str, entropy: random.Random, cost: Cost = Cost()) -> bytes:
    """Return a backup of the keys.  Raises BackupError for a passphrase that is too short."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise BackupError(
            f"the passphrase has fewer than {MIN_PASSPHRASE} characters", remedy="choose a longer one: several words"
        )
    salt = entropy.randbytes(pwhash.argon2id.SALTBYTES)
    nonce = entropy.randbytes(SecretBox.NONCE_SIZE)
    sealed = _box(passphrase, salt, cost).encrypt(keys.ed25519.seed + keys.legacy_scalar, nonce)
    backup = _Backup(FORMAT, keys.ed25519.public.hex(), cost.passes, cost.memory, salt, bytes(sealed))
    return msgspec.json.encode(backup) + b"\n"


def unseal(backup: bytes, passphrase: str) -> NodeKeys:
    """Return the keys in a backup.  Raises BackupError."""
    if len(backup) > MAX_BACKUP:
        raise _not_a_backup()
    try:
        read = msgspec.json.decode(backup, type=_Backup)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_a_backup() from None
    if len(read.salt) != pwhash.argon2id.SALTBYTES or len(read.sealed) != _SEALED:
        raise _not_a_backup()
    try:
        secrets = _box(passphrase, read.salt, Cost(read.passes, read.memory)).decrypt(read.sealed)
        return NodeKeys.from_secrets(secrets[:32], secrets[32:])
    except exceptions.CryptoError:
        raise BackupError(
            "the passphrase is wrong, or the backup is damaged", remedy="try again, or use another copy of the backup"
        ) from None
    except NodeKeysError:
        raise _not_a_backup() from None


def _not_a_backup() -> BackupError:
    return BackupError("that is no backup of a node's keys", remedy="`ramson node keys export` makes them")


def _box(passphrase: str, salt: bytes, cost: Cost) -> SecretBox:
    key = pwhash.argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=cost.passes, memlimit=cost.memory)
    return SecretBox(key)

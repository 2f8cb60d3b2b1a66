"""A service node's long-term keys: made once, kept in one file that only the operator can read.

The Ed25519 key signs and names the node; the X25519 key, its conversion, opens onion layers and
OxenMQ connections; the legacy key is what the chain knows the node by.  The legacy secret is a scalar, and its
public key that scalar times the base point, without clamping.  Spec: oxend-interface.md §3.

The file holds a JSON object, so that both secrets appear at once or not at all.  A file or directory that
others may read is refused rather than repaired: what others could read, others may have.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nacl import bindings, exceptions

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair, require_size
from ramson.errors import LocalError, ParseError
from ramson.node.private_files import check_private, make_private_directory, write_private
from ramson.protocol import strict_json

KEY_FILE: Final = "keys.json"
_SECRETS: Final = ("ed25519_seed", "legacy_scalar")
_SCALAR_INPUT: Final = 64  # bytes reduced to a scalar, so that all scalars are equally likely


class NodeKeysError(LocalError):
    """The key file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The three key pairs of a node.  Public keys are 32 raw bytes."""

    ed25519: Ed25519KeyPair
    x25519: X25519KeyPair
    legacy: bytes  # public
    legacy_scalar: bytes = field(repr=False, compare=False)

    @classmethod
    def from_secrets(cls, seed: bytes, legacy_scalar: bytes) -> NodeKeys:
        """Make the keys of an Ed25519 seed and a legacy scalar, 32 bytes each.  Raises LocalError."""
        require_size("a legacy scalar", legacy_scalar)
        ed25519 = Ed25519KeyPair.from_seed(seed)
        try:
            legacy = bindings.crypto_scalarmult_ed25519_base_noclamp(legacy_scalar)
        except exceptions.CryptoError as error:
            raise NodeKeysError("the legacy scalar is zero") from error
        return cls(ed25519, ed25519.to_x25519(), legacy, legacy_scalar)

    @classmethod
    def generate(cls, entropy: random.Random) -> NodeKeys:
        """Make new keys."""
        seed = entropy.randbytes(32)
        return cls.from_secrets(seed, bindings.crypto_core_ed25519_scalar_reduce(entropy.randbytes(_SCALAR_INPUT)))

    @classmethod
    def load_or_create(cls, directory: Path, entropy: random.Random) -> NodeKeys:
        """Read the keys in `directory`, or make both at the first start.

        The directory gets mode 0700, the file 0600.  Raises NodeKeysError when others may read them, or when
        the file is not what this program writes.
        """
        make_private_directory(directory)
        path = directory / KEY_FILE
        if path.exists():
            return cls._load(path)
        keys = cls.generate(entropy)
        keys.save(directory)
        return keys

    def save(self, directory: Path) -> None:
        """Write the keys to a directory that has none.  Raises NodeKeysError."""
        make_private_directory(directory)
        path = directory / KEY_FILE
        if path.exists():
            raise NodeKeysError(
                f"there are keys in {directory} already", remedy="move them away first, if this node is no more"
            )
        document = {"ed25519_seed": self.ed25519.seed.hex(), "legacy_scalar": self.legacy_scalar.hex()}
        write_private(path, strict_json.encode(document) + b"\n")

    @classmethod
    def load(cls, directory: Path) -> NodeKeys:
        """Read the keys in `directory`.  Raises NodeKeysError."""
        path = directory / KEY_FILE
        if not path.exists():
            raise NodeKeysError(
                f"there are no keys in {directory}",
                remedy="name the node's data directory; beside an oxend the keys are oxend's, to be backed up there",
            )
        return cls._load(path)

    @classmethod
    def _load(cls, path: Path) -> NodeKeys:
        check_private(path)
        try:
            document = strict_json.decode_object(path.read_bytes())
            seed, scalar = (bytes.fromhex(document[name]) for name in _SECRETS)
            return cls.from_secrets(seed, scalar)
        except (ParseError, LocalError, KeyError, TypeError, ValueError):
            raise NodeKeysError(
                f"{path.name} is not a node's key file",
                remedy="restore it from your backup; a new one makes a new node",
            ) from None

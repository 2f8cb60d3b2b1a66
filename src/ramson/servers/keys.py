"""A server's long-term key: made once, kept in one file that only the operator can read.

Requests are sealed to the X25519 key.  It is the conversion of an Ed25519 key, because some clients name a server by
the one and some by the other.  Spec: files-and-push.md §7.1 *URL fragment*, §7.2.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.errors import LocalError
from ramson.node.private_files import check_private, make_private_directory, write_private

KEY_FILE: Final = "server_key"
_SEED = re.compile(rb"([0-9a-f]{64})\s*")


class ServerKeyError(LocalError):
    """The key file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The key pair of a server in its two forms."""

    ed25519: Ed25519KeyPair
    x25519: X25519KeyPair

    @classmethod
    def from_seed(cls, seed: bytes) -> ServerKeys:
        """Make the keys of a 32-byte Ed25519 seed."""
        ed25519 = Ed25519KeyPair.from_seed(seed)
        return cls(ed25519, ed25519.to_x25519())

    @classmethod
    def load_or_create(cls, directory: Path, entropy: random.Random) -> ServerKeys:
        """Read the key in `directory`, or make it at the first start (directory 0700, file 0600).

        Raises NotPrivate when others may read it, ServerKeyError when the file is not what this program writes.
        """
        make_private_directory(directory)
        path = directory / KEY_FILE
        if not path.exists():
            keys = cls.from_seed(entropy.randbytes(32))
            write_private(path, keys.ed25519.seed.hex().encode() + b"\n")
            return keys
        check_private(path)
        match = _SEED.fullmatch(path.read_bytes())
        if match is None:
            raise ServerKeyError(
                f"{path.name} is not a server's key file",
                remedy="Restore it from your backup; with a new key, nobody's links to files here work any more.",
            )
        return cls.from_seed(bytes.fromhex(match[1].decode()))

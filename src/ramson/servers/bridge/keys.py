"""The secrets of a bridge: one for each link that is handed out, in one file that only its owner can read.

A line each: the secret in base64url, a space, and a label that tells the volunteer which link it is.  With a link for
each circle of friends, one that leaked can be withdrawn by taking its line out.
"""

from __future__ import annotations

import random
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ramson.errors import LocalError
from ramson.node.private_files import check_private, make_private_directory, write_private
from ramson.protocol.bridge import SECRET_SIZE

KEYS_FILE: Final = "bridge_keys"
MAX_KEYS: Final = 64

_LABEL: Final = re.compile(r"[\w.-]{1,40}")
_LINE: Final = re.compile(r"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]) ([\w.-]{1,40})")


class BridgeKeysError(LocalError):
    """The file with a bridge's secrets is missing or wrong; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class BridgeKey:
    """One secret and its label."""

    label: str
    secret: bytes = field(repr=False)


def load(directory: Path) -> tuple[BridgeKey, ...]:
    """Read the secrets; none if there is no file.  Raises NotPrivate, BridgeKeysError."""
    path = directory / KEYS_FILE
    if not path.exists():
        return ()
    check_private(path)
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    found = [_LINE.fullmatch(line.strip()) for line in lines]
    keys = tuple(BridgeKey(each[2], urlsafe_b64decode(each[1] + "=")) for each in found if each is not None)
    if len(keys) != len(lines) or len(keys) > MAX_KEYS or len({key.label for key in keys}) != len(keys):
        raise BridgeKeysError(
            f"{path.name} is not a file of bridge secrets", remedy="Restore it, or remove it and hand out new links."
        )
    return keys


def required(directory: Path) -> tuple[BridgeKey, ...]:
    """Read the secrets.  Raises BridgeKeysError if there is none."""
    keys = load(directory)
    if not keys:
        raise BridgeKeysError("this bridge has no secret yet", remedy="Run `ramson bridge keygen`.")
    return keys


def add(directory: Path, label: str, entropy: random.Random) -> BridgeKey:
    """Make a secret and write it to the others.  Raises BridgeKeysError, NotPrivate."""
    if not _LABEL.fullmatch(label):
        raise BridgeKeysError("a label is 1 to 40 letters, digits, dots or dashes")
    make_private_directory(directory)
    keys = load(directory)
    if any(key.label == label for key in keys):
        raise BridgeKeysError(f"there is a link {label!r} already", remedy="Choose another label.")
    if len(keys) >= MAX_KEYS:
        raise BridgeKeysError(f"a bridge has at most {MAX_KEYS} links", remedy="Take out old ones.")
    made = BridgeKey(label, entropy.randbytes(SECRET_SIZE))
    lines = [f"{urlsafe_b64encode(key.secret).rstrip(b'=').decode()} {key.label}\n" for key in (*keys, made)]
    write_private(directory / KEYS_FILE, "".join(lines).encode())
    return made


def find(keys: tuple[BridgeKey, ...], label: str | None) -> BridgeKey:
    """Return the secret with a label, or the first.  Raises BridgeKeysError."""
    for key in keys:
        if label is None or key.label == label:
            return key
    raise BridgeKeysError("this bridge has no link with that label")

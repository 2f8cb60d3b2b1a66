"""Profile pictures in their old form, and how to open one whose form is not known for sure.

    blob = IV 12 ‖ AES-256-GCM(picture) ‖ tag 16, under a random 32-byte profile key

Pictures of groups still have it; accounts' own move to the deterministic form, which their URL marks.
Spec: files-and-push.md §7.1 C.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ramson.crypto.files import stream
from ramson.crypto.keys import require_size
from ramson.errors import ParseError

KEY_SIZE: Final = 32
IV_SIZE: Final = 12
_TAG_SIZE = 16


def encrypt(picture: bytes, *, key: bytes, iv: bytes) -> bytes:
    """Return the blob; `key` (32) and `iv` (12) are random, and no pair of them is used twice.  Raises KeySizeError."""
    require_size("a profile key", key, KEY_SIZE)
    require_size("a picture's IV", iv, IV_SIZE)
    return iv + AESGCM(key).encrypt(iv, picture, None)


def decrypt(blob: bytes, *, key: bytes) -> bytes:
    """Return the picture.  Raises ParseError."""
    if len(key) != KEY_SIZE:
        raise ParseError(f"a profile key has {KEY_SIZE} bytes, not {len(key)}")
    if len(blob) < IV_SIZE + _TAG_SIZE:
        raise ParseError("picture: too short")
    try:
        return AESGCM(key).decrypt(blob[:IV_SIZE], blob[IV_SIZE:], None)
    except InvalidTag:
        raise ParseError("picture: does not authenticate") from None


def decrypt_any(blob: bytes, *, key: bytes, deterministic: bool) -> bytes:
    """Return a picture of either form, trying first what its URL says.  Raises ParseError."""
    # Both forms are authenticated, so that trying the other can never give a wrong picture.
    readers = [_decrypt_stream, _decrypt_old] if deterministic else [_decrypt_old, _decrypt_stream]
    try:
        return readers[0](blob, key)
    except ParseError:
        return readers[1](blob, key)


def _decrypt_old(blob: bytes, key: bytes) -> bytes:
    return decrypt(blob, key=key)


def _decrypt_stream(blob: bytes, key: bytes) -> bytes:
    return b"".join(stream.decrypt((blob,), key=key))

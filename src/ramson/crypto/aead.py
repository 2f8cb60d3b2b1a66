"""Authenticated encryption with a key that is used for one message: XChaCha20-Poly1305 with a nonce of zeros.

Bytes in, bytes out.  Whoever calls derives a new key for every message; using one twice would show both.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings, exceptions

from ramson.crypto.keys import require_size
from ramson.errors import ParseError

KEY_SIZE: Final = 32
TAG_SIZE: Final = 16

_NONCE: Final = bytes(24)


def seal_once(key: bytes, plaintext: bytes, *, associated: bytes) -> bytes:
    """Return ciphertext ‖ tag.  `key` (32 bytes) must never have sealed anything else.  Raises KeySizeError."""
    require_size("a key", key, KEY_SIZE)
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, _NONCE, key)


def open_once(key: bytes, sealed: bytes, *, associated: bytes) -> bytes:
    """Return the plaintext.  Raises ParseError unless it was sealed with this key and this associated data."""
    require_size("a key", key, KEY_SIZE)
    if len(sealed) < TAG_SIZE:
        raise ParseError("the ciphertext is too short")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, associated, _NONCE, key)
    except exceptions.CryptoError:
        raise ParseError("the ciphertext does not authenticate") from None

"""Push notifications: what the push server sends is encrypted under a key it was given by the device.

nonce(24) ‖ XChaCha20-Poly1305 of the payload and as many zero bytes as hide its size.  Vectors: family
session_encrypt, op decrypt_push_notification.
"""

from __future__ import annotations

from nacl import bindings, exceptions

from ramson.crypto.keys import require_size
from ramson.errors import ParseError

_NONCE_SIZE = 24
_TAG_SIZE = 16


def decrypt(payload: bytes, key: bytes) -> bytes:
    """Return the payload without its padding.  `key` has 32 bytes.  Raises ParseError, KeySizeError."""
    require_size("a push key", key)
    if len(payload) < _NONCE_SIZE + _TAG_SIZE:
        raise ParseError("the push notification is too short")
    try:
        padded = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            payload[_NONCE_SIZE:], None, payload[:_NONCE_SIZE], key
        )
    except exceptions.CryptoError:
        raise ParseError("the push notification does not authenticate") from None
    return padded.rstrip(b"\0")

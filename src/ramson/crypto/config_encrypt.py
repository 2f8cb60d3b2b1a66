"""How a config message is encrypted and how much padding hides its size.

Bytes in, bytes out; knows nothing of what a config says.  Spec: config-sync.md §4.3.

Theory of operation.  All of an account's devices must turn the same config into the same ciphertext, so that
a swarm keeps it once.  Key and nonce therefore come from the plaintext:

    key    BLAKE2b-32(key base ‖ u64 big-endian length of the plaintext ‖ domain)
    nonce  BLAKE2b-24(plaintext, key = "libsessionutil-config-encrypted-" ‖ domain)
    out    XChaCha20-Poly1305-IETF(plaintext) ‖ nonce          (16 bytes of tag, then 24 of nonce)

The domain separates kinds of configs: a Contacts message never opens as UserProfile.  Padding is zero bytes
*before* the message; a message never begins with one.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings, exceptions

from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import KEY_SIZE, require_size
from ramson.errors import LocalError, ParseError

NONCE_SIZE: Final = 24
TAG_SIZE: Final = 16
OVERHEAD: Final = TAG_SIZE + NONCE_SIZE  # bytes that `encrypt` adds

MAX_DOMAIN: Final = 24  # what a nonce's hash key has left for it

_NONCE_PREFIX = b"libsessionutil-config-encrypted-"
# Whole multiples of the second number, up to a total of the first; above the last line, of `_LARGEST_STEP`.
_STEPS = ((5_120, 256), (20_480, 1_024), (40_960, 2_048))
_LARGEST_STEP = 5_120


def encrypt(message: bytes, key_base: bytes, domain: bytes) -> bytes:
    """Return ciphertext ‖ tag ‖ nonce, `OVERHEAD` bytes longer than `message`; the same for the same input.

    `key_base` has 32 bytes, `domain` 1 to `MAX_DOMAIN`.  Raises LocalError for other sizes.
    """
    key = _key(key_base, len(message), domain)
    nonce = blake2b(message, size=NONCE_SIZE, key=_NONCE_PREFIX + domain)
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(message, None, nonce, key) + nonce


def decrypt(ciphertext: bytes, key_base: bytes, domain: bytes) -> bytes:
    """Undo `encrypt`.

    Raises ParseError when the bytes are not what this key and domain encrypted; LocalError as `encrypt` does.
    """
    size = len(ciphertext) - OVERHEAD
    if size < 0:
        raise ParseError("a config message is shorter than its nonce and tag")
    key = _key(key_base, size, domain)
    sealed, nonce = ciphertext[:-NONCE_SIZE], ciphertext[-NONCE_SIZE:]
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, None, nonce, key)
    except exceptions.CryptoError:
        raise ParseError("a config message does not open with this key") from None


def padded_size(size: int, overhead: int = OVERHEAD) -> int:
    """Return the size to pad a message of `size` bytes to, when encryption will add `overhead`."""
    total = size + overhead
    step = next((step for limit, step in _STEPS if total < limit), _LARGEST_STEP)
    return -(-total // step) * step - overhead


def pad(message: bytes) -> bytes:
    """Return `message` with zero bytes before it, up to `padded_size`."""
    return message.rjust(padded_size(len(message)), b"\0")


def _key(key_base: bytes, size: int, domain: bytes) -> bytes:
    require_size("the key of a config", key_base, KEY_SIZE)
    if not 1 <= len(domain) <= MAX_DOMAIN:
        raise LocalError(f"a config's domain has 1 to {MAX_DOMAIN} bytes")
    return blake2b(key_base + size.to_bytes(8, "big") + domain)

"""XEd25519: Ed25519 signatures made with an X25519 key.

An X25519 public key is half of a point: the matching Ed25519 key is known but for its sign, which is
taken as positive; the signer negates the scalar where that is not so.  Spec: identity.md (key material);
vectors, family identity.
"""

from __future__ import annotations

import hashlib

from nacl import bindings

from ramson.crypto import keys
from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import require_size
from ramson.errors import ParseError

RANDOMNESS_SIZE = 64  # bytes `sign` wants
_P = 2**255 - 19  # the field both curves live in


def ed25519_public(x25519_public: bytes) -> bytes:
    """Return the Ed25519 key with positive sign that belongs to an X25519 key: y = (u − 1)/(u + 1).

    Raises ParseError for a wrong length and for u = −1, which has none.
    """
    if len(x25519_public) != keys.KEY_SIZE:
        raise ParseError(f"an X25519 public key has {keys.KEY_SIZE} bytes, not {len(x25519_public)}")
    u = int.from_bytes(x25519_public, "little") & ((1 << 255) - 1)
    try:
        return ((u - 1) * pow(u + 1, -1, _P) % _P).to_bytes(32, "little")
    except ValueError:
        raise ParseError("the X25519 key has no Ed25519 counterpart") from None


def sign(secret: bytes, message: bytes, randomness: bytes) -> bytes:
    """Return a 64-byte signature under the X25519 `secret`; `randomness` is 64 random bytes.  Raises KeySizeError."""
    require_size("an X25519 secret", secret)
    require_size("the randomness of a signature", randomness, RANDOMNESS_SIZE)
    scalar = bytes([secret[0] & 248, *secret[1:31], secret[31] & 63 | 64])
    public = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar)
    if public[31] & 0x80:
        scalar = bindings.crypto_core_ed25519_scalar_negate(scalar)
        public = bytes([*public[:31], public[31] & 0x7F])
    r = bindings.crypto_core_ed25519_scalar_reduce(
        blake2b(scalar + message + randomness, size=64, person=b"xed25519signatur")
    )
    commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(r)
    challenge = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(commitment + public + message).digest())
    s = bindings.crypto_core_ed25519_scalar_add(bindings.crypto_core_ed25519_scalar_mul(challenge, scalar), r)
    return commitment + s


def verify(signature: bytes, x25519_public: bytes, message: bytes) -> bool:
    """Whether `signature` is that of `message` under the X25519 key; False for anything malformed."""
    try:
        return keys.verify(ed25519_public(x25519_public), message, signature)
    except ParseError:
        return False

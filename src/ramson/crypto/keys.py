"""Ed25519 and X25519 key pairs, the way from one to the other, signatures and key exchange.

Secrets are held as plain bytes, never shown by `repr` and never put into an error.  All arithmetic is
libsodium's.  Spec: identity.md, key material.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl import bindings, exceptions

from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError, ParseError

KEY_SIZE = 32  # bytes: every public key, seed and X25519 secret
SIGNATURE_SIZE = 64


class KeySizeError(LocalError):
    """Key material of the wrong length was handed in."""

    def __init__(self, what: str, wanted: int, got: int) -> None:
        super().__init__(f"{what} has {wanted} bytes, not {got}")


def require_size(what: str, value: bytes, wanted: int = KEY_SIZE) -> None:
    """Raise KeySizeError unless `value` has `wanted` bytes."""
    if len(value) != wanted:
        raise KeySizeError(what, wanted, len(value))


@dataclass(frozen=True, slots=True)
class X25519KeyPair:
    """A key pair for key exchange; equal pairs have equal public keys."""

    public: bytes
    secret: bytes = field(repr=False, compare=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> X25519KeyPair:
        """Make the pair of a 32-byte secret.  Raises KeySizeError."""
        require_size("an X25519 secret", secret)
        return cls(bindings.crypto_scalarmult_base(secret), secret)

    @classmethod
    def generate(cls, entropy: Entropy) -> X25519KeyPair:
        """Make a new pair."""
        return cls.from_secret(entropy.randbytes(KEY_SIZE))

    def exchange(self, peer_public: bytes) -> bytes:
        """Return the raw 32-byte shared secret with a peer.

        Raises ParseError if the peer's key has the wrong length or low order (the secret would be known to all).
        """
        if len(peer_public) != KEY_SIZE:
            raise ParseError(f"an X25519 public key has {KEY_SIZE} bytes, not {len(peer_public)}")
        try:
            return bindings.crypto_scalarmult(self.secret, peer_public)
        except exceptions.CryptoError:
            raise ParseError("the peer's X25519 key has low order") from None


@dataclass(frozen=True, slots=True)
class Ed25519KeyPair:
    """A key pair for signatures; equal pairs have equal public keys."""

    public: bytes
    secret: bytes = field(repr=False, compare=False)  # 64 bytes: seed ‖ public, libsodium's form

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519KeyPair:
        """Make the pair of a 32-byte seed.  Raises KeySizeError."""
        require_size("an Ed25519 seed", seed)
        public, secret = bindings.crypto_sign_seed_keypair(seed)
        return cls(public, secret)

    @classmethod
    def generate(cls, entropy: Entropy) -> Ed25519KeyPair:
        """Make a new pair."""
        return cls.from_seed(entropy.randbytes(KEY_SIZE))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes everything else comes from."""
        return self.secret[:KEY_SIZE]

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte RFC 8032 signature of `message`."""
        return bindings.crypto_sign(message, self.secret)[:SIGNATURE_SIZE]

    def to_x25519(self) -> X25519KeyPair:
        """Return the pair on the other curve, the one account ids and onion layers are made of."""
        return X25519KeyPair.from_secret(bindings.crypto_sign_ed25519_sk_to_curve25519(self.secret))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message` under the Ed25519 key `public`; False for anything malformed."""
    if len(signature) != SIGNATURE_SIZE or len(public) != KEY_SIZE:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except exceptions.BadSignatureError:
        return False
    return True


def to_x25519_public(ed25519_public: bytes) -> bytes:
    """Return the X25519 key of an Ed25519 public key.

    Raises ParseError for a wrong length and for points off the curve, of small order or outside the main subgroup.
    """
    if len(ed25519_public) != KEY_SIZE:
        raise ParseError(f"an Ed25519 public key has {KEY_SIZE} bytes, not {len(ed25519_public)}")
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(ed25519_public)
    except exceptions.CryptoError:
        raise ParseError("not a valid Ed25519 public key") from None

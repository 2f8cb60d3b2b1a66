"""One-to-one encryption, version 1: a signed message in a sealed box.

    signed     M ‖ A ‖ Ed25519 signature of (M ‖ A ‖ Y)      A = sender's Ed25519 key, Y = recipient's X25519 key
    sealed     E ‖ box(signed, nonce = BLAKE2b-24(E ‖ Y))    E = an ephemeral X25519 key

The signature names the recipient, so a message cannot be passed on as if it had been written to somebody
else.  The sender is known only from A, inside the box.  M comes padded from the envelope.  Spec:
messaging.md §3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl import bindings, exceptions

from ramson.crypto.account import ACCOUNT, AccountId
from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import (
    KEY_SIZE,
    SIGNATURE_SIZE,
    Ed25519KeyPair,
    X25519KeyPair,
    require_size,
    to_x25519_public,
    verify,
)
from ramson.errors import ParseError

SEAL_SIZE = bindings.crypto_box_SEALBYTES  # 48 bytes: E and the tag
OVERHEAD = SEAL_SIZE + KEY_SIZE + SIGNATURE_SIZE  # bytes a sealed message is longer than M


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in a sealed message and who wrote it."""

    message: bytes = field(repr=False)
    sender_ed25519: bytes
    sender: AccountId


def sign_for(sender: Ed25519KeyPair, recipient_x25519: bytes, message: bytes) -> bytes:
    """Return message ‖ sender's Ed25519 key ‖ signature.  Raises KeySizeError."""
    require_size("a recipient's X25519 key", recipient_x25519)
    content = message + sender.public
    return content + sender.sign(content + recipient_x25519)


def seal(sender: Ed25519KeyPair, recipient_x25519: bytes, message: bytes, ephemeral_secret: bytes) -> bytes:
    """Return `message` signed by `sender` and sealed to the recipient.

    `ephemeral_secret` is 32 random bytes, used once.  Raises KeySizeError, and ParseError for a recipient's
    key of low order.
    """
    signed = sign_for(sender, recipient_x25519, message)
    ephemeral = X25519KeyPair.from_secret(ephemeral_secret)
    nonce = blake2b(ephemeral.public + recipient_x25519, size=24)
    try:
        return ephemeral.public + bindings.crypto_box_easy(signed, nonce, recipient_x25519, ephemeral.secret)
    except exceptions.CryptoError:
        raise ParseError("the recipient's key has low order") from None


def seal_deterministic(sender: Ed25519KeyPair, recipient_x25519: bytes, message: bytes) -> bytes:
    """Return a sealed message that depends on nothing but its inputs, so that storing it twice stores it once.

    Raises as `seal`.
    """
    seed = blake2b(sender.seed + recipient_x25519 + message, key=b"SessionBoxEphemeralHashKey")
    _, ephemeral_secret = bindings.crypto_box_seed_keypair(seed)
    return seal(sender, recipient_x25519, message, ephemeral_secret)


def open_sealed(recipient: X25519KeyPair, ciphertext: bytes) -> Opened:
    """Open a sealed message and check who wrote it.

    Raises ParseError when it is too short, not for this recipient, damaged, or its signature is not that of
    the key it names.
    """
    if len(ciphertext) < OVERHEAD:
        raise ParseError("the sealed message is too short")
    try:
        signed = bindings.crypto_box_seal_open(ciphertext, recipient.public, recipient.secret)
    except exceptions.CryptoError:
        raise ParseError("the sealed message is damaged or for somebody else") from None
    content, signature = signed[:-SIGNATURE_SIZE], signed[-SIGNATURE_SIZE:]
    sender_ed25519 = content[-KEY_SIZE:]
    if not verify(sender_ed25519, content + recipient.public, signature):
        raise ParseError("the sender's signature is wrong")
    sender = AccountId(ACCOUNT, to_x25519_public(sender_ed25519))
    return Opened(content[:-KEY_SIZE], sender_ed25519, sender)

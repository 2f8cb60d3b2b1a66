"""Blinded ids, by which a community knows its members, and messages between them.

A community must not learn account ids, so a member appears under a key multiplied by a factor that
depends on the community.  Both ends of a message reach the same secret, each from its own scalar and the
other's blinded key; inside, the sender shows the real key, and the receiver checks that it blinds to the
id the message came from.

    kind  factor                                           blinded key          shared secret of a with jB
    15    k = j = BLAKE2b-64(server) mod L                 kA                   a·jB
    25    k = BLAKE2b-64(05 ‖ X25519 key ‖ server) mod L   k|A|: no sign bit    ka·jB, −ka·jB if A is negative

    message   00 ‖ XChaCha20-Poly1305(M ‖ A) ‖ nonce(24)   key = BLAKE2b-32(shared ‖ kS ‖ jR)

kS and jR are the blinded keys of sender and recipient without their prefix.  Vectors: families
session_encrypt and blinding.
"""

from __future__ import annotations

import hmac

from nacl import bindings, exceptions

from ramson.crypto.account import ACCOUNT, BLINDED_15, BLINDED_25, AccountId
from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import KEY_SIZE, Ed25519KeyPair, require_size, to_x25519_public
from ramson.crypto.sealing import Opened
from ramson.errors import LocalError, ParseError

NONCE_SIZE = 24
_TAG_SIZE = 16
_VERSION = b"\0"
_OVERHEAD = len(_VERSION) + KEY_SIZE + _TAG_SIZE + NONCE_SIZE
_SIGN = 0x80  # of a point's last byte


class NotBlinded(LocalError):
    """An id without one of the blinding prefixes 15 and 25, or two ids of different kinds."""


def blinded_id(ed25519_public: bytes, server_public: bytes, prefix: int) -> AccountId:
    """Return the id, of kind 0x15 or 0x25, by which a community knows the owner of an Ed25519 key.

    Raises NotBlinded for another prefix, KeySizeError, and ParseError for an invalid key.
    """
    factor = _factor(ed25519_public, server_public, prefix)
    point = ed25519_public if prefix == BLINDED_15 else _positive(ed25519_public)
    return AccountId(prefix, _multiply(factor, point))


def encrypt(sender: Ed25519KeyPair, server_public: bytes, recipient: AccountId, message: bytes, nonce: bytes) -> bytes:
    """Return a message to a blinded id; the sender appears under a blinded id of the same kind.

    `nonce` is 24 random bytes.  Raises NotBlinded, KeySizeError, and ParseError for an invalid recipient.
    """
    require_size("a nonce", nonce, NONCE_SIZE)
    own = blinded_id(sender.public, server_public, recipient.prefix)
    shared = _multiply(_exchange_scalar(sender, server_public, own.prefix), recipient.key)
    key = blake2b(shared + own.key + recipient.key)
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(message + sender.public, None, nonce, key)
    return _VERSION + sealed + nonce


def decrypt(
    own: Ed25519KeyPair, server_public: bytes, sender: AccountId, recipient: AccountId, ciphertext: bytes
) -> Opened:
    """Open a message between two blinded ids, one of which is one's own; returns the sender's real id.

    Raises ParseError when it is damaged, for somebody else, or not from `sender`; NotBlinded; KeySizeError.
    """
    if sender.prefix != recipient.prefix:
        raise NotBlinded("both ids of a message are blinded in the same way")
    if len(ciphertext) < _OVERHEAD or ciphertext[:1] != _VERSION:
        raise ParseError("the message is too short or of an unknown version")
    peer = recipient if _blinds_to(own.public, server_public, sender) else sender
    shared = _multiply(_exchange_scalar(own, server_public, peer.prefix), peer.key)
    key = blake2b(shared + sender.key + recipient.key)
    try:
        content = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ciphertext[1:-NONCE_SIZE], None, ciphertext[-NONCE_SIZE:], key
        )
    except exceptions.CryptoError:
        raise ParseError("the message is damaged or for somebody else") from None
    message, sender_ed25519 = content[:-KEY_SIZE], content[-KEY_SIZE:]
    if not _blinds_to(sender_ed25519, server_public, sender):
        raise ParseError("the message is not from the id it came under")
    return Opened(message, sender_ed25519, AccountId(ACCOUNT, to_x25519_public(sender_ed25519)))


def _blinds_to(ed25519_public: bytes, server_public: bytes, wanted: AccountId) -> bool:
    found = blinded_id(ed25519_public, server_public, wanted.prefix).key
    if wanted.prefix == BLINDED_15:  # one who knows only the account id cannot know the sign: both are right
        return hmac.compare_digest(_positive(found), _positive(wanted.key))
    return hmac.compare_digest(found, wanted.key)


def _factor(ed25519_public: bytes, server_public: bytes, prefix: int) -> bytes:
    require_size("a server's public key", server_public)
    if prefix == BLINDED_15:
        return bindings.crypto_core_ed25519_scalar_reduce(blake2b(server_public, size=64))
    if prefix == BLINDED_25:
        account = AccountId(ACCOUNT, to_x25519_public(ed25519_public))
        return bindings.crypto_core_ed25519_scalar_reduce(blake2b(account.raw + server_public, size=64))
    raise NotBlinded("a blinded id begins with 15 or 25")


def _exchange_scalar(pair: Ed25519KeyPair, server_public: bytes, prefix: int) -> bytes:
    scalar = pair.to_x25519().secret
    if prefix == BLINDED_15:
        return scalar
    factor = _factor(pair.public, server_public, prefix)
    if pair.public[31] & _SIGN:
        factor = bindings.crypto_core_ed25519_scalar_negate(factor)
    return bindings.crypto_core_ed25519_scalar_mul(factor, scalar)


def _multiply(scalar: bytes, point: bytes) -> bytes:
    try:
        return bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
    except exceptions.CryptoError:
        raise ParseError("not a valid blinded key") from None


def _positive(point: bytes) -> bytes:
    return point[:31] + bytes([point[31] & ~_SIGN])

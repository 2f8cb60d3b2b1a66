"""The AES ciphers of onion layers: aes-gcm, and aes-cbc of old clients.  Spec: onion.md §2.

They have a module of their own because they need `cryptography`, 6 MiB that a node does without until a client uses one
of them.  What they seal begins with the nonce.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from ramson.errors import ParseError

_BLOCK_BITS = 128


def seal_gcm(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """Encrypt under a 12-byte nonce."""
    return nonce + AESGCM(key).encrypt(nonce, plaintext, None)


def open_gcm(key: bytes, sealed: bytes) -> bytes:
    """Decrypt.  Raises ParseError."""
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], None)
    except InvalidTag:
        raise ParseError("the ciphertext does not authenticate") from None


def seal_cbc(key: bytes, nonce: bytes, plaintext: bytes) -> bytes:
    """Encrypt under a 16-byte initialisation vector."""
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(AES256(key), CBC(nonce)).encryptor()
    return nonce + encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def open_cbc(key: bytes, sealed: bytes) -> bytes:
    """Decrypt; tampering is detected only by chance.  Raises ParseError."""
    decryptor = Cipher(AES256(key), CBC(sealed[:16])).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    try:
        padded = decryptor.update(sealed[16:]) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise ParseError("the ciphertext is not whole blocks with valid padding") from None

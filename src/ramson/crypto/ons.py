"""Names that stand for account ids: what is asked for, and how the answer is opened.

The registry knows a name only by its hash and stores the id encrypted under the name itself.  Spec:
identity.md, name resolution.
"""

from __future__ import annotations

import re

from nacl import bindings, exceptions

from ramson.crypto.account import ID_SIZE, AccountId
from ramson.crypto.hashing import blake2b
from ramson.errors import LocalError, ParseError

_NAME = re.compile(r"\w([\w-]*\w)?", re.ASCII)
_ID = re.compile(r"05[0-9a-f]{64}")
_NONCE_SIZE = 24
_SEALED_SIZE = ID_SIZE + 16


class NameInvalid(LocalError):
    """A text that cannot be a registered name."""


def normalise(name: str) -> str:
    """Return the name as it is registered, in lower case.  Raises NameInvalid."""
    lower = name.strip().lower()
    if _ID.fullmatch(lower):
        raise NameInvalid("this is an account id, not a name")
    if not _NAME.fullmatch(lower):
        raise NameInvalid("a name has letters, digits, _ and, not at its ends, -")
    return lower


def name_hash(name: str) -> bytes:
    """Return the 32 bytes by which the registry knows a normalised name."""
    return blake2b(name.encode())


def decrypt(name: str, ciphertext: bytes, nonce: bytes | None) -> AccountId:
    """Open the registry's answer for a normalised name.

    Old registrations have no nonce; their key takes Argon2id half a second and 256 MiB, so this is blocking
    work.  Raises ParseError.
    """
    if len(ciphertext) != _SEALED_SIZE:
        raise ParseError(f"an encrypted account id has {_SEALED_SIZE} bytes, not {len(ciphertext)}")
    encoded = name.encode()
    try:
        if nonce is None:
            return AccountId.from_bytes(
                bindings.crypto_secretbox_open_easy(ciphertext, bytes(_NONCE_SIZE), _legacy_key(encoded))
            )
        if len(nonce) != _NONCE_SIZE:
            raise ParseError(f"a nonce has {_NONCE_SIZE} bytes, not {len(nonce)}")
        key = blake2b(encoded, key=blake2b(encoded))
        return AccountId.from_bytes(bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, None, nonce, key))
    except exceptions.CryptoError:
        raise ParseError("the registry's answer is damaged or for another name") from None


def _legacy_key(name: bytes) -> bytes:
    return bindings.crypto_pwhash_alg(
        32,
        name,
        bytes(bindings.crypto_pwhash_SALTBYTES),
        bindings.crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
        bindings.crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
        bindings.crypto_pwhash_ALG_ARGON2ID13,
    )

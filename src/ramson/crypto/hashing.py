"""BLAKE2b as Session uses it, and the hash that names a stored message.

Pure functions of bytes.  Specs: identity.md (conventions), storage-rpc.md §2.
"""

from __future__ import annotations

import hashlib
from binascii import b2a_base64

from ramson.errors import LocalError

MIN_DIGEST = 16  # bytes; the range of libsodium's generichash
MAX_DIGEST = 64
MAX_KEY = 64


class HashParameterError(LocalError):
    """A digest size, key or personalisation that BLAKE2b does not take."""


def blake2b(data: bytes, *, size: int = 32, key: bytes = b"", person: bytes = b"") -> bytes:
    """Return the `size`-byte BLAKE2b digest (16…64) of `data`.

    `key` is at most 64 bytes and `person` at most 16 (padded with zero bytes).  Raises HashParameterError.
    """
    if not MIN_DIGEST <= size <= MAX_DIGEST:
        raise HashParameterError(f"a digest has {MIN_DIGEST} to {MAX_DIGEST} bytes, not {size}")
    if len(key) > MAX_KEY or len(person) > hashlib.blake2b.PERSON_SIZE:
        raise HashParameterError("a BLAKE2b key has at most 64 bytes, a personalisation at most 16")
    return hashlib.blake2b(data, digest_size=size, key=key, person=person).digest()


def message_hash(account: bytes, namespace: int, data: bytes) -> str:
    """Return the 43-character name of a stored message.

    `account` is the 33 bytes of prefix and key, `data` the message as stored.  The parts are not framed:
    namespace 1 with data `2x` has the hash of namespace 12 with data `x`.  Spec: storage-rpc.md §2.
    """
    digest = hashlib.blake2b(account, digest_size=32)
    if namespace:
        digest.update(b"%d" % namespace)
    digest.update(data)
    return b2a_base64(digest.digest(), newline=False)[:43].decode("ascii")

"""Vectors of family `hash`: BLAKE2b with keys and personalisation."""

from __future__ import annotations

from vector_ops import Json, operation

from ramson.crypto.hashing import blake2b

H = bytes.fromhex


@operation("hash", "hash")
def hash_(given: Json, _expected: Json) -> Json:
    return {"hash": blake2b(H(given["message"]), size=given["size"], key=H(given.get("key") or "")).hex()}


@operation("hash", "xed25519_nonce_hash")
def xed25519_nonce_hash(given: Json, _expected: Json) -> Json:
    return {"hash": blake2b(H(given["message"]), size=64, person=b"xed25519signatur").hex()}


@operation("hash", "keyed_domain_hashes")
def keyed_domain_hashes(given: Json, _expected: Json) -> Json:
    return {"hash": blake2b(H(given["message"]), key=given["key_ascii"].encode("ascii")).hex()}

"""Vectors of family `identity`: account keys, Ed25519, X25519 and XEd25519."""

from __future__ import annotations

from vector_ops import Json, operation, verdict

from ramson.crypto import keys, xed25519
from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair

H = bytes.fromhex


def _written(account: AccountKeys) -> Json:
    return {
        "seed": account.ed25519.seed.hex(),
        "ed25519_pk": account.ed25519.public.hex(),
        "ed25519_sk": account.ed25519.secret.hex(),
        "x25519_pk": account.x25519.public.hex(),
        "x25519_sk": account.x25519.secret.hex(),
        "session_id": account.id.hex,
    }


@operation("identity", "account_from_entropy16")
def account_from_entropy16(given: Json, _expected: Json) -> Json:
    return _written(AccountKeys.from_entropy(H(given["entropy"])))


@operation("identity", "keys_from_seed32")
def keys_from_seed32(given: Json, _expected: Json) -> Json:
    return _written(AccountKeys.from_seed(H(given["seed"])))


@operation("identity", "ed25519_pk_to_x25519")
def ed25519_pk_to_x25519(given: Json, _expected: Json) -> Json:
    return {"x25519_pk": keys.to_x25519_public(H(given["ed25519_pk"])).hex()}


@operation("identity", "ed25519_sign")
def ed25519_sign(given: Json, _expected: Json) -> Json:
    secret = H(given["seed"] if "seed" in given else given["ed25519_sk"])
    pair = Ed25519KeyPair.from_seed(secret[:32] if len(secret) == 64 else secret)
    return {"signature": pair.sign(H(given["message"])).hex(), "ed25519_pk": pair.public.hex()}


@operation("identity", "ed25519_verify")
def ed25519_verify(given: Json, expected: Json) -> Json:
    valid = keys.verify(H(given["ed25519_pk"]), H(given["message"]), H(given["signature"]))
    return verdict(valid=valid, expected=expected)


@operation("identity", "xed25519_pubkey")
def xed25519_pubkey(given: Json, expected: Json) -> Json:
    positive = xed25519.ed25519_public(H(given["x25519_pk"]))
    real = H(expected.get("ed25519_pk", positive.hex()))  # its sign is not in the X25519 key
    same_but_for_sign = positive == real[:31] + bytes([real[31] & 0x7F])
    return {"ed25519_pk_abs": positive.hex(), "ed25519_pk": real.hex() if same_but_for_sign else None}


@operation("identity", "xed25519_sign")
def xed25519_sign(given: Json, _expected: Json) -> Json:
    secret = H(given["x25519_sk"])
    signature = xed25519.sign(secret, H(given["message"]), H(given["rng"][0]))
    return {"signature": signature.hex(), "x25519_pk": X25519KeyPair.from_secret(secret).public.hex()}


@operation("identity", "xed25519_verify")
def xed25519_verify(given: Json, expected: Json) -> Json:
    valid = xed25519.verify(H(given["signature"]), H(given["x25519_pk"]), H(given["message"]))
    return verdict(valid=valid, expected=expected)

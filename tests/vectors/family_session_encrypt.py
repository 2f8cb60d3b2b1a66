"""Vectors of family `session_encrypt`: one-to-one messages, blinded messages, names, push, message hashes."""

from __future__ import annotations

from base64 import b64decode

from vector_ops import Json, operation

from ramson.crypto import blinding, ons, push, sealing
from ramson.crypto.account import ACCOUNT, AccountId, AccountIdError
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.crypto.sealing import Opened

H = bytes.fromhex


def _account_key(text: str) -> bytes:
    account = AccountId.parse(text)
    if account.prefix != ACCOUNT:
        raise AccountIdError("only an account with prefix 05 can be written to")
    return account.key


def _pair(seed: str) -> Ed25519KeyPair:
    return Ed25519KeyPair.from_seed(H(seed)[:32])


def _must_open(given: Json, ciphertext: str) -> None:
    """Check, where the recipient's seed is known, that the ciphertext opens to the message."""
    if "recipient_seed" in given:
        opened = sealing.open_sealed(_pair(given["recipient_seed"]).to_x25519(), H(ciphertext))
        assert opened.message == H(given["message"])
        assert opened.sender_ed25519 == _pair(given["sender_seed"]).public


@operation("session_encrypt", "sign_for_recipient")
def sign_for_recipient(given: Json, _expected: Json) -> Json:
    sender = _pair(given["sender_seed"])
    return {"signed": sealing.sign_for(sender, _account_key(given["recipient_session_id"]), H(given["message"])).hex()}


@operation("session_encrypt", "encrypt_for_recipient")
def encrypt_for_recipient(given: Json, expected: Json) -> Json:
    recipient = _account_key(given["recipient_session_id"])
    if "rng" not in given and "ciphertext" in expected:
        _must_open(given, expected["ciphertext"])
        return expected
    drawn = H(given["rng"][0]) if "rng" in given else bytes(range(32))
    sealed = sealing.seal(_pair(given["sender_seed"]), recipient, H(given["message"]), drawn).hex()
    _must_open(given, sealed)
    return {"ciphertext": sealed}


@operation("session_encrypt", "encrypt_for_recipient_deterministic")
def encrypt_for_recipient_deterministic(given: Json, _expected: Json) -> Json:
    recipient = _account_key(given["recipient_session_id"])
    sealed = sealing.seal_deterministic(_pair(given["sender_seed"]), recipient, H(given["message"])).hex()
    _must_open(given, sealed)
    return {"ciphertext": sealed}


@operation("session_encrypt", "decrypt_incoming")
def decrypt_incoming(given: Json, _expected: Json) -> Json:
    if "recipient_x25519_sk" in given:
        recipient = X25519KeyPair.from_secret(H(given["recipient_x25519_sk"]))
    else:
        recipient = _pair(given["recipient_seed"]).to_x25519()
    opened = sealing.open_sealed(recipient, H(given["ciphertext"]))
    if "recipient_seed" in given:
        assert _pair(given["recipient_seed"]).to_x25519() == recipient
    return {**_written(opened), "sender_ed25519_pk": opened.sender_ed25519.hex()}


@operation("session_encrypt", "encrypt_for_blinded_recipient")
def encrypt_for_blinded_recipient(given: Json, expected: Json) -> Json:
    sender, server = _pair(given["sender_seed"]), H(given["server_pk"])
    recipient = AccountId.parse(given["recipient_blinded_id"])
    nonce = H(given["rng"][0]) if "rng" in given else bytes(blinding.NONCE_SIZE)
    ciphertext = blinding.encrypt(sender, server, recipient, H(given["message"]), nonce).hex()
    own = blinding.blinded_id(sender.public, server, recipient.prefix)
    assert own.hex == given["sender_blinded_id"]
    if "rng" not in given:
        ciphertext = expected["ciphertext"]
    opened = blinding.decrypt(sender, server, own, recipient, H(ciphertext))
    assert opened.message == H(given["message"])
    return {"ciphertext": ciphertext}


@operation("session_encrypt", "decrypt_from_blinded_recipient")
def decrypt_from_blinded_recipient(given: Json, _expected: Json) -> Json:
    sender, recipient = (AccountId.parse(given[name]) for name in ("sender_blinded_id", "recipient_blinded_id"))
    opened = blinding.decrypt(_pair(given["my_seed"]), H(given["server_pk"]), sender, recipient, H(given["ciphertext"]))
    return _written(opened)


@operation("session_encrypt", "decrypt_ons_response")
def decrypt_ons_response(given: Json, _expected: Json) -> Json:
    nonce = given.get("nonce")
    account = ons.decrypt(given["lowercase_name"], H(given["ciphertext"]), None if nonce is None else H(nonce))
    return {"session_id": account.hex}


@operation("session_encrypt", "decrypt_push_notification")
def decrypt_push_notification(given: Json, _expected: Json) -> Json:
    return {"plaintext": push.decrypt(H(given["payload"]), H(given["enc_key"])).hex()}


@operation("session_encrypt", "compute_message_hash")
def compute_message_hash(given: Json, _expected: Json) -> Json:
    data = H(given["data"]) if "data" in given else b64decode(given["data_b64"])
    return {"hash": message_hash(AccountId.parse(given["pubkey_hex"]).raw, given["namespace"], data)}


def _written(opened: Opened) -> Json:
    return {"message": opened.message.hex(), "sender_session_id": opened.sender.hex}

"""Vectors of family `onionreq` that need no more than the layer ciphers."""

from __future__ import annotations

from vector_ops import Json, operation

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, LayerCipher, client_cipher, node_cipher

H = bytes.fromhex


def _cipher(given: Json) -> LayerCipher:
    local = X25519KeyPair.from_secret(H(given["local_x25519_sk"]))
    end = node_cipher if given["local_is_server"] else client_cipher
    return end(EncType.parse(given["enc_type"]), local, H(given["remote_x25519_pk"]))


@operation("onionreq", "hop_encrypt")
def hop_encrypt(given: Json, expected: Json) -> Json:
    cipher, plaintext = _cipher(given), H(given["plaintext"])
    if "rng" not in given:
        assert cipher.decrypt(H(expected["ciphertext"])) == plaintext
        return expected
    return {"ciphertext": cipher.encrypt(plaintext, H(given["rng"][0])).hex()}


@operation("onionreq", "hop_decrypt")
def hop_decrypt(given: Json, _expected: Json) -> Json:
    return {"plaintext": _cipher(given).decrypt(H(given["ciphertext"])).hex()}


@operation("onionreq", "response")
def response(given: Json, expected: Json) -> Json:
    destination = X25519KeyPair.from_secret(H(given["destination_x25519_sk"]))
    ephemeral = X25519KeyPair.from_secret(H(given["ephemeral_x25519_sk"]))
    asked = EncType.parse(given["enc_type"])
    answered = EncType.parse(given.get("reply_enc_type", given["enc_type"]))
    if "rng" in given:
        nonce = H(given["rng"][0])
        sealed = node_cipher(answered, destination, ephemeral.public).encrypt(H(given["reply"]), nonce)
    else:
        sealed = H(expected["ciphertext"])
    assert client_cipher(asked, ephemeral, destination.public).decrypt_reply(sealed) == H(given["reply"])
    return {"ciphertext": sealed.hex()}

"""Vectors of family `config_encrypt`."""

from __future__ import annotations

from vector_ops import Json, operation

from ramson.crypto import config_encrypt

H = bytes.fromhex


@operation("config_encrypt", "encrypt")
def encrypt(given: Json, _expected: Json) -> Json:
    ciphertext = config_encrypt.encrypt(H(given["message"]), H(given["key"]), given["domain"].encode())
    return {"ciphertext": ciphertext.hex()}


@operation("config_encrypt", "decrypt")
def decrypt(given: Json, expected: Json) -> Json:
    message = config_encrypt.decrypt(H(given["ciphertext"]), H(given["key"]), given["domain"].encode())
    return dict.fromkeys(expected, message.hex())


@operation("config_encrypt", "padded_size")
def padded_size(given: Json, _expected: Json) -> Json:
    return {"padded": config_encrypt.padded_size(given["size"], given["overhead"])}


@operation("config_encrypt", "pad_message")
def pad_message(given: Json, _expected: Json) -> Json:
    return {"padded": config_encrypt.pad(H(given["message"])).hex()}

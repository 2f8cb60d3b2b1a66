"""The ciphers of onion layers: one key per layer, agreed between an ephemeral key and a node.

The client makes an ephemeral X25519 key for every hop; with the hop's key both ends reach the same
secret, and from it, depending on the cipher, the layer's key.  Requests and replies use that one key.
In the xchacha20 derivation the client's key comes first in both directions.  Spec: onion.md §2.

    xchacha20   BLAKE2b-32(S ‖ A ‖ B)        24-byte nonce ‖ ciphertext ‖ 16-byte tag
    aes-gcm     HMAC-SHA256(key=LOKI, S)     12-byte nonce ‖ ciphertext ‖ 16-byte tag
    aes-cbc     S                            16-byte IV ‖ AES-256-CBC with PKCS#7 padding, not authenticated
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from nacl import bindings, exceptions

from ramson.crypto.keys import X25519KeyPair, require_size
from ramson.errors import ParseError

_TAG_SIZE = 16


class EncType(StrEnum):
    """The cipher of one layer, by its name on the wire."""

    XCHACHA20 = "xchacha20"
    AES_GCM = "aes-gcm"
    AES_CBC = "aes-cbc"

    @classmethod
    def parse(cls, text: str) -> EncType:
        """Read a name or one of its aliases.  Raises ParseError."""
        found = _NAMES.get(text)
        if found is None:
            raise ParseError("unknown encryption type")
        return found


_NAMES = {
    "xchacha20": EncType.XCHACHA20,
    "xchacha20-poly1305": EncType.XCHACHA20,
    "aes-gcm": EncType.AES_GCM,
    "gcm": EncType.AES_GCM,
    "aes-cbc": EncType.AES_CBC,
    "cbc": EncType.AES_CBC,
}
_NONCE_SIZE = {EncType.XCHACHA20: 24, EncType.AES_GCM: 12, EncType.AES_CBC: 16}
_MIN_CIPHERTEXT = {EncType.XCHACHA20: 24 + _TAG_SIZE, EncType.AES_GCM: 12 + _TAG_SIZE, EncType.AES_CBC: 16 + 16}


@dataclass(frozen=True, slots=True, eq=False)
class LayerCipher:
    """The cipher and key of one onion layer, the same at both of its ends.

    Made by `client_cipher` and `node_cipher`.
    """

    enc_type: EncType
    _shared: bytes = field(repr=False)  # the raw X25519 secret
    _key: bytes = field(repr=False)

    @property
    def nonce_size(self) -> int:
        """How many random bytes `encrypt` wants."""
        return _NONCE_SIZE[self.enc_type]

    def encrypt(self, plaintext: bytes, nonce: bytes) -> bytes:
        """Return nonce ‖ ciphertext.  `nonce` has `nonce_size` random bytes, never used twice.  Raises KeySizeError."""
        require_size("this cipher's nonce", nonce, _NONCE_SIZE[self.enc_type])
        if self.enc_type is EncType.XCHACHA20:
            return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, nonce, self._key)
        from ramson.crypto import onion_aes  # noqa: PLC0415 - it takes memory, and most nodes never need it

        seal = onion_aes.seal_gcm if self.enc_type is EncType.AES_GCM else onion_aes.seal_cbc
        return seal(self._key, nonce, plaintext)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of nonce ‖ ciphertext.  Raises ParseError.

        aes-cbc detects tampering only by chance, as the protocol has it.
        """
        if len(ciphertext) < _MIN_CIPHERTEXT[self.enc_type]:
            raise ParseError("the ciphertext is too short")
        if self.enc_type is not EncType.XCHACHA20:
            from ramson.crypto import onion_aes  # noqa: PLC0415 - as above

            unseal = onion_aes.open_gcm if self.enc_type is EncType.AES_GCM else onion_aes.open_cbc
            return unseal(self._key, ciphertext)
        nonce, sealed = ciphertext[:24], ciphertext[24:]
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, None, nonce, self._key)
        except exceptions.CryptoError:
            raise ParseError("the ciphertext does not authenticate") from None

    def decrypt_reply(self, ciphertext: bytes) -> bytes:
        """Return a reply's plaintext: as `decrypt`, but xchacha20 may be answered in aes-gcm.  Raises ParseError."""
        if self.enc_type is not EncType.XCHACHA20:
            return self.decrypt(ciphertext)
        try:
            return self.decrypt(ciphertext)
        except ParseError:
            return _layer_gcm(self._shared).decrypt(ciphertext)


def client_cipher(enc_type: EncType, ephemeral: X25519KeyPair, node_x25519: bytes) -> LayerCipher:
    """Return the client's end of a layer.  Raises ParseError for a node key of low order or wrong length."""
    return _layer(enc_type, ephemeral.exchange(node_x25519), ephemeral.public, node_x25519)


def node_cipher(enc_type: EncType, own: X25519KeyPair, ephemeral_public: bytes) -> LayerCipher:
    """Return the node's end of a layer.  Raises ParseError for an ephemeral key of low order or wrong length."""
    return _layer(enc_type, own.exchange(ephemeral_public), ephemeral_public, own.public)


def _layer(enc_type: EncType, shared: bytes, client: bytes, node: bytes) -> LayerCipher:
    if enc_type is EncType.XCHACHA20:
        return LayerCipher(enc_type, shared, hashlib.blake2b(shared + client + node, digest_size=32).digest())
    if enc_type is EncType.AES_GCM:
        return _layer_gcm(shared)
    return LayerCipher(enc_type, shared, shared)


def _layer_gcm(shared: bytes) -> LayerCipher:
    return LayerCipher(EncType.AES_GCM, shared, hmac.digest(b"LOKI", shared, "sha256"))

"""Messages of a closed group (03…): one key for all members, a signature for who wrote what.

The keys themselves, and who holds them, are not this module's.  Spec: groups-v2.md §5.5, vectors `group_2025`.

Theory of operation.  Content goes unpadded into an Envelope of type CLOSED_GROUP_MESSAGE; the Envelope,
compressed if that makes it smaller, goes with its author's key and signature into a bencoded dict
(`""` version 1, `a` author, `d` raw or `z` compressed, `s` signature over data ‖ group key); the dict is
filled up with NULs so that the whole is a multiple of 256 bytes, and encrypted as nonce ‖ XChaCha20-Poly1305.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import zstandard
from nacl import bindings, exceptions

from ramson.crypto.account import ACCOUNT, AccountId
from ramson.crypto.entropy import Entropy
from ramson.crypto.keys import KEY_SIZE, SIGNATURE_SIZE, Ed25519KeyPair, require_size, to_x25519_public, verify
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt, protobuf
from ramson.protocol.envelope import Incoming
from ramson.protocol.session_pb2 import Envelope

BLOCK: Final = 256
MAX_PLAINTEXT: Final = 1_000_000

_NONCE_SIZE = 24
_TAG_SIZE = 16
_VERSION = 1
_SOURCE_DEVICE = 1
_COMPRESSION_LEVEL = 1  # the level other clients use
_MAX_WINDOW = 2**23  # bytes of memory a stranger's compressed data may ask for


@dataclass(frozen=True, slots=True)
class Opened:
    """Signed data of a group message and the Ed25519 key and account of its author."""

    data: bytes = field(repr=False)
    author_ed25519: bytes
    author: AccountId


def wrap_group(
    content: bytes,
    author: Ed25519KeyPair,
    group: AccountId,
    key: bytes,
    sent_ms: int,
    entropy: Entropy,
    *,
    pro_key: Ed25519KeyPair | None = None,
) -> bytes:
    """Return the bytes to store in namespace 11 of `group`; `key` is the newest of its 32-byte keys.

    Draws the nonce, then, without `pro_key`, the key of the decoy signature.
    """
    nonce = entropy.randbytes(_NONCE_SIZE)
    pro_sig = (pro_key or Ed25519KeyPair.generate(entropy)).sign(content)
    return encrypt(group_message(content, sent_ms, pro_sig), author, group.key, key, nonce)


def group_message(content: bytes, sent_ms: int, pro_sig: bytes) -> bytes:
    """Return Content in the Envelope of a group message."""
    if len(pro_sig) != SIGNATURE_SIZE:
        raise LocalError(f"a Pro signature has {SIGNATURE_SIZE} bytes")
    return protobuf.write(
        protobuf.make(
            Envelope,
            type=Envelope.CLOSED_GROUP_MESSAGE,
            timestamp=sent_ms,
            sourceDevice=_SOURCE_DEVICE,
            content=content,
            proSig=pro_sig,
        )
    )


def unwrap_group(data: bytes, group: AccountId, keys: Sequence[bytes]) -> Incoming:
    """Open what was stored in namespace 11, trying `keys` in their order.  Raises ParseError."""
    opened = decrypt(data, group.key, keys)
    envelope = protobuf.read(Envelope, opened.data)
    if envelope.type != Envelope.CLOSED_GROUP_MESSAGE or not envelope.HasField("content"):
        raise ParseError("not an Envelope of a group message")
    return Incoming(envelope.content, opened.author, opened.author_ed25519, envelope.timestamp)


def encrypt(data: bytes, author: Ed25519KeyPair, group_ed25519: bytes, key: bytes, nonce: bytes) -> bytes:
    """Sign, compress, fill up and encrypt `data`.  Raises LocalError for wrong sizes and too much data."""
    require_size("a group key", key)
    require_size("a group message's nonce", nonce, _NONCE_SIZE)
    if len(data) > MAX_PLAINTEXT:
        raise LocalError(f"a group message has at most {MAX_PLAINTEXT} bytes")
    compressed = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(data)
    name, signed = ("z", compressed) if len(compressed) < len(data) else ("d", data)
    signature = author.sign(signed + group_ed25519)
    plaintext = bt.encode({"": _VERSION, "a": author.public, name: signed, "s": signature})
    overhead = _NONCE_SIZE + _TAG_SIZE
    plaintext = plaintext.ljust(-(-(len(plaintext) + overhead) // BLOCK) * BLOCK - overhead, b"\0")
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, nonce, key)


def decrypt(ciphertext: bytes, group_ed25519: bytes, keys: Sequence[bytes]) -> Opened:
    """Undo `encrypt` with the first of `keys` that fits.  Raises ParseError."""
    if not _NONCE_SIZE + _TAG_SIZE <= len(ciphertext) <= MAX_PLAINTEXT + 2 * BLOCK:
        raise ParseError("group message: too short or too long")
    fields, end = bt.decode_prefix(plaintext := _open(ciphertext, keys))
    if plaintext[end:].strip(b"\0"):
        raise ParseError("group message: filled up with something else than NULs")
    if not isinstance(fields, dict) or fields.get(b"") != _VERSION:
        raise ParseError("group message: not of version 1")
    author, signature = fields.get(b"a"), fields.get(b"s")
    raw, compressed = fields.get(b"d"), fields.get(b"z")
    signed = raw if compressed is None else compressed
    if not isinstance(author, bytes) or not isinstance(signature, bytes) or not isinstance(signed, bytes):
        raise ParseError("group message: a field is missing")
    if raw is not None and compressed is not None:
        raise ParseError("group message: both raw and compressed data")
    if len(author) != KEY_SIZE or not verify(author, signed + group_ed25519, signature):
        raise ParseError("group message: the author's signature is wrong")
    return Opened(
        signed if compressed is None else _decompress(signed),
        author,
        AccountId(ACCOUNT, to_x25519_public(author)),
    )


def _open(ciphertext: bytes, keys: Sequence[bytes]) -> bytes:
    nonce, sealed = ciphertext[:_NONCE_SIZE], ciphertext[_NONCE_SIZE:]
    for key in keys:
        try:
            return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, None, nonce, key)
        except exceptions.CryptoError:
            continue
    raise ParseError("group message: no known key opens it")


def _decompress(compressed: bytes) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(compressed) as reader:
            data = reader.read(MAX_PLAINTEXT + 1)
    except zstandard.ZstdError:
        raise ParseError("group message: the compressed data is damaged") from None
    if len(data) > MAX_PLAINTEXT:
        raise ParseError("group message: too large when decompressed")
    return data

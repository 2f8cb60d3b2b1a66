"""From a serialized config message to what a mailbox stores, and back.

Pure functions.  Spec: config-sync.md §4.3.

Theory of operation.

    serialized        d…e
    compressed        `z` ‖ zstd frame, where that is shorter
    padded            zero bytes before it (`ramson.crypto.config_encrypt`)
    encrypted         with the kind's domain
    wrapped           personal configs: sealed to oneself in an envelope, if that still fits

What does not fit one stored message is cut after padding.  Each part is `m` ‖ [hash of the whole, index, count,
chunk], index and count being one byte each, and is encrypted by itself.  A receiver tells the three forms
apart by the first byte that is not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import zstandard

from ramson.crypto import config_encrypt
from ramson.crypto.hashing import blake2b
from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.config.kinds import ConfigKeys, ConfigKind
from ramson.protocol.config.message import HASH_SIZE, MAX_SIZE
from ramson.protocol.envelope import unwrap_config, wrap_config

MAX_STORED: Final = 76_800  # bytes of one message in a mailbox
MAX_PADDED: Final = MAX_SIZE + 5_120

# What surrounds the chunk in a part: `ml32:…1:i1:n76710:` and `e`.
_PART_FRAME: Final = 50
MAX_CHUNK: Final = MAX_STORED - config_encrypt.OVERHEAD - _PART_FRAME

_PLAIN, _COMPRESSED, _PART = b"d", b"z", b"m"
_ZSTD_LEVEL = 1
_MAX_WINDOW = 8 * 1024 * 1024
# An old client wrapped twice.
_WRAPPINGS = 2


class ConfigTooLarge(LocalError):
    """A config has grown beyond what can be pushed; something must be removed from it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of several messages that make up one."""

    whole: bytes  # BLAKE2b-32 of all chunks together
    index: int
    count: int
    chunk: bytes = field(repr=False)


def pack(serialized: bytes, seqno: int, kind: ConfigKind, keys: ConfigKeys) -> tuple[bytes, ...]:
    """Return what to store: one message, or several parts.  Raises ConfigTooLarge."""
    if len(serialized) > MAX_SIZE:
        raise ConfigTooLarge(f"a config has at most {MAX_SIZE} bytes")
    padded = config_encrypt.pad(compress(serialized))
    key = keys.encryption[0]
    if len(padded) + config_encrypt.OVERHEAD > MAX_STORED:
        return tuple(config_encrypt.encrypt(part, key, kind.domain) for part in _split(padded))
    encrypted = config_encrypt.encrypt(padded, key, kind.domain)
    if kind.personal and keys.owner is not None:
        wrapped = wrap_config(encrypted, keys.owner, seqno, kind.namespace)
        if len(wrapped) <= MAX_STORED:
            return (wrapped,)
    return (encrypted,)


def unpack(stored: bytes, kind: ConfigKind, keys: ConfigKeys) -> bytes | Part:
    """Return the serialized message in what a mailbox holds, or the part of one.  Raises ParseError."""
    if len(stored) > MAX_STORED:
        raise ParseError("config: more than a mailbox stores as one message")
    body = _decrypt(_unwrap(stored, kind, keys), keys.encryption, kind.domain).lstrip(b"\0")
    return parse_part(body) if body.startswith(_PART) else decompress(body)


def compress(serialized: bytes) -> bytes:
    """Return `z` and the compressed bytes, or the bytes as they are if that is not longer."""
    compressed = _COMPRESSED + zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(serialized)
    return compressed if len(compressed) < len(serialized) else serialized


def decompress(body: bytes) -> bytes:
    """Undo `compress`; at most `MAX_SIZE` bytes come out.  Raises ParseError."""
    if body.startswith(_PLAIN):
        return body
    if not body.startswith(_COMPRESSED):
        raise ParseError("config: neither a message nor a compressed one")
    frame = body[len(_COMPRESSED) :]
    try:
        if zstandard.frame_content_size(frame) > MAX_SIZE:
            raise ParseError("config: the message is too large")
        return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(
            frame, max_output_size=MAX_SIZE, allow_extra_data=False
        )
    except zstandard.ZstdError:
        raise ParseError("config: the compressed message is broken") from None


def parse_part(body: bytes) -> Part:
    """Read the plaintext of a part.  Raises ParseError."""
    value, end = bt.decode_prefix(body[len(_PART) :])
    # Libraries size the plaintext for a chunk length of five digits and leave what is over as zeros.
    if body[len(_PART) + end :].strip(b"\0"):
        raise ParseError("config: bytes after a part")
    if not isinstance(value, list) or len(value) != 4:
        raise ParseError("config: a part is not hash, index, count and chunk")
    whole, index, count, chunk = value
    if not (isinstance(whole, bytes) and isinstance(index, bytes) and isinstance(count, bytes)):
        raise ParseError("config: a part has no hash, index or count")
    if len(whole) != HASH_SIZE or len(index) != 1 or len(count) != 1 or not isinstance(chunk, bytes) or not chunk:
        raise ParseError("config: a part's hash, index, count or chunk has the wrong size")
    if not index[0] < count[0] or count[0] < 2:
        raise ParseError("config: a part is not one of several")
    return Part(whole, index[0], count[0], chunk)


def _split(padded: bytes) -> list[bytes]:
    chunks = [padded[start : start + MAX_CHUNK] for start in range(0, len(padded), MAX_CHUNK)]
    whole, count = blake2b(padded), bytes([len(chunks)])
    parts = (_PART + bt.encode([whole, bytes([index]), count, chunk]) for index, chunk in enumerate(chunks))
    return [part.ljust(len(chunk) + _PART_FRAME, b"\0") for part, chunk in zip(parts, chunks, strict=True)]


def _unwrap(stored: bytes, kind: ConfigKind, keys: ConfigKeys) -> bytes:
    if not kind.personal or keys.owner is None:
        return stored
    for _ in range(_WRAPPINGS):
        try:
            stored = unwrap_config(stored, keys.owner, kind.namespace)
        except ParseError:
            break
    return stored


def _decrypt(data: bytes, keys: Sequence[bytes], domain: bytes) -> bytes:
    for key in keys:
        try:
            return config_encrypt.decrypt(data, key, domain)
        except ParseError:
            continue
    raise ParseError("config: no key opens the message")

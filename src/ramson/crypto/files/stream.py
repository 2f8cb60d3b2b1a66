"""Files in the deterministic form: one account's equal files become equal blobs.

    H    = BLAKE2b-56(plaintext, key = account seed, person = what the file is for) = header 24 ‖ key 32
    blob = `S` ‖ header ‖ secretstream(zeros ‖ 0x01 ‖ plaintext, in chunks of 32 KiB, each with 17 bytes more)

The padding in front makes the blob a multiple of 4096 bytes, of more for large files.  Nothing in it is random:
the server keeps one copy, and uploading again renews it.  Whoever has the account's seed and the file can
tell that the blob is that file; nobody else can.  Spec: files-and-push.md §7.1 B.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Final

from nacl import bindings, exceptions

from ramson.crypto.files.chunks import FileTooLarge, Source, cut
from ramson.crypto.keys import require_size
from ramson.errors import LocalError, ParseError

KEY_SIZE: Final = 32
MAX_SIZE: Final = 10_218_286  # bytes of plaintext
MAX_BLOB: Final = 10_223_616

_MARK = b"S"
_HEADER = 24
_CHUNK = 32 * 1024
_OVERHEAD = 17
_FRAME = len(_MARK) + _HEADER
_SMALL = 128 * 1024  # files up to twice this are padded to a multiple of 4096
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class Purpose(Enum):
    """What a file is for; equal files for other purposes get other keys."""

    ATTACHMENT = b"SessionAttachmnt"
    PICTURE = b"Session_Prof_Pic"


@dataclass(frozen=True, slots=True)
class StreamKey:
    """What opens a blob (`key`), and the header that its encryption starts with."""

    header: bytes
    key: bytes = field(repr=False)


def blob_size(size: int) -> int:
    """Return how many bytes the blob of a plaintext of `size` bytes has.  Raises FileTooLarge."""
    return _sealed_size(size + _padding(size))


def _sealed_size(padded: int) -> int:
    return _FRAME + padded + _OVERHEAD * -(-padded // _CHUNK)


def _padding(size: int) -> int:
    """Return how many bytes, at least 1, go before a plaintext of `size` bytes."""
    if size > MAX_SIZE:
        raise FileTooLarge(size, MAX_SIZE)
    estimate = size + _FRAME + 1 + _OVERHEAD * -(-size // _CHUNK)
    step = 1 << (max(estimate, _SMALL).bit_length() - 1) >> 5
    target = -(-_sealed_size(size + 1) // step) * step
    # One byte more that opens a chunk adds 18, so some sizes no padding gives.  They lie up to 17 bytes above
    # 25 + 32785 · n, and with at most 312 chunks that is never a multiple of the step.
    body = target - _FRAME
    return body - _OVERHEAD * -(-body // (_CHUNK + _OVERHEAD)) - size


def derive(plaintext: Iterable[bytes], *, seed: bytes, purpose: Purpose) -> StreamKey:
    """Return the key of a file of the account with this 32-byte Ed25519 seed.  Raises KeySizeError."""
    deriving = _Deriving(seed, purpose)
    for chunk in plaintext:
        deriving.update(chunk)
    return deriving.key()


class _Deriving:
    """The hash that the key of a file is made of, while the file is read."""

    def __init__(self, seed: bytes, purpose: Purpose) -> None:
        require_size("an account's seed", seed)
        self._digest = hashlib.blake2b(digest_size=_HEADER + KEY_SIZE, key=seed, person=purpose.value)

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)

    def key(self) -> StreamKey:
        digest = self._digest.digest()
        return StreamKey(digest[:_HEADER], digest[_HEADER:])


def encrypt(plaintext: Source, size: int, *, seed: bytes, purpose: Purpose) -> tuple[StreamKey, Iterator[bytes]]:
    """Return the key of a file of `size` bytes, and its blob piece by piece; the file is read twice.

    Raises FileTooLarge, KeySizeError.  The pieces end in LocalError, and are not to be used, when the file was not
    the same both times: two contents under one key would betray each other.
    """
    padding = _padding(size)
    key = derive(plaintext(), seed=seed, purpose=purpose)
    return key, _encrypt(plaintext(), key, _Deriving(seed, purpose), padding=padding, total=padding + size)


def _encrypt(
    plaintext: Iterable[bytes], key: StreamKey, again: _Deriving, *, padding: int, total: int
) -> Iterator[bytes]:
    # The header is given, not drawn: libsodium's reader begins with just that state, and its writer goes on from it.
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, key.header, key.key)
    yield _MARK + key.header
    done = 0
    for chunk in cut(chain(_front(padding), _heard(plaintext, again)), _CHUNK):
        done += len(chunk)
        if done >= total and (done > total or again.key() != key):
            break
        tag = _FINAL if done == total else _MESSAGE
        yield bindings.crypto_secretstream_xchacha20poly1305_push(state, chunk, None, tag)
    if done != total or again.key() != key:
        raise LocalError("the file changed while it was read", remedy="Send it again when nothing changes it.")


def _heard(chunks: Iterable[bytes], deriving: _Deriving) -> Iterator[bytes]:
    for chunk in chunks:
        deriving.update(chunk)
        yield chunk


def _front(padding: int) -> Iterator[bytes]:
    zeros, rest = divmod(padding - 1, _CHUNK)
    for _ in range(zeros):
        yield bytes(_CHUNK)
    yield bytes(rest) + b"\x01"


def decrypt(blob: Iterable[bytes], *, key: bytes) -> Iterator[bytes]:
    """Yield the plaintext of a blob.

    What is given has been authenticated, but that the file is whole is only known at its end: whoever gets
    ParseError throws away what came before it.
    """
    if len(key) != KEY_SIZE:
        raise ParseError(f"the key of a file has {KEY_SIZE} bytes, not {len(key)}")
    return _without_padding(_opened(blob, key))


def _opened(blob: Iterable[bytes], key: bytes) -> Iterator[bytes]:
    stream = iter(blob)
    head = b""
    while len(head) < _FRAME:
        chunk = next(stream, None)
        if chunk is None:
            raise ParseError("file: shorter than its header")
        head += chunk
    if not head.startswith(_MARK):
        raise ParseError("file: not in the deterministic form")
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, head[len(_MARK) : _FRAME], key)
    tag = _MESSAGE
    for sealed in cut(chain((head[_FRAME:],), stream), _CHUNK + _OVERHEAD):
        if tag == _FINAL:
            raise ParseError("file: goes on after its end")
        if len(sealed) < _OVERHEAD:
            raise ParseError("file: cut off")
        try:
            chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed)
        except exceptions.CryptoError:
            raise ParseError("file: does not authenticate") from None
        if tag not in {_MESSAGE, _FINAL}:
            raise ParseError("file: a tag that no writer uses")
        yield chunk
    if tag != _FINAL:
        raise ParseError("file: cut off")


def _without_padding(chunks: Iterable[bytes]) -> Iterator[bytes]:
    begun = False
    for chunk in chunks:
        if begun:
            yield chunk
            continue
        rest = chunk.lstrip(b"\x00")
        if rest:
            if rest[0] != 1:
                raise ParseError("file: broken padding")
            begun = True
            yield rest[1:]
    if not begun:
        raise ParseError("file: nothing but padding")

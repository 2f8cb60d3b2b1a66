"""Attachments in the form most clients still send: AES-256-CBC, then HMAC-SHA256, with a random key.

    blob = IV 16 ‖ CBC(plaintext ‖ zeros up to a size class, PKCS#7) ‖ HMAC-SHA256(mac key, IV ‖ CBC…) 32

The key's 64 bytes are 32 for AES and 32 for the HMAC.  The zeros hide the exact size, which travels in the
attachment pointer, as does the SHA-256 of the blob.  A receiver believes nothing before it has checked
both.  Spec: files-and-push.md §7.1 A.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from ramson.crypto.files.chunks import FileTooLarge, Source
from ramson.crypto.keys import require_size
from ramson.errors import LocalError, ParseError

KEY_SIZE: Final = 64
IV_SIZE: Final = 16
MAX_SIZE: Final = 10_000_000  # bytes of plaintext, and of padding

_AES_KEY = 32
_TAG_SIZE = 32
_BLOCK = 16
_MIN_PADDED = 541
_GROWTH = 1.05
_ZEROS = bytes(64 * 1024)


def padded_size(size: int) -> int:
    """Return the size class of a plaintext: the next power of 1.05, at least 541 and at most `MAX_SIZE`."""
    if size <= _MIN_PADDED:
        return _MIN_PADDED
    power = math.ceil(math.log(size) / math.log(_GROWTH))
    return max(size, min(MAX_SIZE, math.floor(_GROWTH**power)))


def blob_size(size: int) -> int:
    """Return how many bytes the blob of a plaintext of `size` bytes has."""
    return IV_SIZE + (padded_size(size) // _BLOCK + 1) * _BLOCK + _TAG_SIZE


def encrypt(plaintext: Iterable[bytes], size: int, *, key: bytes, iv: bytes) -> Iterator[bytes]:
    """Yield the blob of a file of `size` bytes; `key` (64) and `iv` (16) are random and used once.

    Raises FileTooLarge, KeySizeError, and LocalError when the file turns out to have another size.
    """
    require_size("an attachment key", key, KEY_SIZE)
    require_size("an attachment's IV", iv, IV_SIZE)
    if size > MAX_SIZE:
        raise FileTooLarge(size, MAX_SIZE)
    return _encrypt(plaintext, size, key, iv)


def _encrypt(plaintext: Iterable[bytes], size: int, key: bytes, iv: bytes) -> Iterator[bytes]:
    encryptor = Cipher(AES256(key[:_AES_KEY]), CBC(iv)).encryptor()
    padder = PKCS7(8 * _BLOCK).padder()
    mac = hmac.new(key[_AES_KEY:], iv, "sha256")
    yield iv
    for chunk in _padded(plaintext, size):
        sealed = encryptor.update(padder.update(chunk))
        mac.update(sealed)
        yield sealed
    sealed = encryptor.update(padder.finalize()) + encryptor.finalize()
    mac.update(sealed)
    yield sealed
    yield mac.digest()


def _padded(plaintext: Iterable[bytes], size: int) -> Iterator[bytes]:
    seen = 0
    for chunk in plaintext:
        seen += len(chunk)
        yield chunk
    if seen != size:
        raise LocalError(f"the file has {seen} bytes, not {size}", remedy="Send it again when nothing changes it.")
    missing = padded_size(size) - size
    while missing:
        part = _ZEROS[:missing]
        missing -= len(part)
        yield part


def decrypt(blob: Source, *, key: bytes, digest: bytes, size: int) -> Iterator[bytes]:
    """Check a blob and yield its plaintext, cut to `size` bytes.

    The whole blob is read and checked before the first byte is given.  `key`, `digest` and `size` come from the
    sender's pointer.  Raises ParseError for a key of the wrong length, a wrong tag or digest, broken padding and a
    `size` beyond the content.
    """
    if len(key) != KEY_SIZE:
        raise ParseError(f"an attachment key has {KEY_SIZE} bytes, not {len(key)}")
    sealed_size = _check(blob(), key, digest)
    return _decrypt(blob(), sealed_size, key, size)


def _check(blob: Iterable[bytes], key: bytes, digest: bytes) -> int:
    """Check tag and digest; return the number of bytes before the tag."""
    mac, sha = hmac.new(key[_AES_KEY:], digestmod="sha256"), hashlib.sha256()
    total, tail = 0, b""
    for chunk in blob:
        sha.update(chunk)
        total += len(chunk)
        tail += chunk
        mac.update(tail[:-_TAG_SIZE])
        tail = tail[-_TAG_SIZE:]
    sealed = total - _TAG_SIZE
    if sealed < IV_SIZE + _BLOCK or sealed % _BLOCK:
        raise ParseError("attachment: not a whole number of blocks")
    if not hmac.compare_digest(mac.digest(), tail):
        raise ParseError("attachment: the tag is wrong")
    if not hmac.compare_digest(sha.digest(), digest):
        raise ParseError("attachment: the digest is not the one the sender gave")
    return sealed


def _decrypt(blob: Iterable[bytes], sealed_size: int, key: bytes, size: int) -> Iterator[bytes]:
    left = size
    for chunk in _opened(blob, sealed_size, key):
        if left and chunk:
            yield chunk[:left]
            left -= min(left, len(chunk))
    if left:
        raise ParseError("attachment: shorter than the sender said")


def _opened(blob: Iterable[bytes], sealed_size: int, key: bytes) -> Iterator[bytes]:
    unpadder = PKCS7(8 * _BLOCK).unpadder()
    head, left = b"", sealed_size
    decryptor = None
    try:
        for chunk in blob:
            part = chunk[:left]
            left -= len(part)
            if decryptor is None:
                head += part
                if len(head) < IV_SIZE:
                    continue
                decryptor = Cipher(AES256(key[:_AES_KEY]), CBC(head[:IV_SIZE])).decryptor()
                part = head[IV_SIZE:]
            yield unpadder.update(decryptor.update(part))
        if decryptor is not None:
            yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise ParseError("attachment: not whole blocks with valid padding") from None

"""The sizes that the bodies of a bridge have: few, so that a size tells little about what is inside.

    1  2  3  4  6  8  12  16  24 … 512 KiB      n and n + n/2 for every power of two

A body is always exactly one of these.  What is inside is its length (4 bytes), itself, and zeros; the whole of it is
encrypted, so the zeros do not show.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from ramson.errors import LocalError, ParseError

KIB: Final = 1024
CLASSES: Final = tuple(sorted({1 * KIB} | {step * KIB << power for power in range(9) for step in (2, 3)} - {768 * KIB}))
LARGE: Final = CLASSES[-1]
# A connection that carries a small body one way and a tiny one the other stays below 14 KB with its TLS handshake.
SMALL: Final = 6 * KIB
TINY: Final = 2 * KIB
LENGTH_SIZE: Final = 4


class TooLong(LocalError):
    """Something does not fit the largest body."""


def is_class(size: int) -> bool:
    """Whether a body of this size can be one of a bridge."""
    index = bisect_left(CLASSES, size)
    return index < len(CLASSES) and CLASSES[index] == size


def class_of(size: int) -> int:
    """Return the smallest class of at least `size` bytes.  Raises TooLong."""
    index = bisect_left(CLASSES, size)
    if index == len(CLASSES):
        raise TooLong(f"{size} bytes do not fit a body of {LARGE}")
    return CLASSES[index]


def pad(data: bytes, overhead: int) -> bytes:
    """Return `data` with its length before and zeros behind it, `overhead` bytes short of a class.  Raises TooLong."""
    size = class_of(LENGTH_SIZE + len(data) + overhead) - overhead
    return (len(data).to_bytes(LENGTH_SIZE, "big") + data).ljust(size, b"\0")


def unpad(padded: bytes) -> bytes:
    """Return what was padded.  Raises ParseError unless all that is behind it are zeros."""
    if len(padded) < LENGTH_SIZE:
        raise ParseError("bridge: too short to hold a length")
    end = LENGTH_SIZE + int.from_bytes(padded[:LENGTH_SIZE], "big")
    if end > len(padded) or padded[end:].strip(b"\0"):
        raise ParseError("bridge: the padding is wrong")
    return padded[LENGTH_SIZE:end]

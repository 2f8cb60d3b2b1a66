"""Files as the ciphers see them: chunks that can be read more than once.

A form that is authenticated by a tag at its end, or whose key is a hash of the content, has to read a file twice.
So a file is a function that reads it from its beginning whenever it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ramson.errors import LocalError

# Gives all bytes of a file, in pieces of any size, anew at each call.
Source: TypeAlias = Callable[[], Iterable[bytes]]


class FileTooLarge(LocalError):
    """A file is larger than the form or the server takes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the file has {size} bytes; {limit} are allowed", remedy="Make it smaller or split it.")


def of_bytes(content: bytes) -> Source:
    """Make a source of a file that is in memory."""
    return lambda: (content,)


def digest_of(chunks: Iterable[bytes]) -> bytes:
    """Return the SHA-256 of a file (32 bytes), as attachment pointers carry it for the legacy form."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def cut(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut a stream anew into pieces of `size` bytes; the last may be shorter, none is empty."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start >= size:
            yield bytes(held[start : start + size])
            start += size
        del held[:start]
    if held:
        yield bytes(held)

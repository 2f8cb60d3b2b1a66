"""Public keys as people and daemons write them: hex, base32z or base64.

Which of the three follows from the length.  Spec: oxend-interface.md §1 *Addresses*, testing-and-uptime.md §1.
"""

from __future__ import annotations

import binascii
from typing import Final

from ramson.errors import ParseError

KEY_SIZE: Final = 32
LENGTHS: Final = (64, 52, 44, 43)  # hex, base32z, base64 with and without its padding

_BASE32Z: Final = {letter: value for value, letter in enumerate("ybndrfg8ejkmcpqxot1uwisza345h769")}


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key.  Raises ParseError."""
    try:
        match len(text):
            case 64:
                key = bytes.fromhex(text)
            case 52:
                key = _from_base32z(text)
            case 43 | 44:
                key = binascii.a2b_base64(text.ljust(44, "="), strict_mode=True)
            case _:
                raise ParseError("a key has the wrong length")
    except (ValueError, KeyError):  # binascii.Error is a ValueError
        raise ParseError("a key is neither hex, base32z nor base64") from None
    if len(key) != KEY_SIZE:
        raise ParseError("a key has the wrong length")
    return key


def _from_base32z(text: str) -> bytes:
    bits = 0
    for letter in text:
        bits = bits << 5 | _BASE32Z[letter]
    return (bits >> 4).to_bytes(KEY_SIZE, "big")  # 52 letters are four bits more than 32 bytes

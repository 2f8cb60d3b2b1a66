"""Text of strangers, so that a terminal may show it."""

from __future__ import annotations

# Letters that change the direction of what follows: text of a stranger could make a line read as another.
_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return a stranger's text so that it can do nothing to a terminal and cannot pass for another line."""
    return harmless(text).replace("\n", "\n    ")


def harmless(text: str) -> str:
    """Return a text so that it can do nothing to a terminal; its lines stay."""
    return "".join("�" if _is_control(letter) else letter for letter in text)


def _is_control(letter: str) -> bool:
    code = ord(letter)
    # Half a surrogate pair is no character, and would be written as the bare byte that it stands for.
    bare = code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
    return letter in _DIRECTION or (letter not in "\n\t" and bare)

"""The recovery phrase: an account's entropy as words a person can write down.

This is Monero's scheme, not BIP-39.  Every four bytes, read as a little-endian number, become three words
of a list of 1626; a last word repeats one of the others, chosen by a CRC-32 over the first three letters
of all, so that most slips of the pen are noticed.  Three letters tell every word of the list from the
others, so only they are compared.  Spec: identity.md, recovery phrase.

A phrase is a secret: no error message contains a word of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ramson.errors import LocalError

PREFIX = 3  # letters that tell a word from all others
_WORD_COUNT = 1626
_SIZES = (16, 32)  # bytes of entropy that have a phrase
_LENGTHS = (12, 13, 24, 25)  # words of a phrase: with and without checksum


class PhraseError(LocalError):
    """A text that is not a recovery phrase, or entropy that has none."""


class WrongWordCount(PhraseError):
    """The phrase has `count` words."""

    def __init__(self, count: int) -> None:
        if count < _LENGTHS[0]:
            problem = f"not enough words: {count}, a recovery phrase has 13"
        elif count < _LENGTHS[2]:
            problem = f"too many words: {count}, a recovery phrase has 13 (or 25 for a few old accounts)"
        else:
            problem = f"too many words: {count}, the longest recovery phrase has 25"
        super().__init__(problem, remedy="Check that every word is there once, with blanks between them.")
        self.count = count


class UnknownWord(PhraseError):
    """`word`, at `position` counted from 1, is not in the word list.  The message names only the position."""

    def __init__(self, word: str, position: int) -> None:
        super().__init__(
            f"word {position} is not one a recovery phrase can have",
            remedy=f"Check the spelling of word {position}; its first three letters count.",
        )
        self.word = word
        self.position = position


class ImpossibleWords(PhraseError):
    """The three words from `position` on (counted from 1) stand for no number."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"words {position} to {position + 2} cannot follow one another",
            remedy="Check these three words and their order.",
        )
        self.position = position


class BadChecksum(PhraseError):
    """Every word is known, but the last one does not fit the others."""

    def __init__(self) -> None:
        super().__init__(
            "the last word does not fit the others: one of the words is wrong or in the wrong place",
            remedy="Compare every word with what you wrote down.",
        )


@dataclass(frozen=True, slots=True)
class _WordList:
    words: tuple[str, ...]
    index: dict[str, int]  # by prefix


@cache
def _english() -> _WordList:
    words = tuple(resources.files(__package__).joinpath("words_english.txt").read_text("ascii").split())
    return _WordList(words, {word[:PREFIX]: number for number, word in enumerate(words)})


def encode(entropy: bytes) -> str:
    """Return the phrase of 16 bytes (13 words) or 32 bytes (25 words).  Raises PhraseError."""
    if len(entropy) not in _SIZES:
        raise PhraseError(f"a recovery phrase is made of 16 or 32 bytes, not {len(entropy)}")
    known = _english().words
    words: list[str] = []
    for start in range(0, len(entropy), 4):
        number = int.from_bytes(entropy[start : start + 4], "little")
        first = number % _WORD_COUNT
        second = (number // _WORD_COUNT + first) % _WORD_COUNT
        third = (number // _WORD_COUNT**2 + second) % _WORD_COUNT
        words += (known[first], known[second], known[third])
    return " ".join([*words, words[_checksum([word[:PREFIX] for word in words])]])


def decode(phrase: str) -> bytes:
    """Return the 16 or 32 bytes a phrase stands for.

    Case and white space do not matter.  Without the last word (12 or 24 words) nothing is checked beyond
    the words themselves.  Raises WrongWordCount, UnknownWord, ImpossibleWords or BadChecksum.
    """
    words = phrase.lower().split()
    if len(words) not in _LENGTHS:
        raise WrongWordCount(len(words))
    prefixes = [word[:PREFIX] for word in words]
    index = _english().index
    for position, prefix in enumerate(prefixes, 1):
        if prefix not in index:
            raise UnknownWord(words[position - 1], position)
    length = len(words) - len(words) % 3
    entropy = b"".join(
        _number(position, *(index[prefix] for prefix in prefixes[position : position + 3])).to_bytes(4, "little")
        for position in range(0, length, 3)
    )
    if len(words) > length and prefixes[-1] != prefixes[_checksum(prefixes[:length])]:
        raise BadChecksum
    return entropy


def _number(position: int, first: int, second: int, third: int) -> int:
    number = first + _WORD_COUNT * ((second - first) % _WORD_COUNT)
    number += _WORD_COUNT**2 * ((third - second) % _WORD_COUNT)
    if number >= 1 << 32:
        raise ImpossibleWords(position + 1)
    return number


def _checksum(prefixes: Sequence[str]) -> int:
    return zlib.crc32("".join(prefixes).encode()) % len(prefixes)

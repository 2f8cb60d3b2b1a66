"""Bencode as the node network writes it: one canonical form for every value.

For the bodies of OxenMQ requests, server requests (v4) and signed structures.  It never guesses: a value
that has a second spelling is refused.  Spec: oxend-interface.md §1 *Bencode*, storage-rpc.md §2.

Theory of operation.  A value is an integer `i-5e` that fits 64 bits (signed or unsigned), a byte string
`3:abc`, a list `l…e` or a dict `d…e` whose keys are byte strings in strictly ascending byte order.
Booleans travel as 1 and 0.  Canonical means: no leading zeros, no `-0`, no repeated or unsorted keys.
Decoding is one pass without recursion; open containers are kept on a stack of bounded depth, and the
number of values is bounded too, so that a small message cannot become a large heap.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import lt
from typing import Any, TypeAlias

from ramson.errors import LocalError, ParseError

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
MIN_INT = -(2**63)
MAX_INT = 2**64 - 1

# `-9223372036854775808` and `18446744073709551615` both have 20 characters.
_INT_WIDTH = 20
# Lengths of up to 10 digits: longer ones exceed any message that is accepted.
_LENGTH_WIDTH = 10


class UnorderedKeys(ParseError):
    """A dict whose keys are not in strictly ascending order."""


def encode(value: Any) -> bytes:
    """Encode ints, booleans, bytes-like values, text (as UTF-8), lists, tuples and mappings.

    Mapping keys are bytes or text and are sorted by their bytes.  Raises LocalError for anything else,
    for an integer beyond 64 bits and for nesting deeper than `MAX_DEPTH`.
    """
    out: list[bytes] = []
    _write(value, out, MAX_DEPTH)
    return b"".join(out)


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Value:
    """Decode the whole of `data` as one value.  Keys and strings are bytes.  Raises ParseError."""
    value, end = decode_prefix(data, max_depth=max_depth)
    if end != len(data):
        raise ParseError(f"bencode: {len(data) - end} bytes after the value")
    return value


def decode_prefix(data: bytes, *, max_depth: int = MAX_DEPTH) -> tuple[Value, int]:
    """Decode the value at the start of `data` and return it with the offset of its end.

    For the places where bytes after a complete value are ignored.  Raises ParseError.
    """
    # Items of the open container and whether it is a dict, whose keys and values alternate until it is closed.
    items: list[Value] = []
    is_dict = False
    outer: list[tuple[list[Value], bool]] = []
    position, size, budget = 0, len(data), MAX_VALUES
    value: Value

    while True:
        if position >= size:
            raise ParseError("bencode: the value is cut short")
        mark = data[position]

        if 0x30 <= mark <= 0x39:  # a length
            colon = data.find(b":", position, position + _LENGTH_WIDTH + 1)
            digits = data[position:colon]
            if colon < 0 or not digits.isdigit() or (mark == 0x30 and len(digits) > 1):
                raise ParseError("bencode: malformed string length")
            start = colon + 1
            position = start + int(digits)
            if position > size:
                raise ParseError("bencode: the string is cut short")
            value = data[start:position]
        elif mark == 0x69:  # i
            end = data.find(b"e", position + 1, position + _INT_WIDTH + 2)
            if end < 0:
                raise ParseError("bencode: the integer has no end or too many digits")
            value = _integer(data[position + 1 : end])
            position = end + 1
        elif mark in {0x64, 0x6C}:  # d, l
            if len(outer) >= max_depth:
                raise ParseError("bencode: nested too deeply")
            outer.append((items, is_dict))
            items, is_dict = [], mark == 0x64
            position += 1
            continue
        elif mark == 0x65 and outer:  # e
            value = _dict(items) if is_dict else items
            items, is_dict = outer.pop()
            position += 1
        else:
            raise ParseError("bencode: no value starts here")

        if not outer:
            return value, position
        budget -= 1
        if budget < 0:
            raise ParseError("bencode: too many values")
        items.append(value)


def _dict(items: list[Value]) -> dict[bytes, Value]:
    keys = [key for key in items[::2] if isinstance(key, bytes)]
    if len(keys) * 2 != len(items):
        raise ParseError("bencode: a dict key is not a string, or the last one has no value")
    if not all(map(lt, keys, keys[1:])):
        raise UnorderedKeys("bencode: dict keys are not in ascending order")
    return dict(zip(keys, items[1::2], strict=True))


def _integer(digits: bytes) -> int:
    magnitude = digits[1:] if digits[:1] == b"-" else digits
    if not magnitude.isdigit() or (magnitude[0] == 0x30 and digits != b"0"):
        raise ParseError("bencode: malformed integer")
    number = int(digits)
    if not MIN_INT <= number <= MAX_INT:
        raise ParseError("bencode: the integer exceeds 64 bits")
    return number


def _write(value: Any, out: list[bytes], depth: int) -> None:
    if value.__class__ is bytes:  # most values are; the rest of the line is longer
        out.append(b"%d:" % len(value))
        out.append(value)
    elif isinstance(value, int):  # bool included: %d writes True as 1
        if not MIN_INT <= value <= MAX_INT:
            raise LocalError("bencode: an integer must fit 64 bits")
        out.append(b"i%de" % value)
    elif isinstance(value, str):
        text = value.encode()
        out.append(b"%d:" % len(text))
        out.append(text)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        out.append(b"%d:" % len(value))
        out.append(bytes(value))
    elif depth == 0:
        raise LocalError("bencode: nested too deeply")
    elif isinstance(value, (dict, Mapping)):  # a dict first: asking Mapping takes a while
        out.append(b"d")
        fields = {key.encode() if isinstance(key, str) else key: item for key, item in value.items()}
        if len(fields) != len(value) or not all(isinstance(key, bytes) for key in fields):
            raise LocalError("bencode: dict keys must be distinct texts or bytes")
        for key in sorted(fields):
            out.append(b"%d:" % len(key))
            out.append(key)
            _write(fields[key], out, depth - 1)
        out.append(b"e")
    elif isinstance(value, (list, tuple)):
        out.append(b"l")
        for item in value:
            _write(item, out, depth - 1)
        out.append(b"e")
    else:
        raise LocalError(f"bencode: cannot encode a {type(value).__name__}")

"""JSON from strangers, read as strictly as the node network reads it.

For documents whose shape is checked afterwards, field by field.  Refused are NaN and infinities, numbers out
of range, text after the document, comments, raw control characters, lone surrogates and invalid UTF-8, also
in parts nobody looks at.  Of repeated keys the last counts; a UTF-8 byte order mark is accepted.
Spec: storage-rpc.md §1 and its corrections.

Theory of operation.  msgspec reads everything in C, by recursion, and gives up at some hundred levels.
The network does not limit depth, so a document that is nested deeper is read again by a loop in this module,
which is much slower and therefore bounded in size: what it exists for fits well below the bound.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ramson.errors import ParseError

# 100,000 nested arrays are 200 kB; reading this much takes the loop less than 0.2 s.
MAX_DEEP_SIZE: Final = 256 * 1024

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode
_BLANKS = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ATOM = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_BOM = b"\xef\xbb\xbf"


def decode(data: bytes) -> Any:
    """Return the document's value.  Raises ParseError."""
    body = data[3:] if data[:3] == _BOM else data
    try:
        return _decode(body)
    except RecursionError:
        pass
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ParseError("not valid JSON") from None
    if len(body) > MAX_DEEP_SIZE:
        raise ParseError("JSON that is both large and deeply nested")
    try:
        return _decode_deep(body.decode())
    except (ValueError, IndexError, msgspec.MsgspecError):
        raise ParseError("not valid JSON") from None


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the document's object.  Raises ParseError if it is anything else."""
    value = decode(data)
    if not isinstance(value, dict):
        raise ParseError("JSON that is not an object")
    return value


def encode(value: Any) -> bytes:
    """Write JSON without blanks and with sorted keys, as both ends write it."""
    return _encode(value)


def encode_in_order(value: Any) -> bytes:
    """Write JSON without blanks, with keys in the order given."""
    return msgspec.json.encode(value)


def _decode_deep(text: str) -> Any:
    root: list[Any] = []
    container: list[Any] | dict[str, Any] = root
    open_containers: list[list[Any] | dict[str, Any]] = []
    key = ""
    position = _skip(text, 0)
    while True:
        # A value, or (once a container is opened) the first thing in it.
        mark = text[position]
        if mark in "[{":
            value: Any = [] if mark == "[" else {}
            position = _skip(text, position + 1)
        elif mark == '"':
            value, position = _string(text, position)
        else:
            value, position = _atom(text, position)
        if isinstance(container, dict):
            container[key] = value
        else:
            container.append(value)
        if mark in "[{":
            open_containers.append(container)
            container = value
            if text[position] != "]}"[mark == "{"]:
                if mark == "{":
                    key, position = _key(text, position)
                continue
        # After a value: close what ends here, then go on to the next element.
        while True:
            position = _skip(text, position)
            if not open_containers:
                if position != len(text):
                    raise ValueError("text after the document")
                return root[0]
            mark, position = text[position], position + 1
            is_object = isinstance(container, dict)
            if mark == ",":
                position = _skip(text, position)
                if is_object:
                    key, position = _key(text, position)
                break
            if mark != "]}"[is_object]:
                raise ValueError("neither a comma nor the end of the container")
            container = open_containers.pop()


def _skip(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _string(text: str, position: int) -> tuple[str, int]:
    match = _STRING.match(text, position)
    if match is None:
        raise ValueError("a string without end")
    value: str = _decode(match.group())
    return value, match.end()


def _key(text: str, position: int) -> tuple[str, int]:
    if text[position] != '"':
        raise ValueError("a key is a string")
    key, position = _string(text, position)
    position = _skip(text, position)
    if text[position] != ":":
        raise ValueError("no colon after a key")
    return key, _skip(text, position + 1)


def _atom(text: str, position: int) -> tuple[Any, int]:
    match = _ATOM.match(text, position)
    if match is None:
        raise ValueError("no value")
    return _decode(match.group()), match.end()

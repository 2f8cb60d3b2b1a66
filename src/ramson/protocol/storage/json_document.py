"""JSON from strangers, strictly, at any depth.

Never a second reading of one document: NaN, comments, trailing text, raw control characters, lone surrogates and
invalid UTF-8 are refused; of duplicate keys the last counts; a byte order mark is skipped.
Spec: node/CORRECTIONS.md, storage-rpc.md §1 JSON.

Theory of operation.  msgspec reads the document; it is strict already, but gives up beyond some hundreds of levels,
and depth must not be a reason to refuse.  Then an iterative reader takes over: it keeps open containers on a stack of
its own, takes runs of `[`, `]` and `}` in one step, checks everything, and builds values only down to `KEPT_DEPTH`;
what lies deeper becomes the one value `TOO_DEEP`, which no parameter accepts.  It gives up after `MAX_TOKENS` steps
(about 100 ms), so that a body of many small deep pieces cannot hold the node.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ramson.errors import ParseError

KEPT_DEPTH: Final = 200  # levels
MAX_TOKENS: Final = 150_000

BOM: Final = b"\xef\xbb\xbf"


class TooDeep:
    """Stands for a container too deep inside its document to be of use."""

    def __repr__(self) -> str:
        return "TOO_DEEP"


TOO_DEEP: Final = TooDeep()

_fast_decode = msgspec.json.Decoder().decode


def decode_json(data: bytes) -> Any:
    """Return the document as None, bool, int, float, str, list and dict.  Raises ParseError."""
    if data[:3] == BOM:
        data = data[3:]
    try:
        return _fast_decode(data)
    except (ValueError, msgspec.MsgspecError):
        raise ParseError("invalid json") from None
    except RecursionError:
        return _DeepReader(data).document()


_STRING: Final = rb'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'
_BLANKS: Final = re.compile(rb"[ \t\n\r]*")
_SCALAR: Final = re.compile(_STRING + rb"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_KEY: Final = re.compile(rb"[ \t\n\r]*(" + _STRING + rb")[ \t\n\r]*:")
_OPENERS: Final = re.compile(rb"\[+")
_CLOSERS: Final = re.compile(rb"\]+|\}+")
_MEMBER: Final = re.compile(rb"\{[ \t\n\r]*(" + _STRING + rb")[ \t\n\r]*:")


def _decode_scalar(token: bytes) -> Any:
    try:
        return _fast_decode(token)
    except (ValueError, msgspec.MsgspecError):
        raise ParseError("invalid json") from None


class _DeepReader:
    """Reads one deep document; used once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._steps = 0
        # What is open: [container or None beyond KEPT_DEPTH, key of the member being read, how many equal levels].
        # Several levels of lists that were opened together and are not kept are one entry.
        self._open: list[list[Any]] = []
        self._depth = 0

    def document(self) -> Any:
        """Read everything.  Raises ParseError."""
        value = self._value()
        while self._open:
            value = self._after(value)
        if self._peek():
            raise ParseError("invalid json")
        return value

    def _peek(self) -> bytes:
        """Skip blanks and return the next character (empty at the end)."""
        self._steps += 1
        if self._steps > MAX_TOKENS:
            raise ParseError("invalid json")
        blanks = _BLANKS.match(self._data, self._at)
        assert blanks is not None  # noqa: S101 - the pattern matches the empty string
        self._at = blanks.end()
        return self._data[self._at : self._at + 1]

    def _scalar(self) -> Any:
        found = _SCALAR.match(self._data, self._at)
        if found is None:
            raise ParseError("invalid json")
        self._at = found.end()
        return _decode_scalar(found[0])

    def _key(self) -> str:
        found = _KEY.match(self._data, self._at)
        if found is None:
            raise ParseError("invalid json")
        self._at = found.end()
        key: str = _decode_scalar(found[1])
        return key

    def _value(self) -> Any:
        """Read a value up to its first scalar or empty container, opening what has to be opened."""
        while True:
            mark = self._peek()
            if mark == b"{":
                member = _MEMBER.match(self._data, self._at)
                if member is None:
                    self._at += 1
                    if self._peek() != b"}":
                        raise ParseError("invalid json")
                    self._at += 1
                    return {}
                self._at = member.end()
                kept: Any = {} if self._depth < KEPT_DEPTH else None
                self._open.append([kept, _decode_scalar(member[1]), 1])
                self._depth += 1
            elif mark == b"[":
                self._open_lists()
                if self._peek() == b"]":
                    return self._close_one_list()
            else:
                return self._scalar()

    def _open_lists(self) -> None:
        found = _OPENERS.match(self._data, self._at)
        assert found is not None  # noqa: S101 - the caller saw a bracket
        self._at = found.end()
        count = len(found[0])
        while count and self._depth < KEPT_DEPTH:
            self._open.append([[], None, 1])
            self._depth += 1
            count -= 1
        if count:
            self._open.append([None, None, count])
            self._depth += count

    def _close_one_list(self) -> Any:
        """Close the innermost list, which is empty."""
        self._at += 1
        return self._pop(1)

    def _pop(self, count: int) -> Any:
        top = self._open[-1]
        top[2] -= count
        self._depth -= count
        if not top[2]:
            self._open.pop()
        return TOO_DEEP if top[0] is None else top[0]

    def _after(self, value: Any) -> Any:
        """Put a finished value where it belongs and go on to the next finished value."""
        self._file(value)
        top = self._open[-1]
        mark = self._peek()
        if mark == b",":
            self._at += 1
            if top[1] is not None:
                top[1] = self._key()
            return self._value()
        if mark == (b"]" if top[1] is None else b"}"):
            return self._close(lists=top[1] is None)
        raise ParseError("invalid json")

    def _file(self, value: Any) -> None:
        """Add a finished value to the container around it, if that is kept."""
        container, key, _ = self._open[-1]
        if container is None:
            return
        if key is None:
            container.append(value)
        else:
            container[key] = value

    def _close(self, *, lists: bool) -> Any:
        """Close as many lists, or objects, as there are closing brackets in a row; return the outermost of them."""
        found = _CLOSERS.match(self._data, self._at)
        assert found is not None  # noqa: S101 - the caller saw a bracket
        self._at = found.end()
        count = len(found[0])
        while True:
            levels = min(self._open[-1][2], count)
            value = self._pop(levels)
            count -= levels
            if not count:
                return value
            if not self._open or (self._open[-1][1] is None) is not lists:
                raise ParseError("invalid json")
            self._file(value)

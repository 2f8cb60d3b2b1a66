"""What a config holds: nested dicts of integers, byte strings and sets, and how to read and change them.

Values are shared and never changed in place: every change makes new dicts along its path.  Spec:
config-sync.md §4.1.

Theory of operation.  One value has one form, on the wire and in memory:

    integer   64 bits with a sign         int
    string    bytes                       bytes
    set       of integers and strings     frozenset     on the wire a list: integers first, then strings, ascending
    dict      keys are byte strings       dict

A set or dict that holds nothing does not exist; whoever empties one removes it, and so upwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final, TypeAlias

from ramson.errors import LocalError, ParseError
from ramson.protocol import bt

Scalar: TypeAlias = int | bytes
Set: TypeAlias = "frozenset[Scalar]"
Value: TypeAlias = "Scalar | Set | Data"
Data: TypeAlias = "Mapping[bytes, Value]"
Path: TypeAlias = "tuple[bytes, ...]"

EMPTY: Final[Data] = {}
# Configs that exist are 5 deep; a message adds 5 levels around its data and the codec reads 64.
MAX_DEPTH: Final = 32

_MIN_INT = -(2**63)
_MAX_INT = 2**63 - 1


def parse_data(value: bt.Value, *, depth: int = MAX_DEPTH) -> Data:
    """Check that a decoded value is a dict in the one allowed form and return it.  Raises ParseError."""
    if not isinstance(value, dict):
        raise ParseError("config: the data is not a dict")
    if depth == 0:
        raise ParseError("config: the data is nested too deeply")
    return {key: _parse_value(item, depth - 1) for key, item in value.items()}


def _parse_value(value: bt.Value, depth: int) -> Value:
    if not isinstance(value, (int, bytes)) and not value:
        raise ParseError("config: an empty set or dict")
    if isinstance(value, dict):
        return parse_data(value, depth=depth)
    if isinstance(value, list):
        return parse_set(value)
    return parse_scalar(value)


def parse_scalar(value: bt.Value) -> Scalar:
    """Check that a decoded value is a string or a signed 64-bit integer.  Raises ParseError."""
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise ParseError("config: an integer exceeds 63 bits and a sign")
        return value
    if isinstance(value, bytes):
        return value
    raise ParseError("config: a set holds something else than integers and strings")


def parse_set(items: bt.Value) -> Set:
    """Check that a decoded list is in the order of a set and return the set, possibly empty.  Raises ParseError."""
    if not isinstance(items, list):
        raise ParseError("config: a set is not a list")
    scalars = [parse_scalar(item) for item in items]
    keys = [_order(scalar) for scalar in scalars]
    if any(left >= right for left, right in pairwise(keys)):
        raise ParseError("config: a set is not in order")
    return frozenset(scalars)


def sorted_set(items: Iterable[Scalar]) -> list[Scalar]:
    """Return a set's items in the order of the wire."""
    return sorted(items, key=_order)


def _order(scalar: Scalar) -> tuple[bool, int, bytes]:
    return (False, scalar, b"") if isinstance(scalar, int) else (True, 0, scalar)


def to_bt(value: Value) -> bt.Value:
    """Return the value as the bencode codec takes it."""
    if isinstance(value, Mapping):
        return {key: to_bt(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return list(sorted_set(value))
    return value


def at(data: Data, path: Path) -> Value | None:
    """Return the value at `path`, or None."""
    found: Value = data
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def dict_at(data: Data, path: Path) -> Data:
    """Return the dict at `path`; an empty one when there is none."""
    found = at(data, path)
    return found if isinstance(found, Mapping) else EMPTY


def replace(data: Data, path: Path, changes: Mapping[bytes, Value | None]) -> Data:
    """Return `data` with entries of the dict at `path` assigned, or removed where the new value is None.

    Missing dicts on the way are made, emptied ones removed.  Returns `data` itself when nothing changes.
    Raises LocalError for values that a config cannot hold.
    """
    depth = MAX_DEPTH - len(path)
    if depth <= 0:
        raise LocalError(f"a config is at most {MAX_DEPTH} dicts deep")
    kept = {key: None if item is None else normal(item, depth - 1) for key, item in changes.items()}
    return _replaced(data, path, kept)


def _replaced(data: Data, path: Path, changes: Mapping[bytes, Value | None]) -> Data:
    if path:
        below = dict_at(data, path[:1])
        replaced = _replaced(below, path[1:], changes)
        if replaced is below:
            return data
        changes = {path[0]: replaced or None}
    elif all(data.get(key) == item for key, item in changes.items()):
        return data
    merged = {**data, **changes}
    return {key: item for key, item in merged.items() if item is not None}


def normal(value: Value, depth: int = MAX_DEPTH) -> Value | None:
    """Return the value without empty sets and dicts inside; None if nothing is left of it.

    Raises LocalError for what a config cannot hold.
    """
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise LocalError("a config holds integers of 64 bits with a sign")
        return int(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, frozenset):
        for item in value:
            if not isinstance(item, (int, bytes)):
                raise LocalError("a config's sets hold integers and bytes")
            normal(item)
        return value or None
    if not isinstance(value, Mapping) or depth <= 0:
        raise LocalError(f"a config holds integers, bytes, sets and dicts, {MAX_DEPTH} deep at most")
    kept = {key: normal(item, depth - 1) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None} or None

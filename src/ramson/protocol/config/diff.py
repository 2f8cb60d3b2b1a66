"""What changed between two states of a config: found, written, read and applied again elsewhere.

Pure functions over values.  Spec: config-sync.md §4.2.

Theory of operation.  A diff mirrors the dict it describes, with only the keys that changed:

    ""               the key was given a scalar, which is looked up in the data of the message that has the diff
    "-"              the key was removed
    [[…], […]]       members were added to and removed from the set
    {…}              keys of the dict below changed

Applying a diff to any other state does what its author did, key by key; keys it does not name stay as they
are.  A scalar that its own message no longer has was replaced by a later change: it still ends what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.config.values import (
    EMPTY,
    MAX_DEPTH,
    Data,
    Set,
    Value,
    parse_set,
    sorted_set,
)


class Mark(Enum):
    """A change that needs no more words."""

    ASSIGNED = b""
    REMOVED = b"-"


@dataclass(frozen=True, slots=True)
class SetChange:
    """Members added to and removed from a set."""

    added: Set
    removed: Set


Change: TypeAlias = "Mark | SetChange | Diff"
Diff: TypeAlias = "Mapping[bytes, Change]"

NOTHING: Final[Diff] = {}
_NO_MEMBERS: Final[Set] = frozenset()
_MARKS: Final = {mark.value: mark for mark in Mark}


def difference(old: Data, new: Data) -> Diff:
    """Return what leads from `old` to `new`."""
    changes: dict[bytes, Change] = {}
    for key in old.keys() | new.keys():
        change = _change(old.get(key), new.get(key))
        if change is not None:
            changes[key] = change
    return changes


def _change(old: Value | None, new: Value | None) -> Change | None:
    if isinstance(new, Mapping) or (new is None and isinstance(old, Mapping)):
        inner = difference(old if isinstance(old, Mapping) else EMPTY, new if new is not None else EMPTY)
        return inner or None
    if isinstance(new, frozenset) or (new is None and isinstance(old, frozenset)):
        before = old if isinstance(old, frozenset) else _NO_MEMBERS
        after = new if new is not None else _NO_MEMBERS
        return None if before == after else SetChange(after - before, before - after)
    if new is None:
        return Mark.REMOVED
    return None if type(old) is type(new) and old == new else Mark.ASSIGNED


def apply(data: Data, diff: Diff, source: Data) -> Data:
    """Return `data` with the changes of `diff` made; assigned scalars are taken from `source`."""
    result = dict(data)
    for key, change in diff.items():
        value = _applied(result.get(key), change, source.get(key))
        if value is None or (not isinstance(value, (int, bytes)) and not value):
            result.pop(key, None)
        else:
            result[key] = value
    return result


def _applied(current: Value | None, change: Change, source: Value | None) -> Value | None:
    if change is Mark.REMOVED:
        return None
    if change is Mark.ASSIGNED:
        return source if isinstance(source, (int, bytes)) else None
    if isinstance(change, SetChange):
        members = current if isinstance(current, frozenset) else _NO_MEMBERS
        return (members | change.added) - change.removed
    below = current if isinstance(current, Mapping) else EMPTY
    return apply(below, change, source if isinstance(source, Mapping) else EMPTY)


def overlay(below: Diff, above: Diff) -> Diff:
    """Return both diffs as one; where both speak of a key, `below` says what is assigned, `above` what is removed."""
    result = dict(below)
    for key, change in above.items():
        lower = result.get(key)
        if lower is None:
            result[key] = change
        elif isinstance(lower, SetChange) and isinstance(change, SetChange):
            result[key] = SetChange(lower.added, change.removed)
        elif isinstance(lower, Mapping) and isinstance(change, Mapping):
            result[key] = overlay(lower, change)
    return result


def to_bt(diff: Diff) -> bt.Value:
    """Return the diff as the bencode codec takes it."""
    return {key: _change_to_bt(change) for key, change in diff.items()}


def _change_to_bt(change: Change) -> bt.Value:
    if isinstance(change, Mark):
        return change.value
    if isinstance(change, SetChange):
        return [list(sorted_set(change.added)), list(sorted_set(change.removed))]
    return to_bt(change)


def parse(value: bt.Value, *, depth: int = MAX_DEPTH) -> Diff:
    """Read a decoded diff.  Raises ParseError."""
    if not isinstance(value, dict):
        raise ParseError("config: a diff is not a dict")
    if depth == 0:
        raise ParseError("config: a diff is nested too deeply")
    return {key: _parse_change(item, depth - 1) for key, item in value.items()}


def _parse_change(value: bt.Value, depth: int) -> Change:
    if isinstance(value, dict):
        return parse(value, depth=depth)
    if isinstance(value, bytes) and value in _MARKS:
        return _MARKS[value]
    if isinstance(value, list) and len(value) == 2:
        return SetChange(parse_set(value[0]), parse_set(value[1]))
    raise ParseError("config: a diff says something unknown of a key")

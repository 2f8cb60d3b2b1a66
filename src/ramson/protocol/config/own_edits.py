"""What was changed here lately, so that it is noticed when a merge elsewhere takes it back, and can be made again.

Pure functions over frozen values; `Config` keeps the `OwnEdits`.  Spec: config-sync.md §4.2 has merges but nothing of
this; it adds no byte to any message.

Theory of operation.  A device that merges without having edited anything writes a message whose diff names *all* the
data (see `Draft.restates`).  Another device that changed a key at the same time may then find its change replaced by
the older value, although nobody ever asked for that.  So each device remembers what it changed in the messages that
a merge may still look back to, and after each merge looks at each such value that was still there before:

*   the value is again one that was there before the change, and
*   of the diffs that came after the change, each one that names the key did not know of it: its message stood beside
    the change, or it restates, which shows by a key that it names although nothing about it is new.

Then the change was not replaced but undone.  It is made again, as an ordinary edit, once the merged message is in the
swarm: that message is the same bytes on every device that merged, and stays so.  A change that somebody took back
on purpose names only what it changes, and stands.
"""

# spec gap: other clients do not make such edits again; to them these are ordinary edits.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.config.diff import Diff, Mark
from ramson.protocol.config.message import HASH_SIZE, LAG, ConfigMessage, Id, Lagged
from ramson.protocol.config.values import MAX_DEPTH, Data, Path, Value, at, dict_at, parse_data, to_bt
from ramson.protocol.config.values import replace as replaced

_MAX_STEPS: Final = 4_000  # that are remembered

_EDITS, _UNDONE, _BEFORE, _AFTER = b"e", b"u", b"b", b"a"


@dataclass(frozen=True, slots=True)
class Step:
    """One value that was changed here in the message `name`; None stands for no value."""

    name: Id
    path: Path = field(repr=False)
    before: Value | None = field(repr=False)
    after: Value | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnEdits:
    """The changes made here that a merge may still undo, oldest first, and those that one did undo."""

    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()

    def with_edit(self, name: Id, before: Data, after: Data) -> OwnEdits:
        """Return these and what the message `name` changes; what is too old for a merge is forgotten."""
        kept = [step for step in self.steps if step.name[0] > name[0] - LAG and step.name != name]
        steps = (*kept, *(Step(name, *change) for change in _changes((), before, after)))
        return OwnEdits(steps[-_MAX_STEPS:], self.undone)

    def after_merge(
        self, own: ConfigMessage, pool: Sequence[ConfigMessage], seqno: int, history: Lagged, merged: Data
    ) -> OwnEdits:
        """Return these after a merge of `pool` that led from `own` to `merged`, at `seqno` and with that `history`."""
        if not self.steps or own.id not in history:  # too long ago to tell what came after it
            return self
        known = own.history()
        branches = [(message.seqno, message.history()) for message in pool]
        news = {name: diff for name, diff in history.items() if name not in known}
        undone = {step.path: step for step in self.undone}
        for step in {step.path: step for step in self.steps}.values():
            now = at(merged, step.path)
            if at(own.data, step.path) != step.after or not self._was_before(step, now):
                continue
            later = {name: diff for name, diff in news.items() if name > step.name and _names(diff, step.path)}
            # Who knew of the step wrote a higher seqno: within the lag we see that.
            if (later or seqno - LAG <= step.name[0]) and all(
                _beside(step.name, name, branches) or _restates(diff, own.data, merged) for name, diff in later.items()
            ):
                undone[step.path] = replace(step, before=now)
        return OwnEdits(self.steps, tuple(undone.values()))

    def _was_before(self, step: Step, value: Value | None) -> bool:
        """Tell whether another value than that of `step` is one that was at its path before."""
        return value != step.after and any(value == other.before for other in self.steps if other.path == step.path)

    def made_again(self, data: Data) -> Data:
        """Return `data` with what was undone made again, where nobody changed it since."""
        for step in self.undone:
            if at(data, step.path) == step.before:
                data = replaced(data, step.path[:-1], {step.path[-1]: step.after})
        return data

    def to_bytes(self) -> bytes:
        """Return everything, for `parse`."""
        return bt.encode(
            {_EDITS: [_to_bt(step) for step in self.steps], _UNDONE: [_to_bt(step) for step in self.undone]}
        )

    @classmethod
    def parse(cls, data: bytes) -> OwnEdits:
        """Read what `to_bytes` returned; nothing stands for none.  Raises ParseError."""
        if not data:
            return cls()
        fields = bt.decode(data)
        if not isinstance(fields, dict) or fields.keys() != {_EDITS, _UNDONE}:
            raise ParseError("config: remembered edits of another form")
        return cls(_steps(fields[_EDITS]), _steps(fields[_UNDONE]))


def _changes(path: Path, old: Data, new: Data) -> Iterator[tuple[Path, Value | None, Value | None]]:
    """Find the scalars and sets that differ."""
    for key in sorted(old.keys() | new.keys()):
        here, before, after = (*path, key), old.get(key), new.get(key)
        if before is after:
            continue
        yield from _changes(here, dict_at(old, (key,)), dict_at(new, (key,)))
        ended = None if isinstance(before, Mapping) else before
        begun = None if isinstance(after, Mapping) else after
        if ended != begun:
            yield here, ended, begun


def _names(diff: Diff, path: Path) -> bool:
    """Tell whether a diff changes anything at, above or below a path."""
    change = diff.get(path[0])
    return _names(change, path[1:]) if isinstance(change, Mapping) and len(path) > 1 else change is not None


def _beside(ours: Id, other: Id, branches: Sequence[tuple[int, Lagged]]) -> bool:
    """Tell whether the message `other` was surely written without knowing ours."""
    if other[0] == ours[0]:
        return True
    return any(seqno - LAG < ours[0] and other in history and ours not in history for seqno, history in branches)


def _restates(diff: Diff, ours: Data, merged: Data) -> bool:
    """Tell whether a diff assigns anything as it was here already."""
    for key, change in diff.items():
        mine, theirs = ours.get(key), merged.get(key)
        if isinstance(change, Mapping):
            if isinstance(mine, Mapping) and isinstance(theirs, Mapping) and _restates(change, mine, theirs):
                return True
        elif change is Mark.ASSIGNED and mine is not None and mine == theirs:
            return True
    return False


def _to_bt(step: Step) -> bt.Value:
    values = {_BEFORE: step.before, _AFTER: step.after}
    return [*step.name, list(step.path), {key: to_bt(value) for key, value in values.items() if value is not None}]


def _steps(items: bt.Value) -> tuple[Step, ...]:
    if not isinstance(items, list) or len(items) > _MAX_STEPS:
        raise ParseError("config: remembered edits are not a list")
    return tuple(_step(item) for item in items)


def _step(item: bt.Value) -> Step:
    match item:
        case [int(seqno), bytes(name), [_, *_] as keys, dict(values)] if len(name) == HASH_SIZE:
            path = tuple(key for key in keys if isinstance(key, bytes))
            if len(path) == len(keys) <= MAX_DEPTH:
                data = parse_data(values, depth=MAX_DEPTH + 1)
                return Step((seqno, name), path, data.get(_BEFORE), data.get(_AFTER))
    raise ParseError("config: a remembered edit of another form")

"""One shared config on one device: edited, pushed, merged with what other devices pushed, kept across restarts.

A small state machine without I/O: its owner stores what `push` returns, fetches what `merge` takes, and saves
`dump` before pushing and after merging.  Spec: config-sync.md §4.4.

Theory of operation.

    CLEAN     the config is one message that is in the swarm
    DIRTY     there is a draft; `push` finishes it
    WAITING   the finished message was handed out; `confirm_pushed` says under which hashes it is stored

Edits lead to DIRTY from anywhere.  `merge` leads to CLEAN when one message includes all others, to DIRTY when
concurrent ones had to be combined.  Hashes of messages that a newer one includes are *obsolete*: the next push
hands them out to be deleted, again and again until one push is confirmed.

What was edited here but never reached the swarm is not lost when the others have moved on too far to
combine it: it is made again on top of what they came to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.protocol import bt
from ramson.protocol.config import message as messages_
from ramson.protocol.config.diff import apply, difference
from ramson.protocol.config.draft import NO_EDITS, Draft, Edits
from ramson.protocol.config.kinds import ConfigKeys, ConfigKind
from ramson.protocol.config.merging import Adopted, Combined, merge, survivors
from ramson.protocol.config.message import FIRST, ConfigMessage
from ramson.protocol.config.own_edits import OwnEdits
from ramson.protocol.config.packing import Part, decompress, pack, unpack
from ramson.protocol.config.parts import Parts
from ramson.protocol.config.values import EMPTY, Data, Path, Value

MAX_MESSAGES: Final = 1_000  # that one call of `merge` takes
_MAX_HASHES: Final = 10_000  # that a dump may name
_MAX_SEQNO: Final = 2**62  # of a received message; our own may go on from there

_STATE, _MESSAGE, _CURRENT, _OBSOLETE, _PARTS, _EXTRA = b"!", b"$", b"(", b")", b"*", b"+"


class State(IntEnum):
    """Where a config stands towards the swarm."""

    CLEAN = 0
    DIRTY = 1
    WAITING = 2


class ReadOnlyConfig(LocalError):
    """Only admins of a group change its configs."""


@dataclass(frozen=True, slots=True)
class Push:
    """What to store, all of it, and then what to delete."""

    seqno: int
    messages: tuple[bytes, ...] = field(repr=False)
    obsolete: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Received:
    names: tuple[str, ...]
    message: ConfigMessage


class Config:
    """A config of one kind; see the module."""

    def __init__(self, kind: ConfigKind, keys: ConfigKeys) -> None:
        self.kind = kind
        self.keys = keys  # may be replaced when a group's keys change
        self.needs_dump = False
        self._message = FIRST  # pushed or adopted; meaningless while there is a draft
        self._draft: Draft | None = None
        self._waiting = False
        self._pushed_edits: Edits = NO_EDITS  # while waiting: the edits in the message
        self._current: tuple[str, ...] = ()
        self._obsolete: set[str] = set()
        self._handed_out: frozenset[str] = frozenset()  # obsolete hashes that the push in flight deletes
        self._stores_again = False  # whether the push in flight is of what the swarm has lost
        self._parts = Parts()
        self._extra: bt.Value = {}
        self._own = OwnEdits()

    @property
    def data(self) -> Data:
        """All the data; do not change it."""
        return self._message.data if self._draft is None else self._draft.data

    @property
    def seqno(self) -> int:
        """The seqno of the message there is or will be."""
        return self._message.seqno if self._draft is None else self._draft.seqno

    @property
    def state(self) -> State:
        """Where the config stands towards the swarm."""
        if self._draft is not None:
            return State.DIRTY
        return State.WAITING if self._waiting else State.CLEAN

    @property
    def needs_push(self) -> bool:
        """Whether the swarm does not have, as far as we know, what is here."""
        return self.state is not State.CLEAN

    @property
    def current_hashes(self) -> tuple[str, ...]:
        """The swarm hashes of the current message: one, or those of its parts; none unless it was confirmed."""
        return self._current

    @property
    def active_hashes(self) -> frozenset[str]:
        """The swarm hashes to keep alive: the current ones and those of parts that wait for others."""
        return self._parts.waiting().union(self._current)

    def edit(self, path: Path, changes: Mapping[bytes, Value | None]) -> bool:
        """Assign keys of the dict at `path`, or remove those whose value is None; return whether anything changed.

        Raises ReadOnlyConfig, and LocalError for values that a config cannot hold.
        """
        draft = Draft.after(self._message) if self._draft is None else self._draft
        edited = draft.edited(path, changes)
        if edited is draft:
            return False
        self._open(edited)
        return True

    def push(self, *, deleting: bool = True) -> Push:
        """Return what to store and what to delete after that; a second call returns the same until something changes.

        Without `deleting`, which is for what the swarm has lost, it names nothing to delete; what is then confirmed
        takes the place of the current hashes.

        Raises ConfigTooLarge (and stays as it was) when the config does not fit what can be stored.
        """
        message = self._message if self._draft is None else self._finished(self._draft)
        stored = pack(message.serialized, message.seqno, self.kind, self.keys)
        if self._draft is not None:
            self._own = self._own_edits(message)
            self._pushed_edits = self._draft.edits
            self._message, self._draft, self._waiting = message, None, True
            self.needs_dump = True
        self._handed_out = frozenset(self._obsolete) if deleting else frozenset()
        self._stores_again = not deleting
        return Push(message.seqno, stored, tuple(sorted(self._handed_out)))

    def confirm_pushed(self, seqno: int, hashes: Iterable[str]) -> None:
        """Note under which hashes the messages of the push with this seqno are stored.

        If something was changed since, they are obsolete already.
        """
        names = tuple(hashes)
        if self.state is State.WAITING and seqno == self.seqno:
            self._waiting, self._pushed_edits = False, NO_EDITS
            self._current = names
            self._obsolete -= self._handed_out.union(names)
        elif self.state is State.CLEAN and seqno == self.seqno:  # it was in the swarm before; the deletions are done
            self._obsolete -= self._handed_out
            if self._stores_again:  # other programs wrap and compress otherwise, so the hashes may be others
                self._obsolete = self._obsolete.union(self._current).difference(names)
                self._current = names
        elif seqno < self.seqno:
            self._obsolete |= set(names).difference(self._current)
        else:
            return
        self.needs_dump = True

    def merge(self, stored: Sequence[tuple[str, bytes]], *, now_ms: int) -> list[str]:
        """Take in messages from the swarm, as pairs of swarm hash and bytes, in any order, any number of times.

        Returns the hashes of those that are messages, or parts of messages, of this config; others are ignored.
        Raises LocalError for more than `MAX_MESSAGES`.
        """
        if len(stored) > MAX_MESSAGES:
            raise LocalError(f"merge at most {MAX_MESSAGES} messages at a time")
        if self._parts.expire(now_ms):
            self.needs_dump = True
        accepted: list[str] = []
        received: list[_Received] = []
        for name, data in stored:
            try:
                found = self._receive(name, data, now_ms)
            except ParseError:
                continue
            accepted.append(name)
            if found is not None:
                received.append(found)
        if received:
            self._take(received)
        return accepted

    @property
    def undone(self) -> bool:
        """Whether a merge elsewhere undid what was edited here; see `own_edits`."""
        return bool(self._own.undone)

    def make_again(self) -> bool:
        """Make again what was edited here and undone by a merge elsewhere; return whether anything was.

        Does nothing unless the config is clean, so that merged messages stay the same on all devices.
        """
        if self.state is not State.CLEAN or not self._own.undone:
            return False
        data = self._own.made_again(self.data)
        self._own = OwnEdits(self._own.steps)
        self.needs_dump = True
        if data == self.data:
            return False
        self._open(Draft.after(self._message).with_data(data))
        return True

    def dump(self) -> bytes:
        """Return everything there is to know, for `load`, but for what was edited here lately."""
        return self.dump_with_edits()[0]

    def dump_with_edits(self) -> tuple[bytes, bytes]:
        """Return the dump and what was edited here lately, both for `load` and to be kept together."""
        draft = self._draft
        message = self._message if draft is None else draft.reloaded or self._finished(draft)
        fields: dict[bytes, bt.Value] = {
            _STATE: int(self.state),
            _MESSAGE: message.serialized,
            _CURRENT: _names_to_bt(self._current),
            _OBSOLETE: [name.encode() for name in sorted(self._obsolete)],
            _EXTRA: self._extra,
        }
        if self._parts:
            fields[_PARTS] = self._parts.to_bt()
        self.needs_dump = False
        return bt.encode(fields), self._own_edits(message).to_bytes()

    @classmethod
    def load(cls, kind: ConfigKind, keys: ConfigKeys, dump: bytes, edits: bytes = b"") -> Config:
        """Restore what `dump_with_edits` returned, or `dump` alone.  Raises ParseError."""
        fields = bt.decode(dump)
        if not isinstance(fields, dict):
            raise ParseError("config: the dump is not a dict")
        state, serialized = fields.get(_STATE), fields.get(_MESSAGE)
        if not isinstance(state, int) or state not in set(State) or not isinstance(serialized, bytes):
            raise ParseError("config: the dump has no state or no message")
        config = cls(kind, keys)
        # A draft that is too large to push must still come back.
        message = messages_.read(serialized, max_size=len(dump))
        config._message = message
        config._current = _names_from_bt(fields.get(_CURRENT, b""))
        config._obsolete = set(_names_from_bt(fields.get(_OBSOLETE, [])))
        config._parts = Parts.from_bt(fields.get(_PARTS, {}))
        config._extra = fields.get(_EXTRA, {})
        config._own = OwnEdits.parse(edits)
        if state == State.DIRTY:
            config._draft = Draft.reload(message)
        elif state == State.WAITING:
            config._waiting = True
            # A diff that names everything (after a merge) does not tell what was edited here.
            if message.diff != difference(EMPTY, message.data):
                config._pushed_edits = ((message.diff, message.data),)
        return config

    def _finished(self, draft: Draft) -> ConfigMessage:
        return draft.message(self.keys.signer)

    def _own_edits(self, finished: ConfigMessage) -> OwnEdits:
        """Return what was edited here, with what the draft changes, if there is one, in its `finished` message."""
        draft = self._draft
        if draft is None or draft.reloaded is not None:
            return self._own
        return self._own.with_edit(finished.id, draft.origin, draft.data)

    def _open(self, draft: Draft) -> None:
        if not self.keys.may_write:
            raise ReadOnlyConfig("only admins of a group change its configs")
        self._draft, self._waiting, self._pushed_edits = draft, False, NO_EDITS
        self._obsolete.update(self._current)
        self._current = ()
        self.needs_dump = True

    def _receive(self, name: str, data: bytes, now_ms: int) -> _Received | None:
        """Return a message, or None for a part that does not complete one.  Raises ParseError."""
        names: tuple[str, ...] = (name,)
        body = unpack(data, self.kind, self.keys)
        if isinstance(body, Part):
            known = self._parts.waiting()
            assembled = self._parts.add(name, body, now_ms)
            self.needs_dump |= self._parts.waiting() != known
            if assembled is None:
                return None
            names = assembled.names
            body = decompress(assembled.padded.lstrip(b"\0"))
        message = messages_.read(body)
        if self.keys.verifier is not None and not message.verify(self.keys.verifier):
            raise ParseError("config: a message without the group's signature")
        if message.seqno > _MAX_SEQNO:
            raise ParseError("config: a seqno so high that few would be left")
        return _Received(names, message)

    def _take(self, received: list[_Received]) -> None:
        own = None
        if self._draft is not None:
            own = self._finished(self._draft)
        elif self._message.seqno > 0:
            own = self._message
        pool = [found.message for found in received]
        if own is not None:
            pool.insert(0, own)
        # Who may not write takes the highest and leaves the rest to those who may.
        outcome = merge(pool) if self.keys.may_write else Adopted(pool.index(survivors(pool)[0]))
        superseded = {name for found in received for name in found.names}.union(self._current)
        ours = own or self._message
        if isinstance(outcome, Combined):
            self._own = self._own_edits(ours).after_merge(ours, pool, outcome.seqno, outcome.lagged, outcome.data)
            self._combine(outcome)
        else:
            winner = pool[outcome.position]
            if winner == (own or self._message):
                # Copies of it under other hashes, as of programs that wrap otherwise, are superfluous if ours is there.
                same = {name for found in received if found.message == winner for name in found.names}
                superseded -= set(self._current) or same
            else:
                included = own is not None and own.id in winner.lagged
                self._own = self._own_edits(ours).after_merge(ours, pool, winner.seqno, winner.history(), winner.data)
                self._adopt(next(found for found in received if found.message == winner), again=not included)
                superseded -= set(self._current)
        # Worth no dump of its own: a hash that is forgotten expires by itself.
        self._obsolete |= superseded

    def _combine(self, combined: Combined) -> None:
        was_draft = self._draft is not None
        edits = self._draft.edits if self._draft is not None else self._pushed_edits
        self._open(Draft.combining(combined, earlier=edits, restates=not was_draft))

    def _adopt(self, found: _Received, *, again: bool) -> None:
        """Let a received message be ours; make unpushed edits `again` on top of it."""
        edits = (self._draft.edits if self._draft is not None else self._pushed_edits) if again else NO_EDITS
        self._message, self._draft, self._waiting, self._pushed_edits = found.message, None, False, NO_EDITS
        self._current = found.names
        self.needs_dump = True
        data = found.message.data
        for diff, source in edits:
            data = apply(data, diff, source)
        if data != found.message.data:
            self._open(Draft.after(found.message).with_data(data))


def _names_to_bt(names: tuple[str, ...]) -> bt.Value:
    if len(names) > 1:
        return [name.encode() for name in names]
    return names[0].encode() if names else b""


def _names_from_bt(value: bt.Value) -> tuple[str, ...]:
    names = [value] if isinstance(value, bytes) and value else value or []
    if not isinstance(names, list) or len(names) > _MAX_HASHES:
        raise ParseError("config: the dump's hashes are not a list")
    return tuple(_name(name) for name in names)


def _name(name: bt.Value) -> str:
    try:
        if isinstance(name, bytes):
            return name.decode()
    except UnicodeDecodeError:
        pass
    raise ParseError("config: a swarm hash in the dump is not text")

"""Parts of large messages, kept until the others come.

One small mutable store, owned by a `Config`.  Spec: config-sync.md §4.3 (5), §4.4 (dump).

Theory of operation.  Parts are gathered by the hash of the whole they belong to.  When all are there, the whole
is checked against that hash and handed out, and only the names of the parts are remembered, so that a part
that is fetched again is known.  Everything is forgotten with age, and the oldest first when there is too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ramson.crypto.hashing import blake2b
from ramson.errors import ParseError
from ramson.protocol import bt
from ramson.protocol.config.message import HASH_SIZE
from ramson.protocol.config.packing import MAX_PADDED, Part
from ramson.protocol.namespaces import DAY_MS

WAIT_MS: Final = 7 * DAY_MS  # for the missing parts
REMEMBER_MS: Final = 14 * DAY_MS  # the parts of a complete message
MAX_WHOLES: Final = 32
MAX_WAITING: Final = 4  # of them, incomplete: each may hold a whole message's bytes

_COUNT, _SINCE, _CHUNKS, _NAMES = b"#", b"@", b"c", b"n"


@dataclass(slots=True)
class _Whole:
    count: int
    since_ms: int
    names: dict[int, str] = field(default_factory=dict)
    chunks: dict[int, bytes] = field(default_factory=dict, repr=False)  # none when complete

    @property
    def complete(self) -> bool:
        return len(self.names) == self.count

    def expired(self, now_ms: int) -> bool:
        return now_ms - self.since_ms > (REMEMBER_MS if self.complete else WAIT_MS)


@dataclass(frozen=True, slots=True)
class Assembled:
    """A message whose parts are all there: their swarm hashes in order, and the padded bytes they make up."""

    names: tuple[str, ...]
    padded: bytes = field(repr=False)


class Parts:
    """The parts that have come so far."""

    def __init__(self) -> None:
        self._wholes: dict[bytes, _Whole] = {}

    def __len__(self) -> int:
        return len(self._wholes)

    def waiting(self) -> frozenset[str]:
        """Return the swarm hashes of parts whose message is not complete."""
        return frozenset(name for whole in self._wholes.values() if not whole.complete for name in whole.names.values())

    def add(self, name: str, part: Part, now_ms: int) -> Assembled | None:
        """Keep a part that was stored under the swarm hash `name`; return the message it completes, if it does.

        A part that is already there changes nothing.  Raises ParseError for a part that does not belong to the
        others, and when the parts together are not what they claim to be; they are then forgotten.
        """
        whole = self._wholes.get(part.whole)
        if whole is None:
            whole = self._wholes[part.whole] = _Whole(part.count, now_ms)
            self._make_room(part.whole)
        if whole.count != part.count:
            raise ParseError("config: a part of another number of parts")
        if part.index in whole.names:
            return None
        if sum(map(len, whole.chunks.values())) + len(part.chunk) > MAX_PADDED:
            raise ParseError("config: the parts are too large")
        whole.names[part.index] = name
        whole.chunks[part.index] = part.chunk
        if not whole.complete:
            return None
        padded = b"".join(whole.chunks[index] for index in range(whole.count))
        whole.chunks.clear()
        if blake2b(padded) != part.whole:
            del self._wholes[part.whole]
            raise ParseError("config: the parts do not make up the message they claim to be")
        return Assembled(tuple(whole.names[index] for index in range(whole.count)), padded)

    def expire(self, now_ms: int) -> bool:
        """Forget what is too old; return whether anything was."""
        old = [key for key, whole in self._wholes.items() if whole.expired(now_ms)]
        for key in old:
            del self._wholes[key]
        return bool(old)

    def _make_room(self, newest: bytes) -> None:
        waiting = [key for key, whole in self._wholes.items() if not whole.complete and key != newest]
        for key in waiting[: max(0, len(waiting) + 1 - MAX_WAITING)]:
            del self._wholes[key]
        for key in [key for key in self._wholes if key != newest][: max(0, len(self._wholes) - MAX_WHOLES)]:
            del self._wholes[key]

    def to_bt(self) -> bt.Value:
        """Return everything for a dump.  The form is ours alone: a dump never leaves the device."""
        return {
            key: {
                _COUNT: whole.count,
                _SINCE: whole.since_ms,
                _NAMES: {bytes([index]): name.encode() for index, name in whole.names.items()},
                _CHUNKS: {bytes([index]): chunk for index, chunk in whole.chunks.items()},
            }
            for key, whole in self._wholes.items()
        }

    @classmethod
    def from_bt(cls, value: bt.Value) -> Parts:
        """Restore what `to_bt` returned.  Raises ParseError."""
        parts = cls()
        for key, fields in sorted(_mapping(value).items(), key=lambda item: _since(item[1])):
            named = _mapping(fields)
            count, since = named.get(_COUNT), _since(named)
            names = _indexed(named.get(_NAMES), count)
            chunks = _indexed(named.get(_CHUNKS), count)
            if not isinstance(count, int) or len(key) != HASH_SIZE or not names:
                raise ParseError("config: broken parts in a dump")
            if chunks.keys() != ({} if len(names) == count else names).keys():
                raise ParseError("config: a dump has other parts than it names")
            texts = {index: _text(name) for index, name in names.items()}
            parts._wholes[key] = _Whole(count, since, texts, chunks)
        return parts


def _mapping(value: bt.Value) -> Mapping[bytes, bt.Value]:
    if not isinstance(value, dict):
        raise ParseError("config: broken parts in a dump")
    return value


def _since(fields: bt.Value | Mapping[bytes, bt.Value]) -> int:
    since = fields.get(_SINCE) if isinstance(fields, Mapping) else None
    if not isinstance(since, int):
        raise ParseError("config: parts without a time in a dump")
    return since


def _indexed(value: bt.Value | None, count: bt.Value | None) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for key, item in (value if isinstance(value, dict) else {}).items():
        if len(key) != 1 or not isinstance(item, bytes) or not isinstance(count, int) or key[0] >= count:
            raise ParseError("config: broken parts in a dump")
        found[key[0]] = item
    return found


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ParseError("config: a swarm hash is not text") from None

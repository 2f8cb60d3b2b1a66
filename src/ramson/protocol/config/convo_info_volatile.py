"""How far each conversation was read.

A view over a `Config` of kind CONVO_INFO_VOLATILE, and its records.  It changes with everything one reads, so
it is a config of its own, and forgets conversations in which nothing happened.  Spec: config-sync.md §4.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ramson.crypto.account import ACCOUNT, BLINDED_15, BLINDED_25, GROUP, AccountId
from ramson.errors import LocalError
from ramson.protocol.config import communities, fields
from ramson.protocol.config.config import Config
from ramson.protocol.config.values import Data, Path, Value, dict_at
from ramson.protocol.namespaces import DAY_MS

KEEP_MS: Final = 30 * DAY_MS

_ID_SIZE = 33
_ONE_TO_ONE, _GROUPS, _LEGACY_GROUPS, _BLINDED, _COMMUNITIES = b"1", b"g", b"C", b"b", b"o"
_PREFIXES: Final = {
    _ONE_TO_ONE: {ACCOUNT},
    _GROUPS: {GROUP},
    _LEGACY_GROUPS: {ACCOUNT},
    _BLINDED: {BLINDED_15, BLINDED_25},
}


@dataclass(frozen=True, slots=True)
class ReadState:
    """When the newest message one has read was sent, and whether one marked the conversation unread by hand."""

    last_read_ms: int = 0
    unread: bool = False


@dataclass(frozen=True, slots=True)
class OneToOne:
    """A conversation with one person."""

    id: AccountId
    read: ReadState
    pro_expires: int = 0  # of the other one's subscription, as stored
    pro_tag: bytes = b""


@dataclass(frozen=True, slots=True)
class Group:
    """A group (03)."""

    id: AccountId
    read: ReadState


@dataclass(frozen=True, slots=True)
class Community:
    """A room of a community."""

    base_url: str
    room: str
    key: bytes
    read: ReadState


@dataclass(frozen=True, slots=True)
class LegacyGroup:
    """A group of the old kind."""

    id: AccountId
    read: ReadState


@dataclass(frozen=True, slots=True)
class Blinded:
    """A conversation with somebody of a community whose account id is not known."""

    id: AccountId
    read: ReadState
    legacy_blinding: bool = False


Conversation: TypeAlias = OneToOne | Group | Community | LegacyGroup | Blinded


class ConvoInfoVolatile:
    """The read states of all conversations."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __iter__(self) -> Iterator[Conversation]:
        """Go through people, groups, communities, old groups and blinded people, each by id."""
        for id_, entry in self._by_id(_ONE_TO_ONE):
            yield _one_to_one(id_, entry)
        for id_, entry in self._by_id(_GROUPS):
            yield Group(id_, _state(entry))
        for room, entry in communities.rooms(self.config.data):
            yield Community(room.base_url, room.room, room.key, _state(entry))
        for id_, entry in self._by_id(_LEGACY_GROUPS):
            yield LegacyGroup(id_, _state(entry))
        for id_, entry in self._by_id(_BLINDED):
            yield Blinded(id_, _state(entry), fields.flag(entry, b"y"))

    def one_to_one(self, account: AccountId) -> ReadState | None:
        """Return how far a conversation with one person was read, or None."""
        return self._get(_ONE_TO_ONE, account)

    def group(self, group: AccountId) -> ReadState | None:
        """Return how far a group was read, or None."""
        return self._get(_GROUPS, group)

    def community(self, base_url: str, room: str) -> ReadState | None:
        """Return how far a room was read, or None.  Raises ParseError for what is no room."""
        found = communities.find(self.config.data, base_url, room)
        return None if found is None else _state(found[1])

    def set(self, conversation: Conversation) -> None:
        """Write a conversation's record.  Raises LocalError for an id of another kind, ParseError for no room."""
        changes = _put_state(conversation.read)
        if isinstance(conversation, Community):
            communities.put(self.config, conversation.base_url, conversation.room, conversation.key, changes)
            return
        section = _section(conversation)
        if isinstance(conversation, OneToOne):
            changes[b"e"] = fields.put_positive(conversation.pro_expires)
            changes[b"g"] = conversation.pro_tag or None
        elif isinstance(conversation, Blinded):
            changes[b"y"] = fields.put_flag(conversation.legacy_blinding)
        self.config.edit(_path(section, conversation.id), changes)

    def set_read(self, account: AccountId, read: ReadState) -> None:
        """Write how far a conversation with one person was read, and nothing else.  Raises LocalError for other ids."""
        self.config.edit(_path(_ONE_TO_ONE, account), _put_state(read))

    def erase_one_to_one(self, account: AccountId) -> bool:
        """Forget a conversation; return whether it was there."""
        return self._erase(_ONE_TO_ONE, account)

    def erase_group(self, group: AccountId) -> bool:
        """Forget a group; return whether it was there."""
        return self._erase(_GROUPS, group)

    def erase_legacy_group(self, group: AccountId) -> bool:
        """Forget an old group; return whether it was there."""
        return self._erase(_LEGACY_GROUPS, group)

    def erase_blinded(self, account: AccountId) -> bool:
        """Forget a conversation with a blinded id; return whether it was there."""
        return self._erase(_BLINDED, account)

    def erase_community(self, base_url: str, room: str) -> bool:
        """Forget a room; return whether it was there.  Raises ParseError for what is no room."""
        return communities.erase(self.config, base_url, room)

    def prune(self, now_ms: int) -> int:
        """Forget what was read for the last time `KEEP_MS` ago and is not marked unread; return how many.

        To be done before a push.
        """
        pruned = 0
        for section in (_ONE_TO_ONE, _GROUPS, _LEGACY_GROUPS, _BLINDED):
            old: dict[bytes, Value | None] = {
                id_.raw: None for id_, entry in self._by_id(section) if _stale(entry, now_ms)
            }
            self.config.edit((section,), old)
            pruned += len(old)
        stale = [room for room, entry in communities.rooms(self.config.data) if _stale(entry, now_ms)]
        return pruned + sum(communities.erase(self.config, room.base_url, room.room) for room in stale)

    def _by_id(self, section: bytes) -> list[tuple[AccountId, Data]]:
        found = fields.entries(dict_at(self.config.data, (section,)), _ID_SIZE)
        return [(AccountId.from_bytes(raw), entry) for raw, entry in found if raw[0] in _PREFIXES[section]]

    def _get(self, section: bytes, id_: AccountId) -> ReadState | None:
        entry = self.config.data.get(section)
        found = entry.get(id_.raw) if isinstance(entry, Mapping) else None
        return _state(found) if isinstance(found, Mapping) else None

    def _erase(self, section: bytes, id_: AccountId) -> bool:
        return self.config.edit((section,), {id_.raw: None})


def _section(conversation: OneToOne | Group | LegacyGroup | Blinded) -> bytes:
    match conversation:
        case OneToOne():
            return _ONE_TO_ONE
        case Group():
            return _GROUPS
        case LegacyGroup():
            return _LEGACY_GROUPS
        case Blinded():
            return _BLINDED


def _path(section: bytes, id_: AccountId) -> Path:
    if id_.prefix not in _PREFIXES[section]:
        raise LocalError("an id of another kind of conversation")
    return section, id_.raw


def _state(entry: Data) -> ReadState:
    return ReadState(max(0, fields.number(entry, b"r")), fields.flag(entry, b"u"))


def _put_state(state: ReadState) -> fields.Changes:
    # A conversation never read still has its row: 0 says so.
    return {b"r": max(0, state.last_read_ms), b"u": fields.put_flag(state.unread)}


def _stale(entry: Data, now_ms: int) -> bool:
    state = _state(entry)
    return not state.unread and now_ms - state.last_read_ms > KEEP_MS


def _one_to_one(id_: AccountId, entry: Data) -> OneToOne:
    tag = entry.get(b"g")
    return OneToOne(id_, _state(entry), fields.number(entry, b"e"), tag if isinstance(tag, bytes) else b"")

"""The groups and communities one is in.

A view over a `Config` of kind USER_GROUPS, and its records.  Spec: config-sync.md §4.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, TypeAlias

from ramson.crypto.account import ACCOUNT, GROUP, AccountId
from ramson.crypto.keys import KEY_SIZE, Ed25519KeyPair
from ramson.errors import LocalError
from ramson.protocol.config import communities, fields
from ramson.protocol.config.communities import Room
from ramson.protocol.config.config import Config
from ramson.protocol.config.fields import Notify
from ramson.protocol.config.values import Data, dict_at

AUTH_SIZE: Final = 100  # bytes of a member's subaccount credential

_GROUPS, _LEGACY_GROUPS = b"g", b"C"
_ID_SIZE = 33


class Removed(IntEnum):
    """Why a group is not ours any more."""

    NOT = 0
    KICKED = 1
    DESTROYED = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """What all kinds of groups have.  Times are in seconds; 0 is none."""

    priority: int = 0  # -1 hidden, 0 normal, above pinned
    joined_s: int = 0
    notify: Notify = Notify.DEFAULT
    muted_until_s: int = 0
    invited: bool = False  # and not answered


@dataclass(frozen=True, slots=True)
class Group:
    """A group (03).  Admins have its seed, members a credential."""

    id: AccountId
    name: str = ""
    admin_seed: bytes = field(default=b"", repr=False)  # 32 bytes or none
    auth_data: bytes = field(default=b"", repr=False)  # `AUTH_SIZE` bytes or none
    removed: Removed = Removed.NOT
    standing: Standing = Standing()

    def removed_as(self, reason: Removed) -> Group:
        """Return the group as it is after we were removed: without our keys.  Once destroyed, it stays so."""
        if self.removed is Removed.DESTROYED:
            return self
        return replace(self, admin_seed=b"", auth_data=b"", removed=reason)

    def invited_again(self) -> Group:
        """Return the group as it is after a new invitation, which undoes being kicked."""
        return replace(self, removed=Removed.NOT) if self.removed is Removed.KICKED else self


@dataclass(frozen=True, slots=True)
class Community:
    """A room of a community; `room` is in its own case."""

    base_url: str
    room: str
    key: bytes
    standing: Standing = Standing()


@dataclass(frozen=True, slots=True)
class LegacyGroup:
    """A group of the old kind, which can only be read."""

    id: AccountId
    name: str = ""
    public: bytes = b""  # X25519 key pair, 32 bytes each, or none
    secret: bytes = field(default=b"", repr=False)
    timer_s: int = 0
    members: frozenset[AccountId] = frozenset()
    admins: frozenset[AccountId] = frozenset()
    standing: Standing = Standing()


AnyGroup: TypeAlias = Group | Community | LegacyGroup


class UserGroups:
    """All of them."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __iter__(self) -> Iterator[AnyGroup]:
        """Go through groups, communities and old groups, each by id."""
        yield from self.groups()
        yield from self.communities()
        yield from self.legacy_groups()

    def groups(self) -> Iterator[Group]:
        """Go through the groups by id."""
        section = dict_at(self.config.data, (_GROUPS,))
        return (_group(raw, entry) for raw, entry in fields.entries(section, _ID_SIZE, b"\x03"))

    def communities(self) -> Iterator[Community]:
        """Go through the rooms by server and room."""
        return (_community(room, entry) for room, entry in communities.rooms(self.config.data))

    def legacy_groups(self) -> Iterator[LegacyGroup]:
        """Go through the old groups by id."""
        section = dict_at(self.config.data, (_LEGACY_GROUPS,))
        return (_legacy_group(raw, entry) for raw, entry in fields.entries(section, _ID_SIZE, b"\x05"))

    def group(self, id_: AccountId) -> Group | None:
        """Return a group, or None."""
        entry = dict_at(self.config.data, (_GROUPS, id_.raw))
        return _group(id_.raw, entry) if entry else None

    def community(self, base_url: str, room: str) -> Community | None:
        """Return a room, or None.  Raises ParseError for what is no room."""
        found = communities.find(self.config.data, base_url, room)
        return None if found is None else _community(*found)

    def legacy_group(self, id_: AccountId) -> LegacyGroup | None:
        """Return an old group, or None."""
        entry = dict_at(self.config.data, (_LEGACY_GROUPS, id_.raw))
        return _legacy_group(id_.raw, entry) if entry else None

    def set(self, group: AnyGroup) -> None:
        """Add a group or change it to this.

        Raises LocalError for wrong ids, keys and names, and ParseError for what is no room.
        """
        match group:
            case Group():
                self._set_group(group)
            case Community():
                changes = {b"n": group.room.encode(), **_put_standing(group.standing)}
                communities.put(self.config, group.base_url, group.room, group.key, changes)
            case LegacyGroup():
                self._set_legacy_group(group)

    def erase_group(self, id_: AccountId) -> bool:
        """Remove a group; return whether it was there."""
        return self.config.edit((_GROUPS,), {id_.raw: None})

    def erase_community(self, base_url: str, room: str) -> bool:
        """Remove a room; return whether it was there.  Raises ParseError for what is no room."""
        return communities.erase(self.config, base_url, room)

    def erase_legacy_group(self, id_: AccountId) -> bool:
        """Remove an old group; return whether it was there."""
        return self.config.edit((_LEGACY_GROUPS,), {id_.raw: None})

    def _set_group(self, group: Group) -> None:
        if group.id.prefix != GROUP:
            raise LocalError("a group's id begins with 03")
        if len(group.admin_seed) not in {0, KEY_SIZE} or len(group.auth_data) not in {0, AUTH_SIZE}:
            raise LocalError(f"a group's seed has {KEY_SIZE} bytes, its credential {AUTH_SIZE}")
        if group.admin_seed and Ed25519KeyPair.from_seed(group.admin_seed).public != group.id.key:
            raise LocalError("the seed is that of another group")
        changes: fields.Changes = {
            b"K": group.admin_seed,  # even if empty, so that the group is there
            b"n": fields.put_name(group.name),
            b"r": fields.put_positive(group.removed),
            **_put_standing(group.standing),
        }
        if group.auth_data or not group.admin_seed:  # an admin's record keeps the credential from before
            changes[b"s"] = group.auth_data or None
        self.config.edit((_GROUPS, group.id.raw), changes)

    def _set_legacy_group(self, group: LegacyGroup) -> None:
        if any(id_.prefix != ACCOUNT for id_ in {group.id} | group.members | group.admins):
            raise LocalError("an old group's id and those of its members begin with 05")
        if (len(group.public), len(group.secret)) not in {(0, 0), (KEY_SIZE, KEY_SIZE)}:
            raise LocalError("an old group has both keys or none")
        changes: fields.Changes = {
            b"n": fields.put_name(group.name) or b"",
            b"k": group.public or None,
            b"K": group.secret or None,
            b"E": fields.put_positive(group.timer_s),
            b"m": frozenset(id_.raw for id_ in group.members - group.admins),
            b"a": frozenset(id_.raw for id_ in group.admins),
            **_put_standing(group.standing),
        }
        self.config.edit((_LEGACY_GROUPS, group.id.raw), changes)


def _standing(entry: Data) -> Standing:
    return Standing(
        priority=fields.number(entry, b"+"),
        joined_s=fields.number(entry, b"j"),
        notify=fields.notify(entry),
        muted_until_s=fields.number(entry, b"!"),
        invited=fields.flag(entry, b"i"),
    )


def _put_standing(standing: Standing) -> fields.Changes:
    return {
        b"+": fields.put_number(standing.priority),
        b"j": fields.put_positive(standing.joined_s),
        b"@": fields.put_positive(standing.notify),
        b"!": fields.put_positive(standing.muted_until_s),
        b"i": fields.put_flag(standing.invited),
    }


def _group(raw: bytes, entry: Data) -> Group:
    removed = fields.number(entry, b"r")
    return Group(
        id=AccountId.from_bytes(raw),
        name=fields.name(entry, b"n"),
        admin_seed=_own_seed(raw, fields.octets(entry, b"K", KEY_SIZE)),
        auth_data=fields.octets(entry, b"s", AUTH_SIZE),
        removed=Removed(removed) if removed in set(Removed) else Removed.NOT,
        standing=_standing(entry),
    )


def _own_seed(raw: bytes, seed: bytes) -> bytes:
    """Return the seed if it is this group's."""
    return seed if seed and Ed25519KeyPair.from_seed(seed).public == raw[1:] else b""


def _community(room: Room, entry: Data) -> Community:
    named = fields.text(entry, b"n")
    own = named if named.lower() == room.room else room.room
    return Community(room.base_url, own, room.key, _standing(entry))


def _legacy_group(raw: bytes, entry: Data) -> LegacyGroup:
    public, secret = (fields.octets(entry, key, KEY_SIZE) for key in (b"k", b"K"))
    admins = _accounts(entry, b"a")
    return LegacyGroup(
        id=AccountId.from_bytes(raw),
        name=fields.name(entry, b"n"),
        public=public if secret else b"",
        secret=secret if public else b"",
        timer_s=max(0, fields.number(entry, b"E")),
        members=_accounts(entry, b"m") - admins,
        admins=admins,
        standing=_standing(entry),
    )


def _accounts(entry: Data, key: bytes) -> frozenset[AccountId]:
    return frozenset(AccountId.from_bytes(raw) for raw in fields.members(entry, key, _ID_SIZE) if raw[0] == ACCOUNT)

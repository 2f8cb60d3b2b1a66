"""The setters of the typed config families, and what their `content` looks like.

A setter takes its step's fields by name, `id` as `session_id`.
"""

from __future__ import annotations

from typing import Any, Protocol

from ramson.crypto.account import AccountId
from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol.config import (
    Config,
    ConfigKind,
    Contact,
    Contacts,
    ConvoInfoVolatile,
    ExpiryMode,
    Notify,
    Picture,
    UserGroups,
    UserProfile,
)
from ramson.protocol.config import convo_info_volatile as convos
from ramson.protocol.config import user_groups as groups

H = bytes.fromhex
Id = AccountId.parse


class View(Protocol):
    """One client's config, with the setters of its family as methods."""

    def __init__(self, config: Config) -> None: ...

    def content(self) -> dict[str, Any]: ...


def _picture(value: Any) -> Picture | None:
    return None if not value or not value["url"] else Picture(value["url"], H(value["key"]))


def _picture_content(picture: Picture | None) -> Any:
    return None if picture is None else {"url": picture.url, "key": picture.key.hex()}


class ProfileView:
    """Family `config_user_profile`."""

    def __init__(self, config: Config) -> None:
        self.profile = UserProfile(config)

    def set_name(self, value):
        self.profile.set_name(value or "")

    def set_name_truncated(self, value):
        self.profile.set_name_truncated(value)

    def set_profile_pic(self, value):
        self.profile.set_picture(_picture(value))

    def set_nts_priority(self, value):
        self.profile.set_note_to_self_priority(value)

    def set_nts_expiry(self, value):
        self.profile.set_note_to_self_timer(value or 0)

    def set_blinded_msgreqs(self, value):
        self.profile.set_accepts_community_requests(value)

    def content(self):
        profile = self.profile
        return {
            "name": profile.name or None,
            "profile_pic": _picture_content(profile.picture),
            "nts_priority": profile.note_to_self_priority,
            "nts_expiry": profile.note_to_self_timer_s or None,
            "blinded_msgreqs": profile.accepts_community_requests,
        }


class ContactsView:
    """Family `config_contacts`."""

    def __init__(self, config: Config) -> None:
        self.contacts = Contacts(config)

    def set(
        self,
        session_id,
        name="",
        nickname="",
        profile_picture=None,
        approved=False,
        approved_me=False,
        blocked=False,
        priority=0,
        notifications=0,
        mute_until=0,
        exp_mode=0,
        exp_timer=0,
        created=0,
    ):
        contact = Contact(
            id=Id(session_id),
            name=name,
            nickname=nickname,
            picture=_picture(profile_picture),
            approved=approved,
            approved_me=approved_me,
            blocked=blocked,
            priority=priority,
            notify=Notify(notifications),
            muted_until_s=mute_until,
            expiry=ExpiryMode(exp_mode),
            timer_s=exp_timer,
            created_s=created,
        )
        self.contacts.set(contact)

    def erase(self, session_id):
        self.contacts.erase(Id(session_id))

    def content(self):
        contacts = [
            {
                "session_id": contact.id.hex,
                "name": contact.name,
                "nickname": contact.nickname,
                "profile_picture": _picture_content(contact.picture),
                "approved": contact.approved,
                "approved_me": contact.approved_me,
                "blocked": contact.blocked,
                "priority": contact.priority,
                "notifications": int(contact.notify),
                "mute_until": contact.muted_until_s,
                "exp_mode": int(contact.expiry),
                "exp_timer": contact.timer_s,
                "created": contact.created_s,
            }
            for contact in self.contacts
        ]
        return {"size": len(self.contacts), "contacts": contacts}


class ConvosView:
    """Family `config_convo_info_volatile`."""

    def __init__(self, config: Config) -> None:
        self.convos = ConvoInfoVolatile(config)

    def set_1to1(self, session_id, last_read_ms, unread):
        self.convos.set(convos.OneToOne(Id(session_id), convos.ReadState(last_read_ms, unread)))

    def set_group(self, session_id, last_read_ms, unread):
        self.convos.set(convos.Group(Id(session_id), convos.ReadState(last_read_ms, unread)))

    def set_legacy_group(self, session_id, last_read_ms, unread):
        self.convos.set(convos.LegacyGroup(Id(session_id), convos.ReadState(last_read_ms, unread)))

    def set_community(self, base_url, room, pubkey, last_read_ms, unread):
        self.convos.set(convos.Community(base_url, room, H(pubkey), convos.ReadState(last_read_ms, unread)))

    def erase_1to1(self, session_id):
        self.convos.erase_one_to_one(Id(session_id))

    def erase_group(self, session_id):
        self.convos.erase_group(Id(session_id))

    def erase_legacy_group(self, session_id):
        self.convos.erase_legacy_group(Id(session_id))

    def erase_community(self, base_url, room):
        self.convos.erase_community(base_url, room)

    def content(self):
        found = [self._conversation(conversation) for conversation in self.convos]
        return {"size": len(found), "conversations": found}

    @staticmethod
    def _conversation(conversation):
        read = {"last_read_ms": conversation.read.last_read_ms, "unread": conversation.read.unread}
        match conversation:
            case convos.OneToOne():
                return {"type": "1to1", "session_id": conversation.id.hex, **read}
            case convos.Group():
                return {"type": "group", "id": conversation.id.hex, **read}
            case convos.LegacyGroup():
                return {"type": "legacy_group", "id": conversation.id.hex, **read}
            case convos.Community(base_url=base_url, room=room, key=key):
                return {"type": "community", "base_url": base_url, "room": room, "pubkey": key.hex(), **read}


class GroupsView:
    """Family `config_user_groups`."""

    def __init__(self, config: Config) -> None:
        self.groups = UserGroups(config)

    def set_community(self, base_url, room, pubkey, **standing):
        self.groups.set(groups.Community(base_url, room, H(pubkey), self._standing(**standing)))

    def set_group(self, session_id, name, secretkey, auth_data, removed_status, **standing):
        group = groups.Group(
            Id(session_id),
            name,
            H(secretkey)[:32],
            H(auth_data),
            groups.Removed(removed_status),
            self._standing(**standing),
        )
        self.groups.set(group)

    def set_legacy_group(self, session_id, name, enc_pubkey, enc_seckey, disappearing_timer, members, **standing):
        group = groups.LegacyGroup(
            Id(session_id),
            name,
            H(enc_pubkey),
            H(enc_seckey),
            disappearing_timer,
            frozenset(Id(member) for member, admin in members.items() if not admin),
            frozenset(Id(member) for member, admin in members.items() if admin),
            self._standing(**standing),
        )
        self.groups.set(group)

    def erase_community(self, base_url, room):
        self.groups.erase_community(base_url, room)

    def erase_group(self, session_id):
        self.groups.erase_group(Id(session_id))

    def erase_legacy_group(self, session_id):
        self.groups.erase_legacy_group(Id(session_id))

    def content(self):
        found = [self._group(group) for group in self.groups]
        return {"size": len(found), "groups": found}

    @staticmethod
    def _standing(priority=0, joined_at=0, notifications=0, mute_until=0, invited=False):
        return groups.Standing(priority, joined_at, Notify(notifications), mute_until, invited)

    @staticmethod
    def _group(group):
        standing = {
            "priority": group.standing.priority,
            "joined_at": group.standing.joined_s,
            "notifications": int(group.standing.notify),
            "mute_until": group.standing.muted_until_s,
            "invited": group.standing.invited,
        }
        match group:
            case groups.Group():
                seed = group.admin_seed
                return {
                    "type": "group",
                    "id": group.id.hex,
                    "name": group.name,
                    "secretkey": Ed25519KeyPair.from_seed(seed).secret.hex() if seed else "",
                    "auth_data": group.auth_data.hex(),
                    "removed_status": int(group.removed),
                    **standing,
                }
            case groups.Community():
                return {
                    "type": "community",
                    "base_url": group.base_url,
                    "room": group.room,
                    "room_norm": group.room.lower(),
                    "pubkey": group.key.hex(),
                    **standing,
                }
            case groups.LegacyGroup():
                members = {member.hex: member in group.admins for member in group.members | group.admins}
                return {
                    "type": "legacy_group",
                    "session_id": group.id.hex,
                    "name": group.name,
                    "enc_pubkey": group.public.hex(),
                    "enc_seckey": group.secret.hex(),
                    "disappearing_timer": group.timer_s,
                    "members": members,
                    **standing,
                }


VIEWS: dict[str, tuple[ConfigKind, type[View]]] = {
    "config_user_profile": (ConfigKind.USER_PROFILE, ProfileView),
    "config_contacts": (ConfigKind.CONTACTS, ContactsView),
    "config_convo_info_volatile": (ConfigKind.CONVO_INFO_VOLATILE, ConvosView),
    "config_user_groups": (ConfigKind.USER_GROUPS, GroupsView),
}

"""The people one knows.

A view over a `Config` of kind CONTACTS, and its records.  Spec: config-sync.md §4.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ramson.crypto.account import ACCOUNT, AccountId
from ramson.crypto.keys import KEY_SIZE, require_size
from ramson.errors import LocalError
from ramson.protocol.community_url import canonical_base
from ramson.protocol.config import fields
from ramson.protocol.config.config import Config
from ramson.protocol.config.fields import ExpiryMode, Notify, Picture
from ramson.protocol.config.values import Data, dict_at

_SECTION, _BLINDED = b"c", b"b"
_SERVER_KEY, _IDS = b"#", b"R"
_ID_SIZE = 33
_BLINDED_PREFIXES = (b"\x15", b"\x25")


@dataclass(frozen=True, slots=True)
class Contact:
    """Everything that is shared about one person.  Times are in seconds; 0 is none."""

    id: AccountId
    name: str = ""
    nickname: str = ""
    picture: Picture | None = None
    profile_updated_s: int = 0
    approved: bool = False
    approved_me: bool = False
    blocked: bool = False
    priority: int = 0  # -1 hidden, 0 normal, above pinned
    notify: Notify = Notify.DEFAULT
    muted_until_s: int = 0
    expiry: ExpiryMode = ExpiryMode.NONE
    timer_s: int = 0
    created_s: int = 0
    pro_features: int = 0


@dataclass(frozen=True, slots=True)
class BlindedContact:
    """Somebody of a community to whom one wrote before knowing their account id."""

    id: AccountId  # 15 or 25
    base_url: str
    server_key: bytes
    name: str = ""
    picture: Picture | None = None
    profile_updated_s: int = 0
    priority: int = 0
    legacy_blinding: bool = False
    created_s: int = 0
    pro_features: int = 0


class Contacts:
    """The contacts by account id."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[Contact]:
        """Go through the contacts by id."""
        return (_read(key, entry) for key, entry in self._entries())

    def get(self, account: AccountId) -> Contact | None:
        """Return a contact, or None."""
        entry = self.config.data.get(_SECTION)
        found = dict_at(self.config.data, (_SECTION, account.raw))
        return _read(account.raw, found) if entry is not None and found else None

    def set(self, contact: Contact) -> None:
        """Add a contact or change it to this.  Raises LocalError for ids that are not 05 and names above 100 bytes."""
        if contact.id.prefix != ACCOUNT:
            raise LocalError("a contact's account id begins with 05")
        changes: fields.Changes = {
            b"n": fields.put_name(contact.name) or b"",  # always there, so that the contact is
            b"N": fields.put_name(contact.nickname, "a nickname"),
            b"t": fields.put_positive(contact.profile_updated_s),
            b"a": fields.put_flag(contact.approved),
            b"A": fields.put_flag(contact.approved_me),
            b"b": fields.put_flag(contact.blocked),
            b"+": fields.put_number(contact.priority),
            b"@": fields.put_positive(_for_one_person(contact.notify)),
            b"!": fields.put_positive(contact.muted_until_s),
            b"j": fields.put_positive(contact.created_s),
            b"f": fields.put_number(contact.pro_features),
            **fields.put_picture(contact.picture),
            **fields.put_expiry(contact.expiry, contact.timer_s),
        }
        self.config.edit((_SECTION, contact.id.raw), changes)

    def erase(self, account: AccountId) -> bool:
        """Remove a contact from all devices; return whether there was one."""
        return self.config.edit((_SECTION,), {account.raw: None})

    def blinded(self) -> Iterator[BlindedContact]:
        """Go through the blinded contacts by server and id."""
        for base_url, server in sorted(dict_at(self.config.data, (_BLINDED,)).items()):
            key = fields.octets(server, _SERVER_KEY, KEY_SIZE) if isinstance(server, dict) else b""
            if not key:
                continue
            for raw, entry in fields.entries(dict_at(self.config.data, (_BLINDED, base_url, _IDS)), _ID_SIZE):
                if raw.startswith(_BLINDED_PREFIXES):
                    yield _read_blinded(base_url.decode(errors="replace"), key, raw, entry)

    def set_blinded(self, contact: BlindedContact) -> None:
        """Add a blinded contact or change it to this.  Raises LocalError and, for its URL, ParseError."""
        if not contact.id.raw.startswith(_BLINDED_PREFIXES):
            raise LocalError("a blinded id begins with 15 or 25")
        require_size("the key of a community's server", contact.server_key)
        server = (_BLINDED, canonical_base(contact.base_url).encode())
        changes: fields.Changes = {
            b"n": fields.put_name(contact.name) or b"",
            b"t": fields.put_positive(contact.profile_updated_s),
            b"+": fields.put_number(contact.priority),
            b"y": fields.put_flag(contact.legacy_blinding),
            b"j": fields.put_positive(contact.created_s),
            b"f": fields.put_number(contact.pro_features),
            **fields.put_picture(contact.picture),
        }
        self.config.edit((*server, _IDS, contact.id.raw), changes)
        self.config.edit(server, {_SERVER_KEY: contact.server_key})

    def erase_blinded(self, base_url: str, account: AccountId) -> bool:
        """Remove a blinded contact, and its server with the last one; return whether there was one."""
        server = (_BLINDED, canonical_base(base_url).encode())
        erased = self.config.edit((*server, _IDS), {account.raw: None})
        if erased and not dict_at(self.config.data, (*server, _IDS)):
            self.config.edit(server[:1], {server[1]: None})
        return erased

    def _entries(self) -> list[tuple[bytes, Data]]:
        return fields.entries(dict_at(self.config.data, (_SECTION,)), _ID_SIZE, b"\x05")


def _for_one_person(notify: Notify) -> Notify:
    """Return the setting without mentions, which only groups have."""
    return Notify.ALL if notify is Notify.MENTIONS else notify


def _read(raw: bytes, entry: Data) -> Contact:
    expiry, timer = fields.expiry(entry)
    return Contact(
        id=AccountId.from_bytes(raw),
        name=fields.name(entry, b"n"),
        nickname=fields.name(entry, b"N"),
        picture=fields.picture(entry),
        profile_updated_s=fields.number(entry, b"t"),
        approved=fields.flag(entry, b"a"),
        approved_me=fields.flag(entry, b"A"),
        blocked=fields.flag(entry, b"b"),
        priority=fields.number(entry, b"+"),
        notify=_for_one_person(fields.notify(entry)),
        muted_until_s=fields.number(entry, b"!"),
        expiry=expiry,
        timer_s=timer,
        created_s=fields.number(entry, b"j"),
        pro_features=fields.number(entry, b"f"),
    )


def _read_blinded(base_url: str, server_key: bytes, raw: bytes, entry: Data) -> BlindedContact:
    return BlindedContact(
        id=AccountId.from_bytes(raw),
        base_url=base_url,
        server_key=server_key,
        name=fields.name(entry, b"n"),
        picture=fields.picture(entry),
        profile_updated_s=fields.number(entry, b"t"),
        priority=fields.number(entry, b"+"),
        legacy_blinding=fields.flag(entry, b"y"),
        created_s=fields.number(entry, b"j"),
        pro_features=fields.number(entry, b"f"),
    )

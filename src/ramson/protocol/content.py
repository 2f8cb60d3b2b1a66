"""What a message says: typed values from and to Content bytes, with the rules for refusing.

Who signed it and when it was sent come from the envelope.  Text messages and timer updates are values here;
other kinds are named, not interpreted.  Spec: messaging.md §3.1, §3.3 (sync copies), §3.4, §3.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from ramson.crypto.account import AccountId, AccountIdError
from ramson.errors import LocalError, ParseError
from ramson.protocol import protobuf
from ramson.protocol.session_pb2 import Content, DataMessage, LokiProfile

MAX_ATTACHMENTS: Final = 32

_TIMER_UPDATE = DataMessage.EXPIRATION_TIMER_UPDATE


class ExpirationMode(IntEnum):
    """When a disappearing message begins to disappear."""

    NONE = 0
    AFTER_READ = 1
    AFTER_SEND = 2


_EXPIRATION_TYPES: Final = {
    ExpirationMode.NONE: Content.UNKNOWN,
    ExpirationMode.AFTER_READ: Content.DELETE_AFTER_READ,
    ExpirationMode.AFTER_SEND: Content.DELETE_AFTER_SEND,
}


@dataclass(frozen=True, slots=True)
class Expiration:
    """A disappearing-messages setting; a `timer_s` of 0 is off."""

    mode: ExpirationMode = ExpirationMode.NONE
    timer_s: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a sender says about itself.  `key` decrypts the picture; `updated_s` is Unix seconds, 0 unknown."""

    name: str = ""
    picture_url: str = ""
    key: bytes = field(default=b"", repr=False)
    updated_s: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """A reference to another message by its sent time (ms) and author."""

    sent_ms: int
    author: str


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A message for people.

    `sync_target` is set in the copy a sender leaves for its own other devices: whom it was sent to.
    `attachments` counts attachments, which are kept but not interpreted.  `origin` is the Content it was
    read from: what this class does not know survives in it when the message is encoded again.
    """

    body: str = field(repr=False)
    sent_ms: int
    sync_target: AccountId | None = None
    profile: Profile | None = field(default=None, repr=False)
    quote: Quote | None = field(default=None, repr=False)
    expiration: Expiration = Expiration()
    attachments: int = 0
    origin: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TimerUpdate:
    """A notice that the sender has changed its disappearing-messages setting."""

    expiration: Expiration
    sent_ms: int
    sync_target: AccountId | None = None


@dataclass(frozen=True, slots=True)
class OtherContent:
    """Content of kinds that have no class here, by their field names in session.proto."""

    kinds: tuple[str, ...]
    sent_ms: int


Decoded: TypeAlias = TextMessage | TimerUpdate | OtherContent


def encode(message: TextMessage) -> bytes:
    """Write a text message's Content.  Raises LocalError for text or numbers that cannot be written."""
    content = protobuf.read(Content, message.origin)
    try:
        data = content.dataMessage
        data.body = message.body
        if message.sync_target is None:
            data.ClearField("syncTarget")
        else:
            data.syncTarget = message.sync_target.hex
        if message.profile is not None:
            _write_profile(data, message.profile)
        if message.quote is not None:
            data.quote.id, data.quote.author = message.quote.sent_ms, message.quote.author
        if message.expiration != Expiration():
            content.expirationType = _EXPIRATION_TYPES[message.expiration.mode]
            content.expirationTimer = message.expiration.timer_s
        content.sigTimestamp = message.sent_ms
        return protobuf.write(content)
    except ValueError:  # UnicodeEncodeError is one
        raise LocalError("a text has lone surrogates, or a number is out of range") from None


def decode(content: bytes, *, sent_ms: int, sender: AccountId, own: AccountId) -> Decoded:
    """Read Content that `sender` signed and sent at `sent_ms` to `own`.

    Raises ParseError for everything that must be dropped: a time that differs from the envelope's, flags
    that do not exist, too many attachments, text that is not UTF-8, a sync copy from somebody else.
    """
    message = protobuf.read(Content, content)
    # spec gap: a missing sigTimestamp is accepted, as in messages of old clients
    if message.HasField("sigTimestamp") and message.sigTimestamp != sent_ms:
        raise ParseError("content: the signed time is not the envelope's")
    if message.HasField("dataMessage"):
        return _data_message(message, content, sent_ms, sender, own)
    return _other(message, sent_ms)


def _data_message(message: Content, origin: bytes, sent_ms: int, sender: AccountId, own: AccountId) -> Decoded:
    data = message.dataMessage
    if data.flags not in {0, _TIMER_UPDATE}:
        raise ParseError("content: unknown flags")
    if len(data.attachments) > MAX_ATTACHMENTS:
        raise ParseError("content: too many attachments")
    sync_target = _sync_target(data, sender, own)
    expiration = Expiration(ExpirationMode(message.expirationType), message.expirationTimer)
    if data.flags == _TIMER_UPDATE:
        return TimerUpdate(expiration, sent_ms, sync_target)
    if not data.body and not data.attachments:
        return _other(message, sent_ms)
    return TextMessage(
        body=data.body,
        sent_ms=sent_ms,
        sync_target=sync_target,
        profile=_read_profile(data),
        quote=Quote(data.quote.id, data.quote.author) if data.HasField("quote") else None,
        expiration=expiration,
        attachments=len(data.attachments),
        origin=origin,
    )


def _sync_target(data: DataMessage, sender: AccountId, own: AccountId) -> AccountId | None:
    if not data.syncTarget:
        return None
    if sender != own:
        raise ParseError("content: a sync copy from somebody else")
    try:
        return AccountId.parse(data.syncTarget)
    except AccountIdError:
        raise ParseError("content: the sync target is no account id") from None


def _other(message: Content, sent_ms: int) -> OtherContent:
    kinds = [descriptor.name for descriptor, _ in message.ListFields() if descriptor.message_type is not None]
    if message.HasField("dataMessage"):
        kinds += [name for name in ("reaction", "groupUpdateMessage") if message.dataMessage.HasField(name)]
    return OtherContent(tuple(kinds), sent_ms)


def _write_profile(data: DataMessage, profile: Profile) -> None:
    data.profile.displayName = profile.name
    if profile.picture_url:
        data.profile.profilePicture = profile.picture_url
        data.profileKey = profile.key
    if profile.updated_s:
        data.profile.lastProfileUpdateSeconds = profile.updated_s


def _read_profile(data: DataMessage) -> Profile | None:
    if not data.HasField("profile"):
        return None
    profile: LokiProfile = data.profile
    return Profile(profile.displayName, profile.profilePicture, data.profileKey, profile.lastProfileUpdateSeconds)

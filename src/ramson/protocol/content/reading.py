"""From Content bytes to values, refusing what must not be believed.  Spec: messaging.md §3.1, §3.4."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ramson.crypto.account import GROUP, AccountId, AccountIdError
from ramson.errors import ParseError
from ramson.protocol import protobuf
from ramson.protocol.content.values import (
    Attachment,
    Call,
    CallStep,
    CommunityInvitation,
    DataExtraction,
    Decoded,
    Expiration,
    ExpirationMode,
    Extraction,
    GroupInvite,
    GroupPromotion,
    LinkPreview,
    OtherContent,
    Profile,
    Quote,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.session_pb2 import AttachmentPointer, Content, DataMessage, LokiProfile, TypingMessage

MAX_ATTACHMENTS: Final = 32
MAX_RECEIPTS: Final = 1_000  # spec gap: a bound for the times in one receipt
MAX_EMOJI: Final = 64  # spec gap: bytes of a reaction; the longest emoji sequences in use have about 35
MAX_PREVIEW_URL: Final = 4_096
_LATEST_S: Final = 2**63 - 1
_AUTH_SIZE, _SEED_SIZE, _SIGNATURE_SIZE = 100, 32, 64


def decode(content: bytes, *, sent_ms: int, sender: AccountId, own: AccountId) -> Decoded:
    """Read Content that `sender` signed and sent at `sent_ms` to `own`.

    Raises ParseError for everything that must be dropped: a time that differs from the envelope's, flags
    that do not exist, too many attachments, text that is not UTF-8, a sync copy from somebody else, an unsend
    request for what somebody else wrote, a typing notice of another time.
    """
    message = protobuf.read(Content, content)
    # spec gap: a missing sigTimestamp is accepted, as in messages of old clients
    if message.HasField("sigTimestamp") and message.sigTimestamp != sent_ms:
        raise ParseError("content: the signed time is not the envelope's")
    if message.HasField("dataMessage"):
        return _data_message(message, content, sent_ms, sender, own)
    for name, read in _KINDS.items():
        if message.HasField(name):
            return read(message, sent_ms, sender)
    return _other(message, content, sent_ms)


def _data_message(message: Content, origin: bytes, sent_ms: int, sender: AccountId, own: AccountId) -> Decoded:
    data = message.dataMessage
    if data.flags not in {0, DataMessage.EXPIRATION_TIMER_UPDATE}:
        raise ParseError("content: unknown flags")
    if len(data.attachments) > MAX_ATTACHMENTS:
        raise ParseError("content: too many attachments")
    sync_target = _sync_target(data, sender, own)
    profile = _profile(data.profile, data.profileKey) if data.HasField("profile") else None
    if data.flags == DataMessage.EXPIRATION_TIMER_UPDATE:
        return TimerUpdate(_expiration(message), sent_ms, sync_target, profile)
    if data.HasField("reaction"):
        return _reaction(data.reaction, sent_ms, sync_target, profile)
    if data.HasField("groupUpdateMessage"):
        return _group_update(message, origin, sent_ms, profile)
    if not data.body and not data.attachments and not data.HasField("communityInvitation"):
        return _other(message, origin, sent_ms)
    invitation = data.communityInvitation
    return TextMessage(
        body=data.body,
        sent_ms=sent_ms,
        sync_target=sync_target,
        profile=profile,
        quote=Quote(data.quote.id, data.quote.author) if data.HasField("quote") else None,
        expiration=_expiration(message),
        attachments=tuple(_attachment(pointer) for pointer in data.attachments),
        previews=_previews(data),
        invitation=CommunityInvitation(invitation.url, invitation.name)
        if data.HasField("communityInvitation")
        else None,
        origin=origin,
    )


def _sync_target(data: DataMessage, sender: AccountId, own: AccountId) -> AccountId | None:
    if not data.syncTarget:
        return None
    if sender != own:
        raise ParseError("content: a sync copy from somebody else")
    return _account(data.syncTarget, "the sync target")


def _account(text: str, what: str) -> AccountId:
    try:
        return AccountId.parse(text)
    except AccountIdError:
        raise ParseError(f"content: {what} is no account id") from None


def _expiration(message: Content) -> Expiration:
    return Expiration(ExpirationMode(message.expirationType), message.expirationTimer)


def _profile(profile: LokiProfile, key: bytes) -> Profile:
    updated_s = profile.lastProfileUpdateSeconds
    # A time that no config holds is none: the message must not go with it, nor its reader stumble over it.
    return Profile(profile.displayName, profile.profilePicture, key, updated_s if updated_s <= _LATEST_S else 0)


def _attachment(pointer: AttachmentPointer) -> Attachment:
    return Attachment(
        url=pointer.url,
        key=pointer.key,
        digest=pointer.digest,
        size=pointer.size,
        content_type=pointer.contentType,
        file_name=pointer.fileName,
        caption=pointer.caption,
        width=pointer.width,
        height=pointer.height,
        voice=bool(pointer.flags & AttachmentPointer.VOICE_MESSAGE),
        id=pointer.deprecated_id,
    )


def _previews(data: DataMessage) -> tuple[LinkPreview, ...]:
    """Return the one preview that may be shown; others are passed over, the message stays."""
    if len(data.preview) != 1:
        return ()
    preview = data.preview[0]
    if not (preview.title or preview.HasField("image")) or not may_preview(preview.url, data.body):
        return ()
    image = _attachment(preview.image) if preview.HasField("image") else None
    return (LinkPreview(preview.url, preview.title, image),)


def may_preview(url: str, body: str) -> bool:
    """Tell whether a preview of this URL may stand below a text: an https link in it, no user named before the host."""
    host = re.split("[/?#]", url.removeprefix("https://"), maxsplit=1)[0]
    return url.startswith("https://") and len(url) <= MAX_PREVIEW_URL and "@" not in host and url in body


def _reaction(
    reaction: DataMessage.Reaction, sent_ms: int, sync_target: AccountId | None, profile: Profile | None
) -> ReactionChange:
    if not 0 < len(reaction.emoji.encode()) <= MAX_EMOJI:
        raise ParseError("content: a reaction without an emoji, or with more than one")
    return ReactionChange(
        target_ms=reaction.id,
        author=_account(reaction.author, "the author of a message reacted to"),
        emoji=reaction.emoji,
        removed=reaction.action == DataMessage.Reaction.REMOVE,
        sent_ms=sent_ms,
        sync_target=sync_target,
        profile=profile,
    )


def _group_update(message: Content, origin: bytes, sent_ms: int, profile: Profile | None) -> Decoded:
    update = message.dataMessage.groupUpdateMessage
    if update.HasField("inviteMessage"):
        invite = update.inviteMessage
        group = _account(invite.groupSessionId, "a group")
        if group.prefix != GROUP:
            raise ParseError("content: a group's id begins with 03")
        if len(invite.memberAuthData) != _AUTH_SIZE or len(invite.adminSignature) != _SIGNATURE_SIZE:
            raise ParseError("content: an invitation's credential or signature has the wrong size")
        return GroupInvite(group, invite.name, invite.memberAuthData, invite.adminSignature, sent_ms, profile)
    if update.HasField("promoteMessage"):
        promotion = update.promoteMessage
        if len(promotion.groupIdentitySeed) != _SEED_SIZE:
            raise ParseError(f"content: a group's seed has {_SEED_SIZE} bytes")
        return GroupPromotion(promotion.groupIdentitySeed, promotion.name, sent_ms, profile)
    return _other(message, origin, sent_ms)


def _call(message: Content, sent_ms: int, _sender: AccountId) -> Decoded:
    call = message.callMessage
    return Call(CallStep(call.type), call.uuid, sent_ms, _expiration(message))


def _receipt(message: Content, sent_ms: int, _sender: AccountId) -> Decoded:
    times = message.receiptMessage.timestamp
    if len(times) > MAX_RECEIPTS:
        raise ParseError("content: too many times in a receipt")
    return ReadReceipt(tuple(times), sent_ms)


def _typing(message: Content, sent_ms: int, _sender: AccountId) -> Decoded:
    if message.typingMessage.timestamp != sent_ms:
        raise ParseError("content: a typing notice of another time")
    return Typing(message.typingMessage.action == TypingMessage.STARTED, sent_ms)


def _extraction(message: Content, sent_ms: int, _sender: AccountId) -> Decoded:
    notice = message.dataExtractionNotification
    return DataExtraction(Extraction(notice.type), sent_ms, notice.timestamp, _expiration(message))


def _unsend(message: Content, sent_ms: int, sender: AccountId) -> Decoded:
    author = _account(message.unsendRequest.author, "the author of a message to unsend")
    if author != sender:
        raise ParseError("content: somebody wants to unsend what another one wrote")
    return Unsend(message.unsendRequest.timestamp, author, sent_ms)


def _response(message: Content, sent_ms: int, _sender: AccountId) -> Decoded:
    response = message.messageRequestResponse
    profile = _profile(response.profile, response.profileKey) if response.HasField("profile") else None
    return RequestResponse(response.isApproved, sent_ms, profile)


_KINDS: Final[dict[str, Callable[[Content, int, AccountId], Decoded]]] = {
    "callMessage": _call,
    "receiptMessage": _receipt,
    "typingMessage": _typing,
    "dataExtractionNotification": _extraction,
    "unsendRequest": _unsend,
    "messageRequestResponse": _response,
}


def _other(message: Content, origin: bytes, sent_ms: int) -> OtherContent:
    kinds = [descriptor.name for descriptor, _ in message.ListFields() if descriptor.message_type is not None]
    if message.HasField("dataMessage") and message.dataMessage.HasField("groupUpdateMessage"):
        kinds.append("groupUpdateMessage")
    return OtherContent(tuple(kinds), sent_ms, origin)

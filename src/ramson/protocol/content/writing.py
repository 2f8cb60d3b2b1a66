"""From values to Content bytes.  Spec: messaging.md §3.1."""

from __future__ import annotations

from typing import Final

from ramson.errors import LocalError
from ramson.protocol import protobuf
from ramson.protocol.content.values import (
    Attachment,
    DataExtraction,
    Expiration,
    ExpirationMode,
    Profile,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    Sendable,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.session_pb2 import (
    AttachmentPointer,
    Content,
    DataExtractionNotification,
    DataMessage,
    LokiProfile,
    ReceiptMessage,
    TypingMessage,
)

_EXPIRATION_TYPES: Final = {
    ExpirationMode.NONE: Content.UNKNOWN,
    ExpirationMode.AFTER_READ: Content.DELETE_AFTER_READ,
    ExpirationMode.AFTER_SEND: Content.DELETE_AFTER_SEND,
}
_EXTRACTION_TYPES: Final = {1: DataExtractionNotification.SCREENSHOT, 2: DataExtractionNotification.MEDIA_SAVED}


def encode(message: Sendable) -> bytes:
    """Write a message's Content.  Raises LocalError for text or numbers that cannot be written."""
    try:
        content = _content(message)
        content.sigTimestamp = message.sent_ms
        return protobuf.write(content)
    except ValueError:  # UnicodeEncodeError is one
        raise LocalError(
            "a text has half a character, or a number is out of range", remedy="Type the text anew."
        ) from None


def _content(message: Sendable) -> Content:
    match message:
        case TextMessage():
            return _text(message)
        case TimerUpdate():
            return _timer_update(message)
        case ReactionChange():
            return _reaction(message)
        case Typing():
            action = TypingMessage.STARTED if message.started else TypingMessage.STOPPED
            return Content(typingMessage=TypingMessage(timestamp=message.sent_ms, action=action))
        case ReadReceipt():
            return Content(receiptMessage=ReceiptMessage(type=ReceiptMessage.READ, timestamp=message.read_ms))
        case Unsend():
            content = Content()
            content.unsendRequest.timestamp = message.target_ms
            content.unsendRequest.author = message.author.hex
            return content
        case RequestResponse():
            return _response(message)
        case DataExtraction():
            return _extraction(message)


def _text(message: TextMessage) -> Content:
    content = protobuf.read(Content, message.origin)
    data = content.dataMessage
    data.body = message.body
    if message.sync_target is None:
        data.ClearField("syncTarget")
    else:
        data.syncTarget = message.sync_target.hex
    if message.profile is not None:
        _write_profile(data, message.profile)
    if message.expiration != Expiration():
        _write_expiration(content, message.expiration)
    if not message.origin:
        if message.quote is not None:
            data.quote.id, data.quote.author = message.quote.sent_ms, message.quote.author
        for attachment in message.attachments:
            _write_attachment(data.attachments.add(), attachment)
        for preview in message.previews:
            shown = data.preview.add(url=preview.url)
            if preview.title:
                shown.title = preview.title
            if preview.image is not None:
                _write_attachment(shown.image, preview.image)
        if message.invitation is not None:
            data.communityInvitation.url = message.invitation.url
            data.communityInvitation.name = message.invitation.name
    return content


def _timer_update(message: TimerUpdate) -> Content:
    content = Content()
    data = content.dataMessage
    data.flags = DataMessage.EXPIRATION_TIMER_UPDATE
    if message.sync_target is not None:
        data.syncTarget = message.sync_target.hex
    if message.profile is not None:
        _write_profile(data, message.profile)
    _write_expiration(content, message.expiration)
    return content


def _reaction(message: ReactionChange) -> Content:
    content = Content()
    data = content.dataMessage
    reaction = data.reaction
    reaction.id, reaction.author, reaction.emoji = message.target_ms, message.author.hex, message.emoji
    reaction.action = DataMessage.Reaction.REMOVE if message.removed else DataMessage.Reaction.REACT
    if message.sync_target is not None:
        data.syncTarget = message.sync_target.hex
    if message.profile is not None:
        _write_profile(data, message.profile)
    return content


def _response(message: RequestResponse) -> Content:
    content = Content()
    response = content.messageRequestResponse
    response.isApproved = message.approved
    if message.profile is not None:
        _write_names(response.profile, message.profile)
        if message.profile.picture_url:
            response.profileKey = message.profile.key
    return content


def _extraction(message: DataExtraction) -> Content:
    content = Content()
    content.dataExtractionNotification.type = _EXTRACTION_TYPES[message.what]
    if message.target_ms:
        content.dataExtractionNotification.timestamp = message.target_ms
    if message.expiration.active:
        _write_expiration(content, message.expiration)
    return content


def _write_expiration(content: Content, expiration: Expiration) -> None:
    content.expirationType = _EXPIRATION_TYPES[expiration.mode]
    content.expirationTimer = expiration.timer_s


def _write_profile(data: DataMessage, profile: Profile) -> None:
    _write_names(data.profile, profile)
    if profile.picture_url:
        data.profileKey = profile.key


def _write_names(written: LokiProfile, profile: Profile) -> None:
    written.displayName = profile.name
    if profile.picture_url:
        written.profilePicture = profile.picture_url
    if profile.updated_s:
        written.lastProfileUpdateSeconds = profile.updated_s


def _write_attachment(pointer: AttachmentPointer, attachment: Attachment) -> None:
    pointer.deprecated_id = attachment.id
    pointer.url = attachment.url
    pointer.key = attachment.key
    pointer.size = attachment.size
    if attachment.digest:
        pointer.digest = attachment.digest
    if attachment.content_type:
        pointer.contentType = attachment.content_type
    if attachment.file_name:
        pointer.fileName = attachment.file_name
    if attachment.caption:
        pointer.caption = attachment.caption
    if attachment.width and attachment.height:
        pointer.width, pointer.height = attachment.width, attachment.height
    if attachment.voice:
        pointer.flags = AttachmentPointer.VOICE_MESSAGE

"""Messages, files and receipts as a person reads them, a line each, and as programs get them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ramson.cli.harmless import printable
from ramson.cli.names import Names
from ramson.cli.terminal import note, result, result_json
from ramson.messenger import (
    Attachment,
    CatchUp,
    Event,
    FileState,
    Kind,
    Message,
    MessageReceived,
    MessageSynced,
    MessageUnsent,
    Receipt,
    SubscriptionChanged,
)
from ramson.messenger.archive import message_fields
from ramson.protocol.content import CommunityInvitation

_KB, _MB = 1_000, 1_000_000


def line(message: Message, names: Names, *, to_whom: bool = False) -> str:
    """Return a message as one line (or more, if it has more) for a person; where talks mix, our own say `to_whom`."""
    whose = names.shown(message.sender)
    if to_whom and not message.incoming:
        whose += f" → {names.shown(message.recipient)}"
    parts = [_when(message.sent_ms), f"{whose}:"]
    if message.kind is Kind.TIMER:
        parts.append(f"(disappearing messages: {_timer(message)})")
    elif message.kind is not Kind.TEXT:
        parts.append(f"({message.kind.value})")
    if message.quote is not None:
        parts.append(f"[answer to {_when(message.quote.sent_ms)}]")
    if message.body:
        parts.append(printable(message.body))
    if message.invitation is not None:
        parts.append(_invitation(message.invitation))
    parts += [f"[{printable(preview.title)}]" for preview in message.previews if preview.title]
    parts += [printable(each.emoji) for each in message.reactions]
    if message.attachments:
        parts.append(f"[message {message.id}]")
    return " ".join(parts) + "".join(f"\n    {file_line(each)}" for each in message.attachments)


def file_line(attachment: Attachment) -> str:
    """Return an attachment as one line for a person."""
    kind = "voice message" if attachment.voice else printable(attachment.content_type)
    sides = f", {attachment.width}×{attachment.height}" if attachment.width and attachment.height else ""
    state = "" if attachment.state is FileState.SERVED else f", {attachment.state.value}"
    caption = f" {printable(attachment.caption)}" if attachment.caption else ""
    return f"📎 {printable(attachment.name) or '(no name)'} ({kind}, {size(attachment.size)}{sides}{state}){caption}"


def size(count: int) -> str:
    """Return a number of bytes for a person."""
    if count >= _MB:
        return f"{count / _MB:.1f} MB"
    return f"{count / _KB:.0f} kB" if count >= _KB else f"{count} B"


def receipt_fields(receipt: Receipt) -> dict[str, object]:
    """Return a receipt for programs."""
    return {
        "state": receipt.state.value,
        "hash": receipt.hash,
        "stored": receipt.stored,
        "total": receipt.total,
        "sent_ms": receipt.sent_ms,
        "reason": receipt.reason,
        "id": receipt.id,
        "uploaded": receipt.uploaded,
        "to_upload": receipt.to_upload,
    }


def fields(message: Message, names: Names) -> dict[str, object]:
    """Return a message for programs; the names are those of the other side."""
    return message_fields(message) | {"request": message.request} | names.fields(message.conversation)


def show_message(message: Message, names: Names, *, as_json: bool) -> None:
    """Print a message."""
    if as_json:
        result_json({"event": "message"} | fields(message, names))
    else:
        result(line(message, names))


def show_event(event: Event, names: Callable[[], Names], *, as_json: bool) -> None:
    """Print what happened, unless it is nothing that one sees in a list of messages."""
    match event:
        case MessageReceived(message) if message.kind is not Kind.TEXT:
            show_message(message, names(), as_json=as_json)
        case MessageSynced(message) if as_json:
            result_json({"event": "synced"} | fields(message, names()))
        case MessageSynced(message):
            result(line(message, names(), to_whom=True))
        case MessageUnsent() if as_json:
            unsent = {"conversation": event.conversation.hex, "author": event.author.hex, "sent_ms": event.sent_ms}
            result_json({"event": "unsent"} | unsent | names().fields(event.conversation))
        case MessageUnsent():
            result(f"{_when(event.sent_ms)} {names().shown(event.author)}: (taken back)")
        case CatchUp(fetched, more):
            if as_json:
                result_json({"event": "catch up", "fetched": fetched, "more": more})
            else:
                note(f"{fetched} messages fetched, {'more to come…' if more else 'that is all'}")
        case SubscriptionChanged(live) if as_json:
            result_json({"event": "subscription", "live": live})
        case SubscriptionChanged(live):
            note("nodes tell of messages at once" if live else "no node tells of messages: they are asked")
        case _:
            pass


def _when(sent_ms: int) -> str:
    try:
        return datetime.fromtimestamp(sent_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return "(no such date)"


def _invitation(invitation: CommunityInvitation) -> str:
    return f"(invitation to the community {printable(invitation.name)}: {printable(invitation.url)})"


def _timer(message: Message) -> str:
    setting = message.expiration
    if not setting.active:
        return "off"
    return f"{setting.timer_s} s {setting.mode.name.lower().replace('_', ' ')}"

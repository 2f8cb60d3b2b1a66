"""Writing and reading letters: from a message to the envelopes it travels in, and back to a verified one.

Pure apart from the entropy handed in.  What cannot be trusted is told by `None`, never by an exception.
Spec: messaging.md §3.2, §3.3, §3.4, §3.6; app-features.md (limits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ramson.crypto.account import ACCOUNT, AccountId, AccountKeys
from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError, ParseError
from ramson.protocol import content, envelope
from ramson.protocol.content import (
    Decoded,
    Expiration,
    ExpirationMode,
    LinkPreview,
    ReactionChange,
    ReadReceipt,
    RequestResponse,
    Sendable,
    TextMessage,
    TimerUpdate,
    Typing,
    Unsend,
)
from ramson.protocol.content.reading import may_preview
from ramson.protocol.content.rules import TYPING_LIFETIME_MS
from ramson.protocol.namespaces import DAY_MS, Namespace

MAX_TEXT = 2000  # Unicode code points
MESSAGE_TTL_MS = 14 * DAY_MS
MIN_TIMER_S: Final = 10  # no swarm keeps anything for less
MAX_TIMER_S: Final = MESSAGE_TTL_MS // 1000
MAX_NAME = 100  # bytes

_LATEST_MS = 2**63 - 1  # what a database holds; no honest clock comes near


class BadText(LocalError):
    """A text that cannot be sent."""


class BadRecipient(LocalError):
    """An id that no direct message can go to."""


class BadName(LocalError):
    """A display name that cannot be used."""


class BadTimer(LocalError):
    """A disappearing-messages setting that does not exist."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One envelope, ready to be stored: where, for how long (ms), and whether it is the copy for ourselves."""

    recipient: AccountId
    data: bytes = field(repr=False)
    is_copy: bool
    namespace: int = Namespace.DIRECT
    ttl_ms: int = MESSAGE_TTL_MS


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message of our own, its Content, and the envelopes it travels in."""

    message: Sendable
    content: bytes = field(repr=False)
    sealed: tuple[Sealed, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """What came from the swarm: signed by `sender`, in the conversation it belongs to.

    For what is not of one conversation (our own unsend requests), `conversation` is ourselves.  `expiry_ms` is when
    the swarm will forget it, `stored_ms` when it got there; 0 if it did not say.
    """

    sender: AccountId
    conversation: AccountId
    message: Decoded
    content: bytes = field(repr=False)
    hash: str
    expiry_ms: int = 0
    stored_ms: int = 0

    @property
    def sent_ms(self) -> int:
        """When it was sent, by the sender's clock."""
        return self.message.sent_ms


def check_text(text: str) -> None:
    """Raise BadText unless `text` may be sent."""
    if not text.strip():
        raise BadText("there is nothing to send: the message is empty")
    if len(text) > MAX_TEXT:
        raise BadText(
            f"a message has at most {MAX_TEXT} characters; this one has {len(text)}",
            remedy="Shorten it, or send it in parts.",
        )
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise BadText(
            "the message holds what is no character, such as bytes that are not UTF-8",
            remedy="Correct it, or send it as a file.",
        )


def check_previews(text: str, previews: Sequence[LinkPreview]) -> None:
    """Raise BadText unless others would show these previews: at most one, of an https link that is in the text."""
    if len(previews) > 1:
        raise BadText("a message has at most one link preview")
    for preview in previews:
        if not may_preview(preview.url, text) or not (preview.title or preview.image):
            raise BadText("a link preview has a title, and an https link that is in the text")


def check_recipient(recipient: AccountId) -> None:
    """Raise BadRecipient unless a direct message can go to this id."""
    if recipient.prefix != ACCOUNT:
        raise BadRecipient("messages go to an account id, which begins with 05", remedy="Ask for the account id.")


def check_name(name: str) -> None:
    """Raise BadName unless `name` can be shown to others; the empty name is none."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadName("the display name is no text: it has half a character", remedy="Type it anew.") from None
    if size > MAX_NAME:
        raise BadName(f"a display name has at most {MAX_NAME} bytes", remedy="Choose a shorter one.")


def check_timer(expiration: Expiration, *, after_read: bool = True) -> None:
    """Raise BadTimer unless messages can disappear like this; `after_read` tells whether the conversation has that."""
    if expiration == Expiration():
        return
    if not expiration.active or not MIN_TIMER_S <= expiration.timer_s <= MAX_TIMER_S:
        raise BadTimer(f"messages disappear after {MIN_TIMER_S} s to {MAX_TIMER_S // 86_400} days")
    if expiration.mode is ExpirationMode.AFTER_READ and not after_read:
        raise BadTimer("notes to oneself disappear after sending only")


def write(message: Sendable, keys: AccountKeys, recipient: AccountId, entropy: Entropy) -> Outgoing:
    """Seal a message to `recipient`, and what our other devices get of it.

    A note to oneself is its own copy.
    """
    own = keys.id

    def seal(each: Sendable, to: AccountId, *, is_copy: bool) -> Sealed:
        data = envelope.wrap_direct(content.encode(each), keys.ed25519, to, each.sent_ms, entropy)
        return Sealed(to, data, is_copy, ttl_ms=_lifetime_ms(each, is_copy=is_copy or to == own))

    copy: Sendable | None = None
    match message:
        case TextMessage() | TimerUpdate() | ReactionChange():
            copy = replace(message, sync_target=recipient)
        case Unsend() | RequestResponse():
            copy = message
    if recipient == own:
        note = copy or message
        return Outgoing(note, content.encode(note), (seal(note, own, is_copy=False),))
    sealed = [seal(message, recipient, is_copy=False)]
    if copy is not None:
        sealed.append(seal(copy, own, is_copy=True))
    return Outgoing(message, content.encode(message), tuple(sealed))


def _lifetime_ms(message: Sendable, *, is_copy: bool) -> int:
    """Return how long a swarm keeps it: the copy of what disappears after reading was read when it was written."""
    if isinstance(message, Typing):
        return TYPING_LIFETIME_MS
    if isinstance(message, (ReactionChange, ReadReceipt, Unsend, RequestResponse)):
        return MESSAGE_TTL_MS
    expiration = message.expiration
    if not expiration.active or (expiration.mode is ExpirationMode.AFTER_READ and not is_copy):
        return MESSAGE_TTL_MS
    return min(max(expiration.timer_s, MIN_TIMER_S) * 1000, MESSAGE_TTL_MS)


def read(data: bytes, name: str, keys: AccountKeys, expiry_ms: int = 0) -> Letter | None:
    """Open what lay in our mailbox under the hash `name`; None unless it is to be trusted."""
    try:
        opened = envelope.unwrap_direct(data, keys.x25519)
        found = content.decode(opened.content, sent_ms=opened.sent_ms, sender=opened.sender, own=keys.id)
    except ParseError:
        return None
    if max(_times(found)) > _LATEST_MS:
        return None
    sync_target = getattr(found, "sync_target", None)
    return Letter(opened.sender, sync_target or opened.sender, found, opened.content, name, expiry_ms)


def _times(message: Decoded) -> tuple[int, ...]:
    """Return all the times a message names that a database has to hold."""
    match message:
        case ReactionChange() | Unsend():
            return message.sent_ms, message.target_ms
        case ReadReceipt():
            return message.sent_ms, *message.read_ms
        case _:
            return (message.sent_ms,)

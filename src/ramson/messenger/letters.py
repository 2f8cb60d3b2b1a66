"""Writing and reading letters: from a text to the envelopes it travels in, and back to a verified text.

Pure apart from the entropy handed in.  What cannot be trusted or is no text is told by `None`, never by an
exception.  Spec: messaging.md §3.2, §3.3, §3.4; app-features.md (limits).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ramson.crypto.account import ACCOUNT, AccountId, AccountKeys
from ramson.crypto.entropy import Entropy
from ramson.errors import LocalError, ParseError
from ramson.protocol import content, envelope
from ramson.protocol.content import Profile, TextMessage
from ramson.protocol.namespaces import DAY_MS, Namespace

MAX_TEXT = 2000  # Unicode code points
MESSAGE_TTL_MS = 14 * DAY_MS
MAX_NAME = 100  # bytes

_LATEST_MS = 2**63 - 1  # what a database holds; no honest clock comes near


class BadText(LocalError):
    """A text that cannot be sent."""


class BadRecipient(LocalError):
    """An id that no direct message can go to."""


class BadName(LocalError):
    """A display name that cannot be used."""


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
    """A message of our own: its Content and the envelopes it travels in."""

    content: bytes = field(repr=False)
    sealed: tuple[Sealed, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A text message that came from the swarm: signed by `sender`, in the conversation it belongs to."""

    sender: AccountId
    conversation: AccountId
    sent_ms: int
    body: str = field(repr=False)
    content: bytes = field(repr=False)
    hash: str
    attachments: int = 0


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
        raise BadText("the message holds half of a surrogate pair, which is no character")


def check_recipient(recipient: AccountId) -> None:
    """Raise BadRecipient unless a direct message can go to this id."""
    if recipient.prefix != ACCOUNT:
        raise BadRecipient("messages go to an account id, which begins with 05", remedy="Ask for the account id.")


def check_name(name: str) -> None:
    """Raise BadName unless `name` can be shown to others; the empty name is none."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME:
        raise BadName(f"a display name has at most {MAX_NAME} bytes", remedy="Choose a shorter one.")


def write(text: str, keys: AccountKeys, name: str, recipient: AccountId, sent_ms: int, entropy: Entropy) -> Outgoing:
    """Write a text to `recipient`, and the copy that tells our other devices of it.

    A note to oneself is its own copy.  `name` is the display name that travels with it, empty for none.
    """
    profile = Profile(name) if name else None
    message = TextMessage(text, sent_ms, profile=profile)
    copy = content.encode(replace(message, sync_target=recipient))

    def seal(data: bytes, to: AccountId) -> bytes:
        return envelope.wrap_direct(data, keys.ed25519, to, sent_ms, entropy)

    if recipient == keys.id:
        return Outgoing(copy, (Sealed(keys.id, seal(copy, keys.id), is_copy=False),))
    plain = content.encode(message)
    return Outgoing(
        plain,
        (
            Sealed(recipient, seal(plain, recipient), is_copy=False),
            Sealed(keys.id, seal(copy, keys.id), is_copy=True),
        ),
    )


def read(data: bytes, name: str, keys: AccountKeys) -> Letter | None:
    """Open what lay in our mailbox under the hash `name`; None unless it is a text message to be trusted.

    A message with attachments and no text has an empty body; what they are stays in its Content.
    """
    try:
        opened = envelope.unwrap_direct(data, keys.x25519)
        found = content.decode(opened.content, sent_ms=opened.sent_ms, sender=opened.sender, own=keys.id)
    except ParseError:
        return None
    if not isinstance(found, TextMessage) or found.sent_ms > _LATEST_MS:
        return None
    conversation = found.sync_target or opened.sender
    return Letter(opened.sender, conversation, found.sent_ms, found.body, opened.content, name, len(found.attachments))

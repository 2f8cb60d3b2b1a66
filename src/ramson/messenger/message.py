"""What the messenger tells its user: messages, their states, and receipts for what was sent.  Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.protocol.content import NEVER, Attachment, CommunityInvitation, Expiration, LinkPreview, Quote


class State(StrEnum):
    """Where a message is."""

    RECEIVED = "received"
    SENDING = "sending"  # in the outbox; it goes out by itself as soon as it can
    SENT = "sent"  # stored in the recipient's swarm
    FAILED = "failed"  # no retry can help; the reason says why


class Kind(StrEnum):
    """What stands in a conversation: texts and notices."""

    TEXT = "text"
    TIMER = "timer"  # somebody changed their disappearing-messages setting
    MISSED_CALL = "missed call"
    SCREENSHOT = "screenshot"
    MEDIA_SAVED = "media saved"
    GROUP_INVITE = "group invite"
    GROUP_PROMOTION = "group promotion"
    DELETED = "deleted"  # its author took it back


class NoReply(LocalError):
    """A reply to a message that does not belong to an open client."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message that was sent.

    `stored` of `total` nodes of the recipient's swarm acknowledged it (0 of 0 until one did).  `hash` names
    it in the swarm.  `reason` says why it failed, or what the last attempt ran into while it is still
    sending; it is empty otherwise.  (author, `sent_ms`) identifies the message.
    """

    state: State
    sent_ms: int
    hash: str | None = None
    stored: int = 0
    total: int = 0
    attempts: int = 0
    reason: str = ""
    id: int = field(default=0, repr=False)  # of the message in the account file


@dataclass(frozen=True, slots=True)
class Reaction:
    """An emoji and who put it there."""

    emoji: str
    reactor: AccountId


class Answers(Protocol):
    """What can be done with a message of an open client."""

    async def reply(self, message: Message, text: str, *, quote: bool) -> Receipt:
        """Send a text to its conversation."""
        ...

    async def react(self, message: Message, emoji: str) -> None:
        """React to it."""
        ...

    async def unreact(self, message: Message, emoji: str) -> None:
        """Withdraw a reaction."""
        ...

    async def unsend(self, message: Message) -> None:
        """Take it back."""
        ...

    async def mark_read(self, message: Message) -> None:
        """Mark the conversation read up to it."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One text message, or a notice.  `sent_ms` is the sender's clock, Unix milliseconds; order follows it.

    `conversation` is the other side: the sender of an incoming message, the recipient of one's own.  A message of
    attachments only has an empty body.  `read` says of an incoming message that we have read it, of our own that the
    other side told so.  `request` is true while its sender is not approved by us.  `expires_ms` is when it will
    disappear, None if never or not yet decided; `expiration` is its setting, for a TIMER notice the new one.
    """

    sender: AccountId
    recipient: AccountId
    body: str = field(repr=False)
    sent_ms: int
    hash: str | None
    state: State
    conversation: AccountId
    kind: Kind = Kind.TEXT
    attachments: tuple[Attachment, ...] = ()
    quote: Quote | None = None
    previews: tuple[LinkPreview, ...] = ()
    invitation: CommunityInvitation | None = None
    reactions: tuple[Reaction, ...] = ()
    read: bool = False
    request: bool = False
    expiration: Expiration = NEVER
    expires_ms: int | None = None
    id: int = field(default=0, repr=False, compare=False)  # in the account file
    _answers: Answers | None = field(default=None, repr=False, compare=False)

    @property
    def incoming(self) -> bool:
        """Whether someone else wrote it."""
        return self.sender != self.recipient and self.sender == self.conversation

    async def reply(self, text: str, *, quote: bool = False) -> Receipt:
        """Send `text` to the same conversation, as Client.send does; with `quote` it refers to this message."""
        return await self._open().reply(self, text, quote=quote)

    async def react(self, emoji: str) -> None:
        """React to this message, as Client.react does."""
        await self._open().react(self, emoji)

    async def unreact(self, emoji: str) -> None:
        """Withdraw a reaction."""
        await self._open().unreact(self, emoji)

    async def unsend(self) -> None:
        """Take this message back, as Client.unsend does."""
        await self._open().unsend(self)

    async def mark_read(self) -> None:
        """Mark the conversation read up to this message."""
        await self._open().mark_read(self)

    def _open(self) -> Answers:
        if self._answers is None:
            raise NoReply("this message does not come from an open client", remedy="Use the methods of Client.")
        return self._answers


@dataclass(frozen=True, slots=True)
class Conversation:
    """One line of the list of conversations.

    `name` is the nickname or the name the other side gave itself, empty if unknown.  `priority` is above 0 if it is
    pinned.  `request` is true while we have not approved the other side.
    """

    peer: AccountId
    name: str = field(repr=False)
    last: Message | None
    unread: int
    priority: int = 0
    request: bool = False
    blocked: bool = False
    marked_unread: bool = False
    muted_until_s: int = 0
    expiration: Expiration = NEVER

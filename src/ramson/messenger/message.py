"""What the messenger tells its user: messages, their states, and receipts for what was sent.  Values only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ramson.crypto.account import AccountId
from ramson.errors import LocalError


class State(StrEnum):
    """Where a message is."""

    RECEIVED = "received"
    SENDING = "sending"  # in the outbox; it goes out by itself as soon as it can
    SENT = "sent"  # stored in the recipient's swarm
    FAILED = "failed"  # no retry can help; the reason says why


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


async def _no_reply(_text: str) -> Receipt:
    raise NoReply("this message does not come from an open client", remedy="Use Client.send.")


@dataclass(frozen=True, slots=True)
class Message:
    """One text message.  `sent_ms` is the sender's clock, Unix milliseconds; order follows it.

    `conversation` is the other side: the sender of an incoming message, the recipient of one's own.  Attachments are
    counted, and kept in the account file, but cannot be fetched; a message of attachments only has an empty body.
    """

    sender: AccountId
    recipient: AccountId
    body: str
    sent_ms: int
    hash: str | None
    state: State
    conversation: AccountId
    attachments: int = 0
    _reply: Callable[[str], Awaitable[Receipt]] = field(default=_no_reply, repr=False, compare=False)

    @property
    def incoming(self) -> bool:
        """Whether someone else wrote it."""
        return self.sender != self.recipient and self.sender == self.conversation

    async def reply(self, text: str) -> Receipt:
        """Send `text` to the same conversation, as Client.send does."""
        return await self._reply(text)

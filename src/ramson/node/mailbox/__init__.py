"""The mailbox: one SQLite file that holds every message a service node keeps for its swarm."""

from ramson.node.mailbox.errors import MailboxError, MailboxFull
from ramson.node.mailbox.mailbox import DEFAULT_MAX_BYTES, Mailbox
from ramson.node.mailbox.values import (
    ExpireMode,
    ExpireResult,
    MailboxStats,
    Message,
    NewMessage,
    Page,
    Stored,
    message_cost,
)

__all__ = [
    "DEFAULT_MAX_BYTES",
    "ExpireMode",
    "ExpireResult",
    "Mailbox",
    "MailboxError",
    "MailboxFull",
    "MailboxStats",
    "Message",
    "NewMessage",
    "Page",
    "Stored",
    "message_cost",
]

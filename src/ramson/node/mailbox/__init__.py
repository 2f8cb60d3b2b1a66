"""The mailbox: one SQLite file that holds every message a service node keeps for its swarm."""

from ramson.node.mailbox.copies import Key
from ramson.node.mailbox.debts import Debt, OpenDebt
from ramson.node.mailbox.errors import MailboxError, MailboxFull
from ramson.node.mailbox.lattice import State, TokenState, Warrant
from ramson.node.mailbox.listing import Held, HeldToken
from ramson.node.mailbox.mailbox import DEFAULT_MAX_BYTES, Mailbox
from ramson.node.mailbox.member_view import MemberView
from ramson.node.mailbox.merging import Merged, Offer
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
    "Debt",
    "ExpireMode",
    "ExpireResult",
    "Held",
    "HeldToken",
    "Key",
    "Mailbox",
    "MailboxError",
    "MailboxFull",
    "MailboxStats",
    "MemberView",
    "Merged",
    "Message",
    "NewMessage",
    "Offer",
    "OpenDebt",
    "Page",
    "State",
    "Stored",
    "TokenState",
    "Warrant",
    "message_cost",
]

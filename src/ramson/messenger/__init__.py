"""An account: encrypted store, outbox, inbox, and the `Client` facade."""

from ramson.messenger.client import Client, NotOpen, NotReceiving
from ramson.messenger.letters import BadName, BadRecipient, BadText
from ramson.messenger.message import Message, NoReply, Receipt, State
from ramson.messenger.vault import (
    AccountFileError,
    AccountFileExists,
    AccountFileMissing,
    KeyCost,
    NotAnAccountFile,
    WeakPassphrase,
    WrongPassphrase,
)

__all__ = [
    "AccountFileError",
    "AccountFileExists",
    "AccountFileMissing",
    "BadName",
    "BadRecipient",
    "BadText",
    "Client",
    "KeyCost",
    "Message",
    "NoReply",
    "NotAnAccountFile",
    "NotOpen",
    "NotReceiving",
    "Receipt",
    "State",
    "WeakPassphrase",
    "WrongPassphrase",
]

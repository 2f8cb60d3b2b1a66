"""What can go wrong with the mailbox file, and what the operator can do about it."""

from __future__ import annotations

import apsw

from ramson.errors import RamsonError


class MailboxError(RamsonError):
    """The mailbox could not do what was asked; nothing of the operation was kept."""


class MailboxFull(MailboxError):
    """There is no room for a new message: the size limit, or the disk, is reached."""


def explain(error: apsw.Error) -> MailboxError:
    """Say in the operator's words what SQLite's error means."""
    match error:
        case apsw.FullError():
            return MailboxFull("database full", remedy="free space on the disk that holds the mailbox")
        case apsw.CorruptError() | apsw.NotADBError():
            return MailboxError(
                "the mailbox database is damaged",
                remedy="stop the node, move the database file away and restart; the swarm still has the messages",
            )
        case apsw.BusyError() | apsw.LockedError():
            return MailboxError(
                "the mailbox database is locked by another process",
                remedy="find what else has the file open; only one node may use it",
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return MailboxError(
                "the mailbox database cannot be written", remedy="check the owner and mode of the data directory"
            )
        case apsw.CantOpenError():
            return MailboxError(
                "the mailbox database cannot be opened", remedy="check that the data directory exists and is yours"
            )
        case apsw.IOError():
            return MailboxError("the disk under the mailbox failed", remedy="check the disk and the system log")
        case _:
            return MailboxError(f"the mailbox database refused the operation: {error}")


def is_damage(error: apsw.Error) -> bool:
    """Tell whether the file itself is broken, so that nothing more may be written to it."""
    return isinstance(error, apsw.CorruptError | apsw.NotADBError)

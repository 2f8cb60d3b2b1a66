"""The family of errors: one root, two branches.

A *local* error is the caller's mistake and says what to change; a *remote* error is a peer's and says
who and what.  Every error may carry a remedy: one sentence a person can act on.  No error text holds
a key, a message, a passphrase or the address of a user.
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[a-z]+[ ,:]")  # and no name of a file


class RamsonError(Exception):
    """Root of all errors raised on purpose by this package."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class LocalError(RamsonError):
    """The caller asked for something that cannot be; the message says what to change."""


class RemoteError(RamsonError):
    """A peer, a server or the network did not do its part."""


class ParseError(RemoteError):
    """Bytes from outside are not what the protocol allows; the message names the field or rule broken."""


def in_one_line(error: RamsonError) -> str:
    """Return what went wrong and what can be done; a command at the end of a remedy stays as it is typed."""
    wrong = str(error).strip().rstrip(".") or "something went wrong"
    return f"{_begun(wrong)}. {_begun(error.remedy)}".strip()


def _begun(text: str) -> str:
    return text[0].upper() + text[1:] if _WORD.match(text) else text

"""Which messages a handler is for: filters, composed with `& | ~`.

    from ramson import filters as f

    f.command("weather") & f.direct
    f.text & ~f.sender("05…")

A filter gives a `Found` for a message it lets pass, which carries what it found there, or None.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ramson.crypto.account import AccountId
from ramson.errors import LocalError
from ramson.messenger import Kind, Message

__all__ = [
    "Filter",
    "Found",
    "attachment",
    "command",
    "direct",
    "everything",
    "regex",
    "request",
    "sender",
    "text",
    "when",
]

_STANDARD_PREFIX: Final = 0x05
_NAME: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Found:
    """What a filter found: the text behind a command, and the match of a regex."""

    arguments: str | None = field(default=None, repr=False)
    match: re.Match[str] | None = field(default=None, repr=False)

    def __or__(self, other: Found) -> Found:
        arguments = other.arguments if self.arguments is None else self.arguments
        return Found(arguments, self.match or other.match)


class Filter(ABC):
    """Lets some messages pass.  `finds_arguments`, `finds_match`: whether what passes always carries these."""

    finds_arguments = False
    finds_match = False

    @abstractmethod
    def find(self, message: Message) -> Found | None:
        """Return what was found, or None if the message does not pass."""

    def __and__(self, other: Filter) -> Filter:
        return _Both(self, other)

    def __or__(self, other: Filter) -> Filter:
        return _Either(self, other)

    def __invert__(self) -> Filter:
        return _Not(self)


class _Both(Filter):
    def __init__(self, first: Filter, second: Filter) -> None:
        self._first, self._second = first, second
        self.finds_arguments = first.finds_arguments or second.finds_arguments
        self.finds_match = first.finds_match or second.finds_match

    def find(self, message: Message) -> Found | None:
        first = self._first.find(message)
        second = None if first is None else self._second.find(message)
        return None if first is None or second is None else first | second


class _Either(Filter):
    def __init__(self, first: Filter, second: Filter) -> None:
        self._first, self._second = first, second
        self.finds_arguments = first.finds_arguments and second.finds_arguments
        self.finds_match = first.finds_match and second.finds_match

    def find(self, message: Message) -> Found | None:
        first = self._first.find(message)
        return self._second.find(message) if first is None else first


class _Not(Filter):
    def __init__(self, inner: Filter) -> None:
        self._inner = inner

    def find(self, message: Message) -> Found | None:
        return Found() if self._inner.find(message) is None else None


class _When(Filter):
    def __init__(self, test: Callable[[Message], bool]) -> None:
        self._test = test

    def find(self, message: Message) -> Found | None:
        return Found() if self._test(message) else None


class _Command(Filter):
    finds_arguments = True

    def __init__(self, names: tuple[str, ...], prefix: str) -> None:
        for name in names:
            if not _NAME.fullmatch(name):
                raise LocalError(f"{name!r} cannot be the name of a command", remedy="Take a word without spaces.")
        self._words = {f"{prefix}{name}".casefold() for name in names}

    def find(self, message: Message) -> Found | None:
        word, *rest = message.body.strip().split(maxsplit=1) or [""]
        return Found(arguments="".join(rest)) if word.casefold() in self._words else None


class _Regex(Filter):
    finds_match = True

    def __init__(self, pattern: str | re.Pattern[str]) -> None:
        self._pattern = re.compile(pattern)

    def find(self, message: Message) -> Found | None:
        match = self._pattern.search(message.body)
        return None if match is None else Found(match=match)


def when(test: Callable[[Message], bool]) -> Filter:
    """Let pass what `test` says yes to."""
    return _When(test)


def command(name: str, *others: str, prefix: str = "/") -> Filter:
    """Let pass messages whose first word is `/name`, in any case, or one of the other names.

    What follows it is read as the arguments of the handler.
    """
    return _Command((name, *others), prefix)


def regex(pattern: str | re.Pattern[str]) -> Filter:
    """Let pass messages in which the pattern is found; a handler may take an argument of type `re.Match[str]`.

    The texts are those of strangers: a pattern with nested repetition can be made to take for ever.
    """
    return _Regex(pattern)


def sender(person: AccountId | str, *others: AccountId | str) -> Filter:
    """Let pass what these people wrote.  Raises AccountIdError."""
    people = {AccountId.parse(each) if isinstance(each, str) else each for each in (person, *others)}
    return when(lambda message: message.sender in people)


everything: Final = when(lambda _message: True)
"""Let all pass."""
text: Final = when(lambda message: message.kind is Kind.TEXT and bool(message.body))
"""Let pass what has a text."""
direct: Final = when(lambda message: message.conversation.prefix == _STANDARD_PREFIX)
"""Let pass what was written in a conversation of two."""
attachment: Final = when(lambda message: bool(message.attachments))
"""Let pass what has files."""
request: Final = when(lambda message: message.request)
"""Let pass what comes from people the account has not approved; replying approves them."""

"""The arguments of handlers: what a function wants, read from its signature, and how a command's text becomes it.

A parameter of type Message, Bot or re.Match gets that thing; a first parameter without a type gets the message.
Every other one gets a word of the command's text as `str`, `int`, `float`, `bool` or AccountId (or one of these
`| None`).  Words in double quotes are one.  `*words` gets all words that are left; a parameter behind a lone `*`,
a `str`, gets the rest of the text as it stands.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ramson.bot.filters import Found
from ramson.crypto.account import AccountId
from ramson.errors import LocalError, RemoteError
from ramson.messenger import Message

_WORD: Final = re.compile(r'["“”]([^"“”]*)["“”]|(\S+)')
_YES: Final = frozenset({"yes", "y", "true", "on", "1"})
_NO: Final = frozenset({"no", "n", "false", "off", "0"})


class BadHandler(LocalError):
    """A function cannot be a handler as it is declared."""


class BadArguments(RemoteError):
    """The text of a command does not fit its handler.  Its sender is told; a handler may raise it itself."""


def _bool(word: str) -> bool:
    if word.casefold() not in _YES | _NO:
        raise ValueError
    return word.casefold() in _YES


def _float(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError
    return value


def _account(word: str) -> AccountId:
    try:
        return AccountId.parse(word)
    except LocalError:
        raise ValueError from None


_READERS: Final[Mapping[object, tuple[str, Callable[[str], object]]]] = {
    str: ("a word", str),
    int: ("a whole number", int),
    float: ("a number", _float),
    bool: ("yes or no", _bool),
    AccountId: ("an account id", _account),
}


@dataclass(frozen=True, slots=True)
class _Value:
    """One parameter that is read from text; a `rest` takes all that is left, verbatim or word by word."""

    name: str
    kind: object
    required: bool
    words: bool = False
    verbatim: bool = False

    def read(self, word: str) -> object:
        what, reader = _READERS[self.kind]
        try:
            return reader(word)
        except ValueError:
            raise BadArguments(f"“{self.name}” has to be {what}") from None

    def __str__(self) -> str:
        shown = f"{self.name}…" if self.words or self.verbatim else self.name
        return f"<{shown}>" if self.required else f"[{shown}]"


@dataclass(frozen=True, slots=True)
class Wants:
    """What a handler wants: which parameters get which thing, and which are read from text, in order."""

    signature: inspect.Signature
    things: tuple[tuple[str, type], ...] = ()
    values: tuple[_Value, ...] = ()

    @property
    def usage(self) -> str:
        """The arguments as a person types them."""
        return " ".join(str(value) for value in self.values)

    def wants(self, thing: type) -> bool:
        """Whether a parameter gets this thing."""
        return any(kind is thing for _, kind in self.things)

    def bind(self, things: Mapping[type, object], found: Found) -> inspect.BoundArguments:
        """Return what the handler is called with.  Raises BadArguments."""
        given: dict[str, Any] = {name: things[kind] for name, kind in self.things}
        text, at = found.arguments or "", 0
        for value in self.values:
            if value.verbatim:
                rest, at = text[at:].strip(), len(text)
                if rest:
                    given[value.name] = rest
                elif value.required:
                    raise BadArguments(f"“{value.name}” is missing")
            elif value.words:
                given[value.name] = tuple(value.read(_word(match)) for match in _WORD.finditer(text, at))
                at = len(text)
            elif match := _WORD.search(text, at):
                given[value.name] = value.read(_word(match))
                at = match.end()
            elif value.required:
                raise BadArguments(f"“{value.name}” is missing")
        if self.values and text[at:].strip():
            raise BadArguments("that is more than is wanted")
        bound = inspect.BoundArguments(self.signature, OrderedDict(given))
        bound.apply_defaults()
        return bound


def _word(match: re.Match[str]) -> str:
    return match[2] if match[1] is None else match[1]


def wants(handler: Callable[..., Any], things: frozenset[type]) -> Wants:
    """Read what a function wants, of `things` and of text.  Raises BadHandler."""
    name = getattr(handler, "__qualname__", repr(handler))
    try:
        signature = inspect.signature(handler, eval_str=True)
    except NameError as error:
        raise BadHandler(f"the types of {name} cannot be read: {error}", remedy="Import them in its module.") from None
    given: list[tuple[str, type]] = []
    values: list[_Value] = []
    for place, (parameter, found) in enumerate(signature.parameters.items()):
        kind = _plain(found.annotation)
        if place == 0 and kind is found.empty and Message in things:
            kind = Message
        if isinstance(kind, type) and kind in things:
            given.append((parameter, kind))
            continue
        kind = str if kind is found.empty else kind
        if kind not in _READERS or found.kind is found.VAR_KEYWORD:
            raise BadHandler(
                f"{parameter} of {name} has a type that cannot be read from a text",
                remedy="Take str, int, float, bool or AccountId.",
            )
        verbatim = found.kind is found.KEYWORD_ONLY
        if verbatim and kind is not str:
            raise BadHandler(f"{parameter} of {name} gets the rest of the text", remedy="Make it a str.")
        if verbatim and any(value.words or value.verbatim for value in values):
            raise BadHandler(f"{parameter} of {name} would get nothing: another one takes the rest")
        words = found.kind is found.VAR_POSITIONAL
        values.append(_Value(parameter, kind, found.default is found.empty and not words, words, verbatim))
    return Wants(signature, tuple(given), tuple(values))


def _plain(annotation: Any) -> Any:
    """Return the type without `| None` and without what is in brackets."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        inner = [each for each in typing.get_args(annotation) if each is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return typing.get_origin(annotation) or annotation

"""What handlers may take, and how a command's text becomes it."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson import AccountId, Bot, Message
from ramson.bot import BadArguments, BadHandler, Found, Router, filters
from ramson.bot.arguments import wants

THINGS = frozenset({Message})
ID = "05" + "ab" * 32


def call(handler, text):
    wanted = wants(handler, THINGS)
    bound = wanted.bind({Message: "the message"}, Found(arguments=text))
    return handler(*bound.args, **bound.kwargs)


def weather(message: Message, city: str, days: int = 1, scale: float = 1.0, *, long: str = "") -> tuple:
    return message, city, days, scale, long


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oslo", ("Oslo", 1, 1.0, "")),
        ("Oslo 3", ("Oslo", 3, 1.0, "")),
        ('"New York" -3 0.5', ("New York", -3, 0.5, "")),
        ("“New York”", ("New York", 1, 1.0, "")),
        ("don't", ("don't", 1, 1.0, "")),
        ("Oslo 1 1 and  so on", ("Oslo", 1, 1.0, "and  so on")),
    ],
)
def test_words_become_what_the_types_say(text, expected):
    assert call(weather, text) == ("the message", *expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "“city” is missing"),
        ("Oslo soon", "“days” has to be a whole number"),
        ("Oslo 1 nan", "“scale” has to be a number"),
        ("Oslo " + "9" * 5000, "“days” has to be a whole number"),
    ],
)
def test_what_does_not_fit_is_named(text, complaint):
    with pytest.raises(BadArguments, match=complaint):
        call(weather, text)


def test_too_many_words_are_not_ignored():
    def one(word: str) -> str:
        return word

    with pytest.raises(BadArguments, match="more than is wanted"):
        call(one, "a b")


def test_a_handler_without_arguments_takes_any_text():
    def none(message: Message) -> str:
        return message

    assert call(none, "a b") == "the message"


def test_booleans_accounts_options_and_lists():
    def handler(message, who: AccountId, loud: bool, number: int | None = None, *words: str) -> tuple:
        return message, who.hex, loud, number, words

    assert call(handler, f"{ID} on") == ("the message", ID, True, None, ())
    assert call(handler, f'{ID} No 7 a "b c"') == ("the message", ID, False, 7, ("a", "b c"))
    with pytest.raises(BadArguments, match="yes or no"):
        call(handler, f"{ID} perhaps")
    with pytest.raises(BadArguments, match="an account id"):
        call(handler, "05abc on")


def test_usage_is_what_a_person_types():
    assert wants(weather, THINGS).usage == "<city> [days] [scale] [long…]"


@given(st.text())
def test_whatever_the_text_is_it_fits_or_its_sender_is_told(text):
    with contextlib.suppress(BadArguments):
        call(weather, text)


def test_handlers_that_could_never_be_called_are_refused_when_declared():
    router = Router()

    with pytest.raises(BadHandler, match="cannot be read from a text"):

        @router.on(filters.command("x"))
        async def strange(message: Message, data: bytes) -> None: ...

    with pytest.raises(BadHandler, match="its filter finds none"):

        @router.on(filters.text)
        async def no_command(message: Message, city: str) -> None: ...

    with pytest.raises(BadHandler, match="takes a match"):

        @router.on(filters.text)
        async def no_regex(match: re.Match[str]) -> None: ...

    with pytest.raises(BadHandler, match="by the clock"):

        @router.every(seconds=1)
        async def job(bot: Bot, message: str) -> None: ...

    with pytest.raises(BadHandler, match="gets the rest"):

        @router.on(filters.command("x"))
        async def rest(*, number: int) -> None: ...

    with pytest.raises(BadHandler, match="another one takes the rest"):

        @router.on(filters.command("x"))
        async def twice(*words: str, more: str) -> None: ...

    with pytest.raises(BadHandler, match="cannot be read: "):

        @router.on(filters.command("x"))
        async def unknown(message: "Nonsense") -> None: ...  # noqa: F821 - that is the point

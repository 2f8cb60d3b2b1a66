"""Filters and their algebra."""

import itertools

import pytest

from ramson import AccountId, LocalError, Message, State
from ramson import filters as f
from ramson.protocol.content import Attachment

ALICE = AccountId(0x05, bytes(31) + b"\x01")
BOB = AccountId(0x05, bytes(31) + b"\x02")


def message(body="", *, sender=ALICE, **more):
    return Message(sender, BOB, body, 1, None, State.RECEIVED, sender, **more)


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("/weather Oslo", "Oslo"),
        ("/WEATHER  Oslo  now ", "Oslo  now"),
        ("/weather", ""),
        ("/w x", "x"),
        ("/weather\nOslo", "Oslo"),
        ("weather Oslo", None),
        ("/weatherman", None),
        ("say /weather", None),
        ("", None),
    ],
)
def test_a_command_is_the_first_word_and_what_follows_are_its_arguments(body, arguments):
    found = f.command("weather", "w").find(message(body))
    assert (found and found.arguments) == arguments
    assert (found is None) == (arguments is None)


def test_a_command_is_one_word():
    with pytest.raises(LocalError):
        f.command("two words")


def test_each_filter_lets_pass_what_it_says():
    assert f.text.find(message("hi"))
    assert not f.text.find(message(""))
    assert f.attachment.find(message(attachments=(Attachment(),)))
    assert not f.attachment.find(message("hi"))
    assert f.sender(ALICE.hex).find(message())
    assert f.sender(BOB, ALICE).find(message())
    assert not f.sender(BOB).find(message())
    assert f.direct.find(message())
    assert not f.direct.find(message(sender=AccountId(0x03, bytes(32))))
    assert f.request.find(message(request=True))
    assert not f.request.find(message())
    assert f.when(lambda each: each.sent_ms == 1).find(message())
    assert f.everything.find(message())


def test_a_regex_gives_its_match():
    found = f.regex(r"(\d+) \+ (\d+)").find(message("what is 2 + 3?"))
    assert found.match.groups() == ("2", "3")
    assert f.regex("x").find(message("y")) is None


YES, NO = f.everything, ~f.everything


def test_filters_compose_as_logic_does():
    for one, other in itertools.product((True, False), repeat=2):
        a, b = (YES if one else NO), (YES if other else NO)
        assert bool((a & b).find(message())) is (one and other)
        assert bool((a | b).find(message())) is (one or other)
        assert bool((~a).find(message())) is (not one)


def test_what_was_found_passes_through():
    both = (f.direct & f.command("add") & f.regex(r"\d")).find(message("/add 1"))
    assert (both.arguments, both.match[0]) == ("1", "1")
    assert (f.command("sum") | f.command("add")).find(message("/add 1")).arguments == "1"
    assert (~f.command("sum")).find(message("/add 1")).arguments is None


def test_it_is_known_what_a_filter_always_finds():
    command, regex = f.command("x"), f.regex("x")
    assert (command & f.text).finds_arguments
    assert (command | f.command("y")).finds_arguments
    assert not (command | f.text).finds_arguments
    assert not (~command).finds_arguments
    assert (f.text & regex).finds_match
    assert not (command | regex).finds_match

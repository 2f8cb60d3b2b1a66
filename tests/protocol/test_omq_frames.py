"""OxenMQ's parts (oxend-interface §1)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.protocol import omq

TAG = b"t" * omq.TAG_SIZE


def no_tag(_name: str) -> bool:
    return False


def test_a_request_is_name_tag_and_data():
    parts = omq.request("storage.store", TAG, [b"{}", b""])
    assert parts == [b"storage.store", TAG, b"{}", b""]
    assert omq.parse(parts) == omq.Call("storage.store", TAG, (b"{}", b""))


def test_a_command_is_name_and_data():
    parts = omq.command("notify.message", [b"de"])
    assert parts == [b"notify.message", b"de"]
    assert omq.parse(parts, no_tag) == omq.Call("notify.message", None, (b"de",))


def test_the_name_decides_whether_there_is_a_tag():
    parts = [b"sn.ping", b"x", b"y"]
    assert omq.parse(parts, lambda name: name == "sn.ping") == omq.Call("sn.ping", b"x", (b"y",))
    assert omq.parse(parts, lambda name: name != "sn.ping") == omq.Call("sn.ping", None, (b"x", b"y"))


def test_a_reply_carries_the_tag_back():
    parts = omq.reply(TAG, [b"pong"])
    assert parts == [b"REPLY", TAG, b"pong"]
    assert omq.parse(parts) == omq.ReplyMessage(TAG, (b"pong",))
    assert omq.parse(omq.reply(TAG)) == omq.ReplyMessage(TAG, ())


@pytest.mark.parametrize("kind", list(omq.Control))
def test_control(kind):
    assert omq.parse(omq.control(kind)) is kind


def test_refusals_of_requests_name_the_tag():
    call = omq.parse([b"sn.data", TAG, b"x"])
    parts = omq.refuse(call, b"FORBIDDEN_SN")
    assert parts == [b"FORBIDDEN_SN", b"REPLY", TAG]
    assert omq.parse(parts) == omq.Refusal(omq.RefusalCode.FORBIDDEN_SN, tag=TAG)


def test_refusals_of_commands_name_the_command():
    call = omq.parse([b"sn.ping"])
    parts = omq.refuse(call, b"FORBIDDEN")
    assert parts == [b"FORBIDDEN", b"sn.ping"]
    assert omq.parse(parts) == omq.Refusal(omq.RefusalCode.FORBIDDEN, name="sn.ping")


def test_refusals_without_a_tag():
    call = omq.parse([b"foo.bar", TAG])
    assert omq.unknown_command(call) == [b"UNKNOWNCOMMAND", b"foo.bar"]
    assert omq.no_reply_tag(omq.parse([b"sn.ping"])) == [b"NO_REPLY_TAG", b"sn.ping"]
    assert omq.parse([b"UNKNOWNCOMMAND", b"foo.bar"]) == omq.Refusal(omq.RefusalCode.UNKNOWN_COMMAND, name="foo.bar")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"sn.p ing"],
        [b"sn.ping\n"],
        [b"sn.\xc3\xa9"],
        [b"sn.\x00"],
        [b"a." + b"b" * 250],
        [b"sn.ping", b"t" * 256],
        [b"REPLY"],
        [b"REPLY", b"t" * 256],
        [b"FORBIDDEN"],
        [b"FORBIDDEN", b"REPLY"],
        [b"FORBIDDEN", b"REPLY", TAG, b"x"],
        [b"UNKNOWNCOMMAND", b"nodot"],
        [b"sn.ping"] + [b"x"] * omq.MAX_PARTS,
    ],
)
def test_malformed(parts):
    with pytest.raises(ParseError):
        omq.parse(parts)


@pytest.mark.parametrize("name", ["ping", ".ping", "sn.", ".", "a" * 51 + ".b", "a." + "b" * 201])
def test_names_that_nothing_can_have_are_answered(name):
    call = omq.parse([name.encode(), TAG], lambda _name: False)
    assert call == omq.Call(name, None, (TAG,))
    assert omq.unknown_command(call) == [b"UNKNOWNCOMMAND", name.encode()]


def test_limits_are_inclusive():
    name = "c" * 50 + "." + "n" * 200
    assert omq.parse(omq.request(name, b"t" * 255)) == omq.Call(name, b"t" * 255, ())


@pytest.mark.parametrize("name", ["ping", "", "a.", "é.x", "a b.c", "x" * 51 + ".y"])
def test_own_names_are_checked(name):
    with pytest.raises(LocalError):
        omq.command(name)
    with pytest.raises(LocalError):
        omq.request(name, TAG)


def test_own_tags_are_checked():
    with pytest.raises(LocalError):
        omq.request("a.b", b"t" * 256)


heads = st.sampled_from([b"REPLY", b"HI", b"BYE", b"FORBIDDEN", b"UNKNOWNCOMMAND", b"NO_REPLY_TAG", b"sn.ping"])


@settings(max_examples=500, deadline=None)
@given(st.lists(heads | st.binary(max_size=300), max_size=5), st.booleans())
def test_fuzz(parts, tagged):
    try:
        message = omq.parse(parts, lambda _name: tagged)
    except ParseError:
        return
    if isinstance(message, omq.Call):
        tail = [*([message.tag] if message.tag is not None else []), *message.parts]
        assert [message.name.encode(), *tail] == parts
    elif isinstance(message, omq.ReplyMessage):
        assert omq.reply(message.tag, message.parts) == parts

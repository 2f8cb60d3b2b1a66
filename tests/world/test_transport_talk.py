"""What a pluggable transport may say, and how a bridge's arguments are handed to it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.world import Endpoint
from ramson.world.transport_talk import Startup, environment, login


def heard(*lines: str) -> Startup:
    startup = Startup()
    for line in lines:
        startup.hear(line.encode() + b"\n")
    return startup


def test_a_good_start():
    startup = heard(
        "LOG SEVERITY=debug MESSAGE=x",
        "VERSION 1",
        "CMETHOD obfs4 socks5 127.0.0.1:3247",
        "CMETHOD old socks4 127.0.0.1:3248",
        "CMETHOD six socks5 [::1]:3249",
        "CMETHOD-ERROR other no such thing",
        "STATUS TRANSPORT=obfs4 X=1",
        "NEWER word",
        "",
        "CMETHODS DONE",
    )
    assert startup.done
    assert startup.methods == {"obfs4": Endpoint("127.0.0.1", 3247), "six": Endpoint("::1", 3249)}


@pytest.mark.parametrize(
    "lines",
    [
        ["VERSION 2"],
        ["VERSION-ERROR no-version"],
        ["ENV-ERROR no"],
        ["PROXY-ERROR no"],
        ["CMETHODS DONE"],
        ["CMETHOD obfs4 socks5 127.0.0.1:1"],
        *(
            ["VERSION 1", f"CMETHOD {rest}"]
            for rest in (
                "",
                "obfs4",
                "obfs4 socks5",
                "ob-fs socks5 127.0.0.1:1",
                "obfs4 socks5 192.0.2.1:1",
                "obfs4 socks5 localhost:1",
                "obfs4 socks5 127.0.0.1",
                "obfs4 socks5 127.0.0.1:0",
                "obfs4 socks5 127.0.0.1:65536",
                "obfs4 socks5 127.0.0.1:²",
            )
        ),
        ["VERSION 1", "CMETHODS MORE"],
    ],
)
def test_what_makes_a_program_unusable(lines):
    with pytest.raises(ParseError):
        heard(*lines)


WORDS = st.sampled_from([b"VERSION 1", b"CMETHOD a socks5 ", b"127.0.0.1:", b"CMETHODS DONE", b" ", b"LOG "])


@given(st.lists(st.lists(WORDS | st.binary(max_size=20), max_size=4).map(b"".join), max_size=8))
def test_whatever_it_says_the_outcome_is_known(lines):
    startup = Startup()
    try:
        for line in lines:
            startup.hear(line)
    except ParseError:
        return
    assert all(place.host.startswith(("127.", "::")) and place.port for place in startup.methods.values())


def test_the_environment():
    variables = environment(("obfs4", "meek_lite"), "/state")
    assert variables["TOR_PT_CLIENT_TRANSPORTS"] == "obfs4,meek_lite"
    assert variables["TOR_PT_STATE_LOCATION"] == "/state"


def test_no_arguments_are_no_login():
    assert login({}) == ("", "")


def test_arguments_are_escaped():
    assert login({"a;b": "c\\d;e=f"}) == ("a\\;b=c\\\\d\\;e=f", "\0")
    assert login({"cert": "x" * 300, "iat-mode": "0"}) == ("cert=" + "x" * 250, "x" * 50 + ";iat-mode=0")


def decode(text: str) -> dict[str, str]:
    """Read arguments as a transport does: escapes are undone, the first bare `=` ends the key."""
    if not text:
        return {}
    found = {}
    for pair in re.findall(r"((?:\\.|[^\\;])*)(?:;|$)", text, re.DOTALL)[: text.count(";") + 1]:
        if not pair:
            continue
        key, value = re.fullmatch(r"((?:\\.|[^\\=])*)=(.*)", pair, re.DOTALL).groups()
        found[re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    return found


ASCII = st.text(st.characters(min_codepoint=1, max_codepoint=126), min_size=1, max_size=60)


@given(st.dictionaries(ASCII, ASCII, max_size=3))
def test_arguments_come_back_as_they_were(arguments):
    user, password = login(arguments)
    assert max(len(user), len(password)) <= 255
    assert decode(user + password.removesuffix("\0")) == arguments


@pytest.mark.parametrize("value", ["x" * 510, "é", "a\0b"])
def test_arguments_that_cannot_be_handed_over(value):
    with pytest.raises(LocalError):
        login({"a": value})

"""Addresses of communities have one form in which they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.protocol import community_url
from ramson.protocol.community_url import CommunityUrl

KEY = bytes(range(32))
HEX = KEY.hex()
BASE32Z = "yyyoryarywdyqnyjbefoadeqbhebnrounoktcfaadrpbs8y7daxo"


def test_spellings_of_one_place_are_equal():
    place = CommunityUrl("https://example.org", "Room", KEY)
    assert community_url.parse_full(f"https://example.org/Room?public_key={HEX}") == place
    assert community_url.parse_full(f"HTTPS://Example.ORG:443/r/Room?public_key={HEX.upper()}") == place
    for key in (BASE32Z, BASE32Z.upper()):
        assert community_url.parse_full(f"https://example.org/Room?public_key={key}") == place


def test_the_key_may_be_missing_only_where_that_is_said():
    assert community_url.parse_partial("http://127.0.0.1:8080/lobby") == CommunityUrl("http://127.0.0.1:8080", "lobby")
    with pytest.raises(ParseError):
        community_url.parse_full("http://127.0.0.1:8080/lobby")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https://example.org/room?public_key=",
        f"https://example.org/room?public_key={HEX[:-2]}zz",
        f"https://example.org/room?public_key={'=' * 44}",
        f"https://example.org/room?public_key={'l' * 52}",
        "https://user@example.org/room",
        "https://example.org:0/room",
        "https://example.org:99999/room",
        "https://[::1]/room",
        "https://example.org/with space",
        f"https://example.org/{'a' * 65}",
        f"https://{'a.' * 300}org/room",
        "https://éxample.org/room",
        "https://example.org/room\n",
    ],
)
def test_everything_else_is_refused(url):
    with pytest.raises(ParseError):
        community_url.parse_partial(url)


@given(st.text(max_size=80).map(lambda tail: "https://example.org/" + tail) | st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        found = community_url.parse_partial(text)
    except ParseError:
        return
    assert community_url.canonical_base(found.base_url) == found.base_url


@given(st.from_regex(r"[-0-9A-Za-z_]{1,64}", fullmatch=True), st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read(room, key):
    url = community_url.full("https://example.org", room, key)
    assert community_url.parse_full(url) == CommunityUrl("https://example.org", room, key)
    assert community_url.canonical_room(room) == room.lower()


def test_a_key_of_the_wrong_size_is_not_written():
    with pytest.raises(LocalError):
        community_url.full("https://example.org", "room", KEY[:31])

"""The bridge's link, tickets, sizes and messages."""

import contextlib
import hashlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol import bridge
from ramson.protocol.bridge import (
    CLASSES,
    LARGE,
    SLOT_MS,
    SMALL,
    BadBridgeLink,
    Content,
    Forward,
    Kept,
    ListQuery,
    Piece,
    Refusal,
    Refused,
    Rest,
    Ticket,
    link,
    sizes,
)

NOW = 1_760_000_000_000
SECRET = bytes(range(32))
NONCE = bytes(range(100, 116))
URI = "ramson-bridge:https://example.org/notes/?v=1&net=mainnet&key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

nonces = st.binary(min_size=16, max_size=16)
totals = st.integers(0, bridge.MAX_TOTAL)
rooms = st.sampled_from(CLASSES)
data = st.binary(max_size=300)
requests = st.one_of(
    st.builds(Forward, rooms, nonces, st.binary(min_size=32, max_size=32), totals, data),
    st.builds(Piece, rooms, nonces, totals, data),
    st.builds(Rest, rooms, nonces, totals),
    st.builds(ListQuery, rooms, nonces),
)
replies = st.one_of(
    st.builds(Content, st.integers(100, 599), st.integers(300, bridge.MAX_TOTAL), data),
    st.just(Kept()),
    st.builds(Refused, st.sampled_from(Refusal)),
)


def ticket(now=NOW, secret=SECRET, nonce=NONCE):
    return Ticket.make(secret, now_ms=now, nonce=nonce)


# The link.


def test_a_link_says_where_the_bridge_is_and_what_opens_it():
    found = link.parse(URI)
    assert (found.host, found.port, found.path, found.tls) == ("example.org", 443, "/notes/", True)
    assert found.secret == SECRET
    assert found.network == "mainnet"
    assert found.pin is found.front is None
    assert found.site == "https://example.org/notes/"
    assert found.uri == URI
    assert link.make("https://example.org/notes/", SECRET, "mainnet") == found


def test_a_link_shows_nothing_of_itself_by_accident():
    made = link.make("https://example.org:8443/", SECRET, "testnet", pin=bytes(32), front="cdn.example.net")
    assert repr(made) == "BridgeLink(network='testnet', tls=True)"
    assert link.parse(made.uri) == made
    assert made.uri.endswith(f"&pin={'A' * 43}&front=cdn.example.net")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://example.org/",
        URI + " ",
        URI + "\n",
        URI + "&extra=1",
        URI + "&pin=short",
        URI[:-1],
        URI[:-1] + "9",  # bits that no byte has
        URI.replace("mainnet", "Main net"),
        URI.replace("&net=mainnet", ""),
        URI.replace("https://", "ftp://"),
        URI.replace("https://", "http://"),
        URI.replace("/notes/", "/notes"),
        URI.replace("/notes/", "/no tes/"),
        URI.replace("/notes/", "/../"[:-1]),
        URI.replace("example.org", "Example.org"),
        URI.replace("example.org", "exa_mple.org"),
        URI.replace("example.org", "-example.org"),
        URI.replace("example.org", "user@example.org"),
        URI.replace("example.org", "example.org:443"),
        URI.replace("example.org", "example.org:65536"),
        URI.replace("example.org", "a" * 254),
        URI.replace("v=1", "v=0"),
    ],
)
def test_anything_else_is_no_link_and_is_not_quoted(text):
    with pytest.raises(BadBridgeLink) as caught:
        link.parse(text)
    assert "example" not in str(caught.value) + caught.value.remedy


def test_a_link_of_a_later_version_asks_for_an_upgrade():
    with pytest.raises(BadBridgeLink, match="newer version"):
        link.parse(URI.replace("v=1&", "v=2&x=y&"))


def test_without_tls_a_bridge_can_be_on_this_machine_only():
    assert not link.parse(URI.replace("https://example.org", "http://127.0.0.1:8080")).tls


@given(st.text(max_size=60).map(lambda tail: URI[:70] + tail) | st.text(max_size=60))
def test_text_of_strangers_is_a_link_or_an_error(text):
    with contextlib.suppress(BadBridgeLink):
        assert link.parse(text).uri == text


def test_a_secret_of_the_wrong_size_makes_no_link():
    with pytest.raises(BadBridgeLink, match="32 bytes"):
        link.make("https://example.org/", SECRET[:-1], "mainnet")


# Tickets.


def test_golden_ticket_and_bodies():  # computed apart, with hashlib and libsodium alone
    made = ticket()
    assert str(made) == "ZGVmZ2hpamtsbW5vcHFyc-maRHZFRDQlp8LpHwYHUFc"
    question, answer = made.seal_request(b"question"), made.seal_reply(b"answer")
    assert len(question) == len(answer) == 1024
    assert hashlib.sha256(question).hexdigest() == "b7016f3fd36fbca9e09d80d7c80b18c010bfe3262a8141bfdec3e5a7d30cbbe5"
    assert hashlib.sha256(answer).hexdigest() == "dd800e3737e8165ab5ea9b7d29ee19bacdc2675280b6721fe5637167e24cd644"


def test_a_ticket_looks_like_any_long_name_and_shows_no_key():
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", str(ticket()))
    assert SECRET.hex() not in repr(ticket())
    assert repr(SECRET) not in repr(ticket())


@pytest.mark.parametrize("late", [-SLOT_MS, 0, SLOT_MS])
def test_a_ticket_is_good_in_its_slot_and_the_two_beside_it(late):
    number, found = bridge.find(str(ticket()), (bytes(32), SECRET), now_ms=NOW + late)
    assert number == 1
    assert found == ticket()


@pytest.mark.parametrize("late", [-86_400_000, -2 * SLOT_MS, 2 * SLOT_MS, 86_400_000])
def test_a_ticket_of_another_time_is_none(late):
    assert bridge.find(str(ticket()), (SECRET,), now_ms=NOW + late) is None


def test_a_ticket_of_another_secret_is_none():
    assert bridge.find(str(ticket(secret=bytes(32))), (SECRET,), now_ms=NOW) is None


@given(st.integers(0, 42), st.sampled_from("abcXYZ019-_"))
def test_a_changed_ticket_is_none(place, letter):
    text = str(ticket())
    changed = text[:place] + letter + text[place + 1 :]
    assert (bridge.find(changed, (SECRET,), now_ms=NOW) is None) == (changed != text)


@given(st.text(max_size=60))
def test_a_strangers_path_is_no_ticket(text):
    assert bridge.find(text, (SECRET,), now_ms=NOW) is None


@given(st.binary(max_size=3000), nonces)
def test_what_is_sealed_is_opened_with_the_same_ticket_only(message, nonce):
    made = ticket(nonce=nonce)
    body = made.seal_request(message)
    assert len(body) in CLASSES
    assert made.open_request(body) == message
    assert made.open_reply(made.seal_reply(message)) == message
    for other in (ticket(secret=bytes(32), nonce=nonce), ticket(nonce=bytes(16) if any(nonce) else NONCE)):
        with pytest.raises(ParseError):
            other.open_request(body)
    with pytest.raises(ParseError):  # a request cannot be sent back as a reply
        made.open_reply(body)


@given(st.binary(max_size=2000))
def test_bodies_of_strangers_are_an_error(body):
    with pytest.raises(ParseError):
        ticket().open_request(body)


# Sizes.


def test_sizes_are_few_and_no_more_than_half_as_large_again():
    assert CLASSES[0] == 1024
    assert CLASSES[-1] == LARGE == 512 * 1024
    assert len(CLASSES) == 18
    assert all(b * 2 in {a * 3, a * 4} or b * 3 == a * 4 for a, b in itertools.pairwise(CLASSES))
    assert SMALL in CLASSES


@given(st.binary(max_size=5000), st.integers(0, 64))
def test_padding_comes_off_again(message, overhead):
    padded = sizes.pad(message, overhead)
    assert sizes.is_class(len(padded) + overhead)
    assert sizes.unpad(padded) == message


def test_what_does_not_fit_is_refused_before_it_is_sent():
    with pytest.raises(sizes.TooLong):
        sizes.pad(bytes(LARGE), 0)


@pytest.mark.parametrize("padded", [b"", b"\0\0\0", b"\0\0\0\x05abc", b"\0\0\0\x01a\0\x01", b"\xff" * 8])
def test_wrong_padding_is_an_error(padded):
    with pytest.raises(ParseError):
        sizes.unpad(padded)


# Messages.


@given(requests)
def test_requests_come_back_as_they_were(request):
    assert bridge.decode_request(bridge.encode_request(request)) == request


@given(replies)
def test_replies_come_back_as_they_were(reply):
    assert bridge.decode_reply(bridge.encode_reply(reply)) == reply


@given(st.binary(max_size=80))
def test_bytes_of_strangers_are_a_message_or_an_error(message):
    for decode, encode in (
        (bridge.decode_request, bridge.encode_request),
        (bridge.decode_reply, bridge.encode_reply),
    ):
        with contextlib.suppress(ParseError):
            assert encode(decode(message)) == message


@given(requests, st.integers(1, 30))
def test_a_cut_message_is_an_error_or_shorter(request, cut):
    encoded = bridge.encode_request(request)[:-cut]
    with contextlib.suppress(ParseError):
        assert bridge.encode_request(bridge.decode_request(encoded)) == encoded


@pytest.mark.parametrize("room", [0, 1000, 2**32 - 1])
def test_a_room_that_no_body_has_is_an_error(room):
    with pytest.raises(ParseError, match="size"):
        bridge.decode_request(bridge.encode_request(ListQuery(room, bytes(16))))


def test_lengths_beyond_what_is_carried_are_an_error():
    with pytest.raises(ParseError, match="beyond"):
        bridge.decode_request(bridge.encode_request(Rest(1024, bytes(16), bridge.MAX_TOTAL + 1)))


@pytest.mark.parametrize("body", CLASSES)
def test_the_space_in_a_body_is_known_exactly(body):
    made = ticket()
    forward = Forward(body, bytes(16), bytes(32), 0, bytes(bridge.forward_space(body)))
    piece = Piece(body, bytes(16), 0, bytes(bridge.piece_space(body)))
    content = Content(200, bridge.MAX_TOTAL, bytes(bridge.content_space(body)))
    assert len(made.seal_request(bridge.encode_request(forward))) == body
    assert len(made.seal_request(bridge.encode_request(piece))) == body
    assert len(made.seal_reply(bridge.encode_reply(content))) == body

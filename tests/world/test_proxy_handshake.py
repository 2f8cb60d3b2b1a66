"""What is said to a proxy: every byte of it, and what follows from the answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError
from ramson.world import BadProxyAddress, Endpoint, NetError, ProxyAddress, ProxyKind, Stage
from ramson.world.proxy_handshake import handshake

SOCKS = ProxyAddress.parse("socks5://127.0.0.1:1080")
LOGIN = ProxyAddress.parse("socks5://user:p%40ss@127.0.0.1:1080")
HTTP = ProxyAddress.parse("http://proxy.example:3128")
NAME = Endpoint("seed.example", 4443)


def play(dialogue, *answers: bytes) -> bytes:
    """Lead a dialogue with these answers, each exactly as long as was asked; return all that was sent."""
    sent = b""
    try:
        ask = next(dialogue)
        for answer in answers:
            sent += ask.send
            assert ask.size in {0, len(answer)}
            ask = dialogue.send(answer)
    except StopIteration:
        return sent
    raise AssertionError("the dialogue is not over")


def refused(dialogue, *answers: bytes) -> Stage:
    with pytest.raises(NetError) as caught:
        play(dialogue, *answers)
    return caught.value.stage


def test_a_name_goes_to_the_proxy_as_it_is():
    sent = play(handshake(SOCKS, NAME), b"\x05\x00", b"\x05\x00\x00\x01\x7f", bytes(5))
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00\x03\x0cseed.example\x11\x5b"


@pytest.mark.parametrize(
    ("host", "address"),
    [("192.0.2.1", b"\x01\xc0\x00\x02\x01"), ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01")],
)
def test_addresses(host, address):
    sent = play(handshake(SOCKS, Endpoint(host, 80)), b"\x05\x00", b"\x05\x00\x00\x04\x00", bytes(17))
    assert sent.endswith(b"\x05\x01\x00" + address + b"\x00\x50")


def test_the_login():
    sent = play(handshake(LOGIN, NAME), b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x03\x04", b"host\x00\x01")
    assert sent.startswith(b"\x05\x01\x02" + b"\x01\x04user\x04p@ss")


def test_a_login_without_a_password():
    proxy = ProxyAddress.parse("socks5://user@127.0.0.1:1080")
    sent = play(handshake(proxy, NAME), b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01\x00", bytes(5))
    assert b"\x01\x04user\x00\x05\x01\x00" in sent


def test_who_gives_a_login_does_not_go_on_without():
    assert refused(handshake(LOGIN, NAME), b"\x05\x00") is Stage.PROXY
    assert refused(handshake(LOGIN, NAME), b"\x05\xff") is Stage.PROXY
    assert refused(handshake(LOGIN, NAME), b"\x05\x02", b"\x01\x01") is Stage.PROXY
    assert refused(handshake(SOCKS, NAME), b"\x05\x02") is Stage.PROXY


@pytest.mark.parametrize(
    ("code", "stage"),
    [
        (1, Stage.PROXY),
        (2, Stage.PROXY),
        (3, Stage.CONNECT),
        (4, Stage.CONNECT),
        (5, Stage.CONNECT),
        (6, Stage.CONNECT),
        (99, Stage.PROXY),
    ],
)
def test_what_the_proxy_says_of_itself_and_of_the_far_end_are_told_apart(code, stage):
    assert refused(handshake(SOCKS, NAME), b"\x05\x00", bytes([5, code, 0, 1, 0])) is stage


def test_connect():
    sent = play(handshake(HTTP, NAME), b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert sent == b"CONNECT seed.example:4443 HTTP/1.1\r\nHost: seed.example:4443\r\n\r\n"
    sent = play(handshake(HTTP, Endpoint("2001:db8::1", 80)), b"HTTP/1.0 204 x\r\n\r\n")
    assert sent.startswith(b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\n")


def test_connect_with_a_login():
    proxy = ProxyAddress.parse("http://user:p%3Ass@127.0.0.1:3128")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwOnNz\r\n" in play(handshake(proxy, NAME), b"HTTP/1.1 200\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (b"HTTP/1.1 407 no\r\n\r\n", Stage.PROXY),
        (b"HTTP/1.1 403 no\r\n\r\n", Stage.PROXY),
        (b"HTTP/1.1 502 no\r\n\r\n", Stage.CONNECT),
        (b"HTTP/1.1 100 go on\r\n\r\n", Stage.PROXY),
        (b"HTTP/1.1 2x0 no\r\n\r\n", Stage.PROXY),
        (b"SSH-2.0-x\n\n", Stage.PROXY),
    ],
)
def test_what_an_http_proxy_says(answer, stage):
    assert refused(handshake(HTTP, NAME), answer) is stage


@pytest.mark.parametrize("proxy", [SOCKS, HTTP])
@pytest.mark.parametrize("host", ["a\r\nb", "a b", "", "x" * 300, "é" * 100, "\x7f"])
def test_what_is_no_name_is_not_asked_for(proxy, host):
    assert refused(handshake(proxy, Endpoint(host, 1)), b"\x05\x00", bytes(5)) is Stage.NAME


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.sampled_from([SOCKS, LOGIN, HTTP]))
def test_whatever_a_proxy_says_the_outcome_is_a_way_or_a_net_error(answers, proxy):
    dialogue = handshake(proxy, NAME)
    ask = next(dialogue)
    try:
        for answer in answers:
            ask = dialogue.send(answer.ljust(ask.size, b"\0")[: ask.size or None])
    except (StopIteration, NetError):
        pass


# ---- addresses of proxies


def test_urls_of_proxies():
    assert ProxyAddress.parse("socks5h://[::1]:1080").endpoint == Endpoint("::1", 1080)
    tor = ProxyAddress.parse(" tor://127.0.0.1:9050\n")
    assert (tor.kind, tor.isolate) == (ProxyKind.SOCKS5, True)
    assert (LOGIN.user, LOGIN.password) == ("user", "p@ss")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1080",
        "socks5://127.0.0.1",
        "socks4://127.0.0.1:1080",
        "https://127.0.0.1:1080",
        "socks5://127.0.0.1:1080/path",
        "socks5://127.0.0.1:99999",
        "socks5://:secret@127.0.0.1:1080",
        f"socks5://{'u' * 256}:secret@127.0.0.1:1080",
        "tor://user:secret@127.0.0.1:9050",
        "http://a%3Ab:secret@127.0.0.1:1",
        "socks5://[::1:1080",
    ],
)
def test_other_urls_are_refused_without_being_repeated(url):
    with pytest.raises(BadProxyAddress) as caught:
        ProxyAddress.parse(url)
    assert "secret" not in str(caught.value)
    assert caught.value.remedy
    assert isinstance(caught.value, LocalError)


def test_nothing_of_a_proxy_is_in_its_repr():
    shown = repr(LOGIN) + str(LOGIN)
    assert not any(part in shown for part in ("user", "p@ss", "127.0.0.1")), shown

"""What a file server and its clients agree on: ids, replies, ranges, signed headers, addresses."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ramson.errors import ParseError
from ramson.protocol.file_server import (
    OFFICIAL,
    BadServerUrl,
    BadSignedHeaders,
    FileInfo,
    FileServer,
    Range,
    check_signed_headers,
    content_id,
    content_range,
    encode_info,
    is_file_id,
    parse_content_range,
    parse_info,
    parse_range,
    server_base,
)
from ramson.protocol.onion import ServerDestination

NOW = 1_760_000_000_000
KEY = SigningKey(bytes(range(32)))


def test_the_official_server():
    assert OFFICIAL.destination == ServerDestination(
        "filev2.getsession.org", OFFICIAL.x25519, "/oxen/v4/lsrpc", "http", None
    )
    desktop, converted = OFFICIAL.also
    assert FileServer(OFFICIAL.url, converted).is_named(OFFICIAL.url, desktop)
    for key in (OFFICIAL.x25519, desktop, converted, None):
        assert OFFICIAL.is_named("http://filev2.getsession.org", key)
    assert not OFFICIAL.is_named("http://filev2.getsession.org", bytes(32))
    assert not OFFICIAL.is_named("https://filev2.getsession.org", None)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://Host", "http://host"),
        ("http://host:80/", "http://host"),
        ("https://host:80", "https://host:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_have_one_form(url, base):
    assert server_base(url) == base


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://h", "http://", "http://h/x", "http://u@h", "http://h:0", "http://h:99999", "http://h?q"]
)
def test_bad_addresses_are_refused(url):
    with pytest.raises(BadServerUrl):
        FileServer(url, bytes(32))


def test_content_ids_are_44_characters_of_salted_blake2b():
    digest = hashlib.blake2b(b"content", digest_size=33, salt=b"SessionFileSvr\0\0").digest()
    assert content_id(b"content") == base64.urlsafe_b64encode(digest).decode()
    assert len(content_id(b"")) == 44
    assert is_file_id(content_id(b"content"))


@pytest.mark.parametrize("name", ["0", "7", str(2**53 - 1), "A" * 44, "-" * 44])
def test_ids(name):
    assert is_file_id(name)


@pytest.mark.parametrize(
    "name", ["", "007", str(2**53), "-1", "A" * 43, "A" * 45, "../" + "A" * 41, "A" * 43 + "\n", "٣"]
)
def test_what_is_no_id(name):
    assert not is_file_id(name)


def test_times_are_seconds_with_a_fraction_on_the_wire():
    info = FileInfo("7", 5, 1_700_000_000_250, 1_700_000_100_000)
    assert json.loads(encode_info(info)) == {
        "id": "7",
        "size": 5,
        "uploaded": 1_700_000_000.25,
        "expires": 1_700_000_100.0,
    }


@given(st.integers(0, 10**8), st.integers(0, 10**13), st.integers(0, 10**13))
def test_info_round_trip(size, uploaded, expires):
    for name in ("", "7", "x" * 44):
        info = FileInfo(name, size, uploaded, expires)
        assert parse_info(encode_info(info)) == info


def test_a_server_that_says_only_the_id_is_understood():
    assert parse_info(b'{"id":"123"}', needs_id=True) == FileInfo("123")
    assert parse_info(b'{"id":123}', needs_id=True) == FileInfo("123")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b"{}",
        b'{"id":""}',
        b'{"id":"../x"}',
        b'{"id":true}',
        b'{"id":1e3}',
        b'{"id":"7","size":"5"}',
        b'{"id":"7","size":-2}',
        b'{"id":"7","uploaded":true}',
        b'{"id":"7","expires":1e300}',
        b'{"id":"7","expires":-1}',
        b'{"id":"7","expires":NaN}',
    ],
)
def test_bad_replies_to_an_upload_are_refused(reply):
    with pytest.raises(ParseError):
        parse_info(reply, needs_id=True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", Range(0, 0)),
        ("bytes=0-", Range(0, 9)),
        ("bytes=9-999", Range(9, 9)),
        ("bytes=3-5", Range(3, 5)),
        ("bytes=5-3", None),
        ("bytes=-5", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 500 + "-", None),
    ],
)
def test_ranges(text, part):
    assert parse_range(text, 10) == part


def test_a_range_after_the_end_is_refused():
    with pytest.raises(ParseError):
        parse_range("bytes=10-", 10)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**9))
def test_content_range_round_trip(first, length, more):
    part = Range(first, first + length - 1)
    assert parse_content_range(content_range(part, first + length + more)) == (part, first + length + more)


@pytest.mark.parametrize("text", ["", "bytes 5-4/9", "bytes 0-9/9", "bytes 0-1/*", "bytes */9"])
def test_bad_content_ranges_are_refused(text):
    with pytest.raises(ParseError):
        parse_content_range(text)


def signed(method="GET", endpoint="/session_version?platform=desktop", body=None, now=NOW, **changes):
    message = f"{now // 1000}{method}{endpoint}".encode()
    if body:
        message += hashlib.blake2b(body, digest_size=64).digest()
    headers = {
        "x-fs-pubkey": "07" + bytes(KEY.verify_key).hex(),
        "x-fs-timestamp": str(now // 1000),
        "x-fs-signature": base64.b64encode(KEY.sign(message).signature).decode(),
    }
    return {name: value for name, value in (headers | changes).items() if value is not None}


@pytest.mark.parametrize("body", [None, b"", b"body"])
def test_a_signed_request(body):
    headers = signed("POST", "/file", body)
    signer = check_signed_headers(headers, "POST", "/file", body, now_ms=NOW)
    assert signer is not None
    assert signer.key == bytes(KEY.verify_key)


def test_an_anonymous_request():
    assert check_signed_headers({"content-type": "x"}, "GET", "/", None, now_ms=NOW) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (signed(**{"x-fs-pubkey": None}), 400),
        (signed(**{"x-fs-timestamp": None}), 400),
        (signed(**{"x-fs-signature": None}), 400),
        (signed(**{"x-fs-pubkey": "05" + bytes(KEY.verify_key).hex()}), 400),
        (signed(**{"x-fs-pubkey": "07"}), 400),
        (signed(**{"x-fs-timestamp": "now"}), 400),
        (signed(**{"x-fs-timestamp": "1" * 500}), 400),
        (signed(**{"x-fs-signature": "!"}), 400),
        (signed(**{"x-fs-signature": base64.b64encode(bytes(64)).decode()}), 401),
        (signed(endpoint="/other"), 401),
        (signed(method="POST"), 401),
        (signed(now=NOW - 86_401_000), 425),
        (signed(now=NOW + 86_401_000), 425),
    ],
)
def test_badly_signed_requests(headers, status):
    with pytest.raises(BadSignedHeaders) as caught:
        check_signed_headers(headers, "GET", "/session_version?platform=desktop", None, now_ms=NOW)
    assert caught.value.status == status

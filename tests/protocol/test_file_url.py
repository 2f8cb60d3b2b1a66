"""URLs of files: what clients write, what ours writes, and what strangers may try."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol.file_server import OFFICIAL, FileServer, content_id
from ramson.protocol.file_url import FileUrl

ID = content_id(b"x")
KEY = bytes(range(32))
OWN = FileServer("http://10.0.0.1:8080", KEY)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://filev2.getsession.org/file/123", FileUrl("http://filev2.getsession.org", "123")),
        ("http://filev2.getsession.org/files/123", FileUrl("http://filev2.getsession.org", "123")),
        (f"http://h/file/{ID}#d", FileUrl("http://h", ID, deterministic=True)),
        (f"http://h/file/{ID}#d=", FileUrl("http://h", ID, deterministic=True)),
        (f"http://h/file/{ID}#p={KEY.hex()}&d=", FileUrl("http://h", ID, deterministic=True, server_key=KEY)),
        (f"http://h/file/{ID}#p={KEY.hex().upper()}", FileUrl("http://h", ID, server_key=KEY)),
        ("http://h:8080/file/1#sr=host:9&e=abc&new=1&&x", FileUrl("http://h:8080", "1", False, None, "host:9", "abc")),
    ],
)
def test_urls_are_read(text, url):
    assert FileUrl.parse(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file:///etc/passwd",
        "http:///file/1",
        "http://h/file/",
        "http://h/file/../1",
        "http://h/file/1/extend",
        "http://h/file/1?x=1",
        "http://h/room/T/file/1",
        "http://user@h/file/1",
        "http://h:0/file/1",
        "http://h:x/file/1",
        "http://[h/file/1",
        "http://h/file/1#p=12",
        f"http://h/file/1#p={'g' * 64}",
        "http://h/file/" + "1" * 45,
        "http://h/file/1#" + "x" * 2000,
    ],
)
def test_bad_urls_are_refused(text):
    with pytest.raises(ParseError):
        FileUrl.parse(text)


@given(st.text())
def test_noise_is_refused_and_nothing_else_happens(text):
    for url in (text, f"http://{text}/file/1", f"http://h/file/{text}", f"http://h/file/1#{text}"):
        with contextlib.suppress(ParseError):
            FileUrl.parse(url)


@given(
    st.sampled_from(["http://h", "https://h:8", "http://[::1]:80"]),
    st.sampled_from(["1", ID]),
    st.booleans(),
    st.none() | st.binary(min_size=32, max_size=32),
    st.from_regex(r"[a-z0-9:.]{0,20}", fullmatch=True),
)
def test_round_trip(base, name, deterministic, key, target):
    url = FileUrl.parse(str(FileUrl(base, name, deterministic, key, target)))
    assert FileUrl.parse(str(url)) == url
    assert (url.id, url.deterministic, url.server_key, url.stream_target) == (name, deterministic, key, target)


def test_only_another_servers_key_is_named():
    assert str(FileUrl.on(OFFICIAL, "1", deterministic=False, default=OFFICIAL)) == f"{OFFICIAL.url}/file/1"
    assert str(FileUrl.on(OWN, ID, deterministic=True, default=OWN)) == f"{OWN.url}/file/{ID}#d"
    assert str(FileUrl.on(OWN, ID, deterministic=True, default=OFFICIAL)) == f"{OWN.url}/file/{ID}#d&p={KEY.hex()}"


def test_numeric_id():
    assert FileUrl("http://h", "77").numeric_id == 77
    assert FileUrl("http://h", ID).numeric_id == 0
    assert FileUrl("http://h", "1" * 44).numeric_id == 0

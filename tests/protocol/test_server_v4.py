"""Server requests, version 4 (bootstrap-and-paths §2.6)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol import bt, server_v4
from ramson.protocol.server_v4 import ServerRequest, ServerResponse


def test_a_request_without_a_body():
    data = server_v4.encode_request(ServerRequest("GET", "/rooms?x=é"))
    assert data == bt.encode(['{"endpoint":"/rooms?x=é","headers":{},"method":"GET"}'])


def test_a_body_is_json_unless_it_says_what_it_is():
    data = server_v4.encode_request(ServerRequest("POST", "/x", {}, b"{}"))
    assert data == bt.encode(['{"endpoint":"/x","headers":{"Content-Type":"application/json"},"method":"POST"}', b"{}"])
    named = ServerRequest("POST", "/x", {"content-TYPE": "text/plain"}, b"")
    assert server_v4.decode_request(server_v4.encode_request(named)) == ServerRequest(
        "POST", "/x", {"content-type": "text/plain"}, b""
    )


def test_the_user_agent_is_not_told():
    data = server_v4.encode_request(ServerRequest("GET", "/x", {"User-Agent": "me", "user-agent": "me", "B": "2"}))
    assert server_v4.decode_request(data).headers == {"b": "2"}


def test_a_response_always_has_two_strings():
    assert server_v4.encode_response(ServerResponse(404)) == b'l25:{"code":404,"headers":{}}0:e'
    response = ServerResponse(200, {"Content-Type": "text/plain"}, b"hi")
    assert server_v4.decode_response(server_v4.encode_response(response)) == ServerResponse(
        200, {"content-type": "text/plain"}, b"hi"
    )


def test_a_response_with_one_string_has_no_body():
    assert server_v4.decode_response(bt.encode(['{"code":404}'])) == ServerResponse(404, {}, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"de",
        b"le",
        b"li200ee",
        bt.encode([b"{}", b"", b""]),
        bt.encode([b"{}", 5]),
        bt.encode([b"[]"]),
        bt.encode([b"{"]),
        bt.encode([b"{}"]),
        bt.encode([b'{"code":"200"}']),
        bt.encode([b'{"code":true}']),
        bt.encode([b'{"code":99}']),
        bt.encode([b'{"code":200,"headers":[]}']),
        bt.encode([b'{"code":200,"headers":{"a":1}}']),
        bt.encode([b'{"code":200}']) + b"x",
    ],
)
def test_refused(data):
    with pytest.raises(ParseError):
        server_v4.decode_response(data)
    with pytest.raises(ParseError):
        server_v4.decode_request(data)


texts = st.text(max_size=8)
headers = st.dictionaries(texts.map(str.lower), texts, max_size=3)


@given(texts, texts, headers, st.none() | st.binary(max_size=20))
def test_requests_round_trip(method, endpoint, given_headers, body):
    sent = ServerRequest(method, endpoint, given_headers, body)
    read = server_v4.decode_request(server_v4.encode_request(sent))
    assert (read.method, read.endpoint, read.body) == (method, endpoint, body)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.integers(0), st.integers(1, 255))
def test_fuzz(noise, position, mask):
    damaged = bytearray(server_v4.encode_response(ServerResponse(200, {"a": "b"}, noise)))
    damaged[position % len(damaged)] ^= mask
    for data in (noise, bytes(damaged)):
        for read in (server_v4.decode_request, server_v4.decode_response):
            try:
                read(data)
            except ParseError:
                continue

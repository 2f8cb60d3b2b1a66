"""Transport over HTTPS, beyond the public suite: routes, limits, and how strictly JSON is read."""

import base64
import collections
import copy
import http.client
import ipaddress
import json
import os
import socket
import time

import pytest
from sntest.helpers import refused
from sntest.http import _ctx
from sntest.omq import Omq
from sntest.onion import Onion

MAX_BODY = 10 * 1024 * 1024
INFO = b'{"method":"info","params":{}}'


def nonsense(params: bytes) -> bytes:
    """A request of a method that reads no parameters, with these."""
    return b'{"method":"info","params":' + params + b"}"


# ---- routes


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nope"),
        ("POST", "/nope"),
        ("PUT", "/storage_rpc/v1"),
        ("DELETE", "/storage_rpc/v1"),
        ("PATCH", "/storage_rpc/v1"),
        ("OPTIONS", "/storage_rpc/v1"),
        ("GET", "/storage_rpc/v1"),
        ("GET", "/onion_req/v2"),
        ("GET", "/ping_test/v1"),
        ("POST", "/get_stats/v1"),
        ("POST", "/onion_req/v1"),
        ("POST", "/storage_rpc/v2"),
        ("POST", "/storage_rpc/v1/"),
        ("POST", "/STORAGE_RPC/v1"),
        ("POST", "/swarms/ping_test/v1"),
        ("GET", "/get_stats/v1/"),
    ],
)
def test_404_text(a, method, path):
    """CORRECTIONS, storage-rpc §1: `<method in lower case> <path> Not Found`."""
    r = a.http(method, path)
    refused(r, 404, f"{method.lower()} {path} Not Found")
    assert r.headers["Content-Type"] == "text/plain"
    assert r.headers["Server"].startswith("Oxen Storage Server/")


def test_head_404(a):
    """CORRECTIONS, storage-rpc §1: HEAD is another HTTP method."""
    assert a.http("HEAD", "/get_stats/v1").status == 404


@pytest.mark.parametrize("query", ["?", "?x", "?x=1&y=2", "?/nope", "?a?b"])
def test_query_is_ignored(a, query):
    """CORRECTIONS, storage-rpc §1: a query string after a known path is ignored."""
    assert a.raw_rpc(INFO).status == a.post("/storage_rpc/v1" + query, INFO).status == 200
    assert a.http("GET", "/get_stats/v1" + query).status == 200
    assert a.post("/ping_test/v1" + query).status == 200
    refused(a.post("/onion_req/v2" + query), 400, starts="Error parsing onion request: ")


def test_404_without_the_query(a):
    """CORRECTIONS, storage-rpc §1: the path of the text has no query."""
    r = a.http("GET", "/nope?x=1")
    assert r.status == 404
    assert r.text.startswith("get /nope")
    assert r.text.endswith(" Not Found")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/octet-stream", "nonsense"])
def test_content_type_of_requests_does_not_matter(a, kind):
    """storage-rpc §1: the body is read as JSON whatever it calls itself."""
    assert a.raw_rpc(INFO, {"Content-Type": kind} if kind else None).status == 200


def test_every_reply_says_who_and_what(a, alice):
    """storage-rpc §1: Server and Content-Type on every response, errors included."""
    for r in (
        a.raw_rpc(b"{"),
        a.raw_rpc(INFO, {"x-loki-long-poll": "1"}),
        a.rpc("retrieve", {"pubkey": alice.id}),
        a.post("/onion_req/v2", b""),
    ):
        assert r.headers["Server"].startswith("Oxen Storage Server/"), r
        assert r.headers["Content-Type"] == "text/plain", r


def test_connection_close_is_honoured(a):
    """storage-rpc §1: a client may ask for the connection to be closed."""
    with socket.create_connection((a.ip, a.https_port), timeout=10) as s, _ctx.wrap_socket(s) as t:
        t.sendall(b"GET /get_stats/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        t.settimeout(10)
        out = b""
        while piece := t.recv(4096):
            out += piece
    assert out.startswith(b"HTTP/1.1 200")
    assert out.endswith(b"}")


def test_pipelined_requests(a):
    """storage-rpc §1: requests sent at once on one connection are answered in order."""
    one = b"POST /storage_rpc/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    unknown = b'{"method":"nope","params":{}}'
    with socket.create_connection((a.ip, a.https_port), timeout=10) as s, _ctx.wrap_socket(s) as t:
        t.sendall(one % len(INFO) + INFO + one % len(unknown) + unknown + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
        t.settimeout(10)
        out = b""
        while out.count(b"HTTP/1.1 ") < 3 or b"Not Found" not in out.split(b"HTTP/1.1 ")[3]:
            out += t.recv(4096)
    assert [piece[:3] for piece in out.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400", b"404"]


# ---- 410


@pytest.mark.parametrize("value", ["true", "1", "0", "false", "x"])
@pytest.mark.parametrize("body", [INFO, b"", b"nonsense", b'{"method":"nope","params":{}}'])
def test_long_poll_before_json(a, value, body):
    """CORRECTIONS, storage-rpc §5: a non-empty x-loki-long-poll is 410 before the JSON is looked at."""
    r = a.raw_rpc(body, {"X-Loki-Long-Poll": value})
    refused(r, 410, "long polling is no longer supported, client upgrade required")


def test_empty_long_poll_header(a):
    """CORRECTIONS, storage-rpc §5: an empty value counts as absent."""
    assert a.raw_rpc(INFO, {"x-loki-long-poll": ""}).status == 200


def test_long_poll_is_for_rpc_only(a):
    """CORRECTIONS, storage-rpc §5: not on onion_req, nor elsewhere."""
    h = {"x-loki-long-poll": "true"}
    refused(a.post("/onion_req/v2", b"", h), 400, starts="Error parsing onion request: ")
    assert a.post("/ping_test/v1", b"", h).status == 200
    assert a.http("GET", "/get_stats/v1", headers=h).status == 200


# ---- sizes


def test_body_of_exactly_10_mib(a):
    """CORRECTIONS, storage-rpc §5: exactly 10 MiB is read."""
    doc = nonsense(b'{"x":"%s"}')
    body = doc % (b"a" * (MAX_BODY - len(doc) + 2))
    assert len(body) == MAX_BODY
    assert a.raw_rpc(body).status == 200


def test_onion_body_of_exactly_10_mib(a):
    """CORRECTIONS, storage-rpc §5: onion requests too."""
    refused(a.post("/onion_req/v2", bytes(MAX_BODY)), 400, starts="Error parsing onion request: ")


def announced(node, path, length, method=b"POST"):
    """Send only the head of a request of `length` bytes; return what comes back and whether it was closed."""
    with socket.create_connection((node.ip, node.https_port), timeout=10) as s, _ctx.wrap_socket(s) as t:
        t.sendall(b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (method, path, length))
        t.settimeout(5)
        out, closed = b"", False
        try:
            while not closed:
                piece = t.recv(4096)
                out, closed = out + piece, not piece
        except (TimeoutError, OSError):
            pass
        return out, closed


@pytest.mark.parametrize("length", [MAX_BODY + 1, 2**31, 2**40])
@pytest.mark.parametrize("path", [b"/storage_rpc/v1", b"/onion_req/v2"])
def test_413_text_and_close(a, path, length):
    """CORRECTIONS, storage-rpc §5: 413 `Request body too large`, and the connection is closed."""
    out, closed = announced(a, path, length)
    assert out.startswith(b"HTTP/1.1 413")
    assert out.endswith(b"\r\n\r\nRequest body too large")
    assert closed


def test_413_while_the_client_writes(a):
    """CORRECTIONS, storage-rpc §5: a client that only writes is cut off; the node lives on."""
    c = http.client.HTTPSConnection(a.ip, a.https_port, context=_ctx, timeout=20)
    try:
        c.request("POST", "/storage_rpc/v1", bytes(MAX_BODY + 1))
        assert c.getresponse().status == 413
    except OSError:
        pass  # closed while we were still writing
    finally:
        c.close()
    assert a.rpc("info").status == 200


@pytest.mark.parametrize("length", [1, MAX_BODY + 1, 2**40])
def test_ping_body_is_never_read(a, length):
    """CORRECTIONS, storage-rpc §1: ping_test answers without its body, so there is no 413."""
    out, _ = announced(a, b"/ping_test/v1", length)
    assert out.startswith(b"HTTP/1.1 200")
    assert b"x-oxen-snode-pubkey" in out.lower()


def test_ping_with_a_huge_body(a):
    """CORRECTIONS, storage-rpc §1: the same when the body is really sent."""
    try:
        r = a.post("/ping_test/v1", bytes(MAX_BODY + 1000))
    except OSError:
        return  # the node closed after its answer, while we were still writing
    assert r.status == 200
    assert base64.b64decode(r.headers["X-Oxen-Snode-Pubkey"]).hex() == a.legacy


# ---- JSON


@pytest.mark.parametrize(
    "params",
    [
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":nan}',
        b'{"a":1e400}',
        b'{"a":-1e400}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":1e}',
        b'{"a":0x10}',
        b'{"a":-}',
        b'{"a":--1}',
        b'{"a":00}',
        b'{"a":-01}',
        b'{"a":1_000}',
        b'{"a":True}',
        b'{"a":None}',
        b'{"a":undefined}',
        b'{"a":tru}',
        b"{a:1}",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1 "b":2}',
        b'{,"a":1}',
        b'{"a":1,,"b":2}',
        b'{"a":[1,]}',
        b'{"a":[,1]}',
        b'{"a":[1 2]}',
        b'{"a":[1}}',
        b"{1:2}",
        b'{"a":1}/**/',
        b'{/* c */"a":1}',
        b'{"a":1 // c\n}',
        b'{"a":1 # c\n}',
        b'{"a":"\n"}',
        b'{"a":"\r"}',
        b'{"a":"\x00"}',
        b'{"a":"\x1f"}',
        b'{"\x01":1}',
        b'{"a":"\\x41"}',
        b'{"a":"\\u12"}',
        b'{"a":"\\u12g4"}',
        b'{"a":"\\U00000041"}',
        b'{"a":"\\"}',
        b'{"a":"\\\'"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00"}',
        b'{"a":"\\ud800x"}',
        b'{"a":"\\ud800\\n"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\\ud800\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":"\xff"}',
        b'{"a":"\x80"}',
        b'{"a":"\xc3"}',
        b'{"a":"\xc3("}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xe0\x80\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xf8\x88\x80\x80\x80"}',
        b'{"\xff":1}',
        b"{} {}",
        b"{}x",
        b"{}]",
        b"{}\x00",
        b"{}\x0b",
        b"{}\xc2\xa0",
        b"{}\xef\xbb\xbf",
        b'{"a":"x}',
        b"{'a':1}",
    ],
)
def test_strict_json_more(a, params):
    """CORRECTIONS, storage-rpc §1 JSON: what is not quite JSON is `invalid json`, also where nobody would read it."""
    refused(a.raw_rpc(nonsense(params)), 400, "invalid json")


@pytest.mark.parametrize("tail", [b"x", b"{}", b",", b"\x00", b"//", b"null", b"]", b"\xef\xbb\xbf"])
def test_strict_json_trailing(a, tail):
    """CORRECTIONS, storage-rpc §1 JSON: trailing text."""
    refused(a.raw_rpc(INFO + tail), 400, "invalid json")


@pytest.mark.parametrize("bom", [b"\xfe\xff", b"\xff\xfe", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf", b" \xef\xbb\xbf"])
def test_strict_json_other_marks(a, bom):
    """CORRECTIONS, storage-rpc §1 JSON: only one UTF-8 BOM at the very beginning is accepted."""
    refused(a.raw_rpc(bom + INFO), 400, "invalid json")


def test_utf16_is_no_json(a):
    """storage-rpc §1: JSON is UTF-8."""
    refused(a.raw_rpc(INFO.decode().encode("utf-16")), 400, "invalid json")


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + INFO,
        b"\xef\xbb\xbf \t\r\n" + INFO + b" \t\r\n",
        nonsense(b'{"a":"\\ud83d\\ude00\\u0000\\/\\b\\f\\n\\r\\t\\"\\\\"}'),
        nonsense(b'{"a":"\x7f\xf0\x9f\x98\x80\xef\xbf\xbf\xc2\x80"}'),
        nonsense(b'{"a":[0,-0,0.0,-0.0,1e5,1E+5,1e-400,18446744073709551616,-9223372036854775809]}'),
        nonsense(b'{"a":1%s}' % (b"0" * 200)),
        nonsense(b'{"":{"":[[],{}]}}'),
        b'{"params":{},"method":"info","zz":[1,{"y":null}]}',
    ],
)
def test_json_that_is_json(a, body):
    """CORRECTIONS, storage-rpc §1 JSON: a BOM, every escape, every number."""
    assert a.raw_rpc(body).status == 200


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (b'{"method":"nope","method":"info","params":{}}', 200),
        (b'{"method":"info","method":"nope","params":{}}', 400),
        (b'{"method":"info","params":[],"params":{}}', 200),
        (b'{"method":"info","params":{},"params":[]}', 400),
        (b'{"method":"info","method":5,"params":{}}', 400),
        (b'{"method":5,"method":"info","params":{}}', 200),
        (b'{"method":"nope","m\\u0065thod":"info","params":{}}', 200),
    ],
)
def test_duplicate_json_keys(a, body, want):
    """CORRECTIONS, storage-rpc §1 JSON: of duplicate keys the last counts."""
    assert a.raw_rpc(body).status == want


def test_duplicate_parameters(a, alice, group):
    """CORRECTIONS, storage-rpc §1 JSON: of duplicate parameters too, and null counts as the last."""
    doc = json.dumps({"method": "store", "params": alice.store(b"x")}).encode()
    extra = doc.replace(b'"pubkey":', b'"pubkey": "%s", "pubkey":' % group.id.encode())
    assert a.raw_rpc(extra).json["hash"] == alice.hash(b"x")
    last = doc[:-2] + b', "data": null}}'
    refused(a.raw_rpc(last), 400, "invalid request: Required field 'data' missing")


@pytest.mark.parametrize(
    "deep",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'[{"a":' * 20_000 + b"null" + b"}]" * 20_000,
        b"[ " * 30_000 + b'"x"' + b" ]" * 30_000,
        b"[[],[" * 30_000 + b"]]" * 30_000,
        b"[" * 5_000_000 + b"]" * 5_000_000,
    ],
)
def test_depth_is_not_limited(a, deep):
    """CORRECTIONS, storage-rpc §1 JSON: 100,000 nested arrays pass."""
    assert a.raw_rpc(nonsense(b'{"x":' + deep + b"}")).status == 200
    assert a.rpc("info").status == 200


@pytest.mark.parametrize(
    "deep",
    [b"[" * 100_000 + b"]" * 99_999, b"[" * 100_000, b'{"a":' * 1000 + b"1" + b"]" * 1000, b"[" * 1000 + b"}" * 1000],
)
def test_deep_but_broken(a, deep):
    """CORRECTIONS, storage-rpc §1 JSON: depth is no excuse for brackets that do not match."""
    refused(a.raw_rpc(nonsense(deep)), 400, "invalid json")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"null", "invalid json: no `method` field"),
        (b"5", "invalid json: no `method` field"),
        (b"true", "invalid json: no `method` field"),
        (b'[{"method":"info","params":{}}]', "invalid json: no `method` field"),
        (b'{"Method":"info","params":{}}', "invalid json: no `method` field"),
        (b'{"method":["info"],"params":{}}', "invalid json: no `method` field"),
        (b'{"method":true}', "invalid json: no `method` field"),
        (b'{"method":"info","params":5}', "invalid json: no `params` field"),
        (b'{"method":"info","params":true}', "invalid json: no `params` field"),
        (b'{"method":"info","Params":{}}', "invalid json: no `params` field"),
        (b'{"method":"get_swarm","params":[]}', "invalid json: no `params` field"),
        (b'{"method":"info ","params":{}}', "no method info "),
        (b'{"method":"INFO","params":{}}', "no method INFO"),
        ('{"method":"grüße","params":{}}'.encode(), "no method grüße"),
    ],
)
def test_shape_texts(a, body, text):
    """CORRECTIONS, storage-rpc §1: method is a string, params an object; names are exact."""
    refused(a.raw_rpc(body), 400, text)


@pytest.mark.parametrize(
    "name", ["storage_rpc", "ping", "get_stats", "monitor", "monitor.messages", "sn.ping", "batch ", "__init__"]
)
def test_names_that_are_no_methods(a, name):
    """storage-rpc §5: `no method X`."""
    refused(a.rpc(name), 400, f"no method {name}")


def test_unready_ping_and_stats_routes(unassigned):
    """storage-rpc §1, Readiness: not ready comes before everything about the body, but not before the route."""
    want = "Service node is not ready: not in any swarm\n"
    refused(unassigned.raw_rpc(b"{"), 503, want)
    refused(unassigned.raw_rpc(INFO, {"x-loki-long-poll": ""}), 503, want)
    assert unassigned.http("GET", "/storage_rpc/v1").status == 404


# ---- rate limit


def fresh_source(node):
    """A loopback address that nobody has called from."""
    if not ipaddress.ip_address(node.ip).is_loopback:
        pytest.skip("needs loopback nodes")
    return f"127.89.{os.urandom(1)[0]}.{1 + os.urandom(1)[0] % 250}"


@pytest.mark.ratelimit
def test_onions_are_not_limited(a):
    """storage-rpc §5: the limit is for storage_rpc and methods, not for onion requests, pings and statistics."""
    source = fresh_source(a)
    onions = Onion([a], INFO, {"headers": ""})
    c = http.client.HTTPSConnection(a.ip, a.https_port, context=_ctx, timeout=30, source_address=(source, 0))
    got = set()
    for path, body in (("/onion_req/v2", onions.body), ("/ping_test/v1", b"")):
        for _ in range(900):
            c.request("POST", path, body)
            r = c.getresponse()
            r.read()
            got.add(r.status)
    c.close()
    assert got == {200}


@pytest.mark.ratelimit
@pytest.mark.omq
def test_methods_over_omq_are_limited(a):
    """storage-rpc §5: 600 deep, 300/s, over OxenMQ too: two parts, 429 and the text; nodes' requests are not."""
    node = copy.copy(a)
    node.ip = f"{fresh_source(a)}:0;{a.ip}"
    count, t0 = 2400, time.monotonic()
    with Omq(node) as c:
        for i in range(count):
            c.send("storage.info", b"%d" % i, b"{}")
        got = collections.Counter(tuple(m[2:]) if len(m) == 4 else "answer" for m in (c.recv(10) for _ in range(count)))
        allowed = 600 + 300 * (time.monotonic() - t0)
        if allowed > 2200:
            pytest.skip("the node (or this client) is too slow to be limited")
        assert set(got) == {"answer", (b"429", b"Too Many Requests\n")}
        assert allowed * 0.8 - 20 <= got["answer"] <= allowed + 60
    assert a.rpc("info", source="127.89.0.1").status == 200

"""Onion requests beyond the public suite: options, frames, hop counts, and relaying to servers."""

import base64
import http.server
import json
import os
import struct
import threading
import time

import pytest
from sntest.helpers import refused
from sntest.keys import now
from sntest.onion import CBC, GCM, XCHACHA, LayerKey, Onion, call, frame

INFO = b'{"method":"info","params":{}}'
FINAL = {"headers": ""}
NOWHERE = "ab" * 32
KINDS = [XCHACHA, GCM, CBC]
ALIASES = ["xchacha20", "xchacha20-poly1305", "aes-gcm", "gcm", "aes-cbc", "cbc"]


def post(node, body, **kw):
    return node.post("/onion_req/v2", body, **kw)


def one(node, plain, kind=XCHACHA, **outer):
    """Post a single layer with this plaintext; (reply, key of the layer)."""
    k = LayerKey(node.x, kind)
    return post(node, frame(k.encrypt(plain), k.outer(**outer))), k


def via(entry, node, plain, kind=XCHACHA):
    """The same one hop further."""
    k, e = LayerKey(node.x, kind), LayerKey(entry.x, kind)
    ct = e.encrypt(frame(k.encrypt(plain), k.outer(destination=node.ed)))
    return post(entry, frame(ct, e.outer())), k


def opened(reply, key, b64=True):
    assert reply.status == 200, reply
    return json.loads(key.decrypt(base64.b64decode(reply.body, validate=True) if b64 else reply.body))


# ---- the outer frame


@pytest.mark.parametrize("hop_no", ["0", "", None, [], {}, True, False, "x"])
def test_hop_no_is_a_number(a, hop_no):
    """CORRECTIONS, onion §1: a string (or anything but a number) is refused."""
    r, _k = one(a, frame(INFO, FINAL), hop_no=hop_no)
    if hop_no is None or isinstance(hop_no, bool):
        assert r.status in (200, 400)
    else:
        refused(r, 400, starts="Error parsing onion request: ")


@pytest.mark.parametrize("hop_no", [0.5, 1.0, 14.9, -0.5, -3, 0, 15, 10**6, 2**31, 2**63, 2**64, 1e300, -1e300, 10**30])
def test_hop_no_of_any_number(a, hop_no):
    """CORRECTIONS, onion §1/§6: fractions are accepted; the entry refuses nothing."""
    r, k = one(a, frame(INFO, FINAL), hop_no=hop_no)
    assert opened(r, k)["status"] == 200


@pytest.mark.parametrize(
    ("hop_no", "ok"),
    [
        (14.9, True),
        (14, True),
        (13.5, True),
        (15, False),
        (15.5, False),
        (16, False),
        (-100, True),
        (2**31 - 1, False),
        (2**31, False),
    ],
)
def test_hop_no_of_the_second(a, b, hop_no, ok):
    """CORRECTIONS, onion §6: the second hop gets one more and refuses above 15."""
    o = Onion([a, b], INFO, FINAL, hop_no=hop_no)
    r = o.send()
    if ok:
        assert o.open(r)["status"] == 200
    else:
        refused(r, 400, "onion request max path length exceeded")


@pytest.mark.parametrize(("n", "ok"), [(10, True), (16, True), (17, False)])
def test_hop_limit(net, n, ok):
    """CORRECTIONS, onion §6: the longest path from hop_no 0 is 16 nodes."""
    path = [net.members[i % len(net.members)] for i in range(n)]
    o = Onion(path, INFO, FINAL)
    r = o.send()
    if ok:
        assert o.open(r)["status"] == 200
    else:
        refused(r, 400, "onion request max path length exceeded")


@pytest.mark.parametrize("kind", ALIASES)
def test_aliases_in_both_places(a, b, kind):
    """onion §2: aliases at the entry and at later hops."""
    r, k = one(a, frame(INFO, FINAL), kind)
    assert opened(r, k)["status"] == 200
    r, k = via(a, b, frame(INFO, FINAL), kind)
    assert opened(r, k)["status"] == 200


@pytest.mark.parametrize(
    "kind", ["", "XCHACHA20", "xchacha", "AES-GCM", "aes", "aes-gcm ", "chacha20", None, 5, [], True]
)
def test_unknown_ciphers_at_the_entry(a, kind):
    """onion §6: 400 in clear."""
    k = LayerKey(a.x, XCHACHA)
    r = post(a, frame(k.encrypt(frame(INFO, FINAL)), {"ephemeral_key": k.A.hex(), "enc_type": kind}))
    refused(r, 400, starts="Error parsing onion request: ")


@pytest.mark.parametrize(
    "kind", ["", "XCHACHA20", "xchacha", "AES-GCM", "aes", "aes-gcm ", "chacha20", None, 5, [], True]
)
def test_unknown_ciphers_further_on(a, b, kind):
    """CORRECTIONS, onion §6 bad inner JSON: encrypted 400 `Invalid json`."""
    k = LayerKey(b.x, XCHACHA)
    doc = {"destination": b.ed, "ephemeral_key": k.A.hex(), "enc_type": kind}
    r, e = one(a, frame(k.encrypt(frame(INFO, FINAL)), doc))
    assert opened(r, e) == {"status": 400, "body": "Invalid json"}


def test_gcm_is_the_default(a, b):
    """onion §1: enc_type defaults to aes-gcm, at the entry and for the next hop."""
    k, e = LayerKey(b.x, GCM), LayerKey(a.x, GCM)
    r = post(a, frame(e.encrypt(frame(INFO, FINAL)), {"ephemeral_key": e.A.hex()}))
    assert opened(r, e)["status"] == 200
    ct = e.encrypt(frame(k.encrypt(frame(INFO, FINAL)), {"destination": b.ed, "ephemeral_key": k.A.hex()}))
    assert opened(post(a, frame(ct, {"ephemeral_key": e.A.hex()})), k)["status"] == 200


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ab",
        "ab" * 31,
        "ab" * 33,
        "zz" * 32,
        " " + "a" * 63,
        "ab " * 21 + "a",
        "0x" + "ab" * 31,
        "é" * 64,
        5,
        None,
        [],
        "ab" * 31 + "\n" + "a",
    ],
)
def test_ephemeral_keys_malformed(a, b, key):
    """onion §6: 64 hex digits, at the entry and further on."""
    k = LayerKey(a.x, XCHACHA)
    ct = k.encrypt(frame(INFO, FINAL))
    refused(
        post(a, frame(ct, {"ephemeral_key": key, "enc_type": XCHACHA})), 400, starts="Error parsing onion request: "
    )
    r, k = one(a, frame(os.urandom(60), {"destination": b.ed, "ephemeral_key": key, "enc_type": XCHACHA}))
    assert opened(r, k) == {"status": 400, "body": "Invalid json"}


@pytest.mark.parametrize(
    "key",
    [
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    ],
)
def test_ephemeral_keys_of_low_order(a, b, key):
    """onion §6: keys that agree on nothing cannot open anything."""
    refused(post(a, frame(os.urandom(80), {"ephemeral_key": key, "enc_type": XCHACHA})), 400, "Invalid ciphertext")
    r, _ = one(a, frame(os.urandom(80), {"destination": b.ed, "ephemeral_key": key, "enc_type": XCHACHA}))
    refused(r, 400, "Invalid ciphertext")


def test_upper_case_keys(a, b):
    """onion §1: hex of any case."""
    k, e = LayerKey(b.x, XCHACHA), LayerKey(a.x, XCHACHA)
    doc = {"destination": b.ed.upper(), "ephemeral_key": k.A.hex().upper(), "enc_type": XCHACHA}
    ct = e.encrypt(frame(k.encrypt(frame(INFO, FINAL)), doc))
    r = post(a, frame(ct, {"ephemeral_key": e.A.hex().upper(), "enc_type": XCHACHA}))
    assert opened(r, k)["status"] == 200


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"null",
        b"5",
        b'"x"',
        b"[{}]",
        b"{",
        b"{}x",
        b"{}{}",
        b"\xff",
        b"{\xff}",
        b'{"a":NaN}',
        b'{"a":"\xff"}',
        b"{'a':1}",
        b"\x00",
    ],
)
def test_outer_json_malformed(a, tail):
    """onion §6: the JSON of the POST body."""
    refused(post(a, frame(os.urandom(80), tail)), 400, starts="Error parsing onion request: ")


@pytest.mark.parametrize(
    "tail",
    [
        b"null",
        b"5",
        b'"x"',
        b"[{}]",
        b"{}x",
        b"{}{}",
        b"\xff",
        b'{"headers":NaN}',
        b'{"headers":"\xff"}',
        b"{'headers':1}",
        b'{"headers":""}x',
        b'{"json":true}',
        b"{}",
    ],
)
def test_inner_json_malformed(a, b, tail):
    """CORRECTIONS, onion §6 [BAD_INNER]: every inner frame that cannot be read."""
    for r, k in (one(a, frame(INFO, tail)), via(a, b, frame(INFO, tail))):
        assert opened(r, k) == {"status": 400, "body": "Invalid json"}


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\0",
        b"\0\0\0",
        struct.pack("<I", 1),
        struct.pack("<I", 3) + b"{}",
        struct.pack("<I", 2**32 - 1) + b"{}",
        struct.pack("<I", 0),
        struct.pack(">I", 29) + INFO + b'{"headers":""}',
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_inner_lengths(a, plain, kind):
    """CORRECTIONS, onion §6 [BAD_INNER]: too short, wrong length."""
    r, k = one(a, plain, kind)
    assert opened(r, k) == {"status": 400, "body": "Invalid json"}


@pytest.mark.parametrize(
    "doc",
    [
        {"destination": NOWHERE},
        {"ephemeral_key": NOWHERE},
        {"destination": None, "ephemeral_key": NOWHERE},
        {"destination": 5, "ephemeral_key": NOWHERE},
        {"destination": "", "ephemeral_key": NOWHERE},
        {"destination": "ab" * 31, "ephemeral_key": NOWHERE},
        {"destination": "ab" * 33, "ephemeral_key": NOWHERE},
        {"destination": [NOWHERE], "ephemeral_key": NOWHERE},
        {"target": "/oxen/v4/lsrpc"},
        {"host": "127.0.0.1"},
        {"host": 5, "target": "/oxen/v4/lsrpc"},
        {"host": None, "target": "/oxen/v4/lsrpc"},
        {"host": "127.0.0.1", "target": None},
        {"host": "127.0.0.1", "target": 5},
        {"host": "127.0.0.1", "target": "/oxen/v4/lsrpc", "port": "443"},
        {"host": "127.0.0.1", "target": "/oxen/v4/lsrpc", "port": None},
        {"host": "127.0.0.1", "target": "/oxen/v4/lsrpc", "port": []},
        {"host": "127.0.0.1", "target": "/oxen/v4/lsrpc", "protocol": 5},
        {"host": "127.0.0.1", "target": "/bad", "port": "x"},
        {"headers": "", "json": "yes"},
        {"headers": "", "json": 1},
        {"headers": "", "json": None},
        {"headers": "", "base64": "no"},
        {"headers": "", "base64": 0},
        {"headers": "", "json": []},
    ],
)
def test_bad_inner_more(a, doc):
    """CORRECTIONS, onion §5/§6 [BAD_INNER]: missing or malformed members."""
    r, k = one(a, frame(INFO, doc))
    assert opened(r, k) == {"status": 400, "body": "Invalid json"}


def test_bad_inner_is_answered_in_base64(a):
    """onion §6: also when the options that cannot be read ask for none."""
    r, k = one(a, frame(INFO, {"headers": "", "base64": False, "json": "x"}))
    assert opened(r, k) == {"status": 400, "body": "Invalid json"}


# ---- order of interpretation


def test_headers_come_first(a):
    """onion §1: headers, then host, then destination."""
    r, k = one(a, frame(INFO, {"headers": None, "host": 5, "destination": "zz"}))
    assert opened(r, k)["status"] == 200
    r, k = one(a, frame(INFO, {"host": "h", "target": "/x", "destination": NOWHERE, "ephemeral_key": NOWHERE}))
    assert opened(r, k) == {"status": 400, "body": "Invalid url"}


# ---- options and replies


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("b64", [False, True])
@pytest.mark.parametrize("hops", [1, 2])
def test_option_matrix(net, a, b, stranger, alice, foreigner, kind, as_json, b64, hops):
    """onion §4: json and base64 for JSON, texts and 421, with every cipher."""
    path = [a, b][:hops]
    opts = {"json": as_json, "base64": b64}
    r = call(path, "info", opts=opts, kinds=kind)
    body = r["body"] if as_json else json.loads(r["body"])
    assert r["status"] == 200
    assert set(body) == {"version", "timestamp", "t", "hf"}
    assert set(r) == {"body", "status"}
    r = call(path, "retrieve", foreigner.retrieve(), opts=opts, kinds=kind)
    body = r["body"] if as_json else json.loads(r["body"])
    assert r["status"] == 421
    assert body["swarm"] == f"{net.other:x}"
    r = call(path, "retrieve", {"pubkey": alice.id}, opts=opts, kinds=kind)
    assert r == {"status": 401, "body": "retrieve: request signature required"}


@pytest.mark.parametrize(
    ("blob", "status", "text"),
    [
        (b"", 400, "invalid json"),
        (b"{", 400, "invalid json"),
        (b"\xff", 400, "invalid json"),
        (INFO + b"x", 400, "invalid json"),
        (b'{"method":"info","params":{"a":NaN}}', 400, "invalid json"),
        (b"[]", 400, "invalid json: no `method` field"),
        (b"5", 400, "invalid json: no `method` field"),
        (b'{"method":5,"params":{}}', 400, "invalid json: no `method` field"),
        (b'{"method":"info"}', 400, "invalid json: no `params` field"),
        (b'{"method":"info","params":[]}', 400, "invalid json: no `params` field"),
        (b'{"method":"zz","params":{}}', 400, "no method zz"),
        (b'{"method":"retrieve","params":{}}', 400, "invalid request: Required field 'pubkey' missing"),
        (b'{"method":"store","params":{}}', 400, "invalid request: Required field 'timestamp' missing"),
        (
            b'{"method":"batch","params":{"requests":[]}}',
            400,
            'invalid request: Invalid batch request: no valid "requests" field',
        ),
    ],
)
def test_rpc_texts_through_an_onion(a, b, blob, status, text):
    """onion §4: the same texts as over HTTPS."""
    for path in ([a], [a, b]):
        o = Onion(path, blob, FINAL)
        assert o.open(o.send()) == {"status": status, "body": text}


def test_bom_and_depth_through_an_onion(a, b):
    """CORRECTIONS, storage-rpc §1 JSON: read as over HTTPS."""
    for blob in (b"\xef\xbb\xbf" + INFO, b'{"method":"info","params":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"):
        o = Onion([a, b], blob, FINAL)
        assert o.open(o.send())["status"] == 200


def test_text_with_quotes_stays_json(a, b):
    """onion §4: texts are escaped as JSON strings, whatever the caller wrote."""
    for name in ('a"b\\c\n', "grüße \U0001f600", "\x00\x7f", "</script>"):
        r = call([a, b], name)
        assert r == {"status": 400, "body": f"no method {name}"}
        assert call([a, b], name, opts={"json": True}) == r


def test_404_status_inside(a, b, alice):
    """onion §4: delete with required: 404 and JSON."""
    r = call([a, b], "delete", alice.delete(["A" * 43], required=True), opts={"json": True})
    assert r["status"] == 404
    assert set(r["body"]) == {"swarm", "t", "hf"}


@pytest.mark.parametrize("hops", [1, 3])
def test_large_reply(net, a, b, alice, hops):
    """onion §6, known weaknesses: 7.8 MB of retrieve fit through the hops."""
    d = os.urandom(76_800)
    for i in range(80):
        a.ok("store", alice.store(d[:-1] + bytes([i])))
    for opts in ({}, {"json": True}, {"base64": False}):
        r = call([a, b, net.pick()][:hops], "retrieve", alice.retrieve(max_size=-1), opts=opts)
        body = r["body"] if opts.get("json") else json.loads(r["body"])
        assert r["status"] == 200
        assert len(body["messages"]) == 76
        assert body["more"] is True


def test_large_request(a, b, alice):
    """onion: a batch of 20 of the largest messages goes through hops."""
    rs = [{"method": "store", "params": alice.store(os.urandom(76_800))} for _ in range(20)]
    r = call([a, b], "batch", {"requests": rs}, opts={"json": True})
    assert [x["code"] for x in r["body"]["results"]] == [200] * 20


def test_time_rule_through_an_onion(a, b, alice):
    """onion §4: 406 inside."""
    r = call([a, b], "retrieve", alice.retrieve(ts=now() - 61_500))
    assert r == {"status": 406, "body": "retrieve timestamp too far from current time"}


# ---- ciphertexts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 11, 12, 15, 16, 23, 24, 27, 28, 31, 39, 40])
def test_short_ciphertexts(a, b, kind, size):
    """onion §6: 400 `Invalid ciphertext` whatever the length, at the entry and further on."""
    k = LayerKey(a.x, kind)
    r = post(a, frame(b"\x01" * size, k.outer()))
    if not (kind == CBC and r.status == 200):  # unauthenticated: chance may unpad
        refused(r, 400, "Invalid ciphertext")
    e = LayerKey(a.x, XCHACHA)
    k = LayerKey(b.x, kind)
    r = post(a, frame(e.encrypt(frame(b"\x01" * size, k.outer(destination=b.ed))), e.outer()))
    if not (kind == CBC and r.status == 200):
        refused(r, 400, "Invalid ciphertext")


def test_decommissioned_nodes_are_known(a, unassigned):
    """onion §6: they are not 502; the path ends there with 503."""
    r, _ = via(a, unassigned, b"")
    refused(r, 503, f"Snode not ready: {unassigned.ed}")


def test_unready_entry(unassigned):
    """onion §6: entry HTTPS, not ready: before the frame is read."""
    for body in (b"", b"x", frame(os.urandom(50), {})):
        refused(post(unassigned, body), 503, "Service node is not ready: not in any swarm\n")


@pytest.mark.parametrize("dest", [NOWHERE.upper(), "00" * 32, "ff" * 32])
def test_unknown_destination_text(a, dest):
    """onion §6: 502 with the key in lower case."""
    r, _ = one(a, frame(b"x" * 60, {"destination": dest, "ephemeral_key": NOWHERE}))
    refused(r, 502, f"Next node not found: {dest.lower()}")


def test_legacy_and_x25519_keys_are_no_destinations(a, b):
    """onion §1: destination is the Ed25519 key."""
    for key in (b.x, b.legacy):
        if key != b.ed:
            r, _ = one(a, frame(b"x" * 60, {"destination": key, "ephemeral_key": NOWHERE}))
            refused(r, 502, f"Next node not found: {key}")


# ---- relay to servers


@pytest.mark.relay
@pytest.mark.parametrize(
    "doc",
    [
        {"target": "/"},
        {"target": "/lsrpc"},
        {"target": "/loki"},
        {"target": "/loki/"},
        {"target": "/oxen/v4/lsrpc?"},
        {"target": "/oxen/?/lsrpc"},
        {"target": "/oxen/v4/lsrpc#x"},
        {"target": "/oxen/v4/lsrpcx"},
        {"target": "/oxen/v4/xlsrpc"},
        {"target": " /oxen/v4/lsrpc"},
        {"target": "/oxen/v4/lsrpc "},
        {"target": "//oxen/v4/lsrpc"},
        {"target": "/session/v4/lsrpc"},
        {"target": "/Oxen/v4/lsrpc"},
        {"target": "http://x/oxen/v4/lsrpc"},
        {"target": "/oxen/v4/lsrpc", "protocol": ""},
        {"target": "/oxen/v4/lsrpc", "protocol": "http://"},
        {"target": "/oxen/v4/lsrpc", "protocol": "HTTP"},
        {"target": "/oxen/v4/lsrpc", "protocol": "Https"},
        {"target": "/oxen/v4/lsrpc", "protocol": "file"},
        {"target": "/oxen/v4/lsrpc", "protocol": "ws"},
    ],
)
@pytest.mark.parametrize("further", [False, True])
def test_forbidden_urls_more(a, b, doc, further):
    """onion §5, CORRECTIONS: an encrypted 400 `Invalid url`, in base64, from any hop."""
    plain = frame(b"x", {"host": "127.0.0.1", "protocol": "http", "port": 9, **doc})
    r, k = via(a, b, plain) if further else one(a, plain)
    assert opened(r, k) == {"status": 400, "body": "Invalid url"}


@pytest.fixture
def server():
    """An HTTP server on loopback that records requests and answers as told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            srv.seen.append((self.command, self.path, dict(self.headers), body))
            time.sleep(srv.delay)
            self.send_response(srv.status)
            for k, v in srv.headers.items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(len(srv.body)))
            self.end_headers()
            self.wfile.write(srv.body)

        do_GET = do_POST  # noqa: N815 - the base class asks for this name

        def log_message(self, *a):
            pass

    srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    srv.seen, srv.status, srv.headers, srv.body, srv.delay = [], 200, {}, b"the answer", 0
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    yield srv
    srv.shutdown()
    srv.server_close()


def to_server(srv, **extra):
    return {"host": "127.0.0.1", "port": srv.server_port, "protocol": "http", "target": "/oxen/v4/lsrpc", **extra}


@pytest.mark.relay
@pytest.mark.parametrize(
    "target",
    [
        "/oxen/lsrpc",
        "/loki/lsrpc",
        "/oxen/a/b/c/lsrpc",
        "/loki/v3/lsrpc",
        "/oxen/v4/../lsrpc",
        "/oxen//lsrpc",
        "/oxen/a=b&c;d/lsrpc",
        "/oxen/%20/lsrpc",
    ],
)
def test_allowed_targets(a, server, target):
    """onion §5: /loki/ or /oxen/ … /lsrpc without `?`; passed on as it is."""
    r, _ = one(a, frame(b"x", to_server(server, target=target)))
    assert r.status == 200
    assert [s[1] for s in server.seen] == [target]


@pytest.mark.relay
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("further", [False, True])
def test_whole_frame_with_every_cipher(a, b, server, kind, further):
    """onion §5: the whole decrypted frame (length, blob, JSON as written) is the body."""
    doc = json.dumps(to_server(server, zz={"b": 1, "a": [None]}), indent=1).encode()
    plain = frame(os.urandom(500), doc)
    r, _ = via(a, b, plain, kind) if further else one(a, plain, kind)
    assert r.status == 200
    assert r.body == b"the answer"
    [(method, _, headers, body)] = server.seen
    assert method == "POST"
    assert body == plain
    assert headers["Content-Type"] == "application/octet-stream"
    assert not {h.lower() for h in headers} & {"x-forwarded-for", "forwarded", "via", "x-real-ip", "referer", "cookie"}


@pytest.mark.relay
def test_headers_of_the_server_from_the_entry(a, b, server):
    """onion §5: headers come back only if this is the entry node."""
    server.headers = {"X-Something": "here", "Content-Type": "application/x-thing"}
    r, _ = one(a, frame(b"x", to_server(server)))
    assert r.headers["X-Something"] == "here"
    assert r.headers["Content-Type"] == "application/x-thing"
    r, _ = via(a, b, frame(b"x", to_server(server)))
    assert "X-Something" not in r.headers
    assert r.body == b"the answer"


@pytest.mark.relay
@pytest.mark.parametrize("status", [201, 202, 301, 302, 307, 402, 418, 422, 501, 599])
def test_codes_of_servers(a, b, server, status):
    """onion §3/§5: no redirects; from the entry the status itself, from a later hop only the known codes."""
    server.status, server.headers = status, {"Location": f"http://127.0.0.1:{server.server_port}/elsewhere"}
    r, _ = one(a, frame(b"x", to_server(server)))
    assert (r.status, r.body) == (status, b"the answer")
    r, _ = via(a, b, frame(b"x", to_server(server)))
    assert (r.status, r.body) == (500, b"the answer")
    assert [s[:2] for s in server.seen] == [("POST", "/oxen/v4/lsrpc")] * 2


@pytest.mark.relay
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 406, 410, 413, 421, 429, 500, 502, 503, 504])
def test_known_codes_of_servers(a, b, server, status):
    """onion §3: the codes that pass through hops."""
    server.status = status
    for r, _ in (one(a, frame(b"x", to_server(server))), via(a, b, frame(b"x", to_server(server)))):
        assert (r.status, r.body) == (status, b"the answer")


@pytest.mark.relay
@pytest.mark.parametrize("size", [0, 1, 1_000_000, 5_000_000])
def test_sizes_of_answers(a, b, server, size):
    """onion §5: the body comes back as it is, in clear."""
    server.body = os.urandom(size)
    for r, _ in (one(a, frame(b"x", to_server(server))), via(a, b, frame(b"x", to_server(server)))):
        assert r.status == 200
        assert r.body == server.body


@pytest.mark.relay
def test_large_request_to_a_server(a, b, server):
    """onion: a request of 8 MB."""
    plain = frame(os.urandom(8_000_000), to_server(server))
    for r, _ in (one(a, plain), via(a, b, plain)):
        assert r.status == 200
    assert [s[3] == plain for s in server.seen] == [True, True]


@pytest.mark.relay
@pytest.mark.parametrize("port", [float, lambda p: p])
def test_port_is_a_number(a, server, port):
    """CORRECTIONS, onion §5: a port that is no number is `Invalid json`."""
    r, _ = one(a, frame(b"x", to_server(server, port=port(server.server_port))))
    assert r.status == 200


@pytest.mark.relay
def test_names_of_hosts(a, server):
    """onion §5: host may be a name."""
    r, _ = one(a, frame(b"x", to_server(server, host="localhost")))
    assert r.status == 200


@pytest.mark.relay
def test_plain_http_is_not_tls(a, b, server):
    """onion §5: https is the default, certificates are verified: plain 502 where there is no TLS."""
    doc = to_server(server)
    del doc["protocol"]
    for r, _ in (one(a, frame(b"x", doc)), via(a, b, frame(b"x", doc))):
        assert r.status == 502
        assert r.body
    assert server.seen == []


@pytest.mark.relay
def test_self_signed_servers_are_refused(a, b):
    """onion §5: TLS with certificate verification: a node's own listener is not trusted."""
    doc = {"host": b.ip, "port": b.https_port, "target": "/oxen/v4/lsrpc"}
    for r, _ in (one(a, frame(b"x", doc)), via(b, a, frame(b"x", doc))):
        assert r.status == 502
        assert r.body


@pytest.mark.relay
def test_502_for_unreachable_servers(a, b):
    """onion §5: transport failure: plain 502 with some text, from any hop."""
    doc = {"host": "127.0.0.1", "target": "/loki/v3/lsrpc", "protocol": "http", "port": 9}
    for r, _ in (one(a, frame(b"x", doc)), via(a, b, frame(b"x", doc))):
        assert r.status == 502
        assert r.body
    r, _ = one(a, frame(b"x", {**doc, "host": "does-not-exist.invalid"}))
    assert r.status == 502
    assert r.body


@pytest.mark.relay
@pytest.mark.slow
def test_slow_servers_are_504(a, server):
    """onion §5: 504 on timeout, after 25 s."""
    server.delay = 32
    t0 = time.monotonic()
    r, _ = one(a, frame(b"x", to_server(server)))
    assert r.status == 504
    assert 22 <= time.monotonic() - t0 <= 30

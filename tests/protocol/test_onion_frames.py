"""Onion requests as nodes see them: frames, peeling, relay rules, replies (onion.md and its corrections)."""

import base64
import contextlib
import hashlib
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.crypto.onion import EncType, client_cipher, node_cipher
from ramson.errors import ParseError
from ramson.protocol import bt, onion

INFO = b'{"method":"info","params":{}}'
KEY = "ab" * 32
RAW = bytes.fromhex(KEY)
FOR_ME = onion.ForMe(INFO)


def frame(blob: bytes, document) -> bytes:
    """A frame; a bytes document is taken as it is."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<I", len(blob)) + blob + text


# ---- frames


def test_frame_is_length_blob_and_compact_sorted_json():
    data = onion.encode_frame(b"blob", {"b": 1, "a": "é"})
    assert data == b'\x04\0\0\0blob{"a":"\xc3\xa9","b":1}'
    assert onion.decode_frame(data) == onion.Frame(b"blob", {"a": "é", "b": 1})


MALFORMED_FRAMES = [
    b"",
    b"\x01\x00",
    struct.pack("<I", 99999) + b"x",
    struct.pack("<I", 2**32 - 1) + b"{}",
    frame(b"c", b""),
    frame(b"c", b"{"),
    frame(b"c", b"[]"),
    frame(b"c", b"null"),
    frame(b"c", b"{} {}"),
    frame(b"c", b'{"a":NaN}'),
    frame(b"c", b'{"a":"\xff"}'),
]


@pytest.mark.parametrize("data", MALFORMED_FRAMES)
def test_malformed_frames(data):
    for read in (onion.decode_frame, onion.parse_entry, onion.parse_inner):
        with pytest.raises(ParseError):
            read(data)


# ---- the entry node


def test_entry_defaults():
    layer = onion.parse_entry(frame(b"ct", {"ephemeral_key": KEY}))
    assert layer == onion.Layer(b"ct", EncType.AES_GCM, RAW, 0)


@pytest.mark.parametrize(
    ("hop_no", "read"),
    [(0, 0), (3, 3), (-5, 0), (14, 14), (1000, 1000), (2.9, 2), (-0.5, 0), (1e30, 2**31 - 1), (2**63, 2**31 - 1)],
)
def test_entry_hop_no_is_any_number_and_at_least_0(hop_no, read):
    assert onion.parse_entry(frame(b"", {"ephemeral_key": KEY, "hop_no": hop_no})).hop_no == read


@pytest.mark.parametrize(
    ("name", "enc_type"),
    [
        ("xchacha20", EncType.XCHACHA20),
        ("xchacha20-poly1305", EncType.XCHACHA20),
        ("gcm", EncType.AES_GCM),
        ("aes-cbc", EncType.AES_CBC),
        ("cbc", EncType.AES_CBC),
    ],
)
def test_entry_cipher_names(name, enc_type):
    assert onion.parse_entry(frame(b"", {"ephemeral_key": KEY.upper(), "enc_type": name})).enc_type is enc_type


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"enc_type": "xchacha20"},
        {"ephemeral_key": None},
        {"ephemeral_key": 5},
        {"ephemeral_key": "zz" * 32},
        {"ephemeral_key": KEY[2:]},
        {"ephemeral_key": KEY + "00"},
        {"ephemeral_key": KEY[:-2] + "  "},
        {"ephemeral_key": KEY + " "},
        {"ephemeral_key": KEY[:32] + " " + KEY[32:]},
        {"ephemeral_key": " " + KEY[:-2] + " "},
        {"ephemeral_key": KEY, "enc_type": "rot13"},
        {"ephemeral_key": KEY, "enc_type": "XCHACHA20"},
        {"ephemeral_key": KEY, "enc_type": 5},
        {"ephemeral_key": KEY, "enc_type": None},
        {"ephemeral_key": KEY, "hop_no": "x"},
        {"ephemeral_key": KEY, "hop_no": "1"},
        {"ephemeral_key": KEY, "hop_no": None},
        {"ephemeral_key": KEY, "hop_no": [1]},
        {"ephemeral_key": KEY, "hop_no": True},
    ],
)
def test_entry_refuses(document):
    with pytest.raises(ParseError):
        onion.parse_entry(frame(b"ct", document))


def test_unknown_keys_are_ignored():
    assert onion.parse_entry(frame(b"", {"ephemeral_key": KEY, "zz": None})).hop_no == 0
    assert onion.parse_inner(frame(INFO, {"headers": "", "zz": [1]})) == FOR_ME
    deep = b'{"headers":"","zz":%b%b}' % (b"[" * 100_000, b"]" * 100_000)
    assert onion.parse_inner(frame(INFO, deep)) == FOR_ME


# ---- a decrypted layer


@pytest.mark.parametrize("value", ["", {}, None, [], "x", 5, False])
def test_the_presence_of_headers_marks_the_destination(value):
    assert onion.parse_inner(frame(INFO, {"headers": value})) == FOR_ME
    assert onion.parse_inner(frame(INFO, {"headers": value, "host": "h", "destination": "d"})) == FOR_ME


def test_reply_options():
    inner = onion.parse_inner(frame(INFO, {"headers": "", "json": True, "base64": False}))
    assert inner == onion.ForMe(INFO, as_json=True, base64=False)


def test_relay_to_a_node():
    inner = onion.parse_inner(frame(b"next", {"destination": "cd" * 32, "ephemeral_key": KEY, "enc_type": "cbc"}))
    assert inner == onion.ToNode(b"\xcd" * 32, b"next", EncType.AES_CBC, RAW)
    inner = onion.parse_inner(frame(b"next", {"destination": "cd" * 32, "ephemeral_key": KEY}))
    assert inner.enc_type is EncType.AES_GCM


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\x00",
        struct.pack("<I", 9999) + b"{}",
        frame(INFO, b""),
        frame(INFO, b"{"),
        frame(INFO, b"[]"),
        frame(INFO, {}),
        frame(INFO, {"destination": KEY}),
        frame(INFO, {"destination": KEY, "ephemeral_key": "zz"}),
        frame(INFO, {"destination": "zz", "ephemeral_key": KEY}),
        frame(INFO, {"destination": None, "ephemeral_key": KEY}),
        frame(INFO, {"ephemeral_key": KEY}),
        frame(INFO, {"destination": KEY, "ephemeral_key": KEY, "enc_type": "rot13"}),
        frame(INFO, {"destination": KEY, "ephemeral_key": KEY, "enc_type": 1}),
        frame(INFO, {"host": "127.0.0.1"}),
        frame(INFO, {"host": "127.0.0.1", "target": None}),
        frame(INFO, {"host": 5, "target": "/loki/v3/lsrpc"}),
        frame(INFO, {"host": None, "target": "/loki/v3/lsrpc"}),
        frame(INFO, {"host": "h", "target": "/loki/v3/lsrpc", "port": "80"}),
        frame(INFO, {"host": "h", "target": "/loki/v3/lsrpc", "port": None}),
        frame(INFO, {"host": "h", "target": "/loki/v3/lsrpc", "protocol": 1}),
        frame(INFO, {"headers": "", "json": "yes"}),
        frame(INFO, {"headers": "", "json": 1}),
        frame(INFO, {"headers": "", "json": None}),
        frame(INFO, {"headers": "", "base64": "no"}),
    ],
)
def test_bad_inner_json(plaintext):
    with pytest.raises(ParseError) as refused:
        onion.parse_inner(plaintext)
    assert not isinstance(refused.value, onion.ForbiddenTarget)


# ---- relay to a server


def to_server(**changes) -> bytes:
    document = {"host": "127.0.0.1", "protocol": "http", "port": 9, "target": "/oxen/v4/lsrpc", **changes}
    return frame(b"\x00\xff", document)


def test_relay_to_a_server_takes_the_whole_frame():
    plaintext = to_server(ephemeral_key=KEY, method="GET")
    assert onion.parse_inner(plaintext) == onion.ToServer("127.0.0.1", 9, "http", "/oxen/v4/lsrpc", plaintext)


def test_relay_defaults():
    inner = onion.parse_inner(frame(b"x", {"host": "example.org", "target": "/loki/v3/lsrpc"}))
    assert (inner.protocol, inner.port) == ("https", 443)
    # The default port is 443 for http too.
    inner = onion.parse_inner(frame(b"x", {"host": "example.org", "target": "/loki/v3/lsrpc", "protocol": "http"}))
    assert inner.port == 443


@pytest.mark.parametrize("target", ["/loki/v3/lsrpc", "/oxen/v4/lsrpc", "/loki/lsrpc", "/oxen/a/b/c/lsrpc"])
def test_allowed_targets(target):
    assert onion.parse_inner(to_server(target=target)).target == target


@pytest.mark.parametrize("host", ["example.org", "a-b_c.example.org", "10.0.0.1", "[::1]", "LOCALHOST"])
def test_allowed_hosts(host):
    assert onion.parse_inner(to_server(host=host)).host == host


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "/x/v3/lsrpc"},
        {"target": "/loki/v1/other"},
        {"target": "/loki/v3/lsrpc?x=1"},
        {"target": "/loki/v3?/lsrpc"},
        {"target": "/loki/v3/lsrpc/"},
        {"target": "/loki/v3/lsrpc\n"},
        {"target": "loki/v3/lsrpc"},
        {"target": "/loki/xlsrpc"},
        {"target": "/lokilsrpc"},
        {"target": "/LOKI/v3/lsrpc"},
        {"target": "/loki/v3#/lsrpc"},
        {"target": "/loki/ HTTP/1.1\r\nX: y\r\n/lsrpc"},
        {"target": "/loki/é/lsrpc"},
        {"target": ""},
        {"protocol": "ftp"},
        {"protocol": "HTTPS"},
        {"protocol": ""},
        {"port": 0},
        {"port": -1},
        {"port": 65536},
        {"port": 1e30},
        {"host": ""},
        {"host": "evil.example/admin?"},
        {"host": "user@example.org"},
        {"host": "example.org:80"},
        {"host": "exa mple.org"},
        {"host": "example.org\r\nX: y"},
        {"host": "x" * 254},
    ],
)
def test_forbidden_targets(changes):
    with pytest.raises(onion.ForbiddenTarget):
        onion.parse_inner(to_server(**changes))


# ---- between nodes


def hop(**changes) -> bytes:
    fields = {"data": b"next", "enc_type": "xchacha20", "ephemeral_key": RAW, "hop_no": 1, **changes}
    return bt.encode({name: value for name, value in fields.items() if value is not None})


def test_node_to_node_leg():
    data = onion.encode_hop(onion.ToNode(b"\xcd" * 32, b"next", EncType.XCHACHA20, RAW), 1)
    assert data == hop() == b"d4:data4:next8:enc_type9:xchacha2013:ephemeral_key32:" + RAW + b"6:hop_noi1ee"
    assert onion.decode_hop(data) == onion.Layer(b"next", EncType.XCHACHA20, RAW, 1)


@pytest.mark.parametrize(("hop_no", "read"), [(-3, 1), (0, 1), (1, 1), (15, 15)])
def test_hop_numbers_below_1_are_raised(hop_no, read):
    assert onion.decode_hop(hop(hop_no=hop_no)).hop_no == read


@pytest.mark.parametrize("hop_no", [16, 1001, 2**64 - 1])
def test_paths_that_are_too_long(hop_no):
    with pytest.raises(onion.PathTooLong, match="onion request max path length exceeded"):
        onion.decode_hop(hop(hop_no=hop_no))


def test_unknown_keys_of_the_leg_are_ignored():
    assert onion.decode_hop(hop(zz=1, aa=b"")).hop_no == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"d",
        b"le",
        b"i1e",
        b"{}",
        hop(data=None),
        hop(data=1),
        hop(enc_type=None),
        hop(enc_type=1),
        hop(enc_type="rot13"),
        hop(enc_type=b"\xff"),
        hop(ephemeral_key=None),
        hop(ephemeral_key=KEY),
        hop(ephemeral_key=RAW[1:]),
        hop(hop_no=None),
        hop(hop_no=b"1"),
        hop()[:-1],
    ],
)
def test_undecodable_legs(data):
    with pytest.raises(ParseError) as refused:
        onion.decode_hop(data)
    assert not isinstance(refused.value, onion.PathTooLong)


# ---- replies


def test_a_json_response_is_a_string_unless_asked_otherwise():
    assert onion.encode_node_reply(200, b'{"a":"b"}', True, FOR_ME) == b'{"body":"{\\"a\\":\\"b\\"}","status":200}'
    embedded = onion.ForMe(INFO, as_json=True)
    assert onion.encode_node_reply(200, b'{"a":"b"}', True, embedded) == b'{"body":{"a":"b"},"status":200}'
    assert onion.encode_node_reply(400, b"no method x", False, embedded) == b'{"body":"no method x","status":400}'


def test_text_that_is_not_utf8_still_makes_json():
    assert json.loads(onion.encode_node_reply(502, b"caf\xe9", False, FOR_ME))["body"] == "caf�"


CIPHER = client_cipher(
    EncType.XCHACHA20, X25519KeyPair.from_secret(b"\xa1" * 32), X25519KeyPair.from_secret(b"\xb2" * 32).public
)
NONCE = bytes(24)


def sealed(document, **options) -> bytes:
    plaintext = document if isinstance(document, bytes) else json.dumps(document).encode()
    return onion.seal_reply(CIPHER, plaintext, NONCE, **options)


def test_replies_come_in_padded_base64_or_raw():
    for size in range(4):
        plaintext = b"x" * size
        assert base64.b64decode(sealed(plaintext), validate=True) == sealed(plaintext, base64=False)


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: json.dumps({"result": text.decode()}).encode()])
@pytest.mark.parametrize(
    ("document", "status", "body"),
    [
        ({"status": 200, "body": "hi"}, 200, b"hi"),
        ({"status": 200, "body": ""}, 200, b""),
        ({"status_code": 421, "status": 1, "body": "é"}, 421, "é".encode()),
        ({"status": 200, "body": {"b": [1], "a": None}}, 200, b'{"a":null,"b":[1]}'),
        (b'{"status":200,"t":5}', 200, b'{"status":200,"t":5}'),
    ],
)
def test_what_a_client_reads(wrap, document, status, body):
    reply = onion.open_node_reply(CIPHER, wrap(sealed(document)))
    assert (reply.status, reply.body) == (status, body)


def test_headers_of_a_reply():
    assert onion.open_node_reply(CIPHER, sealed({"status": 200, "headers": {"a": "b"}})).headers == {"a": "b"}
    assert onion.open_node_reply(CIPHER, sealed({"status": 200, "headers": ""})).headers == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Next node not found: ab",
        b"{}",
        b'{"result":5}',
        b'{"result":"\\u00e9"}',
        b'{"result":',
        sealed({"status": 200})[:-1],
        sealed({"status": 200}) + b"\n",
        sealed({"status": 200}, base64=False),
        base64.b64encode(sealed({"status": 200}, base64=False)[:-1]),
        sealed(b"[]"),
        sealed(b"hi"),
        sealed({"body": "x"}),
        sealed({"status": "200"}),
        sealed({"status": True}),
        sealed({"status": 20.0}),
        sealed({"status": 99}),
        sealed({"status": 10**30}),
        sealed(b'{"status":200,"body":%b%b}' % (b"[" * 5000, b"]" * 5000)),
    ],
)
def test_replies_that_cannot_be_read(body):
    with pytest.raises(ParseError):
        onion.open_node_reply(CIPHER, body)


# ---- the worked example of onion.md §7


def test_worked_example():
    n1, n2 = (Ed25519KeyPair.from_seed(bytes([n]) * 32) for n in (1, 2))
    a1, a2 = (X25519KeyPair.from_secret(bytes([n]) * 32) for n in (0xA1, 0xA2))
    k2 = client_cipher(EncType.XCHACHA20, a2, n2.to_x25519().public)
    k1 = client_cipher(EncType.AES_GCM, a1, n1.to_x25519().public)

    inner = onion.encode_frame(INFO, {"headers": ""})
    assert len(inner) == 47
    c2 = k2.encrypt(inner, b"\x02" * 24)
    assert len(c2) == 87
    assert c2.hex() == (
        "020202020202020202020202020202020202020202020202"
        "3f6c1cb192f140832023a34c9027688ae073561f0eae6d9d5b979b2945bbaff49650942a"
        "312aea7af1da924e2960a20e11f94107282e87c87724fd9eb35700"
    )
    middle = onion.encode_frame(
        c2, {"destination": n2.public.hex(), "enc_type": "xchacha20", "ephemeral_key": a2.public.hex()}
    )
    assert len(middle) == 279
    c1 = k1.encrypt(middle, b"\x01" * 12)
    assert len(c1) == 307
    assert c1[-16:].hex() == "73c90328cafb9b4e9c97463a5d39f1f1"
    assert hashlib.sha256(c1).hexdigest() == "323edb4ca6acbee987212f339fc66f2df5eab47b55d5a5c1d843868d83ae323c"
    body = onion.encode_frame(c1, {"enc_type": "aes-gcm", "ephemeral_key": a1.public.hex()})
    assert len(body) == 416
    assert hashlib.sha256(body).hexdigest() == "928c6739b79c8c3f31a37172d090fc76762d740c27df3fed674bd91994f08162"

    entry = onion.parse_entry(body)
    plaintext = node_cipher(entry.enc_type, n1.to_x25519(), entry.ephemeral).decrypt(entry.ciphertext)
    relay = onion.parse_inner(plaintext)
    assert relay == onion.ToNode(n2.public, c2, EncType.XCHACHA20, a2.public)
    leg = onion.encode_hop(relay, entry.hop_no + 1)
    assert len(leg) == 181
    assert hashlib.sha256(leg).hexdigest() == "14242327337d3e5e4901d105a29640ddf56ee0c1bd8ea21259d23d53dcb00610"

    layer = onion.decode_hop(leg)
    final = node_cipher(layer.enc_type, n2.to_x25519(), layer.ephemeral)
    destination = onion.parse_inner(final.decrypt(layer.ciphertext))
    assert destination == FOR_ME
    plaintext = onion.encode_node_reply(200, b"hi", False, destination)
    reply = onion.seal_reply(final, plaintext, b"\x03" * 24, base64=destination.base64)
    assert reply == (b"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDVtVrcIe7gJOgbvq1C+6InC/8Lkg0MeTI31QPJLtYLlovdTcdZQ88tzSB")
    assert onion.open_node_reply(k2, reply) == onion.NodeReply(200, b"hi")


# ---- fuzz: nothing but ParseError, ever

READERS = (onion.decode_frame, onion.parse_entry, onion.parse_inner, onion.decode_hop)
VALID = [
    frame(b"ct", {"ephemeral_key": KEY, "enc_type": "xchacha20", "hop_no": 3}),
    frame(INFO, {"headers": "", "json": True, "base64": False}),
    frame(b"next", {"destination": KEY, "ephemeral_key": KEY, "enc_type": "gcm"}),
    to_server(),
    hop(),
]


def feed(data: bytes) -> None:
    for read in READERS:
        with contextlib.suppress(ParseError):
            read(data)


@settings(max_examples=1500, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda text: frame(b"", text)))
def test_fuzz_random_bytes(data):
    feed(data)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(VALID), st.integers(0), st.integers(1, 255), st.integers(0))
def test_fuzz_damaged_frames(valid, position, mask, cut):
    damaged = bytearray(valid)
    damaged[position % len(damaged)] ^= mask
    feed(bytes(damaged))
    feed(valid[: cut % len(valid)])


fields = st.sampled_from(
    [
        "headers",
        "host",
        "target",
        "port",
        "protocol",
        "destination",
        "ephemeral_key",
        "enc_type",
        "hop_no",
        "json",
        "base64",
    ]
)
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([KEY, "https", "/oxen/v4/lsrpc", "xchacha20", "example.org"])
    | st.lists(st.none(), max_size=2)
)


@settings(max_examples=1500, deadline=None)
@given(st.dictionaries(fields, anything, max_size=6))
def test_fuzz_frames_of_the_right_fields(document):
    feed(frame(b"blob", document))


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(["status", "status_code", "body", "headers"]), anything, max_size=4))
def test_fuzz_replies(document):
    try:
        reply = onion.open_node_reply(CIPHER, sealed(document))
    except ParseError:
        return
    assert 100 <= reply.status <= 999
    assert isinstance(reply.body, bytes)

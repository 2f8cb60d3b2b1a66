"""Node-to-node requests beyond the public suite: forwarded forms, handoff, hops, storage tests."""

import base64
import concurrent.futures
import json
import os
import time

import pytest
from nacl.signing import VerifyKey
from sntest import bt
from sntest.helpers import UNKNOWN, data, expiries, hashes, messages, store
from sntest.keys import DAY, READ, now
from sntest.omq import Omq, Timeout
from sntest.onion import CBC, GCM, XCHACHA, LayerKey, frame

pytestmark = pytest.mark.omq

INFO = b'{"method":"info","params":{}}'
NOT_FORWARDABLE = [b"400", b"invalid request: received invalid forwarded non-forwardable request"]


@pytest.fixture
def peer(net, a):
    """A connection to node a with the key of a listed node."""
    if not net.phantom:
        pytest.skip("the network has no node for the suite to play (state phantom, x25519_privkey)")
    with Omq(a, net.phantom.secret, as_node=True) as c:
        yield c


def auth(acct, msg):
    d = {"pubkey": acct.pub, "signature": acct.sign(msg.encode() if isinstance(msg, str) else msg)}
    if acct.prefix == "05":
        d["pubkey_ed25519"] = acct.ed
    return d


def forward(peer, method, params, timeout=8):
    return peer.request(
        "sn.storage_cc", method, params if isinstance(params, bytes) else bt.encode(params), timeout=timeout
    )


def one(r):
    assert len(r) == 1, r
    return bt.decode(r[0])


# ---- storage_cc


def test_forwarded_ttl(a, peer, alice):
    """CORRECTIONS, swarms §6: `ttl` instead of `expiry` is accepted."""
    ts = now()
    e = one(forward(peer, "store", {"pubkey": alice.pub, "timestamp": ts, "ttl": DAY, "data": b"x"}))
    assert e[b"expiry"] == ts + DAY
    assert messages(a, alice)[0]["expiration"] == ts + DAY
    r = forward(peer, "store", {"pubkey": alice.pub, "timestamp": ts, "ttl": DAY, "expiry": ts + DAY, "data": b"x"})
    assert r[0] == b"400"


def test_forwarded_json(a, b, peer, alice):
    """CORRECTIONS, swarms §6: a JSON body is accepted and answered in JSON; nothing is forwarded again."""
    [r] = forward(peer, "store", json.dumps(alice.store(b"json")).encode())
    e = json.loads(r)
    assert set(e) == {"hash", "expiry", "signature"}
    assert e["hash"] == alice.hash(b"json")
    VerifyKey(bytes.fromhex(a.ed)).verify(e["hash"].encode(), base64.b64decode(e["signature"]))
    assert data(a, alice) == [b"json"]
    assert data(b, alice) == []
    [r] = forward(peer, "store", json.dumps(alice.store(b"json")).encode())
    assert json.loads(r)["already"] in (True, 1)
    [r] = forward(peer, "delete", json.dumps(alice.delete([e["hash"]])).encode())
    assert json.loads(r)["deleted"] == [e["hash"]]


def test_forwarded_json_refusals(net, peer, alice, foreigner):
    """CORRECTIONS, swarms §6: refusals of a JSON body: code and text; 421 with JSON."""
    r = forward(peer, "delete_all", json.dumps(alice.delete_all(ts=now() - 75_000)).encode())
    assert r == [b"406", b"delete_all timestamp too far from current time"]
    code, doc = forward(peer, "store", json.dumps(foreigner.store(b"x")).encode())
    assert code == b"421"
    assert json.loads(doc)["swarm"] == f"{net.other:x}"


@pytest.mark.parametrize("method", ["zz", "", "Store", "storage.store", "sn.store", "\xff"])
def test_forwarded_unknown_method(peer, method):
    """CORRECTIONS, swarms §6: no reply."""
    with pytest.raises(Timeout):
        peer.request("sn.storage_cc", method.encode("latin-1"), b"de", timeout=1)
    assert peer.request("sn.ping", timeout=5) == [b"pong"]


@pytest.mark.parametrize("parts", [[b"store"], [b"info"]])
def test_forwarded_single_part(peer, parts):
    """CORRECTIONS, swarms §6: no reply."""
    with pytest.raises(Timeout):
        peer.request("sn.storage_cc", *parts, timeout=1)


@pytest.mark.parametrize("body", [b"x", b"{", b"le", b"\0", b"i5e"])
def test_forwarded_neither(peer, body):
    """CORRECTIONS, swarms §6: neither JSON nor dict: 400."""
    assert forward(peer, "store", body)[0] == b"400"


@pytest.mark.parametrize("method", ["info", "retrieve", "get_expiries", "get_swarm", "oxend_request"])
def test_forwarded_non_forwardable(peer, alice, method):
    """CORRECTIONS, swarms §6: 400 with this text."""
    t = now()
    p = {
        "info": {},
        "retrieve": {**auth(alice, f"retrieve{t}"), "timestamp": t},
        "get_expiries": {**auth(alice, f"get_expiries{t}{UNKNOWN}"), "timestamp": t, "messages": [UNKNOWN]},
        "get_swarm": {"pubkey": alice.pub},
        "oxend_request": {"endpoint": "get_service_nodes"},
    }[method]
    assert forward(peer, method, p) == NOT_FORWARDABLE


@pytest.mark.parametrize(("delta", "ok"), [(-65_000, True), (-75_000, False)])
def test_forwarded_expire_all_window(peer, alice, delta, ok):
    """CORRECTIONS, swarms §6: −70 s; no upper bound."""
    t = now() + delta
    r = forward(peer, "expire_all", {**auth(alice, f"expire_all{t}"), "expiry": t})
    assert len(r) == 1 if ok else r == [b"406", b"expire_all timestamp should be >= current time"]


@pytest.mark.parametrize(("delta", "ok"), [(-55_000, True), (-65_000, False), (55_000, True), (65_000, False)])
@pytest.mark.parametrize("method", ["store", "revoke_subaccount", "unrevoke_subaccount"])
def test_forwarded_windows_of_60(peer, group, method, delta, ok):
    """CORRECTIONS, swarms §6: revoke and store keep ±60 s."""
    t, tok = now() + delta, group.subaccount().token
    word = method.partition("_")[0]
    if method == "store":
        ts = now()
        p = {
            **auth(group, f"store11{t}"),
            "timestamp": ts,
            "sig_timestamp": t,
            "expiry": ts + DAY,
            "namespace": 11,
            "data": os.urandom(9),
        }
    else:
        p = {**auth(group, f"{method}{t}".encode() + tok), "timestamp": t, word: [tok]}
    r = forward(peer, method, p)
    text = "store signature" if method == "store" else method
    assert len(r) == 1 if ok else r == [b"406", f"{text} timestamp too far from current time".encode()]


@pytest.mark.parametrize(("delta", "ok"), [(55_000, True), (65_000, False), (-10 * DAY, True)])
def test_forwarded_delete_before_window(peer, alice, delta, ok):
    """storage-rpc §3: ≤ now + 60 s, else 401."""
    t = now() + delta
    r = forward(peer, "delete_before", {**auth(alice, f"delete_before{t}"), "before": t})
    assert len(r) == 1 if ok else r == [b"401", b"delete_before timestamp too far in the future"]


@pytest.mark.parametrize(("delta", "ok"), [(-55_000, True), (-65_000, False)])
def test_forwarded_expire_window(peer, alice, delta, ok):
    """storage-rpc §3: each ≥ now − 60 s, else 401."""
    t = now() + delta
    r = forward(peer, "expire", {**auth(alice, f"expire{t}{UNKNOWN}"), "expiry": t, "messages": [UNKNOWN]})
    assert len(r) == 1 if ok else r == [b"401", b"expire: timestamp should be >= current time"]


def test_forwarded_entries_are_signed(a, peer, alice):
    """storage-rpc §4, per-member entries: the same signatures as in the whole reply."""
    key = VerifyKey(bytes.fromhex(a.ed))
    hs = sorted(store(a, alice, b"%d" % i) for i in range(4))
    t = now() + DAY // 2
    e = one(
        forward(
            peer,
            "expire",
            {**auth(alice, f"expire{t}{t + 1}{hs[1]}{hs[0]}"), "expiry": [t, t + 1], "messages": [hs[1], hs[0]]},
        )
    )
    assert e[b"updated"] == [h.encode() for h in hs[:2]]
    assert e[b"expiry"] == [t + 1, t]
    key.verify(f"{alice.id}{t + 1}{t}{hs[1]}{hs[0]}{hs[0]}{hs[1]}".encode(), e[b"signature"])
    assert expiries(a, alice, hs[:2]) == {hs[0]: t + 1, hs[1]: t}
    t = now()
    e = one(forward(peer, "delete_before", {**auth(alice, f"delete_before5{t}"), "before": t, "namespace": 5}))
    key.verify(f"{alice.id}{t}".encode(), e[b"signature"])
    assert e[b"deleted"] == []
    e = one(forward(peer, "delete", {**auth(alice, "delete" + hs[3]), "messages": [hs[3]]}))
    key.verify(f"{alice.id}{hs[3]}{hs[3]}".encode(), e[b"signature"])
    t = now()
    e = one(forward(peer, "delete_all", {**auth(alice, f"delete_all{t}"), "timestamp": t}))
    key.verify(f"{alice.id}{t}{''.join(hs[:3])}".encode(), e[b"signature"])


def test_forwarded_revocation(a, b, peer, group):
    """swarms §6: revoke and unrevoke, of raw tokens, at this member only."""
    key = VerifyKey(bytes.fromhex(a.ed))
    store(a, group, b"x", ns=11)
    s, t = group.subaccount(READ), now()
    e = one(
        forward(
            peer,
            "revoke_subaccount",
            {**auth(group, f"revoke_subaccount{t}".encode() + s.token), "timestamp": t, "revoke": [s.token]},
        )
    )
    assert set(e) == {b"signature"}
    key.verify(f"{group.id}{t}".encode() + s.token, e[b"signature"])
    assert a.rpc("retrieve", s.retrieve(ns=11)).status == 401
    assert b.rpc("retrieve", s.retrieve(ns=11)).status == 200
    t = now()
    e = one(
        forward(
            peer,
            "unrevoke_subaccount",
            {**auth(group, f"unrevoke_subaccount{t}".encode() + s.token), "timestamp": t, "unrevoke": [s.token]},
        )
    )
    assert e[b"count"] == 1


def test_forwarded_by_a_subaccount(a, peer, group):
    """swarms §6: subaccount and subaccount_sig in raw form; verified again."""
    s, ts = group.subaccount(3), now()
    p = {
        "pubkey": group.pub,
        "signature": s.sign(f"store11{ts}".encode()),
        "subaccount": s.token,
        "subaccount_sig": s.token_sig,
        "timestamp": ts,
        "expiry": ts + DAY,
        "namespace": 11,
        "data": b"x",
    }
    one(forward(peer, "store", p))
    assert data(a, group, ns=11) == [b"x"]
    assert forward(peer, "store", {**p, "subaccount_sig": bytes(64)}) == [
        b"401",
        b"store signature verification failed",
    ]


def test_forwarded_lifetime_and_clock(peer, alice):
    """swarms §6: peers check everything again."""
    ts = now()
    p = {"pubkey": alice.pub, "timestamp": ts, "data": b"x"}
    assert forward(peer, "store", {**p, "expiry": ts + 5000}) == [b"403", b"Provided expiry/TTL is not valid."]
    p["timestamp"] = ts + 60_000
    assert forward(peer, "store", {**p, "expiry": ts + DAY}) == [b"406", b"Timestamp error: check your clock"]
    assert forward(peer, "store", {"pubkey": alice.pub, "data": b"x"}) == [
        b"400",
        b"invalid request: Required field 'timestamp' missing",
    ]


def test_forwarded_wrong_swarm_everywhere(net, peer, foreigner):
    """CORRECTIONS, swarms §6: two parts, `421` and a bencoded get_swarm body."""
    t = now()
    for method, p in (
        ("delete", {**auth(foreigner, "delete" + UNKNOWN), "messages": [UNKNOWN]}),
        ("delete_all", {**auth(foreigner, f"delete_all{t}"), "timestamp": t}),
        ("expire_all", {**auth(foreigner, f"expire_all{t}"), "expiry": t}),
    ):
        code, doc = forward(peer, method, p)
        assert code == b"421"
        assert set(bt.decode(doc)) == {b"snodes", b"swarm", b"t", b"hf"}


def test_forwarded_outbox(a, peer, alice):
    """swarms §6: outboxes keep one here too."""
    store(a, alice, b"elsewhere")
    for d in (b"1", b"2"):
        ts = now()
        one(
            forward(
                peer,
                "store",
                {**auth(alice, f"store-1{ts}"), "timestamp": ts, "expiry": ts + DAY, "namespace": -1, "data": d},
            )
        )
    assert data(a, alice, ns=-1) == [b"2"]


# ---- handoff


def handoff(peer, body, timeout=8):
    return peer.request("sn.data", body, timeout=timeout)


def entries(acct, *ds, expiry=DAY):
    ts = now()
    return [[acct.pub, acct.hash(d), ts, ts + expiry, d] for d in ds]


@pytest.mark.parametrize("body", [b"\x01le", b"\x02le", b"\x00", b"\x02", b"\xff" + b"x" * 100, b"", b"le"])
def test_handoff_empty_reply(peer, body):
    """CORRECTIONS, swarms §5: REPLY, tag and no data part; other version bytes are ignored."""
    assert handoff(peer, body) == []


def test_handoff_without_parts(peer):
    """CORRECTIONS, swarms §5: the same."""
    assert peer.request("sn.data", timeout=5) == []


@pytest.mark.parametrize(
    "body",
    [
        b"\x01",
        b"\x01x",
        b"\x01l",
        b"\x01d",
        b"\x01li5ee",
        b"\x01llee",
        b"\x01l3:abce",
        b"\x01" + bt.encode([[b"x", b"y", 1, 2]]),
    ],
)
def test_handoff_undecodable(peer, body):
    """CORRECTIONS, swarms §5: no reply at all; the node lives on."""
    with pytest.raises(Timeout):
        handoff(peer, body, timeout=1)
    assert peer.request("sn.ping", timeout=5) == [b"pong"]


def test_handoff_of_other_versions_stores_nothing(a, peer, alice):
    """swarms §5: receivers ignore other version bytes."""
    assert handoff(peer, b"\x02" + bt.encode(entries(alice, b"x"))) == []
    assert hashes(a, alice) == []


def test_handoff_of_expired_messages(a, peer, alice):
    """CORRECTIONS, swarms §5: already expired messages are inserted too."""
    for i in range(5):  # the sweep may come in between
        ts, d = now() - DAY, b"old %d" % i
        assert handoff(peer, b"\x01" + bt.encode([[alice.pub, alice.hash(d), ts, ts + 1000, d]])) == []
        if [m["hash"] for m in messages(a, alice)] == [alice.hash(d)]:
            return
    pytest.fail("not inserted, five times")


@pytest.mark.slow
def test_expired_handoff_is_swept(a, peer, alice):
    """CORRECTIONS, swarms §5: and swept within 10 s."""
    ts = now() - DAY
    handoff(peer, b"\x01" + bt.encode([[alice.pub, alice.hash(b"x"), ts, ts + 1000, b"x"]]))
    deadline = time.monotonic() + 15
    while hashes(a, alice):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_handoff_of_several_accounts(net, a, peer, alice, group):
    """swarms §5: one batch for many; order of arrival is that of the batch."""
    mixed = [e for pair in zip(entries(alice, b"1", b"2"), entries(group, b"1", b"2"), strict=True) for e in pair]
    assert handoff(peer, b"\x01" + bt.encode(mixed)) == []
    assert data(a, alice) == data(a, group) == [b"1", b"2"]


def test_handoff_twice(a, peer, alice):
    """swarms §5: known hashes are skipped."""
    es = entries(alice, b"1", b"2")
    for _ in range(2):
        assert handoff(peer, b"\x01" + bt.encode(es)) == []
    assert data(a, alice) == [b"1", b"2"]
    handoff(peer, b"\x01" + bt.encode([[*es[0][:3], es[0][3] + DAY, es[0][4]]]))
    assert expiries(a, alice, [es[0][1]]) == {es[0][1]: es[0][3]}


def test_handoff_of_a_duplicate_within(a, peer, alice):
    """swarms §5: also within one batch."""
    es = entries(alice, b"1")
    assert handoff(peer, b"\x01" + bt.encode(es + es)) == []
    assert data(a, alice) == [b"1"]


def test_handoff_of_large_batches(a, peer, alice):
    """swarms §5: batches of 9,000,000 bytes."""
    ds = [os.urandom(70_000) for _ in range(125)]
    assert handoff(peer, b"\x01" + bt.encode(entries(alice, *ds)), timeout=20) == []
    got = data(a, alice, max_size=-1)
    assert got == ds[: len(got)]
    assert len(got) == 7_800_000 // (143 + 93_336)


# ---- hops


def hop(peer, key, ct, **change):
    d = {"data": ct, "enc_type": key.kind, "ephemeral_key": key.A, "hop_no": 1, **change}
    return peer.request("sn.onion_request", bt.encode({k: v for k, v in d.items() if v is not None}), timeout=35)


@pytest.fixture
def layer(a):
    k = LayerKey(a.x, XCHACHA)
    return k, k.encrypt(frame(INFO, {"headers": ""}))


@pytest.mark.parametrize("kind", [XCHACHA, GCM, CBC, "xchacha20-poly1305", "gcm", "cbc"])
def test_hop_ciphers(a, peer, kind):
    """onion §3: every cipher and alias between nodes."""
    k = LayerKey(a.x, kind)
    code, body = hop(peer, k, k.encrypt(frame(INFO, {"headers": ""})))[:2]
    assert code == b"200"
    assert json.loads(k.decrypt(base64.b64decode(body)))["status"] == 200


def test_hop_raw_reply(a, peer):
    """onion §4: base64:false gives raw bytes in the second part."""
    k = LayerKey(a.x, GCM)
    code, body = hop(peer, k, k.encrypt(frame(INFO, {"headers": "", "base64": False, "json": True})))[:2]
    assert code == b"200"
    assert json.loads(k.decrypt(body))["body"]["version"]


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": 5},
        {"enc_type": None},
        {"enc_type": 5},
        {"enc_type": ""},
        {"enc_type": "XCHACHA20"},
        {"ephemeral_key": None},
        {"ephemeral_key": b""},
        {"ephemeral_key": bytes(31)},
        {"ephemeral_key": bytes(33)},
        {"ephemeral_key": 5},
        {"hop_no": None},
        {"hop_no": "1"},
        {"hop_no": []},
    ],
)
def test_hop_malformed(peer, layer, change):
    """CORRECTIONS, onion §6: missing keys, unknown enc_type, wrong ephemeral_key."""
    code, text = hop(peer, *layer, **change)[:2]
    assert code == b"400"
    assert text.startswith(b"Invalid internal onion request: ")


@pytest.mark.parametrize("parts", [[], [b""], [b"x"], [b"d"], [b"le"], [b"{}"], [b"de"], [b"de", b"de"], [b"", b""]])
def test_hop_undecodable(peer, parts):
    """CORRECTIONS, onion §6: undecodable bencode, or a number of parts other than one."""
    code, text = peer.request("sn.onion_request", *parts, timeout=8)[:2]
    assert code == b"400"
    assert text.startswith(b"Invalid internal onion request: ")


def test_hop_two_good_parts(peer, layer):
    """CORRECTIONS, onion §6: a number of parts other than one."""
    k, ct = layer
    d = bt.encode({"data": ct, "enc_type": k.kind, "ephemeral_key": k.A, "hop_no": 1})
    code, text = peer.request("sn.onion_request", d, d, timeout=8)[:2]
    assert code == b"400"
    assert text.startswith(b"Invalid internal onion request: ")


@pytest.mark.parametrize(("hop_no", "ok"), [(-(2**63), True), (2**31, False), (2**63, False), (15, True), (16, False)])
def test_hop_numbers(peer, layer, hop_no, ok):
    """onion §3: values below 1 are raised, above 15 refused."""
    code, _body = hop(peer, *layer, hop_no=hop_no)[:2]
    if ok:
        assert code == b"200"
    else:
        assert code == b"400"


def test_hop_to_another(a, b, peer):
    """onion §3: a hop passes on with one more: 14 is the last that can be passed on."""
    k, e = LayerKey(b.x, XCHACHA), LayerKey(a.x, XCHACHA)
    ct = e.encrypt(frame(k.encrypt(frame(INFO, {"headers": ""})), k.outer(destination=b.ed)))
    code, body = hop(peer, e, ct, hop_no=14)[:2]
    assert code == b"200"
    assert json.loads(k.decrypt(base64.b64decode(body)))["status"] == 200
    assert hop(peer, e, ct, hop_no=15)[:2] == [b"400", b"onion request max path length exceeded"]


@pytest.mark.parametrize(
    ("plain", "code", "body"),
    [
        (
            frame(b"x" * 60, {"destination": "ab" * 32, "ephemeral_key": "ab" * 32}),
            b"502",
            b"Next node not found: " + b"ab" * 32,
        )
    ],
)
def test_hop_texts(a, peer, plain, code, body):
    """onion §6: the codes between nodes."""
    k = LayerKey(a.x, XCHACHA)
    assert hop(peer, k, k.encrypt(plain))[:2] == [code, body]
    assert hop(peer, k, os.urandom(100))[:2] == [b"400", b"Invalid ciphertext"]
    assert hop(peer, k, b"")[:2] == [b"400", b"Invalid ciphertext"]


def test_hop_bad_inner(a, peer):
    """onion §6: encrypted."""
    k = LayerKey(a.x, XCHACHA)
    code, body = hop(peer, k, k.encrypt(b"nonsense"))[:2]
    assert code == b"200"
    assert json.loads(k.decrypt(base64.b64decode(body))) == {"status": 400, "body": "Invalid json"}


def test_unready_node_refuses_hops(net, unassigned):
    """onion §6: 503 `Snode not ready: <own key>`, whatever the request."""
    with Omq(unassigned, net.phantom.secret, as_node=True) as c:
        r = c.request("sn.onion_request", b"x", timeout=8)
        assert r[:2] == [b"503", f"Snode not ready: {unassigned.ed}".encode()]
        assert c.request("sn.ping", timeout=5) == [b"pong"]


@pytest.mark.parametrize(
    ("parts", "status", "body"),
    [
        ([b"200", b"fine"], 200, b"fine"),
        ([b"421", b"elsewhere"], 421, b"elsewhere"),
        ([b"200", b"fine", b"extra"], 200, b"fine"),
        ([b"302", b"odd"], 500, b"odd"),
        ([b"0", b"odd"], 500, b"odd"),
        ([b"nonsense", b"odd"], 500, b"odd"),
        ([b"200"], 500, b"Invalid response from snode"),
        ([], 500, b"Invalid response from snode"),
        (None, 504, b"Request time out"),
    ],
)
def test_hop_as_the_next_node_sees_it(net, a, peer, parts, status, body):
    """onion §3/§6, oxend-interface §1 (roles are symmetric): a asks the suite along the suite's own connection."""
    assert peer.request("sn.ping", timeout=5) == [b"pong"]
    e, key, ct = LayerKey(a.x, GCM), os.urandom(32), os.urandom(300)
    doc = {"destination": net.phantom.ed, "ephemeral_key": key.hex(), "enc_type": "xchacha20-poly1305"}
    with concurrent.futures.ThreadPoolExecutor(1) as ex:
        reply = ex.submit(a.post, "/onion_req/v2", frame(e.encrypt(frame(ct, doc)), e.outer()))
        cmd, tag, asked = peer.recv(5)
        got = bt.decode(asked)
        if parts is None:
            peer.send("FORBIDDEN_SN", "REPLY", tag)
        else:
            peer.send("REPLY", tag, *parts)
        r = reply.result(10)
    assert cmd == b"sn.onion_request"
    assert got[b"enc_type"] in (b"xchacha20", b"xchacha20-poly1305")
    assert {k: v for k, v in got.items() if k != b"enc_type"} == {b"data": ct, b"ephemeral_key": key, b"hop_no": 1}
    assert (r.status, r.body) == (status, body)


def test_next_node_that_nobody_can_reach(net, a):
    """onion §6: without a connection or an address: 504, sooner or later."""
    e = LayerKey(a.x, GCM)
    doc = {"destination": net.phantom.ed, "ephemeral_key": os.urandom(32).hex()}
    r = a.post("/onion_req/v2", frame(e.encrypt(frame(b"x" * 60, doc)), e.outer()))
    assert (r.status, r.body) == (504, b"Request time out")


# ---- ping and storage tests


@pytest.mark.parametrize("parts", [[], [b""], [b"x", b"y"]])
def test_ping_with_anything(peer, parts):
    """swarms §7."""
    assert peer.request("sn.ping", *parts, timeout=5) == [b"pong"]


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        ([b""], b"invalid parameters"),
        ([b"1", bytes(32), b"x"], b"invalid parameters"),
        ([b"", bytes(32)], b"invalid height"),
        ([b"-", bytes(32)], b"invalid height"),
        ([b"1.5", bytes(32)], b"invalid height"),
        ([b"x1", bytes(32)], b"invalid height"),
        ([b"100", b""], b"invalid msg hash"),
        ([b"100", bytes(31)], b"invalid msg hash"),
        ([b"100", bytes(33)], b"invalid msg hash"),
        ([b"100", b"A" * 43], b"invalid msg hash"),
        ([b"0", bytes(32)], b"wrong request"),
        ([b"1", bytes(32)], b"wrong request"),
    ],
)
def test_storage_test_errors_more(peer, parts, want):
    """testing-and-uptime §3."""
    assert peer.request("sn.storage_test", *parts, timeout=8) == [want]

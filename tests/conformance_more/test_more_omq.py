"""The client methods over OxenMQ beyond the public suite: bencode forms, malformed bodies, refusals."""

import base64
import json
import os

import pytest
from nacl.signing import VerifyKey
from sntest import bt
from sntest.helpers import UNKNOWN, data, expiries, hashes, store
from sntest.keys import DAY, READ, b64, now
from sntest.omq import Omq, Timeout

pytestmark = pytest.mark.omq

NO_BODY = [b"400", b"invalid body: expected json or bt_dict"]
HOUR = 3_600_000


@pytest.fixture
def c(a):
    with Omq(a) as c:
        yield c


def raw(p):
    """JSON parameters in their bencoded form: raw bytes for keys, signatures, data, tokens; 1/0 for flags."""
    out = {}
    for k, v in p.items():
        if k in {"pubkey", "pubkey_ed25519"}:
            out[k] = bytes.fromhex(v)
        elif k in ("signature", "subaccount_sig", "subaccount", "data"):
            out[k] = base64.b64decode(v)
        elif k in ("revoke", "unrevoke"):
            out[k] = [base64.b64decode(t) for t in v]
        else:
            out[k] = v
    return out


def ask(c, method, p):
    """A bencoded request that must succeed; the decoded reply."""
    r = c.request(f"storage.{method}", bt.encode(p))
    assert len(r) == 1, r
    return bt.decode(r[0])


def check(r, net, message):
    assert set(r[b"swarm"]) == {n.ed.encode() for n in net.members}
    for ed, e in r[b"swarm"].items():
        VerifyKey(bytes.fromhex(ed.decode())).verify(message(e), e[b"signature"])


# ---- every method in bencode


def test_bt_store(net, a, c, alice):
    """storage-rpc §1/§2/§4: raw data and keys; the reply's `hf` is a list, `t` an integer, hash a text."""
    ts = now()
    r = ask(c, "store", raw(alice.store(b"\0x", ns=5, ts=ts, sign=True)))
    check(r, net, lambda e: e[b"hash"])
    assert set(r) == {b"swarm", b"hash", b"t", b"hf"}
    assert r[b"hash"].decode() == alice.hash(b"\0x", 5)
    assert r[b"hf"] == net.hardfork
    assert data(a, alice, ns=5) == [b"\0x"]
    r = ask(c, "store", raw(alice.store(b"\0x", ns=5, ts=ts, sign=True)))
    assert all(e[b"already"] == 1 for e in r[b"swarm"].values())


def test_bt_delete(net, a, c, alice):
    """storage-rpc §4: delete and its flag."""
    h = store(a, alice, b"x")
    r = ask(c, "delete", raw(alice.delete([h, UNKNOWN])))
    check(r, net, lambda e: (alice.id + h + UNKNOWN + h).encode())
    assert all(e[b"deleted"] == [h.encode()] for e in r[b"swarm"].values())
    code, body = c.request("storage.delete", bt.encode(raw(alice.delete([h], required=1))))
    assert code == b"404"
    assert set(bt.decode(body)) == {b"swarm", b"t", b"hf"}
    assert c.request("storage.delete", bt.encode(raw(alice.delete([h], required=2))))[0] == b"400"
    assert c.request("storage.delete", bt.encode(raw(alice.delete([h], required=b"1"))))[0] == b"400"


def test_bt_delete_all(net, a, c, alice):
    """storage-rpc §4: "all" and the namespaces as keys."""
    want = {
        str(ns).encode(): sorted(h.encode() for h in [store(a, alice, b"%d" % i, ns=ns) for i in range(2)])
        for ns in (0, 5, -2)
    }
    ts = now()
    r = ask(c, "delete_all", raw(alice.delete_all("all", ts=ts)))
    run = b"".join(sorted(h for v in want.values() for h in v))
    check(r, net, lambda e: f"{alice.id}{ts}".encode() + run)
    assert all({k: sorted(v) for k, v in e[b"deleted"].items()} == want for e in r[b"swarm"].values())


def test_bt_delete_before_and_expire_all(net, a, c, alice):
    """storage-rpc §4."""
    h, e, t = store(a, alice, b"x"), now() + HOUR, now()
    r = ask(c, "expire_all", raw(alice.expire_all(e)))
    check(r, net, lambda m: f"{alice.id}{e}{h}".encode())
    r = ask(c, "delete_before", raw(alice.delete_before(t)))
    check(r, net, lambda m: f"{alice.id}{t}{h}".encode())


def test_bt_expire(net, a, c, alice):
    """storage-rpc §4: shorten and extend are 1; `unchanged` is a dict of integers; lists too."""
    h, i, e = store(a, alice, b"x"), store(a, alice, b"y", ttl=HOUR // 2), now() + HOUR
    p = raw(alice.expire([h, i], e, "shorten"))
    p["shorten"] = 1
    r = ask(c, "expire", p)
    old = expiries(a, alice, [i])[i]
    check(r, net, lambda m: f"{alice.id}{e}{h}{i}{h}{i}{old}".encode())
    assert all(m[b"unchanged"] == {i.encode(): old} and m[b"expiry"] == e for m in r[b"swarm"].values())
    r = ask(c, "expire", raw(alice.expire([h, i], [e + 1, e + 2])))
    assert all(m[b"updated"] == sorted([h.encode(), i.encode()]) for m in r[b"swarm"].values())
    assert expiries(a, alice, [h, i]) == {h: e + 1, i: e + 2}
    p["shorten"], p["extend"] = 1, 1
    assert c.request("storage.expire", bt.encode(p))[0] == b"400"


def test_bt_get_expiries(a, c, alice):
    """CORRECTIONS, §4 get_expiries: only `expiries`."""
    ts = now()
    h = store(a, alice, b"x", ts=ts)
    assert ask(c, "get_expiries", raw(alice.get_expiries([h, UNKNOWN]))) == {b"expiries": {h.encode(): ts + DAY}}
    p = raw(alice.signed(f"get_expiries{ts}{h}", messages=h, timestamp=ts))
    assert ask(c, "get_expiries", p) == {b"expiries": {h.encode(): ts + DAY}}


@pytest.mark.parametrize("form", [lambda t: t, lambda t: t.hex().encode(), lambda t: b64(t).encode()])
def test_bt_subaccounts(a, c, group, form):
    """storage-rpc §2/§3: tokens of 36 raw bytes."""
    store(a, group, b"x", ns=11)
    s = group.subaccount(READ)
    p = raw(s.retrieve(ns=11))
    p["subaccount"] = form(s.token)
    r = c.request("storage.retrieve", bt.encode(p))
    if form(s.token) == s.token:
        assert bt.decode(r[0])[b"messages"][0][b"data"] == b"x"
        ask(c, "revoke_subaccount", raw(group.revoke([s.token])))
        assert c.request("storage.retrieve", bt.encode(p)) == [b"401", b"retrieve signature verification failed"]
        r = ask(c, "unrevoke_subaccount", raw(group.revoke([s.token], undo=True)))
        assert all(e[b"count"] == 1 for e in r[b"swarm"].values())
        assert len(c.request("storage.retrieve", bt.encode(p))) == 1
    else:
        assert len(r) == 1 or r[0] == b"400"


def test_bt_get_swarm(net, c, alice, foreigner):
    """storage-rpc §4 get_swarm: in bencode, both names, raw or hex keys."""
    for method in ("get_swarm", "get_snodes_for_pubkey"):
        for key, value in (("pubkey", alice.pub), ("pubkey", alice.id), ("pubKey", alice.pub)):
            r = ask(c, method, {key: value})
            assert r[b"swarm"] == f"{net.main:x}".encode()
            assert len(r[b"snodes"]) == len(net.members)
    s = r[b"snodes"][0]
    assert isinstance(s[b"port"], bytes)
    assert isinstance(s[b"port_omq"], int)
    assert len(s[b"pubkey_ed25519"]) == 64


def test_bt_batch_and_ifelse(net, c, alice):
    """storage-rpc §4: bencoded results: bodies are dicts or texts, `condition` is 1 or 0."""
    p = raw(alice.store(b"x"))
    r = ask(
        c,
        "batch",
        {"requests": [{"method": "store", "params": p}, {"method": "retrieve", "params": {"pubkey": alice.pub}}]},
    )
    first, second = r[b"results"]
    assert first[b"code"] == 200
    assert first[b"body"][b"hash"].decode() == alice.hash(b"x")
    assert second == {b"code": 401, b"body": b"retrieve: request signature required"}
    r = ask(c, "ifelse", {"if": {"hf_at_least": [1]}, "then": {"method": "info", "params": {}}})
    assert r[b"condition"] == 1
    assert r[b"result"][b"body"][b"hf"] == net.hardfork
    assert r[b"v"] == [2, 8, 0]
    r = ask(c, "ifelse", {"if": {"hf_before": 1}, "then": {"method": "info", "params": {}}})
    assert r[b"condition"] == 0
    assert b"result" not in r
    r = ask(c, "sequence", {"requests": [{"method": "retrieve", "params": {"pubkey": alice.pub}}] * 2})
    assert len(r[b"results"]) == 1
    r = c.request("storage.batch", bt.encode({"requests": []}))
    assert r == [b"400", b'invalid request: Invalid batch request: no valid "requests" field']


def test_bt_oxend(net, c):
    """storage-rpc §4 oxend_request: params is a JSON string in bencode; the reply is bencoded."""
    r = ask(c, "oxend_request", {"endpoint": "get_service_nodes", "params": '{"limit":2}'})
    assert len(r[b"result"][b"service_node_states"]) == 2
    assert r[b"hf"] == net.hardfork
    r = ask(c, "oxend_request", {"endpoint": "ons_resolve", "params": json.dumps({"type": 0, "name_hash": "00" * 32})})
    assert r[b"result"] == {}
    for bad in ("{", "5", "[]"):
        assert c.request("storage.oxend_request", bt.encode({"endpoint": "ons_resolve", "params": bad}))[0] == b"400"
    r = c.request("storage.oxend_request", bt.encode({"endpoint": "zz"}))
    assert r == [b"400", b"invalid request: Invalid oxend endpoint 'zz'"]


def test_bt_retrieve_options(a, c, alice):
    """storage-rpc §4 retrieve: options in bencode."""
    hs = [store(a, alice, b"%d" % i).encode() for i in range(4)]
    for extra, want, more in (
        ({"max_count": 2}, hs[:2], 1),
        ({"last_hash": hs[1]}, hs[2:], 0),
        ({"lastHash": hs[2]}, hs[3:], 0),
        ({"max_size": -1}, hs, 0),
        ({"last_hash": ""}, hs, 0),
    ):
        r = ask(c, "retrieve", raw(alice.retrieve()) | extra)
        assert [m[b"hash"] for m in r[b"messages"]] == want
        assert r[b"more"] == more


# ---- bencoded values that do not fit


@pytest.mark.parametrize(
    "change",
    [
        {"pubkey": b"\x05" * 32 + b"x" * 2},
        {"pubkey": b""},
        {"pubkey": 5},
        {"pubkey": []},
        {"timestamp": "1700000000000"},
        {"timestamp": []},
        {"ttl": "86400000"},
        {"ttl": -1},
        {"data": 5},
        {"data": []},
        {"data": bytes(76_801)},
        {"namespace": 40_000},
        {"namespace": "5"},
        {"signature": b"x"},
        {"signature": b64(bytes(64))},
        {"expiry": 2_000_000_000_000},
    ],
)
def test_bt_malformed_store(c, alice, change):
    """storage-rpc §2: the kinds of bencode; no numeric strings, no base64."""
    p = {"pubkey": alice.pub, "timestamp": now(), "ttl": DAY, "data": b"x", **change}
    r = c.request("storage.store", bt.encode(p))
    assert r[0] == b"400", r
    assert r[1].startswith(b"invalid request: "), r


@pytest.mark.parametrize("bad", [bytes(63), bytes(65), b"", b"A" * 86, 5, []])
def test_bt_malformed_signatures(c, alice, bad):
    """storage-rpc §2: 64 raw bytes."""
    r = c.request("storage.retrieve", bt.encode({**raw(alice.retrieve()), "signature": bad}))
    assert r[0] == b"400", r
    assert b"signature" in r[1], r


@pytest.mark.parametrize("field", ["pubkey", "timestamp", "data"])
def test_bt_missing(c, alice, field):
    """storage-rpc §4."""
    p = {"pubkey": alice.pub, "timestamp": now(), "ttl": DAY, "data": b"x"}
    del p[field]
    assert c.request("storage.store", bt.encode(p)) == [
        b"400",
        f"invalid request: Required field '{field}' missing".encode(),
    ]


def test_bt_both(c, alice):
    """CORRECTIONS, storage-rpc §2 aliases."""
    r = c.request("storage.get_swarm", bt.encode({"pubkey": alice.pub, "pubKey": alice.pub}))
    assert r[0] == b"400"
    assert b"Cannot specify both" in r[1]


# ---- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"x",
        b"le",
        b"\0",
        b"i5e",
        b"4:info",
        b"{}x",
        b"{'a':1}",
        b"nan",
        b"\xff",
        b"e",
        b"D",
        b" de",
        b"}",
        b'{"a":NaN}',
        b'{"a":"\xff"}',
    ],
)
def test_neither_json_nor_dict(c, body):
    """CORRECTIONS, storage-rpc §1 OMQ: the text."""
    for method in ("info", "store", "batch"):
        assert c.request(f"storage.{method}", body) == NO_BODY


@pytest.mark.parametrize(
    "body", [b"[]", b"5", b"null", b"true", b'"x"', b"[{}]", b" {} ", b"\xef\xbb\xbf{}", b"-1.5e3", b"\n[]"]
)
def test_json_that_is_no_object(net, c, body):
    """CORRECTIONS, storage-rpc §1 OMQ: JSON that is no object is taken as {}."""
    [r] = c.request("storage.info", body)
    assert json.loads(r)["hf"] == net.hardfork
    assert c.request("storage.retrieve", body) == [b"400", b"invalid request: Required field 'pubkey' missing"]


@pytest.mark.parametrize("body", [b"d", b"d1:a", b"d1:ai5", b"d1:ai5e", b"d6:pubkey33:x", b"d1", b"d1:al", b"d1:ad"])
def test_truncated_dict(c, body):
    """CORRECTIONS, storage-rpc §1 OMQ: 500 `request failed`."""
    assert c.request("storage.info", body) == [b"500", b"request failed"]


@pytest.mark.parametrize("tail", [b"x", b"e", b"de", b"\0", b"d", b"{}", b" "])
def test_bytes_after_the_dict(net, c, alice, tail):
    """CORRECTIONS, storage-rpc §1 OMQ: ignored."""
    [r] = c.request("storage.info", b"de" + tail)
    assert bt.decode(r)[b"hf"] == net.hardfork
    [r] = c.request("storage.get_swarm", bt.encode({"pubkey": alice.pub}) + tail)
    assert bt.decode(r)[b"swarm"] == f"{net.main:x}".encode()


def test_unordered_keys(c, alice):
    """storage-rpc §2: bencode keys must be in ASCII order."""
    body = b"d9:timestampi%de3:ttli86400000e4:data1:x6:pubkey33:%se" % (now(), alice.pub)
    assert c.request("storage.store", body)[0] in (b"400", b"500")


@pytest.mark.parametrize("n", [2, 3, 5])
def test_number_of_parts(c, n):
    """CORRECTIONS, storage-rpc §1 OMQ."""
    want = [b"400", b"Invalid request: expected 1 message parts, received %d" % n]
    for method in ("info", "store", "oxend_request"):
        assert c.request(f"storage.{method}", *[b"{}"] * n) == want
        assert c.request(f"storage.{method}", *[b"de"] * n) == want


@pytest.mark.parametrize(
    "method", ["store", "retrieve", "delete", "delete_all", "expire", "get_expiries", "get_swarm", "batch"]
)
def test_empty_means_empty(c, method):
    """storage-rpc §1: no part, an empty part, {} and de are alike."""
    r = c.request(f"storage.{method}")
    assert r[0] == b"400"
    assert r[1].startswith(b"invalid request: ")
    assert (
        c.request(f"storage.{method}", b"")
        == c.request(f"storage.{method}", b"{}")
        == c.request(f"storage.{method}", b"de")
        == r
    )


def test_json_over_omq_is_as_strict(a, c, alice):
    """storage-rpc §1: the same reading, and the same texts, as over HTTPS."""
    for p in (
        {"pubkey": alice.id},
        {"pubkey": "zz"},
        {**alice.retrieve(), "timestamp": 5},
        {**alice.retrieve(), "signature": "x"},
        alice.retrieve(ts=now() - 70_000),
        {**alice.retrieve(), "signature": b64(bytes(64))},
        {"pubkey": alice.id, "namespace": 5},
    ):
        over = a.rpc("retrieve", p)
        assert c.request("storage.retrieve", json.dumps(p)) == [b"%d" % over.status, over.body]


def test_numeric_strings_over_omq(c, alice):
    """storage-rpc §2: in JSON, whatever carries it."""
    p = alice.store(b"x")
    [r] = c.request("storage.store", json.dumps({**p, "timestamp": str(p["timestamp"]), "ttl": str(p["ttl"])}))
    assert json.loads(r)["hash"] == alice.hash(b"x")


def test_deep_bodies(net, c):
    """CORRECTIONS, storage-rpc §1 JSON: depth; and nested bencode harms nobody."""
    [r] = c.request("storage.info", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert json.loads(r)["hf"] == net.hardfork
    r = c.request("storage.info", b"d1:x" + b"l" * 100_000 + b"e" * 100_000 + b"e")
    assert len(r) == 1 or r[0] in (b"400", b"500")
    [r] = c.request("storage.info", b"{}")


def test_largest_message_over_omq(a, c, alice):
    """defaults: messages up to 10 MiB: a batch of 20 of the largest messages in bencode, and all of them back."""
    ds = [os.urandom(76_800) for _ in range(20)]
    ts = now()
    rs = [{"method": "store", "params": {"pubkey": alice.pub, "timestamp": ts, "ttl": DAY, "data": d}} for d in ds]
    r = ask(c, "sequence", {"requests": rs})
    assert [x[b"code"] for x in r[b"results"]] == [200] * 20
    r = ask(c, "retrieve", raw(alice.retrieve(max_size=-1)))
    assert [m[b"data"] for m in r[b"messages"]] == ds


# ---- control messages and refusals


@pytest.mark.parametrize("cmd", ["storage.info", "storage.store", "monitor.messages"])
def test_no_reply_tag(c, cmd):
    """oxend-interface §1: a request without its tag."""
    c.send(cmd)
    assert c.recv(5) == [b"NO_REPLY_TAG", cmd.encode()]


@pytest.mark.parametrize(
    "cmd",
    [
        "storage.Info",
        "storage.",
        ".info",
        "info",
        "nodot",
        "PING",
        "Storage.info",
        "storage.ping",
        "storage.monitor",
        "storage.onion_request",
        "storage.snode_ping",
        "sn.nope",
        "monitor.zz",
        "quorum.x",
        "rpc.get_service_nodes",
        "admin.stop",
        "service.zz",
        "notify.zz",
    ],
)
def test_unknown_commands(c, cmd):
    """oxend-interface §1: [UNKNOWNCOMMAND, command], with a tag and without."""
    c.send(cmd)
    assert c.recv(5) == [b"UNKNOWNCOMMAND", cmd.encode()]
    assert c.request(cmd, b"{}", timeout=5) == [b"UNKNOWNCOMMAND", cmd.encode()]


@pytest.mark.parametrize("cmd", ["sn.ping", "sn.data", "sn.storage_cc", "sn.onion_request", "sn.storage_test"])
def test_strangers_without_a_tag(c, cmd):
    """CORRECTIONS, swarms §7: [FORBIDDEN_SN, command]."""
    c.send(cmd)
    assert c.recv(5) == [b"FORBIDDEN_SN", cmd.encode()]


@pytest.mark.parametrize("cmd", ["service.get_stats", "notify.block"])
def test_admin_commands_without_a_tag(c, cmd):
    """CORRECTIONS, swarms §7: FORBIDDEN."""
    c.send(cmd, *([] if cmd.startswith("service") else [b"123", bytes(32)]))
    m = c.recv(5)
    assert m[0] == b"FORBIDDEN"
    assert m[1:] == [cmd.encode()] or m[1] == b"REPLY"


def test_a_connection_survives_refusals(c):
    """oxend-interface §1: refusals and nonsense do not end a connection."""
    for parts in (
        ["zz"],
        ["storage.zz", "t"],
        ["sn.ping", "t"],
        ["storage.info", "t", b"\xff"],
        ["HI"],
        ["x" * 300],
        [""],
        ["REPLY"],
        ["REPLY", "t"],
        ["BYE2"],
    ):
        c.send(*parts)
    [r] = c.request("storage.info", b"{}", timeout=10)
    assert json.loads(r)["version"]


def test_tags_of_any_size(c):
    """oxend-interface §1: the tag is opaque."""
    for tag in (b"\0", b"t", os.urandom(15), os.urandom(64), b"REPLY", b"storage.info", b""):
        c.send("storage.info", tag, b"{}")
        m = c.recv(5)
        assert m[:2] == [b"REPLY", tag]
        assert json.loads(m[2])


def test_two_connections_of_one_key(a, alice):
    """oxend-interface §1: clients have random routing ids, so the same key may connect twice."""
    secret = os.urandom(32)
    with Omq(a, secret) as x, Omq(a, secret) as y:
        for k in (x, y, x):
            [r] = k.request("storage.info", b"{}")
            assert json.loads(r)["version"]


def test_stores_over_both_are_alike(a, b, c, alice):
    """storage-rpc §1: the same mailbox."""
    want = [store(a, alice, b"1")]
    want.append(json.loads(c.request("storage.store", json.dumps(alice.store(b"2")))[0])["hash"])
    want.append(ask(c, "store", raw(alice.store(b"3")))[b"hash"].decode())
    assert hashes(a, alice) == hashes(b, alice) == want


def test_unready_nodes_answer_for_accounts(net, unassigned, alice):
    """storage-rpc §1, Readiness: OMQ skips the check; what is not theirs is 421."""
    with Omq(unassigned) as c:
        code, body = c.request("storage.retrieve", json.dumps(alice.retrieve()))
        assert code == b"421"
        assert json.loads(body)["swarm"] == f"{net.main:x}"
        [r] = c.request("storage.get_swarm", json.dumps({"pubkey": alice.id}))
        assert json.loads(r)["swarm"] == f"{net.main:x}"


def test_nothing_is_pushed_unasked(c, a, alice):
    """storage-rpc §6: no subscription, no push."""
    c.request("storage.info", b"{}")
    store(a, alice, b"x")
    with pytest.raises(Timeout):
        c.recv(1)

"""What nodes answer, read by clients: strict, bounded, and verified member by member."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol import storage
from ramson.protocol.storage import (
    DeletedEntry,
    ExpireEntry,
    Failed,
    RevokedEntry,
    Signed,
    StoreEntry,
    UnrevokedEntry,
    UpdatedEntry,
    read_get_swarm,
    read_reply,
    read_report,
    verify_entry,
)
from ramson.protocol.storage.kinds import encode_base64

NODE = Ed25519KeyPair.from_seed(b"\x07" * 32)
ACCOUNT = b"\x05" + bytes(32)
PK = ACCOUNT.hex()
A, B, C = "A" * 43, "B" * 43, "C" * 43
END = {"t": 5, "hf": [19, 4]}
STORE = storage.Store(account=ACCOUNT, data=b"x", timestamp=1, expiry=2)
HASH = message_hash(ACCOUNT, 0, b"x")


def sig(text):
    return encode_base64(NODE.sign(text if isinstance(text, bytes) else text.encode()))


ME = {"account": ACCOUNT}
TOKENS = (bytes(36), b"\xff" * 36)
REPORTS = [
    (STORE, {"hash": HASH, "expiry": 2, "already": True, "t": 9}, HASH, StoreEntry(hash=HASH, expiry=2, already=True)),
    (storage.Delete(**ME, messages=(B, A)), {"deleted": [A]}, PK + B + A + A, DeletedEntry(hashes=(A,))),
    (storage.DeleteAll(**ME, timestamp=7), {"deleted": [A, B]}, PK + "7" + A + B, DeletedEntry(hashes=(A, B))),
    (
        storage.DeleteBefore(**ME, before=8, namespace=None),
        {"deleted": {"5": [B], "-10": [A, C]}},
        PK + "8" + A + B + C,
        DeletedEntry(hashes={5: (B,), -10: (A, C)}),
    ),
    (storage.ExpireAll(**ME, expiry=9), {"updated": [A]}, PK + "9" + A, UpdatedEntry(hashes=(A,))),
    (
        storage.Expire(**ME, messages=(B, A, C), expiry=(5,), extend=True),
        {"updated": [A], "expiry": 5, "unchanged": {C: 7, B: 6}},
        PK + "5" + B + A + C + A + B + "6" + C + "7",
        ExpireEntry(updated=(A,), expiry=5, unchanged={C: 7, B: 6}),
    ),
    (
        storage.Expire(**ME, messages=(B, A), expiry=(5, 6)),
        {"updated": [A, B], "expiry": [6, 5]},
        PK + "65" + B + A + A + B,
        ExpireEntry(updated=(A, B), expiry=(6, 5)),
    ),
    (
        storage.RevokeSubaccount(**ME, tokens=TOKENS, timestamp=3),
        {},
        PK.encode() + b"3" + b"".join(TOKENS),
        RevokedEntry(),
    ),
    (
        storage.UnrevokeSubaccount(**ME, tokens=TOKENS, timestamp=3),
        {"count": 2},
        PK.encode() + b"3" + b"".join(TOKENS),
        UnrevokedEntry(count=2),
    ),
]


@pytest.mark.parametrize(("request_", "document", "signed", "entry"), REPORTS)
def test_reports_and_their_signatures(request_, document, signed, entry):
    reply = read_reply(request_, {"swarm": {NODE.public.hex(): {**document, "signature": sig(signed)}}, **END})
    report = reply.members[NODE.public]
    assert report == Signed(entry, NODE.sign(signed if isinstance(signed, bytes) else signed.encode()))
    assert verify_entry(request_, NODE.public, report)
    assert not verify_entry(request_, bytes(32), report)
    assert not verify_entry(request_, NODE.public, Signed(entry, bytes(64)))
    assert set(report.fields()) == {*document, "signature"} - {"t"}


def test_a_member_that_stored_something_else_is_not_believed():
    other = message_hash(ACCOUNT, 0, b"y")
    report = Signed(StoreEntry(hash=other, expiry=2), NODE.sign(other.encode()))
    assert not verify_entry(STORE, NODE.public, report)


def test_the_reference_servers_1_is_taken_for_true():
    document = {"hash": HASH, "expiry": 2, "already": 1, "signature": sig(HASH)}
    assert read_report(STORE, document).entry.already
    assert read_report(STORE, {"failed": 1, "query_failure": 1, "reason": "full"}) == Failed(
        query_failure=True, reason="full"
    )


def test_failures():
    members = {
        "aa" * 32: {"failed": True, "timeout": True},
        "bb" * 32: {"failed": True, "code": 401, "reason": "no" * 5000},
    }
    reply = read_reply(STORE, {"swarm": members, **END})
    assert reply.hash is None
    assert reply.succeeded == {}
    assert reply.failed[b"\xaa" * 32] == Failed(timeout=True)
    assert reply.failed[b"\xbb" * 32].code == "401"
    assert len(reply.failed[b"\xbb" * 32].reason) == 500


def test_one_members_nonsense_does_not_hide_the_others():
    good = {"hash": HASH, "expiry": 2, "signature": sig(HASH)}
    for bad in (
        None,
        [],
        {},
        {**good, "hash": "x"},
        {**good, "expiry": 2**64},
        {**good, "signature": "AA"},
        {**good, "already": "x"},
    ):
        reply = read_reply(STORE, {"swarm": {"aa" * 32: bad, "bb" * 32: good}, **END})
        assert reply.failed == {b"\xaa" * 32: Failed(bad_peer_response=True)}
        assert reply.hash == HASH


def retrieved(**changes):
    message = {"hash": A, "timestamp": 1, "expiration": 2, "data": "eA==", **changes}
    return {"messages": [message], "more": False, **END}


RETRIEVE = storage.Retrieve(account=ACCOUNT)


def test_messages():
    reply = read_reply(RETRIEVE, json.dumps(retrieved()))
    [message] = reply.messages
    assert (message.hash, message.timestamp, message.expiry, message.data) == (A, 1, 2, b"x")
    assert (reply.more, reply.t, reply.hf) == (False, 5, (19, 4))


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {**retrieved(), "more": 1},
        {**retrieved(), "t": "5"},
        {**retrieved(), "t": 2**64},
        {**retrieved(), "hf": [19]},
        {**retrieved(), "hf": [19, -1]},
        {**retrieved(), "messages": {}},
        {**retrieved(), "messages": [5]},
        {**retrieved(), "messages": [{}] * 60_000},
        retrieved(hash="x"),
        retrieved(hash=5),
        retrieved(timestamp=1.5),
        retrieved(timestamp=True),
        retrieved(expiration=None),
        retrieved(data="!"),
        retrieved(data=None),
        retrieved(data="A" * 102_404),
    ],
)
def test_malformed_messages(document):
    with pytest.raises(ParseError):
        read_reply(RETRIEVE, document)


def swarm(**changes):
    node = {
        "pubkey_ed25519": "aa" * 32,
        "pubkey_x25519": "bb" * 32,
        "pubkey_legacy": "cc" * 32,
        "ip": "192.0.2.1",
        "port_https": 22021,
        "port_omq": 22020,
        "port": "22021",
        **changes,
    }
    return {"snodes": [node], "swarm": "1f", **END}


def test_swarms():
    reply = read_get_swarm(json.dumps(swarm()).encode())
    [node] = reply.nodes
    assert (reply.swarm_id, node.swarm_id) == (0x1F, 0x1F)
    assert (node.ed25519, node.x25519, node.legacy) == (b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32)
    assert (node.ip, node.https_port, node.omq_port) == ("192.0.2.1", 22021, 22020)
    assert read_reply(storage.GetSwarm(account=ACCOUNT), swarm()) == reply


@pytest.mark.parametrize(
    "document",
    [
        {**swarm(), "swarm": 5},
        {**swarm(), "swarm": "1" * 17},
        {**swarm(), "swarm": "0x1"},
        {**swarm(), "snodes": None},
        {**swarm(), "snodes": [5]},
        {**swarm(), "snodes": [{}] * 501},
        swarm(ip="::1"),
        swarm(ip="example.org"),
        swarm(ip=5),
        swarm(ip=None),
        swarm(port_https=65536),
        swarm(port_omq="22020"),
        swarm(pubkey_x25519="bb"),
        swarm(pubkey_legacy="zz" * 32),
    ],
)
def test_malformed_swarms(document):
    with pytest.raises(ParseError):
        read_get_swarm(document)


def test_other_replies():
    expiries = read_reply(storage.GetExpiries(account=ACCOUNT, messages=(A,), timestamp=1), {"expiries": {A: 5}})
    assert expiries.expiries == {A: 5}
    info = read_reply(storage.Info(), {"version": [2, 8, 0], "timestamp": 6, **END})
    assert (info.version, info.timestamp) == ((2, 8, 0), 6)
    oxend = read_reply(storage.OxendRequest(endpoint="ons_resolve", params={}), {"result": {}, **END})
    assert oxend.result == {}
    batch = storage.Batch(requests=(storage.Info(), RETRIEVE))
    results = [{"code": 200, "body": {}}, {"code": 401, "body": "no"}]
    assert [(result.code, result.body) for result in read_reply(batch, {"results": results}).results] == [
        (200, {}),
        (401, "no"),
    ]
    for bad in (
        {"results": results * 2},
        {"results": [{"code": 5, "body": ""}]},
        {"results": [{"code": 200}]},
        {"results": [5]},
    ):
        with pytest.raises(ParseError):
            read_reply(batch, bad)
    choice = storage.IfElse(conditions=storage.Conditions(hf_at_least=(1, 0, 0)), then=storage.Info())
    reply = read_reply(choice, {"condition": True, "height": 7, "hf": [19, 4], "v": [2, 8, 0], "result": results[0]})
    assert (reply.condition, reply.result.code, reply.height) == (True, 200, 7)
    assert read_reply(choice, {"condition": False, "height": 7, "hf": [19, 4], "v": [2, 8, 0]}).result is None
    with pytest.raises(ParseError):
        read_reply(storage.OxendRequest(endpoint="ons_resolve", params={}), END)


JUNK_NAMES = [
    *("swarm", "messages", "more", "t", "hf", "hash", "data", "timestamp", "expiration", "snodes", "results", "code"),
    *("body", "failed", "deleted", "updated", "expiry", "unchanged", "signature", "count"),
]
JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50), st.sampled_from([A, "aa" * 32])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*JUNK_NAMES, "aa" * 32, A]), inner, max_size=6),
    ),
    max_leaves=20,
)


@settings(max_examples=500)
@given(
    JUNK,
    st.sampled_from(
        [request for request, *_ in REPORTS] + [RETRIEVE, storage.Info(), storage.GetSwarm(account=ACCOUNT)]
    ),
)
def test_junk_is_a_parse_error_or_a_reply(document, request_):
    for read in (read_reply, read_report):
        if read is read_report and not request_.method.recursive:
            continue
        with contextlib.suppress(ParseError):
            read(request_, document)

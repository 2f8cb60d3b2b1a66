"""Subaccount tokens: their form, bits and prefixes, and the order and limit of revocations."""

import os

import pytest
from sntest.helpers import BAD_SIG, UNKNOWN, hashes, refused, store, without
from sntest.keys import ANY_PREFIX, DAY, DELETE, READ, WRITE, account_in, b64, now
from sntest.verify import check_swarm

NS = 11
INVALID = "invalid request: "
FAILED = "retrieve signature verification failed"
NO_SIG = "invalid request: invalid subaccount: subaccount_sig is required when using subaccount"


def raw_token(owner, flags, prefix=None, zeros=b"\0\0"):
    """A subaccount whose token has these bytes exactly."""
    s = owner.subaccount(flags)
    s.token = bytes.fromhex(prefix or owner.prefix) + bytes([flags]) + zeros + s.sk.verify_key.encode()
    s.token_sig = owner.sign(s.token)
    return s


def calls(s):
    """Every method a token may be used for."""
    e = now() + DAY
    return {
        "retrieve": s.retrieve(ns=NS),
        "get_expiries": s.get_expiries([UNKNOWN]),
        "store": s.store(os.urandom(9), ns=NS, sign=True),
        "expire": s.expire([UNKNOWN], e),
        "delete": s.delete([UNKNOWN]),
        "delete_all": s.delete_all(12),
        "delete_before": s.delete_before(now(), 12),
        "expire_all": s.expire_all(e, 12),
    }


@pytest.mark.parametrize(
    "method", ["retrieve", "get_expiries", "store", "expire", "delete", "delete_all", "delete_before", "expire_all"]
)
def test_token_without_its_signature(a, group, method):
    """CORRECTIONS, §3 Subaccount: 400 with this text, in every method; null is absent too."""
    p = calls(group.subaccount(15))[method]
    refused(a.rpc(method, without(p, "subaccount_sig")), 400, NO_SIG)
    refused(a.rpc(method, {**p, "subaccount_sig": None}), 400, NO_SIG)


@pytest.mark.parametrize(
    "method", ["retrieve", "get_expiries", "store", "expire", "delete", "delete_all", "delete_before", "expire_all"]
)
def test_signature_without_token_is_ignored(a, group, method):
    """CORRECTIONS, §3 Subaccount: subaccount_sig alone is ignored: the token's signature is not the owner's."""
    p = calls(group.subaccount(15))[method]
    assert a.rpc(method, without(p, "subaccount")).status == 401
    own = calls(group)[method]
    assert a.rpc(method, {**own, "subaccount_sig": b64(bytes(64))}).status == 200


@pytest.mark.parametrize("form", [bytes.hex, lambda t: t.hex().upper(), b64])
def test_token_forms(a, group, form):
    """storage-rpc §3: 48 base64 or 72 hex."""
    s = group.subaccount(READ)
    assert a.rpc("retrieve", {**s.retrieve(ns=NS), "subaccount": form(s.token)}).status == 200


@pytest.mark.parametrize(
    "form",
    [
        lambda t: t.hex()[:71],
        lambda t: t.hex() + "0",
        lambda t: b64(t)[:47],
        lambda t: b64(t) + "A",
        lambda t: b64(t) + "==",
        lambda t: b64(t[:35]),
        lambda t: b64(t + b"\0"),
        lambda t: b64(t)[:46] + "-_",
        lambda t: " " + b64(t)[1:],
        lambda t: "g" * 72,
        lambda t: 5,
        lambda t: [b64(t)],
        lambda t: True,
        lambda t: {},
    ],
)
def test_token_malformed(a, group, form):
    """storage-rpc §3: anything else is 400."""
    s = group.subaccount(READ)
    r = a.rpc("retrieve", {**s.retrieve(ns=NS), "subaccount": form(s.token)})
    refused(r, 400, starts=INVALID, mentions="subaccount")


@pytest.mark.parametrize("bad", ["abc", "A" * 85, "A" * 87, "A" * 88, 5, []])
def test_token_signature_malformed(a, group, bad):
    """storage-rpc §2: subaccount_sig is 86 or 88 base64 characters."""
    p = group.subaccount(READ).retrieve(ns=NS)
    refused(a.rpc("retrieve", {**p, "subaccount_sig": bad}), 400, starts=INVALID, mentions="subaccount_sig")


def test_token_signature_unpadded(a, group):
    """storage-rpc §2: 86 characters."""
    p = group.subaccount(READ).retrieve(ns=NS)
    assert a.rpc("retrieve", {**p, "subaccount_sig": p["subaccount_sig"].rstrip("=")}).status == 200


@pytest.mark.parametrize("flags", range(16))
@pytest.mark.parametrize("prefix", ["03", "05"])
def test_every_combination_of_bits(net, a, prefix, flags):
    """storage-rpc §3, tables; flag 8 gives no rights of its own."""
    s = account_in(net, net.main, prefix).subaccount(flags)
    need = {"retrieve": READ, "get_expiries": READ, "store": WRITE, "expire": WRITE}
    for method, p in calls(s).items():
        allowed = flags & need.get(method, DELETE)
        assert a.rpc(method, p).status == (200 if allowed else 401), method


@pytest.mark.parametrize(
    ("flags", "ok"), [(WRITE, False), (DELETE, False), (WRITE | DELETE, True), (READ | WRITE, False), (15, True)]
)
@pytest.mark.parametrize("ns", [-1, -21, -41])
def test_outboxes_need_delete(a, group, ns, flags, ok):
    """storage-rpc §3, table: Write, and Delete in outbox namespaces."""
    r = a.rpc("store", group.subaccount(flags).store(os.urandom(9), ns=ns, sign=True))
    assert r.status == (200 if ok else 401), r


@pytest.mark.parametrize("ns", [-2, -11, 11, -31])
def test_write_is_enough_elsewhere(a, group, ns):
    """storage-rpc §3, table."""
    assert a.rpc("store", group.subaccount(WRITE).store(b"x", ns=ns, sign=True)).status == 200


@pytest.mark.parametrize("ns", [0, 10, -10])
def test_tokens_do_not_matter_where_anyone_stores(a, group, ns):
    """storage-rpc §3: any signature is ignored there."""
    s = group.subaccount(0)
    assert a.rpc("store", s.store(b"x", ns=ns, sign=True)).status == 200
    assert a.rpc("store", {**s.store(b"y", ns=ns, sign=True), "subaccount_sig": BAD_SIG}).status == 200


@pytest.mark.parametrize("ns", [-10, -1, -21])
def test_tokens_are_checked_where_anyone_reads(a, group, ns):
    """storage-rpc §4 retrieve: a signature that is supplied is checked, the token's bits too."""
    refused(a.rpc("retrieve", group.subaccount(WRITE).retrieve(ns=ns)), 401, FAILED)
    assert a.rpc("retrieve", group.subaccount(READ).retrieve(ns=ns)).status == 200


@pytest.mark.parametrize(("account", "token"), [("03", "05"), ("05", "03"), ("03", "ff"), ("25", "03")])
@pytest.mark.parametrize(("flags", "ok"), [(READ, False), (READ | ANY_PREFIX, True), (ANY_PREFIX, False)])
def test_prefixes(net, a, account, token, flags, ok):
    """storage-rpc §3: the prefix must match unless flag 8 is set."""
    g = account_in(net, net.main, account)
    r = a.rpc("retrieve", g.subaccount(flags, prefix=token).retrieve(ns=NS))
    assert r.status == (200 if ok else 401), r


def test_expire_mode_of_a_weak_token(net, a, group):
    """storage-rpc §4 expire: a token without Delete implies extend: the entries have `unchanged`."""
    h, ts = store(a, group, b"x", ns=NS), now()
    s = group.subaccount(WRITE)
    r = a.ok("expire", s.expire([h], ts + DAY // 2))
    check_swarm(
        net,
        r,
        lambda e: (
            f"{group.id}{e['expiry']}{h}"
            + "".join(e["updated"])
            + "".join(k + str(v) for k, v in e["unchanged"].items())
        ),
    )
    assert all(e["updated"] == [] and set(e["unchanged"]) == {h} for e in r["swarm"].values())
    r = a.ok("expire", s.expire([h], ts + 3 * DAY, "extend"))
    assert all(e["updated"] == [h] for e in r["swarm"].values())


def test_weak_token_may_not_shorten(a, group):
    """storage-rpc §4 expire: with `shorten`: 400, though the signature is good; 401 when it is not."""
    p = group.subaccount(WRITE).expire([UNKNOWN], now() + DAY, "shorten")
    refused(a.rpc("expire", p), 400, starts="expire: shorten")


# ---- revocation


def known(node, acct):
    """Revocations are only kept for accounts that store something."""
    return store(node, acct, b"known", ns=NS)


def usable(node, s, ns=NS):
    return node.rpc("retrieve", s.retrieve(ns=ns)).status == 200


@pytest.mark.parametrize("form", [bytes.hex, b64])
@pytest.mark.parametrize("scalar", [False, True])
def test_forms_of_revoked_tokens(a, b, group, form, scalar):
    """CORRECTIONS, §4 revoke_subaccount: base64 or 72 hex; storage-rpc §2: a scalar for a list."""
    known(a, group)
    s = group.subaccount(READ)
    for method, word, after in (("revoke_subaccount", "revoke", False), ("unrevoke_subaccount", "unrevoke", True)):
        p = group.revoke([s.token], undo=word == "unrevoke")
        p[word] = form(s.token) if scalar else [form(s.token)]
        assert a.rpc(method, p).status == 200
        assert usable(a, s) is usable(b, s) is after


@pytest.mark.parametrize("bad", ["xyz", 5, True, {}, [5], ["xyz"], [None], [[]], ["A" * 47], ["A" * 49], [""]])
@pytest.mark.parametrize("undo", [False, True])
def test_malformed_revocations(a, group, undo, bad):
    """storage-rpc §4: tokens of 36 bytes."""
    word = "unrevoke" if undo else "revoke"
    p = {**group.revoke([group.subaccount().token], undo=undo), word: bad}
    refused(a.rpc(f"{word}_subaccount", p), 400, starts=INVALID, mentions=word)


@pytest.mark.parametrize("undo", [False, True])
def test_limit_of_both(a, group, undo):
    """storage-rpc §4: at most 50 in one request."""
    word = "unrevoke" if undo else "revoke"
    toks = [group.subaccount().token for _ in range(51)]
    assert a.rpc(f"{word}_subaccount", group.revoke(toks[:50], undo=undo)).status == 200
    refused(a.rpc(f"{word}_subaccount", group.revoke(toks, undo=undo)), 400, starts=INVALID, mentions="50")


def test_reply_of_revoke(net, a, group):
    """storage-rpc §4, per-member entries: no `count` for revoke, `count` for unrevoke."""
    known(a, group)
    s = group.subaccount(READ)
    r = a.ok("revoke_subaccount", group.revoke([s.token]))
    assert set(r) == {"swarm", "t", "hf"}
    assert all(set(e) == {"signature"} for e in r["swarm"].values())
    r = a.ok("unrevoke_subaccount", group.revoke([s.token], undo=True))
    assert all(set(e) == {"signature", "count"} and e["count"] == 1 for e in r["swarm"].values())


def test_many_tokens_are_signed_in_order(net, a, group):
    """storage-rpc §3/§4: raw tokens in request order, in the request's and the members' signatures."""
    known(a, group)
    toks, ts = [group.subaccount().token for _ in range(5)], now()
    r = a.ok("revoke_subaccount", group.revoke(toks, ts=ts))
    check_swarm(net, r, lambda e: f"{group.id}{ts}".encode() + b"".join(toks))
    p = group.revoke(toks, ts=ts)
    p["revoke"] = p["revoke"][::-1]
    refused(a.rpc("revoke_subaccount", p), 401, "revoke_subaccount signature verification failed")


def test_fifty_newest_are_kept(a, b, group):
    """storage-rpc §3, CORRECTIONS confirmed: 50 kept revocations, the newest win."""
    known(a, group)
    subs = [group.subaccount(READ) for _ in range(60)]
    a.ok("revoke_subaccount", group.revoke([s.token for s in subs[:30]]))
    a.ok("revoke_subaccount", group.revoke([s.token for s in subs[30:50]]))
    assert not any(usable(n, s) for n in (a, b) for s in (subs[0], subs[29], subs[49]))
    a.ok("revoke_subaccount", group.revoke([s.token for s in subs[50:]]))
    for n in (a, b):
        assert [usable(n, s) for s in subs[30:]] == [False] * 30
        assert sum(usable(n, s) for s in subs[:30]) == 10


def test_unrevoking_counts_what_is_kept(a, group):
    """storage-rpc §4: `count` is of those that had been revoked and are still kept."""
    known(a, group)
    toks = [group.subaccount(READ).token for _ in range(55)]
    for i in range(0, 55, 11):
        a.ok("revoke_subaccount", group.revoke(toks[i : i + 11]))
    got = [
        a.ok("unrevoke_subaccount", group.revoke(toks[i : i + 11], undo=True))["swarm"][a.ed]["count"]
        for i in range(0, 55, 11)
    ]
    assert sum(got) == 50
    assert got[1:] == [11] * 4


def test_revocation_is_of_the_exact_token(a, group):
    """storage-rpc §3: other flags make another token."""
    known(a, group)
    s = group.subaccount(READ, seed=bytes(32))
    t = group.subaccount(READ | WRITE, seed=bytes(32))
    a.ok("revoke_subaccount", group.revoke([s.token]))
    assert not usable(a, s)
    assert usable(a, t)


def test_revocation_is_of_one_account(net, a, group):
    """storage-rpc §3: revocations belong to an account."""
    other = account_in(net, net.main, "03")
    known(a, group), known(a, other)
    s = group.subaccount(READ)
    a.ok("revoke_subaccount", other.revoke([s.token]))
    assert usable(a, s)


def test_revoked_token_of_an_outbox(a, group):
    """CORRECTIONS, §3: a revoked token's signature is checked in −21 although anyone may read it."""
    h = store(a, group, b"x", ns=-21)
    s = group.subaccount(READ)
    a.ok("revoke_subaccount", group.revoke([s.token]))
    refused(a.rpc("retrieve", s.retrieve(ns=-21)), 401, FAILED)
    assert [m["hash"] for m in a.ok("retrieve", {"pubkey": group.id, "namespace": -21})["messages"]] == [h]


@pytest.mark.parametrize("ns", [-11, -111, -211, -311, -1011, -32711])
def test_revoked_tokens_still_read(a, group, ns):
    """CORRECTIONS, §3: −11, −111, −211, … continues."""
    known(a, group)
    h = store(a, group, b"you were removed", ns=ns)
    s, blind = group.subaccount(READ), group.subaccount(WRITE | DELETE)
    a.ok("revoke_subaccount", group.revoke([s.token, blind.token]))
    assert hashes(a, s, ns=ns) == [h]
    refused(a.rpc("retrieve", blind.retrieve(ns=ns)), 401, FAILED)
    refused(a.rpc("store", group.subaccount(READ).store(b"x", ns=ns, sign=True)), 401)


@pytest.mark.parametrize("ns", [-10, -1, -21, -31, -110, -112, 111, 11, 0])
def test_revoked_tokens_read_nowhere_else(a, group, ns):
    """CORRECTIONS, §3."""
    known(a, group)
    s = group.subaccount(READ)
    a.ok("revoke_subaccount", group.revoke([s.token]))
    refused(a.rpc("retrieve", s.retrieve(ns=ns)), 401, FAILED)


def test_revoked_tokens_do_nothing_else_there(a, group):
    """storage-rpc §3: the exception is for retrieving."""
    known(a, group)
    s = group.subaccount(15)
    a.ok("revoke_subaccount", group.revoke([s.token]))
    for method, p in (
        ("store", s.store(b"x", ns=-11, sign=True)),
        ("delete_all", s.delete_all(-11)),
        ("get_expiries", s.get_expiries([UNKNOWN])),
        ("expire_all", s.expire_all(now() + DAY, -11)),
    ):
        assert a.rpc(method, p).status == 401, method


def test_revocation_after_everything_was_deleted(a, group):
    """storage-rpc §3: a revocation made while there were messages."""
    h = known(a, group)
    s = group.subaccount(READ)
    a.ok("revoke_subaccount", group.revoke([s.token]))
    store(a, group, b"more", ns=NS)
    a.ok("delete", group.delete([h]))
    assert not usable(a, s)


@pytest.mark.parametrize("undo", [False, True])
def test_subaccount_keys_do_not_help(a, group, undo):
    """storage-rpc §3, table: no subaccounts; the owner's signature works whatever else is there."""
    word = "unrevoke" if undo else "revoke"
    tok = group.subaccount().token
    p = group.revoke([tok], undo=undo, subaccount=b64(group.subaccount(15).token), subaccount_sig=BAD_SIG)
    r = a.rpc(f"{word}_subaccount", p)
    assert r.status in (200, 401), r


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize(("delta", "ok"), [(55_000, True), (65_000, False)])
def test_revoke_ahead(a, group, undo, delta, ok):
    """storage-rpc §3: ±60 s."""
    word = "unrevoke" if undo else "revoke"
    r = a.rpc(f"{word}_subaccount", group.revoke([group.subaccount().token], ts=now() + delta, undo=undo))
    if ok:
        assert r.status == 200, r
    else:
        refused(r, 406, f"{word}_subaccount timestamp too far from current time")

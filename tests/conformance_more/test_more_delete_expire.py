"""The methods that change what is stored: forms, "all", caps, lists, and what every member signs."""

import os

import pytest
from sntest.helpers import BAD_SIG, UNKNOWN, data, expiries, fill, hashes, refused, store, without
from sntest.keys import DAY, account_in, now
from sntest.verify import check_swarm, flat

HOUR = 3_600_000
INVALID = "invalid request: "
BAD_HASHES = [
    "xyz",
    "",
    "A" * 42,
    "A" * 44,
    "A" * 42 + "=",
    "A" * 42 + "-",
    "A" * 42 + "_",
    "A" * 42 + " ",
    "A" * 42 + "\n",
    "é" * 43,
    "all",
]


def signed_expire(acct, requested):
    def msg(e):
        exp = e["expiry"] if isinstance(e["expiry"], list) else [e["expiry"]]
        same = "".join(h + str(ms) for h, ms in sorted(e.get("unchanged", {}).items()))
        return acct.id + "".join(map(str, exp)) + "".join(requested) + "".join(e["updated"]) + same

    return msg


# ---- delete


def test_delete_scalar(net, a, alice):
    """storage-rpc §2: a scalar for a list."""
    h = store(a, alice, b"x")
    r = a.ok("delete", alice.signed("delete" + h, messages=h))
    check_swarm(net, r, lambda e: alice.id + h + "".join(e["deleted"]))
    assert all(e["deleted"] == [h] for e in r["swarm"].values())


@pytest.mark.parametrize("bad", BAD_HASHES)
@pytest.mark.parametrize("method", ["delete", "expire"])
def test_hash_format(a, alice, method, bad):
    """storage-rpc §2: 43 base64 characters, alone and in a list."""
    p = alice.delete([UNKNOWN]) if method == "delete" else alice.expire([UNKNOWN], now() + HOUR)
    for value in (bad, [bad], [UNKNOWN, bad]):
        refused(a.rpc(method, {**p, "messages": value}), 400, starts=INVALID, mentions="messages")


@pytest.mark.parametrize("bad", [[], 5, [5], [None], {}, True, [[UNKNOWN]]])
@pytest.mark.parametrize("method", ["delete", "expire"])
def test_hash_types(a, alice, method, bad):
    """storage-rpc §2/§4: at least one string."""
    p = alice.delete([UNKNOWN]) if method == "delete" else alice.expire([UNKNOWN], now() + HOUR)
    refused(a.rpc(method, {**p, "messages": bad}), 400, starts=INVALID, mentions="messages")


def test_delete_reply(net, a, alice):
    """storage-rpc §4: swarm, t, hf; entries deleted and signature only."""
    h = store(a, alice, b"x")
    r = a.ok("delete", alice.delete([h]))
    assert set(r) == {"swarm", "t", "hf"}
    assert r["hf"] == net.hardfork
    assert abs(r["t"] - now()) < 5000
    assert all(set(e) == {"deleted", "signature"} for e in r["swarm"].values())


def test_delete_the_same_twice(net, a, alice):
    """storage-rpc §4 delete: signed as requested, deleted once."""
    h = store(a, alice, b"x")
    r = a.ok("delete", alice.delete([h, h]))
    check_swarm(net, r, lambda e: alice.id + h + h + "".join(e["deleted"]))
    assert a.ok("delete", alice.delete([h]))["swarm"][a.ed]["deleted"] == []


def test_delete_many(net, a, alice):
    """storage-rpc §4 delete: several hundred hashes at once, sorted."""
    hs = fill(a, alice, 30)
    req = [UNKNOWN[:-2] + f"{i:02d}" for i in range(100)] * 3 + hs[::-1]
    r = a.ok("delete", alice.delete(req))
    check_swarm(net, r, lambda e: alice.id + "".join(req) + "".join(e["deleted"]))
    assert all(e["deleted"] == sorted(hs) for e in r["swarm"].values())


@pytest.mark.parametrize(("required", "status"), [(True, 404), (False, 200), (None, 200)])
def test_required_when_nothing_was_there(net, a, alice, required, status):
    """storage-rpc §4 delete: 404 only with required: true; the body is the same JSON."""
    r = a.rpc("delete", alice.delete([UNKNOWN], required=required))
    assert r.status == status
    assert r.headers["Content-Type"] == "application/json"
    assert set(r.json) == {"swarm", "t", "hf"}


@pytest.mark.parametrize("bad", [0, 1, "true", "", [], {}, [True]])
@pytest.mark.parametrize(("method", "flag"), [("delete", "required"), ("expire", "shorten"), ("expire", "extend")])
def test_flags_are_booleans(a, alice, method, flag, bad):
    """storage-rpc §2: JSON booleans."""
    p = alice.delete([UNKNOWN]) if method == "delete" else alice.expire([UNKNOWN], now() + HOUR)
    refused(a.rpc(method, {**p, flag: bad}), 400, starts=INVALID, mentions=flag)


# ---- delete_all, delete_before


@pytest.mark.parametrize("ns", ["all", None, 0, 5])
def test_delete_all_of_nothing(net, a, alice, ns):
    """storage-rpc §4: an empty list, or with "all" an empty object; signed over nothing more."""
    ts = now()
    r = a.ok("delete_all", alice.delete_all(ns, ts=ts))
    check_swarm(net, r, lambda e: f"{alice.id}{ts}")
    assert all(e["deleted"] == ({} if ns == "all" else []) for e in r["swarm"].values())


def test_delete_all_zero_is_the_default(a, alice):
    """storage-rpc §3: namespace 0 is signed as nothing, given or not."""
    hs = fill(a, alice, 2)
    assert a.ok("delete_all", alice.delete_all(0))["swarm"][a.ed]["deleted"] == sorted(hs)


def test_delete_all_in_an_order(net, a, alice):
    """storage-rpc §4, per-member entries: "all" is signed in one ASCII-sorted run of all namespaces."""
    want = {str(ns): sorted(fill(a, alice, 4, ns=ns)) for ns in (-32768, -1 * 2, 0, 10, 11, 32767)}
    ts = now()
    r = a.ok("delete_all", alice.delete_all("all", ts=ts))
    run = "".join(sorted(h for hs in want.values() for h in hs))
    check_swarm(net, r, lambda e: f"{alice.id}{ts}{run}")
    assert all({k: sorted(v) for k, v in e["deleted"].items()} == want for e in r["swarm"].values())


@pytest.mark.parametrize("method", ["delete_all", "delete_before", "expire_all"])
def test_null_namespace_is_zero(a, alice, method):
    """storage-rpc §2: null = absent."""
    hs, other = fill(a, alice, 1), fill(a, alice, 1, ns=5)
    p = {
        "delete_all": alice.delete_all(),
        "delete_before": alice.delete_before(now()),
        "expire_all": alice.expire_all(now() + HOUR),
    }[method]
    r = a.ok(method, {**p, "namespace": None})
    assert r["swarm"][a.ed]["updated" if method == "expire_all" else "deleted"] == hs
    assert hashes(a, alice, ns=5) == other


def test_delete_before_is_inclusive(net, a, alice):
    """storage-rpc §4 delete_before: timestamp ≤ before, in the given namespace, by timestamp and not by arrival."""
    t = now() - 60_000
    hs = [store(a, alice, b"%d" % d, ns=5, ts=t + d, sig_ts=now()) for d in (1, -1, 0, 2)]
    other = store(a, alice, b"x", ts=t)
    r = a.ok("delete_before", alice.delete_before(t, ns=5))
    check_swarm(net, r, lambda e: f"{alice.id}{t}" + flat(e["deleted"]))
    assert all(e["deleted"] == sorted([hs[1], hs[2]]) for e in r["swarm"].values())
    assert hashes(a, alice, ns=5) == [hs[0], hs[3]]
    assert hashes(a, alice) == [other]


def test_delete_before_signature(a, alice):
    """storage-rpc §3: before and namespace are signed."""
    h, t = store(a, alice, b"x"), now()
    p, text = alice.delete_before(t), "delete_before signature verification failed"
    refused(a.rpc("delete_before", {**p, "before": t - 1}), 401, text)
    refused(a.rpc("delete_before", {**p, "namespace": 5}), 401, text)
    refused(a.rpc("delete_before", {**p, "namespace": "all"}), 401, text)
    assert hashes(a, alice) == [h]


@pytest.mark.parametrize("method", ["delete_all", "delete_before", "expire_all", "expire", "delete", "store"])
def test_half_a_swarm_does_not_hinder(net, method):
    """storage-rpc §4, swarms §6: with a dead member the status is 200 and its entry tells."""
    if net.partial is None:
        pytest.skip("the network has no swarm with a dead member")
    acct = account_in(net, net.partial)
    lone = next(n for n in net.swarms[net.partial] if n.state == "active")
    gone = next(n for n in net.swarms[net.partial] if n.state == "dead")
    p = {
        "store": lambda: acct.store(b"x"),
        "delete": lambda: acct.delete([UNKNOWN]),
        "delete_all": acct.delete_all,
        "delete_before": lambda: acct.delete_before(now()),
        "expire_all": lambda: acct.expire_all(now() + HOUR),
        "expire": lambda: acct.expire([UNKNOWN], now() + HOUR),
    }[method]()
    r = lone.ok(method, p)
    assert r["swarm"][gone.ed] == {"failed": True, "timeout": True}
    assert "failed" not in r["swarm"][lone.ed]


def test_required_with_a_dead_member(net):
    """storage-rpc §4 delete: nobody deleted anything, though one member did not answer."""
    if net.partial is None:
        pytest.skip("the network has no swarm with a dead member")
    acct = account_in(net, net.partial)
    lone = next(n for n in net.swarms[net.partial] if n.state == "active")
    assert lone.rpc("delete", acct.delete([UNKNOWN], required=True)).status == 404


# ---- expire_all


@pytest.mark.parametrize("ns", ["all", None, 5])
def test_expire_all_of_nothing(net, a, alice, ns):
    """storage-rpc §4 expire_all: later expiries only; those that are already sooner are not in `updated`."""
    if ns != "all":
        fill(a, alice, 2, ns=ns, ttl=HOUR)
    e = now() + 2 * HOUR
    r = a.ok("expire_all", alice.expire_all(e, ns))
    check_swarm(net, r, lambda m: f"{alice.id}{e}")
    assert all(set(m) == {"updated", "signature"} for m in r["swarm"].values())
    assert all(m["updated"] == ({} if ns == "all" else []) for m in r["swarm"].values())


def test_expire_all_far_away(a, alice):
    """storage-rpc §4 expire_all: only shortens, so a far expiry changes nothing."""
    h = store(a, alice, b"x")
    before = expiries(a, alice, [h])
    r = a.ok("expire_all", alice.expire_all(now() + 500 * DAY))
    assert r["swarm"][a.ed]["updated"] == []
    assert expiries(a, alice, [h]) == before


def test_expire_all_signature_of_all(a, alice):
    """storage-rpc §3: "all" is signed."""
    e, text = now() + HOUR, "expire_all signature verification failed"
    refused(a.rpc("expire_all", {**alice.expire_all(e, "all"), "namespace": 0}), 401, text)
    refused(a.rpc("expire_all", {**alice.expire_all(e), "namespace": "all"}), 401, text)
    refused(a.rpc("expire_all", {**alice.expire_all(e), "expiry": e + 1}), 401, text)


def test_made_to_expire_stays_until_the_sweep(a, alice):
    """CORRECTIONS, confirmed: messages made to expire stay readable until the sweep."""
    h = store(a, alice, b"x")
    for _ in range(5):  # the sweep may come in between
        r = a.ok("expire", alice.expire([h], now() - 30_000))
        if r["swarm"][a.ed]["updated"] and hashes(a, alice) == [h]:
            return
        h = store(a, alice, os.urandom(9))
    pytest.fail("gone at once, five times")


# ---- expire


def test_expire_scalar_message(net, a, alice):
    """storage-rpc §2: a scalar for a list."""
    h, e = store(a, alice, b"x"), now() + HOUR
    r = a.ok("expire", alice.signed(f"expire{e}{h}", messages=h, expiry=e))
    check_swarm(net, r, signed_expire(alice, [h]))
    assert all(m["updated"] == [h] and m["expiry"] == e for m in r["swarm"].values())


@pytest.mark.parametrize("n", [1, 2, 5])
def test_expire_list_of_one(net, a, b, alice, n):
    """CORRECTIONS, §4 expire: a list of one is answered as a scalar and is good for any number of messages."""
    hs, e = fill(a, alice, n), now() + HOUR
    r = a.ok("expire", alice.expire(hs, [e]))
    check_swarm(net, r, signed_expire(alice, hs))
    assert all(m["updated"] == sorted(hs) and m["expiry"] == e for m in r["swarm"].values())
    assert expiries(b, alice, hs) == dict.fromkeys(hs, e)


@pytest.mark.parametrize("mode", ["shorten", "extend"])
def test_expire_list_with_mode(net, a, b, alice, mode):
    """CORRECTIONS, §4 expire: `expiry` is in the order of `updated` and holds only the updated ones."""
    ts = now()
    hs = fill(a, alice, 6, ts=ts, ttl=5 * HOUR)
    want = {h: ts + (i + 2) * HOUR for i, h in enumerate(hs)}  # 2…7 h
    r = a.ok("expire", alice.expire(hs, list(want.values()), mode))
    moved = {h: e for h, e in want.items() if (e < ts + 5 * HOUR if mode == "shorten" else e > ts + 5 * HOUR)}
    check_swarm(net, r, signed_expire(alice, hs))
    for m in r["swarm"].values():
        assert m["updated"] == sorted(moved)
        assert m["expiry"] == [moved[h] for h in sorted(moved)]
        assert m["unchanged"] == {h: ts + 5 * HOUR for h in hs if h not in moved}
    assert expiries(b, alice, hs) == {h: moved.get(h, ts + 5 * HOUR) for h in hs}


def test_expire_list_with_unknown_hashes(net, a, alice):
    """CORRECTIONS, §4 expire: unknown messages are neither in `updated` nor in `expiry`."""
    h, t = store(a, alice, b"x"), now() + HOUR
    req = [UNKNOWN, h]
    r = a.ok("expire", alice.expire(req, [t, t + 1]))
    check_swarm(net, r, signed_expire(alice, req))
    assert all(m["updated"] == [h] and m["expiry"] == [t + 1] for m in r["swarm"].values())
    r = a.ok("expire", alice.expire([UNKNOWN, UNKNOWN[:-1] + "B"], [t, t + 1]))
    assert all(m["updated"] == [] and m["expiry"] == [] for m in r["swarm"].values())


def test_expire_list_is_capped(net, a, alice):
    """storage-rpc §4 expire: capped to now + 30 d, each of a list."""
    hs, t = fill(a, alice, 2), now()
    r = a.ok("expire", alice.expire(hs, [t + HOUR, t + 300 * DAY]))
    check_swarm(net, r, signed_expire(alice, hs))
    got = expiries(a, alice, hs)
    assert got[hs[0]] == t + HOUR
    assert abs(got[hs[1]] - (t + 30 * DAY)) < 5000
    assert r["swarm"][a.ed]["expiry"] == [got[h] for h in sorted(hs)]


@pytest.mark.parametrize("expiry", [[], ["x"], [1.5], [None], [[1]], [0], {}, "x", [True]])
def test_expire_malformed_expiry(a, alice, expiry):
    """storage-rpc §4 expire: an integer or a list of them."""
    p = {**alice.expire([UNKNOWN], now() + HOUR), "expiry": expiry}
    refused(a.rpc("expire", p), 400, starts=INVALID, mentions="expiry")


def test_expire_list_time_rule(a, alice):
    """storage-rpc §3: each expiry ≥ now − 60 s."""
    hs = fill(a, alice, 2)
    r = a.rpc("expire", alice.expire(hs, [now() + HOUR, now() - 65_000]))
    refused(r, 401, "expire: timestamp should be >= current time")
    assert a.rpc("expire", alice.expire(hs, [now() + HOUR, now() - 50_000])).status == 200


@pytest.mark.parametrize("mode", ["shorten", "extend"])
def test_expire_unchanged_of_equal(net, a, alice, mode):
    """storage-rpc §4 expire: an expiry that is already so is `unchanged` in both modes."""
    h = store(a, alice, b"x")
    e = expiries(a, alice, [h])[h]
    r = a.ok("expire", alice.expire([h], e, mode))
    check_swarm(net, r, signed_expire(alice, [h]))
    assert all(m["updated"] == [] and m["unchanged"] == {h: e} for m in r["swarm"].values())


def test_expire_to_the_same_without_mode(net, a, alice):
    """storage-rpc §4 expire: without a mode known hashes are `updated`, also when nothing changes."""
    h = store(a, alice, b"x")
    r = a.ok("expire", alice.expire([h], expiries(a, alice, [h])[h]))
    assert all(m["updated"] == [h] and "unchanged" not in m for m in r["swarm"].values())


def test_expire_many_unchanged_are_signed_sorted(net, a, alice):
    """storage-rpc §4, per-member entries: (hash‖ms) of unchanged, sorted."""
    hs = [store(a, alice, b"%d" % i, ttl=HOUR + i) for i in range(8)]
    e = now() + 2 * HOUR
    req = [*hs[::-1], UNKNOWN]
    r = a.ok("expire", alice.expire(req, e, "shorten"))
    check_swarm(net, r, signed_expire(alice, req))
    assert all(set(m["unchanged"]) == set(hs) and m["expiry"] == e for m in r["swarm"].values())


@pytest.mark.parametrize("mode", ["", "shorten", "extend"])
def test_expire_mode_is_signed(a, alice, mode):
    """storage-rpc §3: MODE is part of the signature."""
    h = store(a, alice, b"x")
    p = alice.expire([h], now() + HOUR, mode)
    for other in {"", "shorten", "extend"} - {mode}:
        q = without(p, "shorten", "extend") | ({other: True} if other else {})
        refused(a.rpc("expire", q), 401, "expire: signature verification failed")


def test_expire_signature_covers(a, alice):
    """storage-rpc §3: expiries and hashes in request order."""
    hs, t, text = fill(a, alice, 2), now() + HOUR, "expire: signature verification failed"
    p = alice.expire(hs, [t, t + 1])
    refused(a.rpc("expire", {**p, "expiry": [t + 1, t]}), 401, text)
    refused(a.rpc("expire", {**p, "messages": hs[::-1]}), 401, text)
    refused(a.rpc("expire", {**p, "signature": BAD_SIG}), 401, text)


@pytest.mark.parametrize("both", [{"shorten": True, "extend": True}])
def test_expire_both_modes_by_anyone(a, alice, both):
    """storage-rpc §4 expire: never both."""
    refused(a.rpc("expire", {**alice.expire([UNKNOWN], now() + HOUR), **both}), 400, starts=INVALID)


def test_expire_in_several_namespaces(a, b, alice):
    """storage-rpc §4 expire: hashes of any namespaces."""
    hs, e = [store(a, alice, b"x", ns=ns, sign=True) for ns in (0, 5, -10, -2)], now() + HOUR
    assert a.ok("expire", alice.expire(hs, e))["swarm"][b.ed]["updated"] == sorted(hs)
    assert expiries(b, alice, hs) == dict.fromkeys(hs, e)


# ---- outboxes


@pytest.mark.parametrize("ns", [-1, -21, -41, -61])
def test_every_outbox_keeps_one(net, a, b, group, ns):
    """storage-rpc §3: storing deletes the others, in this namespace only, at every member."""
    keep = store(a, group, b"elsewhere", ns=5)
    for d in (b"one", b"two", b"three"):
        r = a.ok("store", group.store(d, ns=ns, sign=True))
        assert r["hash"] == group.hash(d, ns)
        assert all("already" not in e for e in r["swarm"].values())
    assert data(a, group, ns=ns) == data(b, group, ns=ns) == [b"three"]
    assert hashes(a, group, ns=5) == [keep]


@pytest.mark.parametrize("ns", [-11, -31, -2, -10, -20, 1, 21])
def test_other_namespaces_keep_all(a, group, ns):
    """storage-rpc §3: −(20n+1) only."""
    hs = fill(a, group, 3, ns=ns)
    assert hashes(a, group, ns=ns) == hs


def test_outbox_flips_back(a, alice):
    """storage-rpc §3: a replaced message may come back, and is new then."""
    store(a, alice, b"elsewhere")
    for d in (b"one", b"two", b"one"):
        r = a.ok("store", alice.store(d, ns=-21, sign=True))
        assert all("already" not in e for e in r["swarm"].values())
    assert data(a, alice, ns=-21) == [b"one"]

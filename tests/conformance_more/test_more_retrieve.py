"""Methods retrieve and get_expiries: sizes to the byte, paging, the share rules, shapes."""

import pytest
from sntest.helpers import BAD_SIG, UNKNOWN, expiries, fill, hashes, refused, store, without
from sntest.keys import DAY, account_in, now

MISSING = "invalid request: Required field 'signature' missing"
INVALID = "invalid request: "
LARGEST = 7_800_000


def cost(size):
    """What a message of `size` bytes (divisible by 3) counts."""
    return 100 + 43 + size // 3 * 4


@pytest.mark.parametrize("size", [0, 3, 300, 3000, 60_000])
def test_cost_to_the_byte(a, alice, size):
    """CORRECTIONS, confirmed: 100 + 43 + 4/3·len, exact to the byte."""
    hs = [store(a, alice, bytes([i]) * size) for i in range(3 if size else 1)]
    if not size:
        hs += fill(a, alice, 2, size=6)
    first, second = cost(size), cost(size or 6)
    for limit, n in ((first + second, 2), (first + second - 1, 1), (first, 1), (1, 1), (first + 2 * second, 3)):
        r = a.ok("retrieve", alice.retrieve(max_size=limit))
        assert [m["hash"] for m in r["messages"]] == hs[:n], limit
        assert r["more"] is (n < 3), limit


@pytest.mark.parametrize("share", [10, 40, 1000, 100_000, 7_799_999, 7_800_000, 7_800_001, 2**62])
def test_share_of_the_largest_reply(a, alice, share):
    """storage-rpc §4 retrieve: −n is 7,800,000//n bytes, and the first message always fits."""
    hs = fill(a, alice, 4, size=60_000)
    fit = max(1, min(4, LARGEST // share // cost(60_000)))
    r = a.ok("retrieve", alice.retrieve(max_size=-share))
    assert [m["hash"] for m in r["messages"]] == hs[:fit]
    assert r["more"] is (fit < 4)


def test_default_share_and_the_whole(a, alice):
    """storage-rpc §4 retrieve: unset is −5; −1 is everything, and so is more than 7,800,000, or only max_count."""
    hs = fill(a, alice, 80, size=76_800)  # 102,543 each
    n5, n1 = LARGEST // 5 // cost(76_800), LARGEST // cost(76_800)
    assert (n5, n1) == (15, 76)
    for want, limits in (
        (n5, {}),
        (n5, {"max_size": 0}),
        (n5, {"max_size": -5}),
        (n5, {"max_size": 0, "max_count": 0}),
        (n1, {"max_size": -1}),
        (n1, {"max_size": LARGEST}),
        (n1, {"max_size": 2**40}),
        (n1, {"max_count": 1000}),
        (n1, {"max_count": 1000, "max_size": 0}),
        (n1, {"max_count": 2**40, "max_size": -1}),
        (20, {"max_count": 20}),
        (n5, {"max_count": 20, "max_size": -5}),
        (3, {"max_count": 3, "max_size": -5}),
    ):
        r = a.ok("retrieve", alice.retrieve(**limits))
        assert [m["hash"] for m in r["messages"]] == hs[:want], limits
        assert r["more"] is True, limits
    r = a.ok("retrieve", alice.retrieve(max_size=-1, last_hash=hs[n1 - 1]))
    assert [m["hash"] for m in r["messages"]] == hs[n1:]
    assert r["more"] is False


@pytest.mark.parametrize("field", ["max_count", "max_size"])
@pytest.mark.parametrize("bad", ["3", "", 1.0, 1.5, [3], {}, True, False, 2**64, -(2**63) - 1, 10**30])
def test_malformed_limits_more(a, alice, field, bad):
    """storage-rpc §4 retrieve: limits are integers of 64 bits."""
    refused(a.rpc("retrieve", alice.retrieve(**{field: bad})), 400, starts=INVALID, mentions=field)


@pytest.mark.parametrize("field", ["max_count", "max_size", "namespace", "last_hash", "lastHash", "subaccount"])
def test_null_options(a, alice, field):
    """storage-rpc §2: null = absent."""
    hs = fill(a, alice, 2)
    assert hashes(a, alice, **{field: None}) == hs


@pytest.mark.parametrize("bad", [5, True, [UNKNOWN], {}, 1.5])
@pytest.mark.parametrize("field", ["last_hash", "lastHash"])
def test_malformed_last_hash(a, alice, field, bad):
    """storage-rpc §4 retrieve: last_hash is a string."""
    refused(a.rpc("retrieve", alice.retrieve(**{field: bad})), 400, starts=INVALID, mentions=field)


def test_empty_last_hash_alias(a, alice):
    """CORRECTIONS, storage-rpc §2: the empty string is from the start."""
    hs = fill(a, alice, 2)
    assert hashes(a, alice, lastHash="") == hs


def test_last_hash_of_a_deleted_message(a, alice):
    """storage-rpc §4 retrieve: a hash that is gone is unknown: from the start."""
    hs = fill(a, alice, 3)
    a.ok("delete", alice.delete([hs[1]]))
    assert hashes(a, alice, last_hash=hs[1]) == [hs[0], hs[2]]


def test_paging_by_size(a, b, alice):
    """storage-rpc §4 retrieve: paging is complete whatever the page size, at every member."""
    hs = fill(a, alice, 25, size=300)
    for node in (a, b):
        for limits in ({"max_size": 2 * cost(300)}, {"max_size": 1}, {"max_count": 7}, {"max_count": 25}):
            got, last = [], {}
            while True:
                r = node.ok("retrieve", alice.retrieve(**limits, **last))
                got += [m["hash"] for m in r["messages"]]
                if not r["more"]:
                    break
                last = {"last_hash": got[-1]}
            assert got == hs


# ---- when a signature is needed


@pytest.mark.parametrize("ns", [None, 0, 5, -2, 20, -10, -1, -21, -41])
@pytest.mark.parametrize("field", ["timestamp", "pubkey_ed25519"])
def test_half_an_authentication(a, alice, ns, field):
    """storage-rpc §4 retrieve: timestamp or pubkey_ed25519 alone make the signature mandatory, in any namespace."""
    p = {"pubkey": alice.id, field: alice.retrieve()[field]}
    if ns is not None:
        p["namespace"] = ns
    refused(a.rpc("retrieve", p), 400, MISSING)


@pytest.mark.parametrize("ns", [None, 0, -10, -1, -21])
def test_wrong_signature_even_where_anyone_reads(a, alice, ns):
    """storage-rpc §4 retrieve: a supplied signature is checked also in public namespaces."""
    p = {**alice.retrieve(ns=ns), "signature": BAD_SIG}
    refused(a.rpc("retrieve", p), 401, "retrieve signature verification failed")
    assert a.rpc("retrieve", alice.retrieve(ns=ns)).status == 200
    refused(
        a.rpc("retrieve", alice.retrieve(ns=ns, ts=now() - 70_000)), 406, "retrieve timestamp too far from current time"
    )


def test_time_before_signature(a, alice):
    """storage-rpc §3: the time rule comes first."""
    p = {**alice.retrieve(ts=now() - 70_000), "signature": BAD_SIG}
    refused(a.rpc("retrieve", p), 406)


@pytest.mark.parametrize("ns", [-10, -1, -21, -41, -61, -101, -201])
def test_public_reading_of_more_outboxes(a, group, ns):
    """storage-rpc §3: −10 and −(20n+1)."""
    h = store(a, group, b"x", ns=ns, sign=True)
    r = a.ok("retrieve", {"pubkey": group.id, "namespace": ns})
    assert [m["hash"] for m in r["messages"]] == [h]


@pytest.mark.parametrize("ns", [-11, -31, -51, -111, -9, -19, -22, -40, -100, 1, 21, 41, 10, -20])
def test_no_public_reading_elsewhere(a, group, ns):
    """storage-rpc §3."""
    refused(a.rpc("retrieve", {"pubkey": group.id, "namespace": ns}), 400, MISSING)


# ---- get_expiries


def test_get_expiries_shape(a, alice):
    """CORRECTIONS, §4 get_expiries: only `expiries`; no t, no hf."""
    h = store(a, alice, b"x")
    assert set(a.ok("get_expiries", alice.get_expiries([h, UNKNOWN]))) == {"expiries"}
    assert a.ok("get_expiries", alice.get_expiries([UNKNOWN])) == {"expiries": {}}


@pytest.mark.parametrize("how", ["all", ["all"]])
def test_get_expiries_all_is_a_hash(a, alice, how):
    """CORRECTIONS, §4 get_expiries: "all" is looked up as one hash and gives {}."""
    store(a, alice, b"x")
    ts = now()
    p = {**alice.signed(f"get_expiries{ts}all", messages=how, timestamp=ts)}
    assert a.ok("get_expiries", p) == {"expiries": {}}


def test_get_expiries_scalar(a, alice):
    """storage-rpc §2: a scalar for a list."""
    h, ts = store(a, alice, b"x"), now()
    p = alice.signed(f"get_expiries{ts}{h}", messages=h, timestamp=ts)
    assert set(a.ok("get_expiries", p)["expiries"]) == {h}


def test_get_expiries_twice_the_same(a, alice):
    """storage-rpc §4 get_expiries: a hash given twice is signed twice and answered once."""
    h = store(a, alice, b"x")
    assert set(expiries(a, alice, [h, h])) == {h}


@pytest.mark.parametrize(
    "msgs",
    [
        [],
        None,
        "xyz",
        ["xyz"],
        [5],
        5,
        True,
        {},
        [None],
        [[]],
        "",
        ["A" * 42],
        ["A" * 44],
        ["A" * 42 + "="],
        ["A" * 42 + "-"],
    ],
)
def test_get_expiries_malformed(a, alice, msgs):
    """storage-rpc §2: hashes of 43 base64 characters, at least one."""
    refused(
        a.rpc("get_expiries", {**alice.get_expiries([]), "messages": msgs}), 400, starts=INVALID, mentions="messages"
    )


def test_get_expiries_signature(net, a, alice):
    """storage-rpc §3: timestamp and hashes in request order are signed."""
    hs = fill(a, alice, 2)
    p, text = alice.get_expiries(hs), "get_expiries signature verification failed"
    refused(a.rpc("get_expiries", {**p, "messages": hs[::-1]}), 401, text)
    refused(a.rpc("get_expiries", {**p, "messages": hs[:1]}), 401, text)
    refused(a.rpc("get_expiries", {**p, "timestamp": p["timestamp"] + 1}), 401, text)
    refused(a.rpc("get_expiries", without(p, "pubkey_ed25519")), 401, text)
    assert expiries(a, account_in(net, net.main), hs) == {}


def test_replies_say_expiration_and_expiry_alike(a, alice):
    """storage-rpc §4: `expiration` of retrieve is what get_expiries says."""
    ts = now()
    h = store(a, alice, b"x", ttl=3 * DAY, ts=ts)
    assert expiries(a, alice, [h])[h] == a.ok("retrieve", alice.retrieve())["messages"][0]["expiration"] == ts + 3 * DAY

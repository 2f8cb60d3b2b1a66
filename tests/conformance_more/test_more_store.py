"""Method store, and how parameters are read in all methods: numbers, base64, keys, aliases, null."""

import os

import pytest
from sntest.helpers import BAD_SIG, UNKNOWN, data, expiries, hashes, messages, refused, store, without
from sntest.keys import DAY, DELETE, READ, WRITE, Account, account_in, b64, now

CLOCK = "Timestamp error: check your clock"
LIFETIME = "Provided expiry/TTL is not valid."
INVALID = "invalid request: "


# ---- numeric strings


@pytest.mark.parametrize("ttl", ["86400000", "0086400000"])
def test_numeric_strings_ttl(a, alice, ttl):
    """storage-rpc §2: ttl may be a numeric string."""
    ts = now()
    a.ok("store", {**alice.store(b"x", ts=ts), "ttl": ttl})
    assert messages(a, alice)[0]["expiration"] == ts + DAY


@pytest.mark.parametrize("field", ["timestamp", "ttl"])
@pytest.mark.parametrize(
    "form", [" {}", "{} ", "+{}", "{}.0", "{}e0", "0x{}", "{},0", "{}\n", "\t{}", "{}\x00", "{}ms", "--{}", "- {}"]
)
def test_numeric_strings_malformed(a, alice, field, form):
    """CORRECTIONS, storage-rpc §2: ASCII digits only; no blanks, +, exponent."""
    p = alice.store(b"x")
    r = a.rpc("store", {**p, field: form.format(p[field])})
    refused(r, 400, starts=INVALID, mentions=field)


@pytest.mark.parametrize("digits", ["٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "०१२३४५६७८९"])
@pytest.mark.parametrize("field", ["timestamp", "ttl"])
def test_numeric_strings_of_other_scripts(a, alice, field, digits):
    """CORRECTIONS, storage-rpc §2: ASCII digits only."""
    p = alice.store(b"x")
    text = "".join(digits[int(c)] for c in str(p[field]))
    refused(a.rpc("store", {**p, field: text}), 400, starts=INVALID, mentions=field)


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("timestamp", "-1", 406),
        ("timestamp", "-1700000000000", 406),
        ("timestamp", "0", 406),
        ("timestamp", "1700000000", 406),
        ("timestamp", str(2**63 - 1), 406),
        ("timestamp", str(-(2**63)), 406),
        ("timestamp", str(-(2**63) - 1), 400),
        ("timestamp", str(2**64), 400),
        ("timestamp", "9" * 40, 400),
        ("timestamp", "9" * 5000, 400),
        ("timestamp", "-", 400),
        ("timestamp", "", 400),
        ("ttl", "-1", 400),
        ("ttl", "-86400000", 400),
        ("ttl", "0", 403),
        ("ttl", str(2**63 - 1), 403),
        ("ttl", str(2**64), 400),
        ("ttl", "9" * 5000, 400),
    ],
)
def test_numeric_strings_limits(a, alice, field, value, status):
    """CORRECTIONS, storage-rpc §2: strings are judged like the numbers they stand for."""
    assert a.rpc("store", {**alice.store(b"x"), field: value}).status == status


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("store", "expiry"),
        ("store", "sig_timestamp"),
        ("store", "namespace"),
        ("retrieve", "timestamp"),
        ("retrieve", "namespace"),
        ("retrieve", "max_count"),
        ("retrieve", "max_size"),
        ("delete_all", "timestamp"),
        ("delete_all", "namespace"),
        ("delete_before", "before"),
        ("expire_all", "expiry"),
        ("expire", "expiry"),
        ("get_expiries", "timestamp"),
        ("revoke_subaccount", "timestamp"),
        ("unrevoke_subaccount", "timestamp"),
    ],
)
@pytest.mark.parametrize("form", [str, float, lambda v: {"a": v}, lambda v: True])
def test_other_numbers_are_integers(a, alice, method, field, form):
    """CORRECTIONS, storage-rpc §2: numeric strings are for timestamp and ttl of store; fractions are for nobody."""
    p = params_of(method, alice)
    value = p.get(field, {"namespace": 5, "max_count": 1, "max_size": 1}.get(field))
    refused(a.rpc(method, {**p, field: form(value)}), 400, starts=INVALID, mentions=field)


def params_of(method, acct, **extra):
    """Well-formed signed parameters of any account method."""
    e = now() + DAY
    token = acct.subaccount().token if isinstance(acct, Account) else acct.token
    return {
        "store": lambda: acct.store(b"x", ttl=None, ns=5, expiry=e, sign=True, sig_ts=now(), **extra),
        "retrieve": lambda: acct.retrieve(**extra),
        "delete": lambda: acct.delete([UNKNOWN], **extra),
        "delete_all": lambda: acct.delete_all(**extra),
        "delete_before": lambda: acct.delete_before(now(), **extra),
        "expire_all": lambda: acct.expire_all(e, **extra),
        "expire": lambda: acct.expire([UNKNOWN], e, **extra),
        "get_expiries": lambda: acct.get_expiries([UNKNOWN], **extra),
        "revoke_subaccount": lambda: acct.revoke([token], **extra),
        "unrevoke_subaccount": lambda: acct.revoke([token], undo=True, **extra),
    }[method]()


METHODS = [
    "store",
    "retrieve",
    "delete",
    "delete_all",
    "delete_before",
    "expire_all",
    "expire",
    "get_expiries",
    "revoke_subaccount",
    "unrevoke_subaccount",
]
TIMES = [
    ("store", "expiry"),
    ("store", "sig_timestamp"),
    ("retrieve", "timestamp"),
    ("delete_all", "timestamp"),
    ("delete_before", "before"),
    ("expire_all", "expiry"),
    ("expire", "expiry"),
    ("get_expiries", "timestamp"),
    ("revoke_subaccount", "timestamp"),
    ("unrevoke_subaccount", "timestamp"),
]


@pytest.mark.parametrize("method", METHODS)
def test_the_parameters_used_here_are_good(a, alice, method):
    """The other tests damage these."""
    assert a.rpc(method, params_of(method, alice)).status == 200


# ---- 64 bits, seconds, nanoseconds


@pytest.mark.parametrize(("method", "field"), TIMES)
@pytest.mark.parametrize(
    "value", [0, 1, 999_999_999, -1, -(10**12), -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**63) - 1]
)
def test_huge_numbers_elsewhere(a, alice, method, field, value):
    """CORRECTIONS, storage-rpc §2: below 10⁹, negative, beyond nanoseconds or 64 bits: 400 with the field's name."""
    refused(a.rpc(method, {**params_of(method, alice), field: value}), 400, starts=INVALID, mentions=field)


@pytest.mark.parametrize(("method", "field"), TIMES)
@pytest.mark.parametrize("value", [0, 999_999_999, 2**63 - 1])
def test_not_milliseconds(a, alice, method, field, value):
    """CORRECTIONS, storage-rpc §2: `must be in milliseconds` for seconds-like values and those beyond nanoseconds."""
    refused(a.rpc(method, {**params_of(method, alice), field: value}), 400, mentions="milliseconds")


@pytest.mark.parametrize(
    ("method", "field", "status"),
    [
        ("store", "sig_timestamp", 406),
        ("retrieve", "timestamp", 406),
        ("delete_all", "timestamp", 406),
        ("delete_before", "before", 401),
        ("expire_all", "expiry", 406),
        ("expire", "expiry", 401),
        ("get_expiries", "timestamp", 406),
        ("revoke_subaccount", "timestamp", 406),
    ],
)
def test_timestamp_in_seconds(a, alice, method, field, status):
    """CORRECTIONS, storage-rpc §2: 10⁹ … are taken for ms of 1970 and then fail the time rule."""
    for value in (10**9, 1_700_000_000):
        r = a.rpc(method, {**params_of(method, alice), field: value})
        if method == "delete_before":  # any past will do, so only the signature fails
            refused(r, 401, "delete_before signature verification failed")
        else:
            assert r.status == status, r


@pytest.mark.parametrize("value", [0, 1, 999_999_999, 1_700_000_000, -1, -(2**63), 2**63 - 1, 2**63, 2**64 - 1])
def test_store_timestamp_is_any_64_bits(a, alice, value):
    """CORRECTIONS, storage-rpc §2: store's timestamp is exempt and fails the clock rule with 406."""
    refused(a.rpc("store", {**alice.store(b"x"), "timestamp": value}), 406, CLOCK)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**30, 1.0, 1e300, None, [], {}, True, False])
def test_store_timestamp_is_no_more(a, alice, value):
    """CORRECTIONS, storage-rpc §2: beyond 64 bits, or no integer: 400."""
    refused(a.rpc("store", {**alice.store(b"x"), "timestamp": value}), 400, starts=INVALID, mentions="timestamp")


@pytest.mark.parametrize(
    ("ttl", "status"), [(2**63 - 1, 403), (2**63, 403), (2**64 - 1, 403), (2**64, 400), (-1, 400), (-(2**63), 400)]
)
def test_ttl_is_any_64_bits(a, alice, ttl, status):
    """CORRECTIONS, storage-rpc §2."""
    assert a.rpc("store", {**alice.store(b"x"), "ttl": ttl}).status == status


# ---- clocks and lifetimes of store


def test_past_expiry_fails_the_lifetime_first(a, alice):
    """CORRECTIONS, §4 store: an expiry in the past with a fresh timestamp is 403."""
    for delta in (-1, -20_000, -DAY):
        refused(a.rpc("store", alice.store(b"x", ttl=None, expiry=now() + delta)), 403, LIFETIME)


def test_past_expiry_with_an_old_timestamp(a, alice):
    """CORRECTIONS, §4 store: expiry < now−10 s is 406 only with an old timestamp; a little late is accepted."""
    ts = now() - DAY
    refused(a.rpc("store", alice.store(b"x", ts=ts, ttl=None, expiry=now() - 12_000)), 406, CLOCK)
    assert a.rpc("store", alice.store(b"y", ts=ts, ttl=None, expiry=now() - 5_000)).status == 200


def test_lifetime_before_clock(a, alice):
    """storage-rpc §4 store, order of checks: lifetime, then clock, then authentication."""
    refused(a.rpc("store", alice.store(b"x", ts=now() + 60_000, ttl=5)), 403, LIFETIME)
    refused(a.rpc("store", alice.store(b"x", ns=5, ts=now() + 60_000)), 406, CLOCK)
    refused(a.rpc("store", {**alice.store(b"x", ns=5, ttl=5, sign=True), "signature": BAD_SIG}), 403, LIFETIME)
    p = {**alice.store(b"x", ns=5, sign=True, sig_ts=now() - 70_000), "signature": BAD_SIG}
    refused(a.rpc("store", p), 406, "store signature timestamp too far from current time")


def test_lifetime_by_expiry_is_measured_from_the_timestamp(a, alice):
    """storage-rpc §4 store: expiry − timestamp is what must be 10 s … 14 d."""
    ts = now() - 7 * DAY
    refused(a.rpc("store", alice.store(b"x", ts=ts, ttl=None, expiry=ts + 14 * DAY + 1)), 403, LIFETIME)
    assert a.rpc("store", alice.store(b"x", ts=ts, ttl=None, expiry=ts + 14 * DAY)).status == 200
    assert (
        a.rpc("store", alice.store(b"x", ns=5, ts=ts, sig_ts=now(), ttl=None, expiry=ts + 30 * DAY, sign=True)).status
        == 200
    )


def test_shorter_restore_keeps_the_later_expiry(a, b, alice):
    """storage-rpc §4 store: re-storing keeps the later expiry, here the old one."""
    ts = now()
    h = store(a, alice, b"again", ts=ts, ttl=2 * DAY)
    r = b.ok("store", alice.store(b"again", ts=ts + 5, ttl=DAY))
    assert {e["expiry"] for e in r["swarm"].values()} == {ts + 2 * DAY}
    assert all(e["already"] for e in r["swarm"].values())
    assert expiries(a, alice, [h]) == {h: ts + 2 * DAY}
    assert messages(b, alice)[0]["timestamp"] == ts


# ---- fields


def test_missing_timestamp_is_found_first(a, alice):
    """CORRECTIONS, §4 store: the timestamp is looked for first."""
    refused(a.rpc("store"), 400, "invalid request: Required field 'timestamp' missing")
    refused(a.rpc("store", {"pubkey": alice.id}), 400, "invalid request: Required field 'timestamp' missing")


@pytest.mark.parametrize("extra", [{}, {"ttl": None}, {"expiry": None}, {"ttl": None, "expiry": None}])
def test_missing_lifetime_text(a, alice, extra):
    """CORRECTIONS, §4 store: neither ttl nor expiry."""
    r = a.rpc("store", {**alice.store(b"x", ttl=None), **extra})
    refused(r, 400, "invalid request: Required field 'expiry' or 'ttl' missing")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["absent", "null"])
def test_every_required_field(a, alice, method, how):
    """storage-rpc §4: missing required fields, or null ones, give 400 with their name."""
    required = {
        "store": ["pubkey", "timestamp", "data"],
        "retrieve": ["pubkey", "signature"],
        "delete": ["pubkey", "messages", "signature"],
        "delete_all": ["pubkey", "timestamp", "signature"],
        "delete_before": ["pubkey", "before", "signature"],
        "expire_all": ["pubkey", "expiry", "signature"],
        "expire": ["pubkey", "expiry", "messages", "signature"],
        "get_expiries": ["pubkey", "timestamp", "messages", "signature"],
        "revoke_subaccount": ["pubkey", "timestamp", "revoke", "signature"],
        "unrevoke_subaccount": ["pubkey", "timestamp", "unrevoke", "signature"],
    }[method]
    for field in required:
        p = params_of(method, alice)
        p = without(p, field) if how == "absent" else {**p, field: None}
        refused(a.rpc(method, p), 400, f"invalid request: Required field '{field}' missing")


@pytest.mark.parametrize("method", METHODS)
def test_unknown_keys_are_ignored(a, alice, method):
    """storage-rpc §2: unknown keys."""
    assert a.rpc(method, {**params_of(method, alice), "zz": [1], "": None, "Pubkey": 5}).status == 200


@pytest.mark.parametrize("method", ["store", "retrieve", "get_swarm"])
def test_both_pubkeys(a, alice, method):
    """CORRECTIONS, storage-rpc §2 aliases: both spellings are refused, equal or not; null counts as absent."""
    p = params_of(method, alice) if method != "get_swarm" else {"pubkey": alice.id}
    refused(a.rpc(method, {**p, "pubKey": alice.id}), 400, starts=INVALID, mentions="Cannot specify both")
    assert a.rpc(method, {**p, "pubKey": None}).status == 200
    assert a.rpc(method, {**without(p, "pubkey"), "pubKey": alice.id, "pubkey": None}).status == 200


def test_both_last_hashes(a, alice):
    """CORRECTIONS, storage-rpc §2 aliases."""
    p = alice.retrieve(last_hash=UNKNOWN, lastHash=UNKNOWN)
    refused(a.rpc("retrieve", p), 400, starts=INVALID, mentions="Cannot specify both")
    assert a.rpc("retrieve", alice.retrieve(last_hash=UNKNOWN, lastHash=None)).status == 200


def test_both_ttl_and_expiry(a, alice):
    """storage-rpc §4 store: exactly one; null counts as absent, 0 does not."""
    e = now() + DAY
    for both in ({"ttl": DAY, "expiry": e}, {"ttl": 0, "expiry": e}, {"ttl": str(DAY), "expiry": e}):
        p = {**alice.store(b"x", ttl=None), **both}
        refused(a.rpc("store", p), 400, starts=INVALID, mentions="Cannot specify both")
    assert a.rpc("store", {**alice.store(b"x", ttl=None), "ttl": None, "expiry": e}).status == 200


@pytest.mark.parametrize("method", [m for m in METHODS if m not in {"store", "retrieve"}])
def test_pubkey_alias_is_not_everywhere(a, alice, method):
    """storage-rpc §2: pubKey only in store, retrieve and get_swarm."""
    p = params_of(method, alice)
    p["pubKey"] = p.pop("pubkey")
    refused(a.rpc(method, p), 400, "invalid request: Required field 'pubkey' missing")


# ---- keys


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "bad", ["", "05", "0x" + "0" * 64, "05" + "g" * 64, "05" * 34, "5" * 65, " " + "5" * 65, 5, [], {}, True, "é" * 66]
)
def test_malformed_pubkeys(a, alice, method, bad):
    """storage-rpc §2: 66 hex digits."""
    refused(a.rpc(method, {**params_of(method, alice), "pubkey": bad}), 400, starts=INVALID)


@pytest.mark.parametrize("method", METHODS)
def test_upper_case_hex(net, a, alice, method):
    """storage-rpc §2/§4: hex of any case; signed and hashed is what it means."""
    p = params_of(method, alice)
    p["pubkey"] = p["pubkey"].upper()
    p["pubkey_ed25519"] = p["pubkey_ed25519"].upper()
    assert a.rpc(method, p).status == 200


@pytest.mark.parametrize("method", [m for m in METHODS if m != "store"])
def test_64_digits_everywhere(net, a, alice, method):
    """storage-rpc §2: testnet takes 64 hex digits for 05 in every method."""
    r = a.rpc(method, {**params_of(method, alice), "pubkey": alice.id[2:]})
    assert r.status == (200 if net.testnet else 400), r


@pytest.mark.parametrize("method", METHODS)
def test_ed25519_key_beside_a_group(a, group, method):
    """storage-rpc §2, CORRECTIONS: 400 with an account of another prefix, where authentication takes place."""
    p = {**params_of(method, group), "pubkey_ed25519": group.ed.hex()}
    refused(a.rpc(method, p), 400, starts=INVALID, mentions="pubkey_ed25519")


def test_ed25519_key_of_an_unsigned_store_is_ignored(a, group):
    """CORRECTIONS, storage-rpc §2: an unsigned store does not look at it."""
    assert a.rpc("store", group.store(b"x", pubkey_ed25519=group.ed.hex())).status == 200


@pytest.mark.parametrize("bad", ["", "zz" * 32, "0" * 63, "0" * 66, 5, [], "é" * 64])
@pytest.mark.parametrize("method", METHODS)
def test_malformed_ed25519_keys(a, alice, method, bad):
    """storage-rpc §2: 64 hex digits."""
    refused(
        a.rpc(method, {**params_of(method, alice), "pubkey_ed25519": bad}),
        400,
        starts=INVALID,
        mentions="pubkey_ed25519",
    )


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "ff" * 32, "ec" + "ff" * 30 + "7f", "02" + "00" * 31])
def test_ed25519_keys_that_are_no_points(a, alice, key):
    """storage-rpc §3: a key that does not convert to the account's is 401, whatever is wrong with it."""
    p = {**alice.retrieve(), "pubkey_ed25519": key}
    refused(a.rpc("retrieve", p), 401, "retrieve signature verification failed")


# ---- base64


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", b""),
        ("YQ==", b"a"),
        ("YQ", b"a"),
        ("YWI=", b"ab"),
        ("YWI", b"ab"),
        ("YWJj", b"abc"),
        ("YR==", b"a"),
        ("YR", b"a"),
        ("YWJ=", b"ab"),
        ("YWJ", b"ab"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("//", b"\xff"),
    ],
)
def test_data_base64(a, alice, text, want):
    """CORRECTIONS, storage-rpc §2 base64: padding all or nothing, spare bits of any value."""
    assert a.ok("store", {**alice.store(b""), "data": text})["hash"] == alice.hash(want)
    assert data(a, alice) == [want]


@pytest.mark.parametrize(
    "bad",
    [
        "YQ=",
        "YQ===",
        "YWI==",
        "YWJj=",
        "YWJj==",
        "=",
        "==",
        "====",
        "Y",
        "YWJjY",
        "Y===",
        "YQ==YQ==",
        "YQ==Y",
        "=YQ=",
        "Y=Q=",
        " YQ==",
        "YQ== ",
        "YQ\n==",
        "YQ==\n",
        "Y\tQ==",
        "-_-_",
        "YWJj.",
        "YWJjé",
        "YQ\x00=",
        True,
        {},
        ["YQ=="],
    ],
)
def test_data_not_base64_more(a, alice, bad):
    """CORRECTIONS, storage-rpc §2 base64: half padding, blanks, line breaks and the URL alphabet are refused."""
    refused(a.rpc("store", {**alice.store(b""), "data": bad}), 400, starts=INVALID, mentions="'data'")


@pytest.mark.parametrize("form", [lambda s: s, lambda s: s.rstrip("=")])
def test_signature_base64(a, alice, form):
    """storage-rpc §2: 86 or 88 characters."""
    p = alice.retrieve()
    assert a.rpc("retrieve", {**p, "signature": form(p["signature"])}).status == 200


def test_signature_spare_bits(a, alice):
    """CORRECTIONS, storage-rpc §2 base64: non-zero spare bits are accepted."""
    p = alice.retrieve()
    last = p["signature"][85]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(last) | 5]
    for tail in ("", "=="):
        assert a.rpc("retrieve", {**p, "signature": p["signature"][:85] + other + tail}).status == 200


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "form",
    [
        lambda s: s[:87],
        lambda s: s[:85],
        lambda s: s[:84],
        lambda s: s[:86] + "=",
        lambda s: s[:86] + "===",
        lambda s: s[:86] + "AA",
        lambda s: s[:86] + "A=",
        lambda s: " " + s[:85],
        lambda s: s[:84] + "-_",
        lambda s: "=" * 88,
        lambda s: "",
        lambda s: s[:84] + "==",
        lambda s: "é" + s[1:],
        lambda s: 5,
        lambda s: [s],
    ],
)
def test_malformed_signatures(a, alice, method, form):
    """storage-rpc §2: anything that is not 64 bytes in 86 or 88 characters is 400."""
    p = params_of(method, alice)
    refused(a.rpc(method, {**p, "signature": form(p["signature"])}), 400, starts=INVALID, mentions="signature")


def test_malformed_signature_of_a_public_store(a, alice):
    """storage-rpc §2/§3: where anyone may store a signature is not checked, yet it must be one."""
    refused(a.rpc("store", alice.store(b"x", signature="abc")), 400, starts=INVALID, mentions="signature")
    assert a.rpc("store", alice.store(b"x", signature=BAD_SIG)).status == 200


# ---- sizes and namespaces


@pytest.mark.parametrize("size", [76_799, 76_800])
@pytest.mark.parametrize("strip", [False, True])
def test_size_bound(a, alice, size, strip):
    """storage-rpc §4 store: up to 76,800 bytes, padded or not."""
    p = alice.store(os.urandom(size))
    if strip:
        p["data"] = p["data"].rstrip("=")
    assert a.rpc("store", p).status == 200


@pytest.mark.parametrize("size", [76_801, 76_802, 76_803, 100_000, 1_000_000])
def test_size_over_bound(a, alice, size):
    """storage-rpc §4 store."""
    refused(a.rpc("store", alice.store(bytes(size))), 400, starts=INVALID, mentions="76800")


@pytest.mark.parametrize("ns", [32767, -32768, 0, 1, -1, 10, -10])
def test_namespace_bounds_everywhere(a, alice, ns):
    """storage-rpc §2: −32768…32767 in all methods that have a namespace."""
    h = store(a, alice, b"x", ns=ns, sign=True)
    assert hashes(a, alice, ns=ns) == [h]
    assert a.ok("expire_all", alice.expire_all(now() + 3_600_000, ns=ns))["swarm"][a.ed]["updated"] == [h]
    assert a.ok("delete_before", alice.delete_before(now(), ns=ns))["swarm"][a.ed]["deleted"] == [h]
    assert a.ok("delete_all", alice.delete_all(ns=ns))["swarm"][a.ed]["deleted"] == []


@pytest.mark.parametrize(
    "ns", [32768, -32769, 2**31, 2**32, 2**63, 2**64, -(2**63), 5.0, "5", "", "All", "ALL", [], [5], {}, True]
)
@pytest.mark.parametrize("method", ["store", "retrieve", "delete_all", "delete_before", "expire_all"])
def test_bad_namespaces_everywhere(a, alice, method, ns):
    """storage-rpc §2: 16-bit integers (or, in some, "all")."""
    r = a.rpc(method, {**params_of(method, alice), "namespace": ns})
    refused(r, 400, starts=INVALID, mentions="namespace")


@pytest.mark.parametrize("method", ["store", "retrieve"])
def test_all_is_no_namespace_here(a, alice, method):
    """storage-rpc §4: "all" is for delete_all, delete_before and expire_all."""
    r = a.rpc(method, {**params_of(method, alice), "namespace": "all"})
    refused(r, 400, starts=INVALID, mentions="namespace")


# ---- authentication


@pytest.mark.parametrize("ns", [1, 2, 3, 4, 5, 11, 14, -2, -11, -1, -21, 32767, -32768])
def test_unsigned_private_store_text(a, group, ns):
    """CORRECTIONS, §3 texts."""
    refused(a.rpc("store", group.store(b"x", ns=ns)), 401, f"store: signature required to store to namespace {ns}")


def test_unsigned_store_ignores_half_an_authentication(a, alice):
    """CORRECTIONS, storage-rpc §2/§3: without a signature nothing of it is looked at."""
    extra = {"pubkey_ed25519": "zz", "subaccount": 5, "subaccount_sig": "x"}
    r = a.rpc("store", alice.store(b"x", **extra))
    assert r.status in (200, 400), r
    refused(a.rpc("store", alice.store(b"x", ns=5, pubkey_ed25519=alice.ed.hex())), 401, mentions="signature required")


def test_signature_of_store_covers(a, alice):
    """storage-rpc §3: NS and sig_timestamp, not the data."""
    ts = now()
    p = alice.store(b"x", ns=5, sign=True, ts=ts)
    text = "store signature verification failed"
    refused(a.rpc("store", {**p, "namespace": 6}), 401, text)
    refused(a.rpc("store", {**p, "sig_timestamp": ts + 1}), 401, text)
    refused(a.rpc("store", {**p, "timestamp": ts + 1}), 401, text)
    assert a.rpc("store", {**p, "timestamp": ts + 1, "sig_timestamp": ts, "data": b64(b"other")}).status == 200


@pytest.mark.parametrize("prefix", ["00", "03", "15", "25", "ff"])
@pytest.mark.parametrize("method", METHODS)
def test_other_prefixes(net, a, method, prefix):
    """storage-rpc §2: every prefix but 05 is an Ed25519 key."""
    assert a.rpc(method, params_of(method, account_in(net, net.main, prefix))).status == 200


@pytest.mark.parametrize("method", METHODS)
def test_nobody_else_may(net, a, alice, method):
    """storage-rpc §3: another account's signature."""
    eve = account_in(net, net.main)
    eve.id = alice.id
    text = {"delete": "delete_msgs signature verification failed", "expire": "expire: signature verification failed"}
    r = a.rpc(method, params_of(method, eve))
    refused(r, 401, text.get(method, f"{method} signature verification failed"))


@pytest.mark.parametrize("method", METHODS)
def test_signature_with_a_large_scalar(a, alice, method):
    """storage-rpc §3: Ed25519 signatures have one form only."""
    import base64

    p = params_of(method, alice)
    sig = base64.b64decode(p["signature"])
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(sig[32:], "little") + order
    assert a.rpc(method, {**p, "signature": b64(sig[:32] + s.to_bytes(32, "little"))}).status == 401


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", ["", None])
def test_empty_subaccount_is_absent(a, group, method, value):
    """CORRECTIONS, storage-rpc §2: the empty string counts as absent, so the owner's signature is good."""
    assert a.rpc(method, {**params_of(method, group), "subaccount": value}).status == 200
    s = group.subaccount(READ | WRITE | DELETE)
    r = a.rpc(method, {**params_of(method, s), "subaccount": value})
    assert r.status == 401, r


@pytest.mark.parametrize("method", METHODS)
def test_wrong_swarm_everywhere(net, stranger, alice, method):
    """storage-rpc §4: 421 with the right swarm, before authentication."""
    r = stranger.rpc(method, {**params_of(method, alice), "signature": BAD_SIG})
    assert r.status == 421
    assert r.headers["Content-Type"] == "application/json"
    assert set(r.json) == {"snodes", "swarm", "t", "hf"}
    assert r.json["swarm"] == f"{net.main:x}"


@pytest.mark.parametrize("method", METHODS)
def test_parameters_before_the_swarm(stranger, alice, method):
    """storage-rpc §4: a malformed request is 400, whoever it is for."""
    refused(stranger.rpc(method, {**params_of(method, alice), "signature": "x"}), 400, starts=INVALID)

"""Subscriptions beyond the public suite: every error, lists, renewals, forms of the push."""

import time

import pytest
from sntest import bt
from sntest.helpers import store
from sntest.keys import ANY_PREFIX, DAY, READ, WRITE, account_in, now
from sntest.monitor import OK, ask, monitor
from sntest.omq import Omq, Timeout

pytestmark = pytest.mark.omq


@pytest.fixture
def c(a):
    with Omq(a) as c:
        yield c


def quiet(c, secs=0.7):
    with pytest.raises(Timeout):
        c.notification(secs)


def changed(d, change):
    return {k: v for k, v in {**d, **change}.items() if v is not None}


def code(c, req):
    r = monitor(c, req)
    assert r[b"error"]
    return r[b"errcode"]


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"n": [0, -1]}, 3),
        ({"n": [1, 1]}, 3),
        ({"n": [-1, 0, 0]}, 3),
        ({"n": [5, 4, 6]}, 3),
        ({"n": []}, 1),
        ({"n": None}, 1),
        ({"n": 0}, 1),
        ({"n": "0"}, 1),
        ({"n": ["0"]}, 1),
        ({"n": [[0]]}, 1),
        ({"n": {"a": 0}}, 1),
        ({"n": [32768]}, 1),
        ({"n": [-32769]}, 1),
        ({"n": [0, 2**40]}, 1),
        ({"t": None}, 1),
        ({"t": "x"}, 1),
        ({"t": []}, 1),
        ({"t": 0}, 4),
        ({"t": int(time.time() * 1000)}, 4),
        ({"s": None}, 1),
        ({"s": b""}, 5),
        ({"s": bytes(63)}, 5),
        ({"s": bytes(65)}, 5),
        ({"s": bytes(64)}, 5),
        ({"P": None}, 1),
        ({"P": b""}, 2),
        ({"P": bytes(31)}, 2),
        ({"P": bytes(33)}, 2),
        ({"p": b"\x03" + bytes(32)}, 1),
        ({"p": b""}, 1),
    ],
)
def test_errcodes(c, alice, change, want):
    """CORRECTIONS, §6 errcodes."""
    assert code(c, changed(ask(alice), change)) == want


@pytest.mark.parametrize(
    ("change", "want"),
    [({"p": None}, 1), ({"p": bytes(32)}, 2), ({"p": bytes(34)}, 2), ({"p": b""}, 2), ({"s": bytes(64)}, 5)],
)
def test_errcodes_of_groups(c, group, change, want):
    """CORRECTIONS, §6 errcodes: the same for `p`."""
    assert code(c, changed(ask(group), change)) == want


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"{}"],
        [b"x"],
        [b"d"],
        [b"i5e"],
        [b"3:abc"],
        [b"li5ee"],
        [b"lde"],
        [b"l1:xe"],
        [b"lde1:xe"],
        [b"\xff"],
    ],
)
def test_malformed_requests(c, parts):
    """CORRECTIONS, §6 errcodes: malformed requests get one dict even if a list was meant."""
    [r] = c.request("monitor.messages", *parts)
    r = bt.decode(r)
    assert isinstance(r, dict)
    assert r[b"errcode"] == 1
    assert r[b"error"]


def test_empty_dict(c):
    """CORRECTIONS, §6 errcodes."""
    [r] = c.request("monitor.messages", b"de")
    assert bt.decode(r)[b"errcode"] == 1


def test_empty_list(c):
    """CORRECTIONS, §6 reply: an empty list gives `le`."""
    assert c.request("monitor.messages", b"le") == [b"le"]


@pytest.mark.parametrize("n", [1, 2, 25])
def test_lists(net, c, a, n):
    """CORRECTIONS, §6 reply: a list of dicts, one each, also for a list of one."""
    accts = [account_in(net, net.main, "05" if i % 2 else "03") for i in range(n)]
    assert monitor(c, [ask(x) for x in accts]) == [OK] * n
    want = {store(a, x, b"hello").encode() for x in (accts[0], accts[-1])}
    assert {bt.decode(c.notification()[1])[b"h"] for _ in want} == want


def test_list_with_errors(c, b, alice):
    """CORRECTIONS, §6 reply: failures stand in their places and hinder no others."""
    good = ask(alice)
    r = monitor(c, [changed(good, {"n": [0, 0]}), changed(good, {"t": 0}), {}, changed(good, {"P": b"x"}), good])
    assert [x.get(b"errcode") for x in r] == [3, 4, 1, 2, None]
    assert r[4] == OK
    store(b, alice, b"x")
    c.notification()


def test_d_zero_is_accepted(c, b, alice):
    """CORRECTIONS, §6: d=0 is accepted and means no data."""
    d = ask(alice)
    assert monitor(c, {**d, "d": 0}) == OK
    store(b, alice, b"x")
    assert b"~" not in bt.decode(c.notification()[1])


def test_renewal_merges_namespaces_and_keeps_data(c, b, alice):
    """storage-rpc §6: renewals merge namespaces and keep `d`."""
    assert monitor(c, ask(alice, ns=(5,), want_data=True)) == OK
    assert monitor(c, ask(alice, ns=(0, 7))) == OK
    for ns in (5, 0, 7):
        h = store(b, alice, b"x", ns=ns)
        m = bt.decode(c.notification()[1])
        assert (m[b"h"].decode(), m[b"n"], m[b"~"]) == (h, ns, b"x")
    store(b, alice, b"y", ns=6)
    quiet(c)


def test_renewal_is_pushed_once(c, b, alice):
    """storage-rpc §6: asking twice does not push twice."""
    for _ in range(3):
        assert monitor(c, ask(alice)) == OK
    store(b, alice, b"x")
    c.notification()
    quiet(c)


def test_several_connections(a, b, alice):
    """storage-rpc §6: per connection."""
    with Omq(a) as x, Omq(a) as y, Omq(b) as z:
        assert monitor(x, ask(alice)) == monitor(y, ask(alice, want_data=True)) == monitor(z, ask(alice)) == OK
        h = store(b, alice, b"x").encode()
        got = [bt.decode(k.notification()[1]) for k in (x, y, z)]
        assert [m[b"h"] for m in got] == [h] * 3
        assert [b"~" in m for m in got] == [False, True, False]


def test_a_closed_connection_harms_nobody(a, b, alice):
    """storage-rpc §6: subscribers come and go."""
    with Omq(a) as x:
        assert monitor(x, ask(alice)) == OK
    with Omq(a) as y:
        assert monitor(y, ask(alice)) == OK
        h = store(b, alice, b"x").encode()
        assert bt.decode(y.notification()[1])[b"h"] == h


@pytest.mark.parametrize("ns", [0, 5, -1, -10, -11, 32767, -32768])
@pytest.mark.parametrize("prefix", ["05", "03"])
def test_push_of_every_namespace(net, c, b, prefix, ns):
    """storage-rpc §6: n."""
    acct = account_in(net, net.main, prefix)
    assert monitor(c, ask(acct, ns=(ns,), want_data=True)) == OK
    ts = now()
    h = store(b, acct, b"\0\xff", ns=ns, ts=ts, sign=True)
    cmd, body = c.notification()
    assert cmd == b"notify.message"
    assert bt.decode(body) == {b"@": acct.pub, b"h": h.encode(), b"n": ns, b"t": ts, b"z": ts + DAY, b"~": b"\0\xff"}


def test_many_namespaces(c, b, alice):
    """CORRECTIONS, §6: ascending negatives before positives, many of them."""
    ns = tuple(range(-50, 50))
    assert monitor(c, ask(alice, ns=ns)) == OK
    h = store(b, alice, b"x", ns=-37)
    assert bt.decode(c.notification()[1])[b"h"].decode() == h


def test_empty_data_is_pushed(c, b, alice):
    """storage-rpc §6: ~ is there even if empty."""
    assert monitor(c, ask(alice, want_data=True)) == OK
    store(b, alice, b"")
    assert bt.decode(c.notification()[1])[b"~"] == b""


def test_largest_data_is_pushed(c, b, alice):
    """storage-rpc §6."""
    assert monitor(c, ask(alice, want_data=True)) == OK
    store(b, alice, b"z" * 76_800)
    assert bt.decode(c.notification()[1])[b"~"] == b"z" * 76_800


def test_nothing_for_refused_subscriptions(c, b, alice):
    """storage-rpc §6."""
    assert code(c, changed(ask(alice), {"s": bytes(64)})) == 5
    store(b, alice, b"x")
    quiet(c)


@pytest.mark.parametrize(
    ("flags", "prefix", "want"),
    [
        (READ, None, None),
        (WRITE, None, 5),
        (0, None, 5),
        (READ, "05", 5),
        (READ | ANY_PREFIX, "05", None),
        (ANY_PREFIX, "05", 5),
    ],
)
def test_subaccounts(c, group, flags, prefix, want):
    """storage-rpc §6: S and T; the Read bit; the prefix."""
    r = monitor(c, ask(group, ns=(11,), sub=group.subaccount(flags, prefix=prefix)))
    assert r.get(b"errcode") == want
    assert want or r == OK


@pytest.mark.parametrize(
    "change", [{"S": None}, {"T": None}, {"S": b"x"}, {"T": b"x"}, {"T": bytes(36)}, {"S": bytes(64)}]
)
def test_malformed_subaccounts(c, group, change):
    """storage-rpc §6: never accepted."""
    r = monitor(c, changed(ask(group, ns=(11,), sub=group.subaccount(READ)), change))
    assert r[b"errcode"] in (1, 5)


def test_subaccount_of_a_session_id(c, b, alice):
    """storage-rpc §6: P with S and T."""
    assert monitor(c, ask(alice, sub=alice.subaccount(READ))) == OK
    h = store(b, alice, b"x")
    assert bt.decode(c.notification()[1])[b"h"].decode() == h


def test_signature_covers_the_account(c, net, alice):
    """storage-rpc §6."""
    other = account_in(net, net.main)
    assert code(c, {**ask(alice), "P": other.ed}) == 5


@pytest.mark.parametrize(
    ("delta", "want"),
    [
        (-13 * 86_400 - 86_000, None),
        (-14 * 86_400 - 100, 4),
        (86_000, None),
        (86_400 + 100, 4),
        (-(2**40), 4),
        (2**40, 4),
    ],
)
def test_time_limits(c, alice, delta, want):
    """storage-rpc §6: −14 d … +1 d in seconds."""
    t = int(time.time()) + delta
    r = monitor(c, ask(alice, t=t))
    assert r.get(b"errcode") == want


def test_unknown_keys(c, alice):
    """storage-rpc §2: unknown keys are ignored."""
    assert monitor(c, {**ask(alice), "zz": 1, "A": []}) == OK


def test_pushes_for_other_kinds_of_requests(c, b, alice):
    """storage-rpc §6: only new stores: no push for deletion, expiry, or storing again."""
    h = store(b, alice, b"x")
    assert monitor(c, ask(alice)) == OK
    b.ok("expire", alice.expire([h], now() + 2 * DAY))
    store(b, alice, b"x")
    b.ok("delete", alice.delete([h]))
    quiet(c)
    store(b, alice, b"x")
    assert bt.decode(c.notification()[1])[b"h"].decode() == h

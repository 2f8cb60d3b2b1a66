"""Subscriptions: storage-rpc.md §6 and its corrections."""

import asyncio
from collections import Counter

import pytest

from ramson.node import monitor as module
from ramson.node.mailbox import MailboxError, NewMessage
from ramson.node.monitor import Monitor
from ramson.protocol import bt
from ramson.protocol.storage import RevokeSubaccount
from ramson.world import Origin

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = {b"success": 1}
CONNECTION, OTHER = Origin(b"k" * 32, "one"), Origin(b"k" * 32, "two")
DAY = 86_400


def wish(network, account, namespaces=(0,), *, data=False, at=None, signer=None, **changes):
    """Make the subscription dict; `signer` is a subaccount."""
    at = network.now // 1000 if at is None else at
    listed = ",".join(map(str, namespaces))
    signed = f"MONITOR{account.id}{at}{int(data)}{listed}".encode()
    document = {"n": list(namespaces), "t": at, "s": (signer or account).pair.sign(signed)}
    document |= {"p": account.raw} if account.ed25519 is None else {"P": account.ed25519}
    if data:
        document["d"] = 1
    if signer:
        document |= {"S": signer.signature, "T": signer.token}
    return {key: value for key, value in {**document, **changes}.items() if value is not None}


def ask(network, document, origin=CONNECTION):
    """Subscribe at the first member; return the decoded reply."""
    [reply] = network.home[0].monitor.subscribe(origin, [bt.encode(document)])
    return bt.decode(reply)


def heard(network):
    """What was pushed since the last time: (connection, decoded notice)."""
    pushed, network.home[0].pushed[:] = list(network.home[0].pushed), []
    assert all(name == "notify.message" and len(parts) == 1 for _, name, parts in pushed)
    return [(origin, bt.decode(parts[0])) for origin, _, parts in pushed]


@pytest.mark.parametrize("kind", ["person", "group"])
async def test_new_messages_are_pushed_wherever_they_were_stored(network, kind):
    account = getattr(network, kind)()
    assert ask(network, wish(network, account)) == OK
    for member in range(3):
        name = await network.store(account, b"%d" % member, member=member)
        assert heard(network) == [
            (
                CONNECTION,
                {
                    b"@": account.raw,
                    b"h": name.encode(),
                    b"n": 0,
                    b"t": network.now,
                    b"z": network.now + 86_400_000,
                },
            )
        ]


async def test_data_comes_on_request_only(network, alice):
    ask(network, wish(network, alice, data=True))
    ask(network, wish(network, alice), OTHER)
    await network.store(alice, b"data")
    notices = dict(heard(network))
    assert notices[CONNECTION][b"~"] == b"data"
    assert b"~" not in notices[OTHER]


async def test_only_the_namespaces_asked_for_and_no_duplicates(network, alice):
    ask(network, wish(network, alice, (-1, 0, 5)))
    for namespace in (2, 5, -1, 5):
        await network.store(alice, b"x", namespace)
    assert [notice[b"n"] for _, notice in heard(network)] == [5, -1]


async def test_asking_again_merges_and_renews(network, alice):
    ask(network, wish(network, alice, (0,), data=True))
    network.clock.time += 64 * 60_000
    ask(network, wish(network, alice, (5,)))
    network.clock.time += 64 * 60_000
    await network.store(alice)
    await network.store(alice, namespace=5)
    assert [notice[b"~"] for _, notice in heard(network)] == [b"hello", b"hello"]
    network.clock.time += 2 * 60_000
    await network.store(alice, b"too late")
    assert heard(network) == []


async def test_subscriptions_end_and_are_swept(network, alice):
    monitor = network.home[0].monitor
    ask(network, wish(network, alice))
    network.clock.time += 65 * 60_000
    assert monitor.sweep() == 0
    network.clock.time += 1
    assert monitor.sweep() == 1
    assert len(monitor) == 0


async def test_a_renewal_after_the_end_starts_anew(network, alice):
    ask(network, wish(network, alice, (0, 5), data=True))
    network.clock.time += 66 * 60_000
    ask(network, wish(network, alice, (7,)))
    await network.store(alice)
    assert heard(network) == []


async def test_a_gone_connection_is_forgotten(network, alice, group):
    monitor = network.home[0].monitor
    ask(network, [wish(network, alice), wish(network, group, (11,))])
    ask(network, wish(network, alice), OTHER)
    monitor._push = lambda origin, *_: origin is not CONNECTION
    await network.store(alice)
    assert len(monitor) == 1
    monitor.drop(OTHER)
    monitor.drop(OTHER)
    assert len(monitor) == 0


async def test_lists_are_answered_with_lists(network, alice, group):
    bad = wish(network, alice, s=bytes(64))
    first, second, third = ask(network, [wish(network, alice), bad, wish(network, group, (11,))])
    assert (first, second[b"errcode"], third) == (OK, 5, OK)
    assert ask(network, []) == []


async def test_long_lists_are_answered_in_slices(network, alice):
    wanted = [wish(network, alice, (namespace,)) for namespace in range(45)]
    [reply] = await network.home[0].monitor.subscribe(CONNECTION, [bt.encode(wanted)])
    assert bt.decode(reply) == [OK] * 45
    assert len(network.home[0].monitor) == 1


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"s": bytes(64)}, 5),
        ({"s": b"short"}, 5),
        ({"s": None}, 1),
        ({"s": 5}, 1),
        ({"n": None}, 1),
        ({"n": []}, 1),
        ({"n": [b"x"]}, 1),
        ({"n": [40_000]}, 1),
        ({"n": [5, 0]}, 3),
        ({"n": [0, 0]}, 3),
        ({"t": None}, 1),
        ({"t": "x"}, 1),
        ({"d": 2}, 1),
        ({"d": "x"}, 1),
        ({"P": b"short"}, 2),
        ({"P": b"\xff" * 32}, 2),
        ({"P": 5}, 1),
        ({"P": None}, 1),
        ({"p": b"\x05" * 33}, 1),
        ({"P": None, "p": b"short"}, 2),
        ({"P": None, "p": b"\x05" * 33}, 2),
        ({"T": bytes(36)}, 1),
        ({"T": bytes(36), "S": bytes(64)}, 5),
        ({"T": bytes(35), "S": bytes(64)}, 5),
        ({"zz": [[1]]}, None),
        ({"d": 0}, None),
    ],
)
async def test_refusals(network, alice, change, errcode):
    reply = ask(network, wish(network, alice, **change))
    if errcode is None:
        assert reply == OK
    else:
        assert reply[b"errcode"] == errcode
        assert reply[b"error"]
    assert len(network.home[0].monitor) == (errcode is None)


@pytest.mark.parametrize("parts", [[], [b"de", b"de"], [b""], [b"i5e"], [b"xx"], [b"ld"], [b"lded2:xx"], [b"li5ee"]])
async def test_malformed_requests_get_one_dict(network, parts):
    [reply] = network.home[0].monitor.subscribe(CONNECTION, parts)
    assert bt.decode(reply)[b"errcode"] == 1


@pytest.mark.parametrize(
    ("off", "fine"), [(-14 * DAY, True), (-14 * DAY - 1, False), (DAY, True), (DAY + 1, False), (2**62, False)]
)
async def test_age_of_the_signature(network, alice, off, fine):
    reply = ask(network, wish(network, alice, at=network.now // 1000 + off))
    assert reply == OK if fine else reply[b"errcode"] == 4


async def test_everything_is_signed(network, alice):
    document = wish(network, alice, (0, 5))
    for change in ({"n": [0]}, {"t": document["t"] - 1}, {"d": 1}):
        assert ask(network, {**document, **change})[b"errcode"] == 5


async def test_accounts_of_other_swarms_are_refused(network):
    foreigner = network.person(0x8000_0000_0000_0000)
    assert ask(network, wish(network, foreigner))[b"errcode"] == 6


async def test_tokens_need_the_read_right(network, group):
    assert ask(network, wish(network, group, (11,), signer=group.token(1))) == OK
    assert ask(network, wish(network, group, (11,), signer=group.token(2)))[b"errcode"] == 5
    assert ask(network, wish(network, group, (11,), signer=group.token(1, prefix=5)))[b"errcode"] == 5


async def test_two_signers_of_one_connection_hear_once(network, group):
    ask(network, wish(network, group, (11,), signer=group.token(1)))
    ask(network, wish(network, group, (11,), data=True))
    await network.store(group, namespace=11)
    [(_, notice)] = heard(network)
    assert notice[b"~"] == b"hello"


async def test_revoked_tokens_hear_nothing(network, group):
    token = group.token(1)
    ask(network, wish(network, group, (11,), signer=token))
    await network.ok(group.sign(RevokeSubaccount(account=group.raw, tokens=(token.token,), timestamp=network.now)))
    await network.store(group, namespace=11)
    assert heard(network) == []
    assert len(network.home[0].monitor) == 0
    assert ask(network, wish(network, group, (11,), signer=token))[b"errcode"] == 5
    assert ask(network, wish(network, group, (-11,), signer=token)) == OK
    await network.store(group, namespace=-11)
    assert [notice[b"n"] for _, notice in heard(network)] == [-11]


async def test_bounds(network, alice, group, monkeypatch):
    monkeypatch.setattr(module, "MAX_PER_CONNECTION", 1)
    assert ask(network, wish(network, alice)) == OK
    assert ask(network, wish(network, group))[b"errcode"] == 1
    assert ask(network, wish(network, alice, (5,))) == OK
    monkeypatch.setattr(module, "MAX_SUBSCRIPTIONS", 1)
    assert ask(network, wish(network, alice), OTHER)[b"errcode"] == 1
    network.clock.time += 66 * 60_000
    assert ask(network, wish(network, alice), OTHER) == OK


# ---- floods


def crowd(network, count):
    """Accounts of this node's swarm that nobody has seen."""
    return [network.group() for _ in range(count)]


async def test_an_address_has_a_bound_of_its_own_over_all_its_connections(network, monkeypatch):
    monkeypatch.setattr(module, "MAX_PER_CALLER", 3)
    connections = [Origin(b"k" * 32, f"route {n}", "192.0.2.1") for n in range(4)]
    accounts = crowd(network, 4)
    answers = [ask(network, wish(network, account), at) for account, at in zip(accounts, connections, strict=True)]
    assert [answer.get(b"errcode") for answer in answers] == [None, None, None, 1]
    assert ask(network, wish(network, accounts[3]), Origin(b"k" * 32, "r", "192.0.2.2")) == OK
    network.home[0].monitor.drop(connections[0])
    assert ask(network, wish(network, accounts[3]), connections[3]) == OK


async def test_an_account_is_watched_by_so_many(network, alice, group, monkeypatch):
    """Each new message is told to all of them."""
    monkeypatch.setattr(module, "MAX_PER_ACCOUNT", 2)
    origins = [Origin(b"k" * 32, f"route {n}") for n in range(3)]
    assert [ask(network, wish(network, alice), at).get(b"errcode") for at in origins] == [None, None, 1]
    assert ask(network, wish(network, group), origins[2]) == OK
    assert ask(network, wish(network, alice), origins[0]) == OK  # a renewal is none more


async def test_namespaces_are_bounded_for_one_and_for_all(network, alice, group, monkeypatch):
    monkeypatch.setattr(module, "MAX_NAMESPACES_IN_ALL", 300)
    assert ask(network, wish(network, alice, tuple(range(257))))[b"errcode"] == 1
    assert ask(network, wish(network, alice, tuple(range(256)))) == OK
    assert ask(network, wish(network, alice, tuple(range(10, 20)))) == OK
    assert ask(network, wish(network, alice, (500,)))[b"errcode"] == 1  # merged they are too many
    assert ask(network, wish(network, group, tuple(range(45))))[b"errcode"] == 1
    assert ask(network, wish(network, group, tuple(range(44)))) == OK
    network.clock.time += 66 * 60_000
    assert ask(network, wish(network, group, tuple(range(200)))) == OK  # what has run out takes no room


async def test_a_full_house_is_not_swept_for_every_request(network, monkeypatch):
    monkeypatch.setattr(module, "MAX_SUBSCRIPTIONS", 1)
    monitor, sweeps = network.home[0].monitor, []
    real = monitor.sweep
    monkeypatch.setattr(monitor, "sweep", lambda: sweeps.append(1) or real())
    accounts = crowd(network, 30)
    assert [ask(network, wish(network, account)).get(b"errcode") for account in accounts] == [None] + [1] * 29
    assert len(sweeps) == 1
    network.clock.time += 11_000
    ask(network, wish(network, accounts[1]))
    assert len(sweeps) == 2


async def test_many_long_lists_leave_the_loop_to_others(network, alice, monkeypatch):
    checked, turns = [], [0]
    monkeypatch.setattr(module, "verify", lambda *_: checked.append(turns[0]) or False)
    part = [bt.encode([wish(network, alice)] * 200)]
    monitor = network.home[0].monitor
    origins = [Origin(b"k" * 32, "r", f"192.0.2.{n}") for n in range(10)]

    async def others():
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    lists = [asyncio.ensure_future(monitor.subscribe(origin, part)) for origin in origins for _ in range(2)]
    await asyncio.gather(*lists)
    task.cancel()
    assert len(checked) == 20 * 200
    assert max(Counter(checked).values()) <= 2 * 20  # a slice, or two when the lists and the others meet


async def test_lists_of_one_address_that_wait_are_few(network, alice):
    part = [bt.encode([wish(network, alice)] * 50)]
    monitor, greedy = network.home[0].monitor, Origin(b"k" * 32, "r", "192.0.2.1")
    waiting = [asyncio.ensure_future(monitor.subscribe(greedy, part)) for _ in range(4)]
    await asyncio.sleep(0)
    assert bt.decode(monitor.subscribe(greedy, part)[0])[b"errcode"] == 1
    [reply] = await monitor.subscribe(Origin(b"k" * 32, "r", "192.0.2.2"), part)
    assert bt.decode(reply) == [OK] * 50
    await asyncio.gather(*waiting)
    [reply] = await monitor.subscribe(greedy, part)
    assert bt.decode(reply) == [OK] * 50
    assert not monitor._lists


async def test_when_all_is_over_nothing_is_left(network):
    monitor = network.home[0].monitor
    for account in crowd(network, 5):
        ask(network, wish(network, account, (0, 1, 2)))
    network.clock.time += 66 * 60_000
    assert monitor.sweep() == 5
    assert (len(monitor), monitor._namespaces) == (0, 0)
    assert [len(kept) for kept in (monitor._by_account, monitor._by_origin, monitor._by_caller)] == [0, 0, 0]


async def test_an_unreadable_mailbox_counts_as_revoked(network, group):
    def broken(*_):
        raise MailboxError("no")

    token = group.token(1)
    monitor = Monitor(clock=network.clock, push=lambda *_: True, owns=lambda _: True, is_revoked=broken)
    [reply] = monitor.subscribe(CONNECTION, [bt.encode(wish(network, group, (11,), signer=token))])
    assert bt.decode(reply)[b"errcode"] == 5
    monitor.notify(NewMessage(group.raw, 11, "A" * 43, 1, 2, b""))

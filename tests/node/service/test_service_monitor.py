"""Subscriptions: storage-rpc.md §6 and its corrections."""

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


async def test_an_unreadable_mailbox_counts_as_revoked(network, group):
    def broken(*_):
        raise MailboxError("no")

    token = group.token(1)
    monitor = Monitor(clock=network.clock, push=lambda *_: True, owns=lambda _: True, is_revoked=broken)
    [reply] = monitor.subscribe(CONNECTION, [bt.encode(wish(network, group, (11,), signer=token))])
    assert bt.decode(reply)[b"errcode"] == 5
    monitor.notify(NewMessage(group.raw, 11, "A" * 43, 1, 2, b""))

"""delete…, expire… and (un)revoke_subaccount: storage-rpc.md §3–4 and their corrections."""

import base64

import pytest

from ramson.protocol.storage import (
    Delete,
    DeleteAll,
    DeleteBefore,
    Expire,
    ExpireAll,
    GetExpiries,
    RevokeSubaccount,
    UnrevokeSubaccount,
    verify_entry,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY, HOUR = 86_400_000, 3_600_000
UNKNOWN = "A" * 43


async def agreed(network, request, member=0):
    """Every member reports success, signed; return the report all of them agree on."""
    reply = await network.ok(request, member)
    assert set(reply.succeeded) == {member.pair.public for member in network.home}
    assert all(verify_entry(request, node, report) for node, report in reply.succeeded.items())
    entries = [report.entry for report in reply.succeeded.values()]
    assert all(entry == entries[0] for entry in entries)
    return entries[0]


async def expiries(network, account, *names, member=0):
    request = GetExpiries(account=account.raw, messages=names, timestamp=network.now)
    return (await network.ok(account.sign(request), member)).expiries


async def test_delete_by_hash(network, alice):
    names = [await network.store(alice, b"%d" % i, namespace) for i, namespace in enumerate((0, 5, -2))]
    entry = await agreed(network, alice.sign(Delete(account=alice.raw, messages=(names[2], UNKNOWN, names[0]))))
    assert entry.hashes == tuple(sorted((names[0], names[2])))
    assert await network.hashes(alice, member=2) == []
    assert await network.hashes(alice, 5, member=2) == [names[1]]


async def test_required_delete_is_404_with_the_ordinary_body(network, alice):
    request = alice.sign(Delete(account=alice.raw, messages=(UNKNOWN,), required=True))
    status, document = await network.ask(request)
    assert status == 404
    assert [entry["deleted"] for entry in document["swarm"].values()] == [[], [], []]
    code, body = await network.omq("delete", b"{}")
    assert (code, body) == (b"400", b"invalid request: Required field 'pubkey' missing")


async def test_required_delete_is_200_if_one_member_had_it(network, alice):
    name = await network.store(alice)
    await network.home[0].mailbox.delete(alice.raw, [name])
    request = alice.sign(Delete(account=alice.raw, messages=(name,), required=True))
    assert (await network.ask(request))[0] == 200


@pytest.mark.parametrize("make", ["delete_all", "delete_before"])
async def test_delete_of_one_namespace_and_of_all(network, alice, make):
    def request(namespace):
        if make == "delete_all":
            return DeleteAll(account=alice.raw, timestamp=network.now, namespace=namespace)
        return DeleteBefore(account=alice.raw, before=network.now, namespace=namespace)

    names = {namespace: await network.store(alice, b"x", namespace) for namespace in (0, 5, -2, 7)}
    assert (await agreed(network, alice.sign(request(5)))).hashes == (names[5],)
    assert (await agreed(network, alice.sign(request(5)))).hashes == ()
    assert (await agreed(network, alice.sign(request(None)), member=1)).hashes == {
        0: (names[0],),
        -2: (names[-2],),
        7: (names[7],),
    }
    assert (await agreed(network, alice.sign(request(None)))).hashes == {}


async def test_delete_before_takes_the_timestamp_itself(network, alice):
    names = [await network.store(alice, b"%d" % i, timestamp=network.now - 10 + i) for i in range(3)]
    entry = await agreed(network, alice.sign(DeleteBefore(account=alice.raw, before=network.now - 9)))
    assert entry.hashes == tuple(sorted(names[:2]))


async def test_expire_sets_all_known_messages(network, alice):
    names = [await network.store(alice, b"%d" % i) for i in range(2)]
    for expiry in (network.now + HOUR, network.now + 5 * DAY):
        entry = await agreed(
            network, alice.sign(Expire(account=alice.raw, messages=(*names, UNKNOWN), expiry=(expiry,)))
        )
        assert (entry.updated, entry.expiry, entry.unchanged) == (tuple(sorted(names)), expiry, None)
        assert await expiries(network, alice, *names, member=2) == dict.fromkeys(names, expiry)


async def test_expire_only_shortens_or_only_extends(network, alice):
    short, long = await network.store(alice, b"s", expiry=network.now + HOUR), await network.store(alice, b"l")
    middle = (network.now + 5 * HOUR,)
    both = {"account": alice.raw, "messages": (long, short), "expiry": middle}
    entry = await agreed(network, alice.sign(Expire(**both, shorten=True)))
    assert (entry.updated, entry.unchanged) == ((long,), {short: network.now + HOUR})
    entry = await agreed(network, alice.sign(Expire(**both, extend=True)))
    assert (entry.updated, entry.unchanged) == ((short,), {long: middle[0]})


async def test_expire_is_capped_to_30_days(network, alice):
    name = await network.store(alice)
    entry = await agreed(
        network, alice.sign(Expire(account=alice.raw, messages=(name,), expiry=(network.now + 90 * DAY,)))
    )
    assert entry.expiry == network.now + 30 * DAY


async def test_expire_list_follows_the_updated(network, alice):
    names = [await network.store(alice, b"%d" % i) for i in range(3)]
    wanted = {name: network.now + HOUR + i for i, name in enumerate(names)}
    request = Expire(account=alice.raw, messages=(*names, UNKNOWN), expiry=(*wanted.values(), network.now + DAY))
    entry = await agreed(network, alice.sign(request))
    assert entry.updated == tuple(sorted(names))
    assert entry.expiry == tuple(wanted[name] for name in sorted(names))


async def test_expire_list_of_one_is_a_scalar(network, alice):
    names = [await network.store(alice, b"%d" % i) for i in range(2)]
    request = alice.sign(Expire(account=alice.raw, messages=tuple(names), expiry=(network.now + HOUR,)))
    status, document = await network.post("expire", {**request.to_json_params(), "expiry": [network.now + HOUR]})
    assert status == 200
    assert {entry["expiry"] for entry in document["swarm"].values()} == {network.now + HOUR}


async def test_expire_lists_need_hardfork_19_4(network, alice):
    nodes = network.daemon.nodes
    network.daemon.nodes = type(nodes)(nodes.nodes, nodes.height, nodes.block_hash, (19, 3))
    two = Expire(account=alice.raw, messages=(UNKNOWN, UNKNOWN), expiry=(network.now, network.now))
    assert (await network.ask(alice.sign(two)))[0] == 403
    one = Expire(account=alice.raw, messages=(UNKNOWN,), expiry=(network.now,))
    assert (await network.ask(alice.sign(one)))[0] == 200


async def test_expire_all_only_lowers(network, alice):
    long, short = await network.store(alice, b"l"), await network.store(alice, b"s", expiry=network.now + HOUR)
    other = await network.store(alice, b"o", namespace=5)
    entry = await agreed(network, alice.sign(ExpireAll(account=alice.raw, expiry=network.now + 2 * HOUR)))
    assert entry.hashes == (long,)
    entry = await agreed(network, alice.sign(ExpireAll(account=alice.raw, expiry=network.now, namespace=None)))
    assert entry.hashes == {0: tuple(sorted((long, short))), 5: (other,)}


TIME_RULES = [
    (lambda a, t: DeleteAll(account=a, timestamp=t), (-60, 60), "delete_all timestamp too far from current time", 406),
    (lambda a, t: DeleteBefore(account=a, before=t), (None, 60), "delete_before timestamp too far in the future", 401),
    (lambda a, t: ExpireAll(account=a, expiry=t), (-60, None), "expire_all timestamp should be >= current time", 406),
    (
        lambda a, t: Expire(account=a, messages=(UNKNOWN,), expiry=(t,)),
        (-60, None),
        "expire: timestamp should be >= current time",
        401,
    ),
    (
        lambda a, t: RevokeSubaccount(account=a, tokens=(bytes(36),), timestamp=t),
        (-60, 60),
        "revoke_subaccount timestamp too far from current time",
        406,
    ),
    (
        lambda a, t: UnrevokeSubaccount(account=a, tokens=(bytes(36),), timestamp=t),
        (-60, 60),
        "unrevoke_subaccount timestamp too far from current time",
        406,
    ),
]


@pytest.mark.parametrize(("make", "window", "text", "status"), TIME_RULES)
async def test_time_rules(network, alice, make, window, text, status):
    for bound, beyond in zip(window, (-1, 1), strict=True):
        if bound is None:
            assert (await network.ask(alice.sign(make(alice.raw, network.now + beyond * 20 * DAY))))[0] == 200
        else:
            edge = network.now + bound * 1000
            assert (await network.ask(alice.sign(make(alice.raw, edge))))[0] == 200
            assert await network.ask(alice.sign(make(alice.raw, edge + beyond))) == (status, text)


async def test_one_late_expiry_of_a_list_refuses_it(network, alice):
    request = Expire(account=alice.raw, messages=(UNKNOWN, UNKNOWN), expiry=(network.now, network.now - 60_001))
    assert (await network.ask(alice.sign(request)))[0] == 401


# ---- subaccounts

READ, WRITE, DELETE, ANY = 1, 2, 4, 8


def uses(network, account):
    """Every method a token can be used for, and the right it takes."""
    now = network.now
    return [
        (WRITE, network.message(account, namespace=11)),
        (WRITE | DELETE, network.message(account, namespace=-1)),
        (WRITE, Expire(account=account.raw, messages=(UNKNOWN,), expiry=(now + DAY,))),
        (DELETE, Delete(account=account.raw, messages=(UNKNOWN,))),
        (DELETE, DeleteAll(account=account.raw, timestamp=now, namespace=12)),
        (DELETE, DeleteBefore(account=account.raw, before=now, namespace=12)),
        (DELETE, ExpireAll(account=account.raw, expiry=now, namespace=12)),
        (READ, GetExpiries(account=account.raw, messages=(UNKNOWN,), timestamp=now)),
    ]


@pytest.mark.parametrize("flags", range(8))
@pytest.mark.parametrize("kind", ["person", "group"])
async def test_flags(network, kind, flags):
    owner = getattr(network, kind)()
    token = owner.token(flags)
    for needed, request in uses(network, owner):
        status, answer = await network.ask(token.sign(request))
        if flags & needed == needed:
            assert status == 200, request
        else:
            assert (status, answer) == (401, request.method.signature_refusal)


@pytest.mark.parametrize(("flags", "status"), [(READ, 401), (READ | ANY, 200)])
async def test_tokens_of_another_prefix(network, group, flags, status):
    token = group.token(flags, prefix=5)
    request = GetExpiries(account=group.raw, messages=(UNKNOWN,), timestamp=network.now)
    assert (await network.ask(token.sign(request)))[0] == status


async def test_without_delete_expire_extends(network, group):
    name = await network.store(group, namespace=11)
    token = group.token(WRITE)

    def request(expiry, **mode):
        return Expire(account=group.raw, messages=(name,), expiry=(expiry,), **mode)

    entry = await agreed(network, token.sign(request(network.now + HOUR)))
    assert (entry.updated, entry.unchanged) == ((), {name: network.now + DAY})
    entry = await agreed(network, token.sign(request(network.now + 2 * DAY)))
    assert entry.updated == (name,)
    status, text = await network.ask(token.sign(request(network.now + HOUR, shorten=True)))
    assert status == 400
    assert text.startswith("expire: shorten")


async def test_revoked_tokens_fail_at_every_member_even_without_messages(network, group):
    token, other = group.token(7), group.token(7)
    await agreed(network, group.sign(RevokeSubaccount(account=group.raw, tokens=(token.token,), timestamp=network.now)))
    for member in range(3):
        for _, request in uses(network, group):
            assert (await network.ask(token.sign(request), member))[0] == 401
            assert (await network.ask(other.sign(request), member))[0] == 200


async def test_unrevoked_tokens_work_again_and_are_counted(network, group):
    token = group.token(READ)
    tokens = (token.token, group.token(READ).token)
    request = GetExpiries(account=group.raw, messages=(UNKNOWN,), timestamp=network.now)
    await network.ok(group.sign(RevokeSubaccount(account=group.raw, tokens=tokens[:1], timestamp=network.now)))
    assert (await network.ask(token.sign(request)))[0] == 401
    undo = group.sign(UnrevokeSubaccount(account=group.raw, tokens=tokens, timestamp=network.now))
    assert (await agreed(network, undo)).count == 1
    assert (await network.ask(token.sign(request)))[0] == 200
    assert (await agreed(network, undo)).count == 0


@pytest.mark.parametrize(
    ("namespace", "status"), [(-11, 200), (-111, 200), (-311, 200), (-12, 401), (-21, 401), (11, 401)]
)
async def test_revoked_tokens_still_read_where_they_are_told(network, group, namespace, status):
    token = group.token(READ)
    await network.ok(group.sign(RevokeSubaccount(account=group.raw, tokens=(token.token,), timestamp=network.now)))
    params = {"pubkey": group.id, "namespace": namespace, "timestamp": network.now}
    signature = token.pair.sign(f"retrieve{namespace}{network.now}".encode())
    auth = {"signature": signature, "subaccount": token.token, "subaccount_sig": token.signature}
    params |= {name: base64.b64encode(value).decode() for name, value in auth.items()}
    assert (await network.post("retrieve", params))[0] == status


async def test_subaccounts_may_not_revoke(network, group):
    token = group.token(15)
    for kind in (RevokeSubaccount, UnrevokeSubaccount):
        request = kind(account=group.raw, tokens=(group.token(1).token,), timestamp=network.now)
        assert await network.ask(token.sign(request)) == (401, kind.method.signature_refusal)


async def test_a_token_comes_with_its_signature(network, group):
    request = group.token(READ).sign(GetExpiries(account=group.raw, messages=(UNKNOWN,), timestamp=network.now))
    params = request.to_json_params()
    failed = (401, "get_expiries signature verification failed")
    del params["subaccount_sig"]
    assert await network.post("get_expiries", params) == (
        400,
        "invalid request: invalid subaccount: subaccount_sig is required when using subaccount",
    )
    assert await network.post("get_expiries", {**params, "subaccount_sig": "A" * 86}) == failed
    assert await network.post("get_expiries", {**params, "subaccount": ""}) == failed


async def test_nothing_to_revoke_is_refused(network, group):
    request = group.sign(RevokeSubaccount(account=group.raw, tokens=(), timestamp=network.now))
    status, text = await network.post("revoke_subaccount", {**request.to_json_params(), "revoke": []})
    assert status == 400
    assert "revoke" in text

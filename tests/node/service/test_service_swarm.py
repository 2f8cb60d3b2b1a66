"""Forwarding and the merging of what members report: storage-rpc.md §4, swarms.md §6 and their corrections."""

import asyncio

import pytest

from ramson.node.mailbox import MailboxFull
from ramson.protocol import bt
from ramson.protocol.storage import Delete, DeleteAll, Expire, ExpireAll, Failed, Info, Retrieve, StoreEntry
from ramson.world import PeerRefused, PeerTimeout

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400_000
UNKNOWN = "A" * 43


async def reported(network, answer, request=None):
    """What the contacted node says about a member that answers like this."""
    network.home[1].answers = answer
    status, document = await network.ask(request or network.message(network.person()))
    assert status == 200
    return document["swarm"][network.home[1].name]


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        (PeerTimeout("dead"), {"failed": True, "timeout": True}),
        (ZeroDivisionError(), {"failed": True, "reason": "internal error"}),
        (PeerRefused(b"FORBIDDEN_SN"), {"failed": True, "code": "FORBIDDEN_SN", "reason": "refused"}),
        ([b"401", b"no"], {"failed": True, "code": "401", "reason": "no"}),
        ([b"500", b"\xff"], {"failed": True, "code": "500", "reason": "\N{REPLACEMENT CHARACTER}"}),
        ([], {"failed": True, "bad_peer_response": True}),
        ([b"nonsense"], {"failed": True, "bad_peer_response": True}),
        ([b"x", b"y"], {"failed": True, "bad_peer_response": True}),
        ([b"1", b"2", b"3"], {"failed": True, "bad_peer_response": True}),
        ([bt.encode({"hash": UNKNOWN})], {"failed": True, "bad_peer_response": True}),
        (
            [bt.encode({"hash": UNKNOWN, "expiry": 1, "signature": b"short"})],
            {"failed": True, "bad_peer_response": True},
        ),
        (
            [bt.encode({"failed": 1, "query_failure": 1, "reason": "database full"})],
            {"failed": True, "query_failure": True, "reason": "database full"},
        ),
        (
            [bt.encode({"hash": UNKNOWN, "expiry": 5, "already": 1, "signature": bytes(64), "zz": [{}]})],
            {"hash": UNKNOWN, "expiry": 5, "already": True, "signature": "A" * 86 + "=="},
        ),
        (
            [bt.encode({"hash": UNKNOWN, "expiry": 2**64 - 1, "signature": bytes(64)})],
            {"hash": UNKNOWN, "expiry": 2**64 - 1, "signature": "A" * 86 + "=="},
        ),
    ],
)
async def test_what_members_answer(network, answer, entry):
    assert await reported(network, lambda *_: answer) == entry


async def test_a_wrong_swarm_at_a_member_is_said_in_words(network):
    entry = await reported(network, lambda *_: [b"421", b"d6:snodeslee"])
    assert entry["code"] == "421"
    assert "swarm" in entry["reason"]


async def test_a_member_that_cannot_even_be_dialled_has_timed_out(network, alice):
    def forward(*_):
        raise PeerTimeout("not up yet")

    network.home[0].service._swarm._forwarder.forward = forward
    reply = await network.ok(network.message(alice))
    assert list(reply.failed.values()) == [Failed(timeout=True)] * 2
    assert len(reply.succeeded) == 1


async def test_a_silent_member_is_given_up_after_the_limit(network, monkeypatch):
    monkeypatch.setattr("ramson.node.swarm_request.SWARM_SECONDS", 0.05)
    ended = []

    async def never(*_):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    assert await reported(network, never) == {"failed": True, "timeout": True}
    assert ended == [True]


async def test_members_are_asked_while_the_own_mailbox_works(network, alice):
    """The forwarded form is on its way even if this node's own store hangs."""
    asked = asyncio.Event()

    async def store(_message):
        await asked.wait()
        raise MailboxFull("database full")

    network.home[0].mailbox.store = store
    network.home[1].answers = lambda *_: asked.set() or PeerTimeout("")
    network.home[2].answers = lambda *_: PeerTimeout("")
    async with asyncio.timeout(5):
        status, document = await network.ask(network.message(alice))
    assert status == 200
    assert "hash" not in document
    assert document["swarm"][network.home[0].name] == {
        "failed": True,
        "query_failure": True,
        "reason": "database full",
        "t": network.now,
    }


async def test_the_hash_is_there_as_long_as_one_member_stored(network, alice):
    async def store(_message):
        raise MailboxFull("database full")

    network.home[0].mailbox.store = store
    reply = await network.ok(network.message(alice))
    assert set(reply.failed) == {network.home[0].pair.public}
    assert isinstance(reply.failed[network.home[0].pair.public], Failed)
    assert reply.hash is not None


async def test_a_cancelled_request_leaves_nothing_running(network, alice):
    started, ended = asyncio.Event(), []

    async def never(*_):
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    network.home[1].answers = never
    task = asyncio.create_task(network.ask(network.message(alice)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


# ---- as a peer


def forms(network, account):
    """The forwarded form of requests, as swarms.md §6 lists the keys."""
    yield network.message(account), {"data", "expiry", "timestamp"}
    yield network.message(account, namespace=5), {"data", "expiry", "timestamp", "namespace"}
    yield network.message(account, sig_timestamp=network.now), {"data", "expiry", "timestamp", "sig_timestamp"}
    yield Delete(account=account.raw, messages=(UNKNOWN,), required=True), {"messages"}
    yield DeleteAll(account=account.raw, timestamp=1, namespace=None), {"timestamp", "namespace"}
    yield ExpireAll(account=account.raw, expiry=1), {"expiry"}
    yield Expire(account=account.raw, messages=(UNKNOWN,), expiry=(1,), extend=True), {"messages", "expiry", "extend"}


async def test_forwarded_forms(network, alice):
    auth = {"pubkey", "signature", "pubkey_ed25519"}
    for request, keys in forms(network, alice):
        assert set(alice.sign(request).to_bt()) == keys | auth


async def forward(network, request, **changes):
    return await network.forwarded(request.method.name.encode(), bt.encode({**request.to_bt(), **changes}))


async def test_a_forwarded_store_is_kept_here_only(network, alice):
    request = network.message(alice)
    [report] = await forward(network, request)
    document = bt.decode(report)
    assert set(document) == {b"hash", b"expiry", b"signature"}
    assert await network.hashes(alice) == [document[b"hash"].decode()]
    assert await network.hashes(alice, member=1) == []
    [report] = await forward(network, request)
    assert bt.decode(report)[b"already"] == 1


async def test_ttl_is_taken_too(network, alice):
    params = network.message(alice).to_bt()
    del params["expiry"]
    [report] = await network.forwarded(b"store", bt.encode({**params, "ttl": DAY}))
    assert bt.decode(report)[b"expiry"] == network.now + DAY


async def test_a_forwarded_json_body_is_answered_in_json(network, alice):
    [report] = await network.forwarded(
        b"store", b'{"pubkey":"%b","timestamp":%d,"ttl":10000,"data":""}' % (alice.id.encode(), network.now)
    )
    assert report.startswith(b'{"hash":')


@pytest.mark.parametrize("off", [-70_000, 70_000])
async def test_peers_allow_70_s(network, alice, off):
    late = alice.sign(DeleteAll(account=alice.raw, timestamp=network.now + off))
    assert len(await forward(network, late)) == 1
    beyond = alice.sign(DeleteAll(account=alice.raw, timestamp=network.now + off + off // 70_000))
    assert await forward(network, beyond) == [b"406", b"delete_all timestamp too far from current time"]


async def test_expire_all_allows_70_s_but_store_does_not(network, alice):
    late = alice.sign(ExpireAll(account=alice.raw, expiry=network.now - 70_000))
    assert len(await forward(network, late)) == 1
    stale = alice.sign(network.message(alice, namespace=5, sig_timestamp=network.now - 60_001))
    assert (await forward(network, stale))[0] == b"406"


async def test_peers_check_again(network, alice):
    eve = network.person()
    forged = eve.sign(Delete(account=eve.raw, messages=(UNKNOWN,)))
    assert await forward(network, forged, pubkey=alice.raw) == [b"401", b"delete_msgs signature verification failed"]
    code, body = await forward(network, network.message(network.person(0x8000_0000_0000_0000)))
    assert code == b"421"
    assert bt.decode(body)[b"swarm"] == b"8000000000000000"
    assert await forward(network, alice.sign(Delete(account=alice.raw, messages=(UNKNOWN,))), messages=[]) == [
        b"400",
        b"invalid request: Invalid value for 'messages': at least 1 required",
    ]


@pytest.mark.parametrize("parts", [[], [b"store"], [b"nope", b"de"], [b"\xff", b"de"], [b"store", b"de", b"de"]])
async def test_some_requests_get_no_reply(network, parts):
    assert await network.forwarded(*parts) is None


async def test_only_recursive_methods_are_forwarded(network, alice):
    refused = [b"400", b"invalid request: received invalid forwarded non-forwardable request"]
    for request in (Info(), alice.sign(Retrieve(account=alice.raw, timestamp=network.now))):
        assert await network.forwarded(request.method.name.encode(), b"de") == refused
    assert (await network.forwarded(b"store", b"nonsense"))[0] == b"400"


async def test_a_peer_sees_no_traceback_either(network, alice):
    network.daemon.nodes = None
    assert await forward(network, network.message(alice)) == [b"500", b"request failed"]


async def test_a_database_failure_is_a_report(network, alice):
    async def store(_message):
        raise MailboxFull("database full")

    network.home[0].mailbox.store = store
    [report] = await forward(network, network.message(alice))
    assert bt.decode(report) == {b"failed": 1, b"query_failure": 1, b"reason": b"database full"}


# ---- telling subscribers


async def test_new_messages_are_told_duplicates_are_not(network, alice):
    told = []
    network.home[1].monitor.notify = told.append
    name = await network.store(alice)
    await network.store(alice)
    await forward(network, network.message(alice, b"forwarded"))
    assert [message.hash for message in told] == [name]


async def test_entries_of_stores_are_typed(network, alice):
    reply = await network.ok(network.message(alice))
    assert all(isinstance(report.entry, StoreEntry) for report in reply.succeeded.values())

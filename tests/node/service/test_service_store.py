"""store: storage-rpc.md §4 and its corrections."""

import pytest

from ramson.crypto.hashing import message_hash
from ramson.protocol.storage import Store, StoreEntry, verify_entry

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = 86_400_000
CLOCK = (406, "Timestamp error: check your clock")
LIFETIME = (403, "Provided expiry/TTL is not valid.")


async def test_every_member_keeps_the_message_and_signs_its_hash(network, alice):
    request = network.message(alice)
    reply = await network.ok(request)
    assert reply.hash == message_hash(alice.raw, 0, b"hello")
    assert reply.hf == (19, 4)
    assert reply.t == network.now
    assert set(reply.succeeded) == {member.pair.public for member in network.home}
    for node, report in reply.succeeded.items():
        assert report.entry == StoreEntry(hash=reply.hash, expiry=request.expiry)
        assert verify_entry(request, node, report)
    for member in range(3):
        assert await network.hashes(alice, member=member) == [reply.hash]


async def test_the_top_level_has_the_hash_and_only_our_own_entry_the_time(network, alice):
    _, document = await network.ask(network.message(alice), member=1)
    assert set(document) == {"swarm", "hash", "t", "hf"}
    for node, entry in document["swarm"].items():
        assert ("t" in entry) == (node == network.home[1].name)


async def test_a_known_message_is_reported_and_keeps_the_later_expiry(network, alice):
    await network.store(alice)
    later = network.message(alice, expiry=network.now + 2 * DAY)
    _, document = await network.ask(later)
    assert [entry["already"] for entry in document["swarm"].values()] == [True, True, True]
    assert {entry["expiry"] for entry in document["swarm"].values()} == {network.now + 2 * DAY}
    reply = await network.ok(network.message(alice))
    assert {report.entry.expiry for report in reply.succeeded.values()} == {network.now + 2 * DAY}


@pytest.mark.parametrize(
    ("namespace", "ttl", "fine"),
    [
        (0, 9_999, False),
        (0, 10_000, True),
        (0, 14 * DAY, True),
        (0, 14 * DAY + 1, False),
        (5, 30 * DAY, True),
        (5, 30 * DAY + 1, False),
        (-1, 30 * DAY, True),
        (-10, 15 * DAY, False),
    ],
)
async def test_lifetimes(network, alice, namespace, ttl, fine):
    request = alice.sign(network.message(alice, namespace=namespace, expiry=network.now + ttl))
    status, answer = await network.ask(request)
    assert status == 200 if fine else (status, answer) == LIFETIME


@pytest.mark.parametrize(
    ("timestamp", "ttl", "fine"),
    [(10_000, DAY, True), (10_001, DAY, False), (-DAY - 10_000, DAY, True), (-DAY - 10_001, DAY, False)],
)
async def test_clock_of_the_message(network, alice, timestamp, ttl, fine):
    at = network.now + timestamp
    status, answer = await network.ask(network.message(alice, timestamp=at, expiry=at + ttl))
    assert status == 200 if fine else (status, answer) == CLOCK


@pytest.mark.parametrize("timestamp", [0, -1, 1_700_000_000, -(2**63), 2**63, 2**64 - 1])
async def test_any_timestamp_of_64_bits_is_judged_by_the_clock(network, alice, timestamp):
    params = {**network.message(alice).to_json_params(), "timestamp": timestamp}
    assert await network.post("store", params) == CLOCK
    assert await network.post("store", {**params, "timestamp": str(timestamp)}) == CLOCK


async def test_swarm_then_lifetime_then_clock_then_signature(network, alice):
    wrong = network.message(alice, namespace=5, timestamp=network.now + 60_000, expiry=network.now + 60_001)
    assert (await network.ask(wrong, member=3))[0] == 421
    assert await network.ask(wrong) == LIFETIME
    late = network.message(alice, namespace=5, timestamp=network.now + 60_000, expiry=network.now + DAY)
    assert await network.ask(late) == CLOCK
    unsigned = network.message(alice, namespace=5)
    assert await network.ask(unsigned) == (401, "store: signature required to store to namespace 5")


@pytest.mark.parametrize(("off", "fine"), [(-60_000, True), (60_000, True), (-60_001, False), (60_001, False)])
async def test_signed_time(network, alice, off, fine):
    request = alice.sign(network.message(alice, namespace=5, sig_timestamp=network.now + off))
    status, answer = await network.ask(request)
    assert status == 200 if fine else (status, answer) == (406, "store signature timestamp too far from current time")


async def test_the_signed_time_is_that_of_the_message_unless_given(network, alice):
    old = network.now - 65_000
    request = network.message(alice, namespace=5, timestamp=old, expiry=old + DAY)
    assert (await network.ask(alice.sign(request)))[0] == 406
    fresh = Store(account=alice.raw, data=b"x", namespace=5, timestamp=old, expiry=old + DAY, sig_timestamp=network.now)
    assert (await network.ask(alice.sign(fresh)))[0] == 200


async def test_a_signature_is_ignored_where_anyone_may_store(network, alice):
    eve = network.person()
    params = {**eve.sign(network.message(eve)).to_json_params(), "pubkey": alice.id}
    assert (await network.post("store", params))[0] == 200


@pytest.mark.parametrize("kind", ["person", "group"])
async def test_private_namespaces_want_the_owners_signature(network, kind):
    owner, eve = getattr(network, kind)(), getattr(network, kind)()
    request = network.message(owner, namespace=5)
    assert (await network.ask(owner.sign(request)))[0] == 200
    forged = {**eve.sign(network.message(eve, namespace=5)).to_json_params(), "pubkey": owner.id}
    assert await network.post("store", forged) == (401, "store signature verification failed")


async def test_a_session_account_cannot_be_checked_without_its_ed25519_key(network, alice):
    params = alice.sign(network.message(alice, namespace=5)).to_json_params()
    del params["pubkey_ed25519"]
    assert await network.post("store", params) == (401, "store signature verification failed")


async def test_an_unsigned_store_ignores_an_ed25519_key_that_does_not_belong(network, group):
    params = network.message(group).to_json_params()
    assert (await network.post("store", {**params, "pubkey_ed25519": "ab" * 32}))[0] == 200
    signed = group.sign(network.message(group, namespace=5)).to_json_params()
    status, text = await network.post("store", {**signed, "pubkey_ed25519": "ab" * 32})
    assert status == 400
    assert text.startswith("invalid request: pubkey_ed25519")


async def test_an_outbox_keeps_one_message_even_the_only_one_of_the_account(network, alice):
    await network.store(alice, b"old", namespace=-1)
    new = await network.store(alice, b"new", namespace=-1, member=1)
    for member in range(3):
        assert await network.hashes(alice, namespace=-1, member=member) == [new]


async def test_equal_hashes_of_two_namespaces_are_two_messages(network, alice):
    one = await network.store(alice, b"2x", namespace=1)
    two = await network.store(alice, b"x", namespace=12)
    assert one == two
    assert await network.hashes(alice, 1) == await network.hashes(alice, 12) == [one]


async def test_mainnet_wants_66_digits(network, alice):
    params = {**network.message(alice).to_json_params(), "pubkey": alice.id[2:]}
    status, text = await network.post("store", params)
    assert status == 400
    assert text.startswith("invalid request: Invalid value for 'pubkey'")


async def test_testnet_completes_64_digits(testnet):
    bob = testnet.person()
    params = {**testnet.message(bob).to_json_params(), "pubkey": bob.id[2:]}
    status, document = await testnet.post("store", params)
    assert (status, document["hash"]) == (200, message_hash(bob.raw, 0, b"hello"))

"""What the answers of a swarm are worth."""

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.network.receipts import Retrieved, deleted, expired, merge, stored_by, vouched
from ramson.protocol import storage
from ramson.protocol.nodes import NodeRecord

ACCOUNT = AccountKeys.from_entropy(b"sixteen bytes ok").id.raw
STORE = storage.Store(account=ACCOUNT, data=b"hello", timestamp=1, expiry=2)
HASH = message_hash(ACCOUNT, 0, b"hello")
A, B, C = (Ed25519KeyPair.from_seed(bytes([i]) * 32) for i in (1, 2, 3))
KNOWN = {each.public: NodeRecord(each.public, bytes(32), b"", "10.0.0.1", 1, 1, 1) for each in (A, B)}


def signed(request, keys, entry):
    return storage.Signed(entry, keys.sign(entry.signed_message(request)))


def swarm(**reports):
    keys = {"a": A, "b": B, "c": C}
    return storage.SwarmReply({keys[name].public: report for name, report in reports.items()}, 1, (19, 4))


def nodes(*keys):
    return tuple(KNOWN[each.public] for each in keys)


def test_a_member_counts_with_its_own_signature_over_the_very_hash():
    entry = storage.StoreEntry(hash=HASH, expiry=2)
    found = vouched(STORE, swarm(a=signed(STORE, A, entry), b=signed(STORE, A, entry)), KNOWN)
    assert stored_by(found, HASH) == (nodes(A), nodes(B))


def test_a_signature_over_another_hash_is_a_failure():
    other = storage.StoreEntry(hash=message_hash(ACCOUNT, 0, b"other"), expiry=2)
    found = vouched(STORE, swarm(a=signed(STORE, A, other)), KNOWN)
    assert stored_by(found, HASH) == ((), nodes(A))


def test_nodes_we_do_not_know_count_for_nothing():
    entry = storage.StoreEntry(hash=HASH, expiry=2)
    found = vouched(STORE, swarm(c=signed(STORE, C, entry)), KNOWN)
    assert (found.signed, found.failed) == ({}, ())


def test_members_that_report_failure_have_failed():
    found = vouched(STORE, swarm(a=storage.Failed(timeout=True)), KNOWN)
    assert stored_by(found, HASH) == ((), nodes(A))


def test_only_what_was_asked_for_is_said_to_be_deleted():
    request = storage.Delete(account=ACCOUNT, messages=(HASH,))
    other = message_hash(ACCOUNT, 0, b"other")
    reply = swarm(
        a=signed(request, A, storage.DeletedEntry(hashes=(HASH, other))),
        b=signed(request, B, storage.DeletedEntry(hashes=())),
    )
    receipt = deleted(vouched(request, reply, KNOWN), [HASH])
    assert (receipt.deleted, receipt.deleted_by, receipt.failed) == ({HASH}, nodes(A, B), ())


@pytest.mark.parametrize("expiry", [500, (500,)])
def test_where_members_differ_the_latest_expiry_counts(expiry):
    request = storage.Expire(account=ACCOUNT, messages=(HASH,), expiry=(500,), shorten=True)
    reply = swarm(
        a=signed(request, A, storage.ExpireEntry(updated=(HASH,), expiry=expiry, unchanged={})),
        b=signed(request, B, storage.ExpireEntry(updated=(), expiry=500, unchanged={HASH: 400})),
    )
    assert expired(vouched(request, reply, KNOWN), [HASH, "x" * 43]).expiries == {HASH: 500}


def test_messages_of_several_nodes_are_united_by_their_true_hashes_and_ordered_by_time():
    def message(data, name, time):
        return storage.RetrievedMessage(name, time, time + 1, data)

    first = Retrieved(nodes(A)[0], {0: (message(b"two", "h2", 2), message(b"one", "h1", 1))}, more=False)
    second = Retrieved(nodes(B)[0], {0: (message(b"one", "lie", 1), message(b"three", "h1", 3)), 2: ()}, more=False)
    united = merge(ACCOUNT, [first, second])
    assert [each.data for each in united[0]] == [b"one", b"two", b"three"]
    assert united[2] == ()

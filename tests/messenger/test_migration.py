"""An account file of every older version becomes one of today: whole or not at all, and nothing in it is lost."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ramson.messenger import schema, vault
from ramson.messenger.attached import WaitingFile
from ramson.messenger.letters import Outgoing, Sealed
from ramson.messenger.message import State
from ramson.messenger.store import Store
from ramson.messenger.vault import KeyCost, NotAnAccountFile
from ramson.protocol import content
from ramson.protocol.content import TextMessage

PASSPHRASE = "correct horse"
COUNT = 300


@pytest.fixture(params=range(1, len(schema._MIGRATIONS)), ids="version {}".format)
def version(request):
    return request.param


@pytest.fixture
def old_file(tmp_path, alice, bob, version):
    """A file of an older version with a conversation, a request and an outbox."""
    path = tmp_path / "old.ramson"
    eve = b"\x05" + bytes(range(32))

    def fill(db):
        db.execute(schema._MIGRATIONS[0])
        db.pragma("user_version", 1)
        db.execute("INSERT INTO identity VALUES (1, ?, 'Alice', 1)", (alice.entropy,))
        db.execute("INSERT INTO conversations VALUES (1, ?), (2, ?)", (bob.id.raw, eve))
        for number in range(1, COUNT + 1):
            body = f"message {number}"
            db.execute(
                "INSERT INTO messages VALUES (?, 1, ?, ?, ?, 0, ?, 'h', 'received', '', 0, 0, 1)",
                (number, bob.id.raw, 1000 * number, body, content.encode(TextMessage(body, 1000 * number))),
            )
        db.execute("INSERT INTO messages VALUES (1000, 2, ?, 5, 'hey', 0, x'', 'e', 'received', '', 0, 0, 0)", (eve,))
        mine = content.encode(TextMessage("mine", 999_999))
        db.execute(
            "INSERT INTO messages VALUES (2000, 1, ?, 999999, 'mine', 0, ?, NULL, 'sending', 'no path', 0, 0, 1)",
            (alice.id.raw, mine),
        )
        db.execute("INSERT INTO outbox VALUES (7, 2000, ?, 0, 5000, x'aa', 0, 3)", (bob.id.raw,))
        db.execute("INSERT INTO outbox VALUES (8, 2000, ?, 0, 5000, x'bb', 1, 0)", (alice.id.raw,))
        db.execute("INSERT INTO seen VALUES ('h', 1)")
        db.execute("INSERT INTO positions VALUES (?, 0, 'h')", (bytes(32),))
        db.execute("INSERT INTO meta VALUES ('last_sent_ms', 999999)")
        for script in schema._MIGRATIONS[1:version]:
            db.execute(script)
        db.pragma("user_version", version)

    vault.create(path, PASSPHRASE, fill, entropy=random.Random(1), cost=KeyCost(1, 13))
    return path


def check(store, bob, alice):
    history = store.conversations.history(bob.id, 10_000)
    assert [message.sent_ms for message in history] == [*(1000 * n for n in range(1, COUNT + 1)), 999_999]
    assert history[-1].state is State.SENDING
    parcel = store.next_parcel(bob.id)
    assert (parcel.data, parcel.attempts, parcel.message) == (b"\xaa", 3, 2000)
    assert store.next_parcel(alice.id) is None
    assert store.name == "Alice"
    friend, stranger = sorted(store.configs.contacts, key=lambda contact: not contact.approved)
    assert (friend.id, friend.approved, friend.approved_me) == (bob.id, True, True)
    assert (stranger.approved, stranger.approved_me) == (False, True)
    assert store.conversations.undelivered(()).body == "hey"
    assert store.conversations.unread(bob.id) == []
    assert [each.body for each in store.conversations.search("message 77", 9)] == ["message 77"]
    assert store.positions() == {bytes(32): {0: "h"}}
    assert store.unseen(["h"]) == set()
    assert store.db.value("PRAGMA integrity_check") == "ok"
    assert store.db.rows("PRAGMA foreign_key_check") == []
    store.parcel_stored(parcel, hash="H", stored=1, total=1, at_ms=1)
    assert store.next_parcel(alice.id).data == b"\xbb"


def test_everything_is_still_there(old_file, alice, bob):
    store = Store.open(old_file, PASSPHRASE, entropy=random.Random(0))
    check(store, bob, alice)
    store.close()


def test_a_second_time_changes_nothing(old_file, bob):
    for _ in range(2):
        store = Store.open(old_file, PASSPHRASE, entropy=random.Random(0))
        dumps = store.db.rows("SELECT namespace, dump FROM configs")
        name = store.db.get("wanted name")
        store.close()
    again = Store.open(old_file, PASSPHRASE, entropy=random.Random(0))
    assert again.db.rows("SELECT namespace, dump FROM configs") == dumps
    assert again.db.get("wanted name") == name == "Alice"
    again.close()


def test_a_file_that_waits_to_be_uploaded_still_waits_with_its_bytes(tmp_path, alice, bob):
    path = tmp_path / "old.ramson"

    def fill(db):
        for script in schema._MIGRATIONS[:3]:
            db.execute(script)
        db.pragma("user_version", 3)
        db.execute("INSERT INTO identity VALUES (1, ?, 'Alice', 1)", (alice.entropy,))
        db.execute("INSERT INTO conversations (id, peer) VALUES (1, ?)", (bob.id.raw,))
        db.execute(
            "INSERT INTO messages (id, conversation, author, sent_ms, body, content, state, delivered)"
            " VALUES (1, 1, ?, 5, 'look', ?, 'sending', 1)",
            (alice.id.raw, content.encode(TextMessage("look", 5))),
        )
        db.execute("INSERT INTO files (id, message, size, blob, made_ms) VALUES (1, 1, 4, x'00010203', 1)")
        db.execute("INSERT INTO files (id, message, place, size, url, made_ms) VALUES (2, 1, 1, 6, 'http://x', 1)")

    vault.create(path, PASSPHRASE, fill, entropy=random.Random(1), cost=KeyCost(1, 13))
    store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
    assert store.attached.waiting() == [1]
    assert store.attached.next_file(1) == WaitingFile(1, 0, bytes(range(4)), "")
    assert (store.receipt(1).uploaded, store.receipt(1).to_upload) == (6, 10)
    with store.db.transaction():
        store.attached.begun(1, "http://x/uploads/y")
        assert store.attached.sent(1, 3)
        assert not store.attached.sent(2, 3)  # is uploaded
    assert store.attached.next_file(1).begun == "http://x/uploads/y"
    assert store.receipt(1).uploaded == 9
    store.close()


OPENER = """
import pathlib
import random
import sys
from ramson.messenger.store import Store

print("go", flush=True)
Store.open(pathlib.Path(sys.argv[1]), sys.argv[2], entropy=random.SystemRandom())
"""


def test_a_file_of_a_newer_version_is_left_alone(file):
    connection = vault.open_file(file, PASSPHRASE, entropy=random.Random(0))
    connection.pragma("user_version", len(schema._MIGRATIONS) + 1)
    connection.close()
    with pytest.raises(NotAnAccountFile, match="newer"):
        Store.open(file, PASSPHRASE, entropy=random.Random(0))


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_is_one_or_the_other(old_file, alice, bob, seed, version):
    opener = subprocess.Popen([sys.executable, "-c", OPENER, str(old_file), PASSPHRASE], stdout=subprocess.PIPE)
    opener.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.03))
    os.kill(opener.pid, signal.SIGKILL)
    opener.wait()
    opener.stdout.close()
    connection = vault.open_file(old_file, PASSPHRASE, entropy=random.Random(0))
    found = connection.pragma("user_version")
    connection.close()
    assert found in {version, len(schema._MIGRATIONS)}
    store = Store.open(old_file, PASSPHRASE, entropy=random.Random(0))
    check(store, bob, alice)
    store.close()


def test_ids_are_never_used_again(reopen, bob):
    store = reopen()
    numbers = []
    for now in (1000, 2000, 3000):
        sealed = (Sealed(bob.id, b"x", False),)
        message = store.queue(bob.id, now, lambda sent, sealed=sealed: Outgoing(TextMessage("x", sent), b"", sealed))
        numbers.append((message, store.next_parcel(bob.id).id))
        with store.db.transaction():
            store.conversations.remove([message])
    assert len({message for message, _ in numbers}) == len({parcel for _, parcel in numbers}) == 3

"""The account's state: sent times rise, a message is one, the outbox keeps its bytes, and a kill loses nothing."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import apsw
import pytest

from ramson.crypto.account import AccountKeys
from ramson.messenger.events import MessageReceived, MessageSynced
from ramson.messenger.intake import Intake
from ramson.messenger.letters import Letter, Outgoing, Sealed
from ramson.messenger.message import Message, NoReply, State
from ramson.messenger.store import SEEN_KEPT_MS, Position, Store
from ramson.messenger.vault import AccountFileError, NotAnAccountFile
from ramson.protocol import content
from ramson.protocol.content import Attachment, TextMessage

PASSPHRASE = "correct horse"


def letters_to(recipient, own=None):
    """Write a letter whose envelope names its sent time, and with `own` the copy for ourselves."""

    def write(sent_ms):
        main = Sealed(recipient.id, b"envelope %d" % sent_ms, False, 0, 1000)
        copy = [Sealed(own.id, b"copy %d" % sent_ms, True, 0, 1000)] if own else []
        return Outgoing(TextMessage("x", sent_ms), b"content", (main, *copy))

    return write


def letter(sender, sent_ms, body="hi", name="h", conversation=None):
    return Letter(sender.id, (conversation or sender).id, TextMessage(body, sent_ms), b"content", name)


def receive(store, letters, seen, positions, now):
    """Take in letters; return how many messages are new."""
    told = Intake(store).receive(letters, {}, seen, positions, now)
    return sum(isinstance(event, (MessageReceived, MessageSynced)) for event in told)


def test_the_account_is_what_was_created(store, alice):
    assert store.keys == alice
    assert store.keys.entropy == alice.entropy
    assert store.name == "Alice"


def test_a_full_seed_account_is_kept_whole(tmp_path):
    keys = AccountKeys.from_seed(bytes(range(32)))
    path = tmp_path / "full.ramson"
    from ramson.messenger.vault import KeyCost

    Store.create(path, PASSPHRASE, keys, name="", now_ms=1, entropy=random.Random(1), cost=KeyCost(1, 13))
    store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
    assert store.keys.ed25519.seed == bytes(range(32))
    store.close()


def test_sent_times_rise_strictly_even_when_the_clock_stands_or_goes_back(reopen, bob):
    store = reopen()
    times = [store.receipt(store.queue(bob.id, now, letters_to(bob))).sent_ms for now in (1000, 1000, 400)]
    store = reopen()
    times.append(store.receipt(store.queue(bob.id, 500, letters_to(bob))).sent_ms)
    times.append(store.receipt(store.queue(bob.id, 5000, letters_to(bob))).sent_ms)
    assert times == [1000, 1001, 1002, 1003, 5000]


def test_a_letter_that_cannot_be_written_leaves_no_trace(store, bob):
    def stumble(_sent_ms):
        raise ValueError

    with pytest.raises(ValueError):
        store.queue(bob.id, 1000, stumble)
    assert store.conversations.history(bob.id, 10) == []
    assert store.receipt(store.queue(bob.id, 1000, letters_to(bob))).sent_ms == 1000


def test_parcels_leave_in_order_and_keep_their_bytes_across_restarts(reopen, bob):
    store = reopen()
    for now in (1000, 2000):
        store.queue(bob.id, now, letters_to(bob))
    first = store.next_parcel(bob.id)
    store.parcel_delayed(first, "no path")
    store = reopen()
    again = store.next_parcel(bob.id)
    assert (again.data, again.attempts) == (first.data, 1) == (b"envelope 1000", 1)
    assert store.receipt(again.message).reason == "no path"
    store.parcel_stored(again, hash="H", stored=5, total=7, at_ms=1)
    assert store.next_parcel(bob.id).data == b"envelope 2000"
    receipt = store.receipt(again.message)
    assert (receipt.state, receipt.hash, receipt.stored, receipt.total, receipt.reason) == (State.SENT, "H", 5, 7, "")


def test_the_copy_for_ourselves_waits_until_the_message_is_stored(store, alice, bob):
    message = store.queue(bob.id, 1000, letters_to(bob, own=alice))
    assert store.recipients() == [bob.id]
    assert store.next_parcel(alice.id) is None
    store.parcel_stored(store.next_parcel(bob.id), hash="H", stored=1, total=1, at_ms=1)
    assert store.recipients() == [alice.id]
    store.parcel_stored(store.next_parcel(alice.id), hash="C", stored=1, total=1, at_ms=1)
    assert store.recipients() == []
    assert store.receipt(message).hash == "H"


def test_a_refused_message_takes_its_copy_with_it_and_lets_the_next_go(store, alice, bob):
    first = store.queue(bob.id, 1000, letters_to(bob, own=alice))
    store.queue(bob.id, 2000, letters_to(bob))
    store.parcel_refused(store.next_parcel(bob.id), "too large")
    assert (store.receipt(first).state, store.receipt(first).reason) == (State.FAILED, "too large")
    assert store.next_parcel(alice.id) is None
    assert store.next_parcel(bob.id).data == b"envelope 2000"
    assert store.waiting() == 1


def test_a_refused_copy_does_not_make_the_message_fail(store, alice, bob):
    message = store.queue(bob.id, 1000, letters_to(bob, own=alice))
    store.parcel_stored(store.next_parcel(bob.id), hash="H", stored=1, total=1, at_ms=1)
    store.parcel_refused(store.next_parcel(alice.id), "too large")
    assert store.receipt(message).state is State.SENT


def test_two_programs_that_send_the_same_parcel_end_in_one_state(store, bob):
    message = store.queue(bob.id, 1000, letters_to(bob))
    parcel = store.next_parcel(bob.id)
    store.parcel_stored(parcel, hash="H", stored=7, total=7, at_ms=1)
    store.parcel_refused(parcel, "late")
    assert store.receipt(message).state is State.SENT


def test_a_message_is_known_by_author_and_sent_time_in_its_conversation(store, alice, bob):
    assert receive(store, [letter(bob, 5, "one", "a"), letter(bob, 5, "other bytes", "b")], ["a", "b"], [], 0) == 1
    assert receive(store, [letter(bob, 5, "again", "c"), letter(bob, 6, "new", "d")], ["c", "d"], [], 0) == 1
    assert [message.body for message in store.conversations.history(bob.id, 10)] == ["one", "new"]


def test_our_own_copy_of_what_we_sent_here_is_not_a_second_message(store, alice, bob):
    message = store.queue(bob.id, 1000, letters_to(bob, own=alice))
    assert receive(store, [letter(alice, 1000, "mine", "x", conversation=bob)], ["x"], [], 0) == 0
    assert store.receipt(message).state is State.SENDING
    assert len(store.conversations.history(bob.id, 10)) == 1


def test_what_we_sent_from_another_device_is_in_the_conversation_and_not_delivered(store, alice, bob):
    assert receive(store, [letter(alice, 7, "from my phone", "x", conversation=bob)], ["x"], [], 0) == 1
    (message,) = store.conversations.history(bob.id, 10)
    assert (message.sender, message.recipient, message.conversation) == (alice.id, bob.id, bob.id)
    assert (message.incoming, message.state) == (False, State.SENT)
    assert store.conversations.undelivered(()) is None


def test_messages_come_to_the_consumer_by_sent_time(store, bob):
    receive(store, [letter(bob, 9, "later", "a"), letter(bob, 3, "earlier", "b")], ["a", "b"], [], 0)
    message = store.conversations.undelivered(())
    assert (message.body, message.incoming, message.sender) == ("earlier", True, bob.id)
    assert store.conversations.undelivered({message.id}).body == "later"
    with store.db.transaction():
        store.conversations.delivered(message.id)
    assert store.conversations.undelivered(()).body == "later"


def test_attachments_are_kept(store, bob):
    three = TextMessage("", 1, attachments=(Attachment(url="u", key=b"k", size=1),) * 3)
    receive(store, [Letter(bob.id, bob.id, three, content.encode(three), "h")], ["h"], [], 0)
    assert store.conversations.undelivered(()).attachments[0].pointer == three.attachments[0]


def test_positions_and_seen_hashes_are_written_with_the_messages(reopen, bob):
    store = reopen()
    node = bytes(32)
    receive(store, [letter(bob, 1)], ["a", "unreadable"], [Position(node, 0, "a")], 0)
    receive(store, [], [], [Position(node, 0, "b"), Position(node, 5, "c")], 0)
    store = reopen()
    assert store.positions() == {node: {0: "b", 5: "c"}}
    assert store.unseen(["a", "unreadable", "new"]) == {"new"}


def test_a_batch_that_cannot_be_written_moves_no_position(store, bob):
    bad = Letter(bob.id, bob.id, TextMessage("x", 2**63), b"", "h")
    with pytest.raises(OverflowError):
        receive(store, [letter(bob, 1), bad], ["h"], [Position(bytes(32), 0, "h")], 0)
    assert store.positions() == {}
    assert store.conversations.history(bob.id, 10) == []
    assert store.unseen(["h"]) == {"h"}


def test_hashes_are_forgotten_when_no_swarm_can_hold_the_message_any_more(store):
    receive(store, [], ["old"], [], 0)
    receive(store, [], ["new"], [], 10)
    store.forget_seen(SEEN_KEPT_MS + 5)
    assert store.unseen(["old", "new"]) == {"old"}


@pytest.mark.parametrize("text", ["", "a\0b", "👩‍👩‍👧 ﷽", "x" * 10_000])
def test_any_text_survives(store, bob, text):
    receive(store, [letter(bob, 1, text)], [], [], 0)
    assert store.conversations.undelivered(()).body == text


def test_single_values_are_kept(reopen):
    store = reopen()
    assert store.load("nodes") is None
    store.save("nodes", b"1")
    store.save("nodes", b"2")
    assert reopen().load("nodes") == b"2"


def test_using_a_closed_account_says_so(store):
    store.close()
    store.close()
    with pytest.raises(AccountFileError, match="closed"):
        store.waiting()
    with pytest.raises(AccountFileError, match="closed"):
        store.save("x", b"")


def test_a_file_of_a_newer_version_is_left_alone(file):
    from ramson.messenger import vault

    connection = vault.open_file(file, PASSPHRASE, entropy=random.Random(0))
    connection.pragma("user_version", 999)
    connection.close()
    with pytest.raises(NotAnAccountFile, match="newer"):
        Store.open(file, PASSPHRASE, entropy=random.Random(0))


async def test_a_message_without_a_client_cannot_be_answered(alice, bob):
    message = Message(bob.id, alice.id, "hi", 1, None, State.RECEIVED, bob.id)
    with pytest.raises(NoReply):
        await message.reply("hello")


WRITER = textwrap.dedent("""
    import pathlib
    import random
    import sys
    from ramson.crypto.account import AccountKeys
    from ramson.messenger.intake import Intake
    from ramson.messenger.letters import Letter, Outgoing, Sealed
    from ramson.messenger.store import Position, Store
    from ramson.protocol.content import TextMessage

    store = Store.open(pathlib.Path(sys.argv[1]), "correct horse", entropy=random.SystemRandom())
    bob = AccountKeys.from_entropy(bytes(16)).id
    node = bytes(32)
    number = int(store.positions().get(node, {}).get(0, "0"))
    while True:
        number += 1
        sealed = (Sealed(bob, b"envelope", False, 0, 1000),)
        message = store.queue(bob, 0, lambda sent: Outgoing(TextMessage("mine", sent), b"", sealed))
        print("queued", store.receipt(message).sent_ms, flush=True)
        if number % 3 == 0:
            parcel = store.next_parcel(bob)
            store.parcel_stored(parcel, hash="H", stored=1, total=1, at_ms=1)
            print("stored", store.receipt(parcel.message).sent_ms, flush=True)
        letters = [Letter(bob, bob, TextMessage("theirs", number), b"", str(number))]
        Intake(store).receive(letters, {}, [str(number)], [Position(node, 0, str(number))], 0)
        print("received", number, flush=True)
""")


@pytest.mark.parametrize("seed", range(4))
def test_a_program_killed_at_any_moment_loses_nothing_it_was_told_is_kept(file, seed):
    """Kill a writer, reopen what it left, and let the next one go on from there."""
    entropy = random.Random(seed)
    bob = AccountKeys.from_entropy(bytes(16)).id
    told: set[tuple[str, int]] = set()
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
        told.add(tuple_of(writer.stdout.readline()))  # it has begun
        time.sleep(entropy.uniform(0, 0.15))
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read()
        writer.stdout.close()
        writer.wait()
        told |= {tuple_of(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")}

        store = Store.open(file, PASSPHRASE, entropy=random.Random(0))
        history = store.conversations.history(bob, 10**9)
        ours = {message.sent_ms: message for message in history if not message.incoming}
        theirs = {message.sent_ms for message in history if message.incoming}
        for what, number in told:
            if what == "received":
                assert number in theirs
            else:
                assert number in ours
            if what == "stored":
                assert ours[number].state is State.SENT
        # A message is in the outbox exactly as long as it is not sent, and a position never runs ahead.
        assert store.waiting() == sum(message.state is State.SENDING for message in ours.values())
        position = store.positions().get(bytes(32), {}).get(0, "0")
        assert theirs == set(range(1, int(position) + 1))
        assert store.db.value("PRAGMA integrity_check") == "ok"
        assert store.db.rows("PRAGMA foreign_key_check") == []
        waiting = {row[0] for row in store.db.rows("SELECT message FROM outbox")}
        sending = {row[0] for row in store.db.rows("SELECT id FROM messages WHERE state = 'sending'")}
        assert waiting == sending
        store.close()


def tuple_of(line):
    what, number = line.split()
    return what, int(number)


def test_another_program_that_never_lets_go_is_named(store, file, monkeypatch):
    from ramson.messenger import sealed_database

    monkeypatch.setattr(sealed_database, "BUSY_MS", 10)
    other = Store.open(file, PASSPHRASE, entropy=random.Random(0))
    store.db.execute("BEGIN IMMEDIATE")
    with pytest.raises(AccountFileError, match="another program"):
        other.save("x", b"")
    store.db.execute("ROLLBACK")
    other.save("x", b"")
    other.close()


def test_apsw_is_the_build_with_ciphers():
    assert "multipleciphers-unix" in apsw.vfs_names()

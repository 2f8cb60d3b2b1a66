"""The mailbox as members of a swarm see it: what it keeps of the past, what it takes over, and what it adds up to."""

import sqlite3

import pytest

from ramson.node.mailbox import (
    Debt,
    ExpireMode,
    Key,
    Mailbox,
    NewMessage,
    Offer,
    State,
    TokenState,
    Warrant,
)
from ramson.node.mailbox.lattice import fresh
from ramson.node.mailbox.schema import MIGRATIONS

ALICE, BOB = b"\x05" + b"a" * 32, b"\x05" + b"b" * 32
DAY = 86_400_000
FOREVER = 2**62


def named(text):
    return text.ljust(43, ".")


def message(clock, text, account=ALICE, namespace=0, days=1, timestamp=None):
    at = clock.now() if timestamp is None else timestamp
    return NewMessage(account, namespace, named(text), at, clock.now() + days * DAY, text.encode())


@pytest.fixture
async def box(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await box.swarm.compute_digests(lambda account: True)
    yield box
    await box.close()


def listed(box, account=ALICE):
    return {held.key: held.state for held in box.swarm.held(account, account, None, 100)}


def state_of(box, text, account=ALICE, namespace=0):
    return listed(box, account).get(Key(account, namespace, named(text)))


def offer(clock, text, state, data=None, floor=None, until=FOREVER, ends=0):
    warrant = None if floor is None else Warrant(floor, until)
    proof = None if floor is None else b"proof"
    return Offer(Key(ALICE, 0, named(text)), state, clock.now(), ends, data, warrant, proof)


async def digest_is_right(box):
    kept = [box.swarm.digests(prefix) for prefix in (b"", b"a", b"b")]
    await box.swarm.compute_digests(lambda account: True)
    return kept == [box.swarm.digests(prefix) for prefix in (b"", b"a", b"b")]


# ---- what stays of a message


async def test_a_delete_leaves_a_ghost_for_thirty_days(box, clock):
    await box.store(message(clock, "x"))
    await box.delete(ALICE, [named("x")], proof=b"signed")
    (held,) = box.swarm.held(ALICE, ALICE, None, 9)
    assert (held.state, held.until) == (State(0, True, 0, 0), clock.now() + 30 * DAY)
    assert box.swarm.proofs([held.proof]) == {held.proof: b"signed"}
    await box.sweep(clock.now() + 30 * DAY - 1)
    assert listed(box)
    await box.sweep(clock.now() + 30 * DAY)
    assert not listed(box)
    await box.sweep(clock.now())
    assert box.swarm.proofs([held.proof]) == {}
    assert await digest_is_right(box)


async def test_stored_again_after_a_delete_it_is_born_again(box, clock):
    await box.store(message(clock, "x"))
    await box.delete(ALICE, [named("x")])
    assert (await box.store(message(clock, "x"))).new
    assert state_of(box, "x") == State(1, False, 0, clock.now() + DAY)
    assert len(box.retrieve(ALICE, 0, after=None, max_count=None, max_size=999).messages) == 1


async def test_a_handed_over_message_that_was_deleted_stays_deleted(box, clock):
    await box.store(message(clock, "x"))
    await box.delete_all(ALICE, None)
    assert await box.store_many([message(clock, "x"), message(clock, "y")]) == 1


async def test_only_lowering_begins_a_version(box, clock):
    await box.store(message(clock, "x", days=2))
    await box.store(message(clock, "x", days=3))
    await box.expire(ALICE, [(named("x"), clock.now() + 4 * DAY)], ExpireMode.EXTEND, proof=b"p")
    assert state_of(box, "x") == fresh(clock.now() + 4 * DAY)
    await box.expire_all(ALICE, 0, clock.now() + DAY, proof=b"p")
    assert state_of(box, "x") == State(0, False, 1, clock.now() + DAY)
    await box.expire(ALICE, [(named("x"), clock.now() + 1)], ExpireMode.SET, proof=b"p")
    assert state_of(box, "x") == State(0, False, 2, clock.now() + 1)


async def test_what_ran_out_early_leaves_a_ghost_and_what_ran_out_in_time_does_not(box, clock):
    await box.store(message(clock, "early"))
    await box.store(message(clock, "in time"))
    await box.expire(ALICE, [(named("early"), clock.now() + 5)], ExpireMode.SHORTEN, proof=b"p")
    assert await box.sweep(clock.now() + 2 * DAY) == 2
    assert list(listed(box)) == [Key(ALICE, 0, named("early"))]
    assert await box.store_many([message(clock, "early")]) == 0
    assert await digest_is_right(box)


async def test_what_an_outbox_replaced_has_the_store_as_its_proof(box, clock):
    await box.store(message(clock, "old", namespace=-1))
    await box.store(message(clock, "new", namespace=-1), proof=b"signed store")
    assert state_of(box, "old", namespace=-1).dead
    held = next(held for held in box.swarm.held(ALICE, ALICE, None, 9) if held.state.dead)
    assert box.swarm.proofs([held.proof]) == {held.proof: b"signed store"}


async def test_of_several_messages_in_an_outbox_the_latest_is_read(box, clock):
    now = clock.now()
    await box.store_many(
        [message(clock, t, namespace=-1, timestamp=now + n) for n, t in ((1, "a"), (3, "c"), (2, "b"))]
    )
    page = box.retrieve(ALICE, -1, after=None, max_count=None, max_size=9999)
    assert ([m.data for m in page.messages], page.more) == ([b"c"], False)
    assert box.retrieve(ALICE, -1, after=named("c"), max_count=None, max_size=9999).messages == ()
    assert len(box.retrieve(ALICE, -1, after=named("a"), max_count=None, max_size=9999).messages) == 1


async def test_ghosts_give_way_to_messages_when_there_is_no_room(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    names = [f"{number}" for number in range(300)]
    for name in names:
        await box.store(message(clock, name))
    await box.delete_all(ALICE, None, proof=b"p")
    box._max_bytes = box.stats().used_bytes - 8_192
    await box.sweep(clock.now())
    assert 0 < len(box.swarm.held(ALICE, ALICE, None, 999)) < 300
    await box.close()


# ---- taking over


async def test_an_unknown_message_is_wanted_and_then_kept(box, clock):
    state = fresh(clock.now() + DAY)
    assert (await box.swarm.merge([offer(clock, "x", state)])).wanted == (0,)
    merged = await box.swarm.merge([offer(clock, "x", state, b"data")])
    assert (merged.changed, merged.wanted) == (1, ())
    assert box.retrieve(ALICE, 0, after=None, max_count=None, max_size=999).messages[0].data == b"data"
    assert await box.swarm.merge([offer(clock, "x", state)]) == (0, 0, ())
    assert await digest_is_right(box)


async def test_without_a_warrant_nothing_is_deleted_or_lowered(box, clock):
    await box.store(message(clock, "x"))
    known = state_of(box, "x")
    lies = [known.killed(), known.lowered(clock.now() + 1), State(9, False, 0, clock.now() + 1)]
    merged = await box.swarm.merge([offer(clock, "x", lie, b"data") for lie in lies])
    assert (merged.changed, merged.refused) == (1, 2)
    assert state_of(box, "x") == State(9, False, 0, known.expiry)  # that it was stored again does no harm
    assert await digest_is_right(box)


async def test_with_a_warrant_it_is_and_the_proof_is_handed_on(box, clock):
    await box.store(message(clock, "x"))
    merged = await box.swarm.merge([offer(clock, "x", state_of(box, "x").killed(), floor=0, ends=clock.now() + 9)])
    assert merged.changed == 1
    (held,) = box.swarm.held(ALICE, ALICE, None, 9)
    assert held.state.dead
    assert box.swarm.proofs([held.proof]) == {held.proof: b"proof"}
    assert held.until == clock.now() + 9
    assert await digest_is_right(box)


async def test_a_message_younger_than_the_warrant_counts_as_stored_again(box, clock):
    await box.store(message(clock, "x", timestamp=clock.now() + 5))
    known = state_of(box, "x")
    assert (await box.swarm.merge([offer(clock, "x", known.killed(), floor=0, until=clock.now() + 4)])).changed == 1
    assert state_of(box, "x") == State(1, False, 0, known.expiry)
    dead = state_of(box, "x").killed()
    assert (await box.swarm.merge([offer(clock, "x", dead, floor=0, until=clock.now() + 5)])).changed == 1
    assert state_of(box, "x") == dead
    assert await digest_is_right(box)


async def test_what_has_run_out_is_not_taken_unless_it_says_more(box, clock):
    gone = fresh(clock.now() - 1)
    assert await box.swarm.merge([offer(clock, "x", gone, b"data")]) == (0, 0, ())
    early = State(0, False, 1, clock.now() - 1)
    assert (await box.swarm.merge([offer(clock, "x", early, floor=clock.now() - 1)])).changed == 1
    assert (await box.swarm.merge([offer(clock, "x", fresh(clock.now() + DAY), b"data")])).changed == 0
    assert await digest_is_right(box)


async def test_a_ghost_that_says_less_makes_way(box, clock):
    await box.store(message(clock, "x"))
    await box.delete(ALICE, [named("x")], proof=b"p")
    again = State(1, False, 0, clock.now() + DAY)
    assert (await box.swarm.merge([offer(clock, "x", again, b"data", floor=0)])).changed == 1
    assert listed(box) == {Key(ALICE, 0, named("x")): again}
    assert await digest_is_right(box)


# ---- tokens


async def test_the_later_word_about_a_token_counts(box):
    await box.revoke(ALICE, [b"t1", b"t2"], signed_at=1000, proof=b"revoke")
    assert {t.token: t.state for t in box.swarm.tokens(ALICE, ALICE, (b"", b""), 9)} == {
        b"t1": TokenState(1000, True),
        b"t2": TokenState(1001, True),
    }
    assert await box.swarm.merge_tokens(ALICE, {b"t1": (TokenState(999, False), b"p")}) == 0
    assert await box.swarm.merge_tokens(ALICE, {b"t1": (TokenState(1002, False), b"p")}) == 1
    assert not box.is_revoked(ALICE, b"t1")
    assert box.is_revoked(ALICE, b"t2")
    assert await box.unrevoke(ALICE, [b"t2", b"t1"], signed_at=1, proof=b"undo") == 1
    assert not box.is_revoked(ALICE, b"t2")
    assert await digest_is_right(box)


# ---- digests


async def test_members_with_the_same_copies_have_the_same_digests_whatever_the_order(tmp_path, disk, clock):
    boxes = [Mailbox(tmp_path / f"{i}.db", type(disk)(), clock) for i in range(2)]
    for box in boxes:
        await box.swarm.compute_digests(lambda account: True)
    messages = [message(clock, f"{i}", account) for i in range(5) for account in (ALICE, BOB)]
    for each in messages:
        await boxes[0].store(each)
    for each in reversed(messages):
        await boxes[1].store(each)
    await boxes[0].delete(BOB, [named("3")])
    assert boxes[0].swarm.digests(b"a") == boxes[1].swarm.digests(b"a")
    assert boxes[0].swarm.digests(b"b") != boxes[1].swarm.digests(b"b")
    await boxes[1].delete(BOB, [named("3")])
    assert boxes[0].swarm.digests(b"") == boxes[1].swarm.digests(b"")
    for box in boxes:
        await box.close()


async def test_accounts_of_other_swarms_do_not_count(box, clock):
    await box.swarm.compute_digests(lambda account: account != BOB)
    await box.store(message(clock, "x", BOB))
    assert not any(box.swarm.digests(b""))
    await box.store(message(clock, "x"))
    assert any(box.swarm.digests(b""))


async def test_a_failed_write_changes_no_digest(box, clock):
    before = box.swarm.digests(b"")
    box._writer._max_bytes = 1
    with pytest.raises(Exception, match="full"):
        await box.store(message(clock, "x"))
    assert box.swarm.digests(b"") == before


# ---- what must not be forgotten


async def test_debts_survive_and_begin_anew_when_asked(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await box.swarm.note_change("seen", b"1", [Debt(b"p", 2**64 - 2, False), Debt(b"q", 1, True)], restart=False)
    first, _ = box.swarm.open_debts()
    assert await box.swarm.advance(first.number, b"here")
    await box.close()
    box = Mailbox(tmp_path / "m.db", type(disk)(), clock)
    assert box.swarm.recall("seen") == b"1"
    assert [(d.debt, d.cursor) for d in box.swarm.open_debts()] == [
        (Debt(b"p", 2**64 - 2, False), b"here"),
        (Debt(b"q", 1, True), None),
    ]
    await box.swarm.note_change("seen", b"2", [Debt(b"q", 1, False)], restart=True)
    assert [(d.debt, d.cursor) for d in box.swarm.open_debts()] == [
        (Debt(b"p", 2**64 - 2, False), None),
        (Debt(b"q", 1, False), None),
    ]
    assert not await box.swarm.advance(first.number, b"there")
    for debt in box.swarm.open_debts():
        await box.swarm.settle(debt.number)
    assert box.swarm.open_debts() == []
    await box.close()


async def test_a_file_of_the_first_version_is_taken_over_whole(tmp_path, disk, clock):
    path = tmp_path / "m.db"
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0])
    db.execute("PRAGMA user_version = 1")
    for number in range(20):
        db.execute(
            "INSERT INTO message (account, namespace, hash, timestamp, expiry, data) VALUES (?, 0, ?, ?, ?, ?)",
            (ALICE, named(f"{number}"), number, clock.now() + DAY, b"data %d" % number),
        )
    db.executemany("INSERT INTO revoked (account, token) VALUES (?, ?)", [(ALICE, b"%d" % n) for n in range(50)])
    db.commit()
    db.close()
    box = Mailbox(path, disk, clock)
    page = box.retrieve(ALICE, 0, after=None, max_count=None, max_size=10**6)
    assert [m.data for m in page.messages] == [b"data %d" % number for number in range(20)]
    assert all(box.is_revoked(ALICE, b"%d" % n) for n in range(50))
    await box.revoke(ALICE, [b"new"], signed_at=clock.now())
    assert not box.is_revoked(ALICE, b"0")
    assert box.is_revoked(ALICE, b"new")
    assert box._reader.pragma("user_version") == 2
    await box.close()

"""The mailbox: what it keeps, in which order, and what it does when it cannot."""

import asyncio
import logging
import os
import sqlite3
import stat

import apsw
import pytest

from ramson.node.mailbox import (
    ExpireMode,
    Key,
    Mailbox,
    MailboxError,
    MailboxFull,
    NewMessage,
    Offer,
    Stored,
    message_cost,
)
from ramson.node.mailbox.lattice import fresh

ALICE, BOB = b"\x05" + b"a" * 32, b"\x05" + b"b" * 32
OUTBOX = -21


def message(text, account=ALICE, namespace=0, timestamp=1000, expiry=9000, size=0):
    return NewMessage(account, namespace, text.ljust(43, "."), timestamp, expiry, text.encode().ljust(size, b"-"))


LIVING = 2**50  # an expiry far in the future


def named(*texts):
    return [text.ljust(43, ".") for text in texts]


@pytest.fixture
async def mailbox(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "mail.db", disk, clock)
    yield box
    await box.close()


def hashes(box, account=ALICE, namespace=0, after=None, max_count=None, max_size=10**7):
    page = box.retrieve(account, namespace, after=after, max_count=max_count, max_size=max_size)
    return [m.hash.rstrip(".") for m in page.messages]


async def fill(box, *texts, **kw):
    for text in texts:
        await box.store(message(text, **kw))


# ---- storing and reading


async def test_a_stored_message_comes_back_whole(mailbox):
    assert await mailbox.store(message("one", size=1000)) == Stored(new=True, expiry=9000)
    page = mailbox.retrieve(ALICE, 0, after=None, max_count=None, max_size=1)
    (got,) = page.messages
    assert (got.hash, got.timestamp, got.expiry, got.data) == (*named("one"), 1000, 9000, b"one".ljust(1000, b"-"))
    assert not page.more


async def test_storing_again_keeps_the_later_expiry(mailbox):
    await fill(mailbox, "x")
    assert await mailbox.store(message("x", expiry=8000)) == Stored(new=False, expiry=9000)
    assert await mailbox.store(message("x", expiry=9500)) == Stored(new=False, expiry=9500)
    assert mailbox.expiries(ALICE, named("x")) == dict.fromkeys(named("x"), 9500)


async def test_order_is_of_arrival_not_of_timestamps(mailbox):
    for text, timestamp in (("c", 3), ("a", 1), ("b", 2)):
        await fill(mailbox, text, timestamp=timestamp)
    assert hashes(mailbox) == ["c", "a", "b"]


async def test_paging_from_a_hash_and_from_an_unknown_one(mailbox):
    await fill(mailbox, "a", "b", "c")
    assert hashes(mailbox, after=named("a")[0]) == ["b", "c"]
    assert hashes(mailbox, after=named("c")[0]) == []
    assert hashes(mailbox, after=named("nowhere")[0]) == hashes(mailbox, after="") == ["a", "b", "c"]


async def test_paging_goes_on_after_the_newest_was_deleted(mailbox):
    await fill(mailbox, "a", "b", "c")
    await mailbox.delete(ALICE, named("c"))
    await fill(mailbox, "d")
    assert hashes(mailbox, after=named("b")[0]) == ["d"]


@pytest.mark.parametrize(("count", "more"), [(1, True), (2, True), (3, False), (4, False)])
async def test_a_limit_by_count_tells_whether_there_is_more(mailbox, count, more):
    await fill(mailbox, "a", "b", "c")
    page = mailbox.retrieve(ALICE, 0, after=None, max_count=count, max_size=10**7)
    assert len(page.messages) == min(count, 3)
    assert page.more is more


@pytest.mark.parametrize("count", [0, -1])
async def test_a_count_below_one_gives_nothing(mailbox, count):
    await fill(mailbox, "a")
    assert hashes(mailbox, max_count=count) == []


async def test_a_limit_by_size_is_exact_and_the_first_always_fits(mailbox):
    await fill(mailbox, "a", "b", "c", size=900)
    assert message_cost(900) == 143 + 1200
    assert hashes(mailbox, max_size=2 * 1343) == ["a", "b"]
    assert hashes(mailbox, max_size=2 * 1343 - 1) == ["a"]
    assert hashes(mailbox, max_size=1) == ["a"]


async def test_accounts_and_namespaces_are_apart(mailbox):
    await fill(mailbox, "a")
    await fill(mailbox, "b", account=BOB)
    await fill(mailbox, "c", namespace=5)
    assert hashes(mailbox) == ["a"]
    assert hashes(mailbox, account=BOB) == ["b"]
    assert hashes(mailbox, namespace=5) == ["c"]


async def test_one_hash_may_be_in_two_namespaces(mailbox):
    await fill(mailbox, "same", namespace=1)
    assert (await mailbox.store(message("same", namespace=12, expiry=9500))).new
    assert mailbox.expiries(ALICE, named("same")) == dict.fromkeys(named("same"), 9500)
    assert await mailbox.delete(ALICE, named("same")) == named("same")
    assert hashes(mailbox, namespace=1) == hashes(mailbox, namespace=12) == []


async def test_an_outbox_keeps_one_message(mailbox):
    await fill(mailbox, "old", namespace=OUTBOX)
    await fill(mailbox, "new", namespace=OUTBOX)
    await fill(mailbox, "x", "y", namespace=OUTBOX + 1)
    assert hashes(mailbox, namespace=OUTBOX) == ["new"]
    assert not (await mailbox.store(message("new", namespace=OUTBOX))).new
    assert hashes(mailbox, namespace=OUTBOX) == ["new"]
    assert hashes(mailbox, namespace=OUTBOX + 1) == ["x", "y"]


async def test_handed_over_messages_change_no_expiry(mailbox):
    await fill(mailbox, "known")
    assert await mailbox.store_many([message("known", expiry=99_000), message("new"), message("new")]) == 1
    assert hashes(mailbox) == ["known", "new"]
    assert mailbox.expiries(ALICE, named("known")) == dict.fromkeys(named("known"), 9000)


async def test_a_handed_over_outbox_never_goes_back_in_time(mailbox):
    await fill(mailbox, "now", namespace=OUTBOX, timestamp=5)
    await mailbox.store_many([message("older", namespace=OUTBOX, timestamp=4)])
    assert hashes(mailbox, namespace=OUTBOX) == ["now"]
    await mailbox.store_many([message("newer", namespace=OUTBOX, timestamp=6)])
    assert hashes(mailbox, namespace=OUTBOX) == ["newer"]


# ---- deleting and expiring


async def test_delete_reports_what_was_there(mailbox):
    await fill(mailbox, "b", "a")
    await fill(mailbox, "c", namespace=-10)
    await fill(mailbox, "d", account=BOB)
    assert await mailbox.delete(ALICE, named("c", "b", "d", "nowhere")) == named("b", "c")
    assert hashes(mailbox) == ["a"]
    assert hashes(mailbox, account=BOB) == ["d"]


async def test_delete_all_and_before_by_namespace(mailbox):
    await fill(mailbox, "b", "a", timestamp=10)
    await fill(mailbox, "c", timestamp=11)
    await fill(mailbox, "d", namespace=-2, timestamp=10)
    assert await mailbox.delete_before(ALICE, 0, 10) == {0: named("a", "b")}
    assert await mailbox.delete_before(ALICE, None, 11) == {-2: named("d"), 0: named("c")}
    await fill(mailbox, "e")
    await fill(mailbox, "f", namespace=7)
    assert await mailbox.delete_all(ALICE, 7) == {7: named("f")}
    assert await mailbox.delete_all(ALICE, None) == {0: named("e")}
    assert await mailbox.delete_all(ALICE, 0) == {}


@pytest.mark.parametrize(
    ("mode", "updated", "unchanged"),
    [
        (ExpireMode.SET, {"early": 50, "late": 50, "same": 50}, {}),
        (ExpireMode.SHORTEN, {"late": 50}, {"early": 40, "same": 50}),
        (ExpireMode.EXTEND, {"early": 50}, {"late": 60, "same": 50}),
    ],
)
async def test_expire_modes(mailbox, mode, updated, unchanged):
    for text, expiry in (("late", 60), ("early", 40), ("same", 50)):
        await fill(mailbox, text, expiry=expiry)
    changes = [(text, 50) for text in named("same", "late", "early", "nowhere")]
    result = await mailbox.expire(ALICE, changes, mode)
    assert {k.rstrip("."): v for k, v in result.updated.items()} == updated
    assert {k.rstrip("."): v for k, v in result.unchanged.items()} == unchanged
    assert list(result.updated) == sorted(result.updated)
    assert mailbox.expiries(ALICE, named("late", "early", "same", "nowhere")) == result.updated | result.unchanged


async def test_expire_all_only_lowers(mailbox):
    await fill(mailbox, "early", expiry=40)
    await fill(mailbox, "late", expiry=60)
    await fill(mailbox, "other", expiry=60, namespace=3)
    assert await mailbox.expire_all(ALICE, 0, 50) == {0: named("late")}
    assert await mailbox.expire_all(ALICE, None, 45) == {0: named("late"), 3: named("other")}
    assert mailbox.expiries(ALICE, named("early", "late")) == dict(zip(named("early", "late"), (40, 45), strict=True))


async def test_expired_messages_are_served_until_the_sweep(mailbox):
    for i in range(1100):
        mailbox._writer.submit(
            lambda db, i=i: db.execute(
                "INSERT INTO message (account, namespace, hash, timestamp, expiry, data) VALUES (?, 0, ?, 1, ?, x'00')",
                (ALICE, f"{i:043d}", 100 if i < 1050 else 101),
            )
        )
    await fill(mailbox, "last")
    assert len(hashes(mailbox)) == 1101
    assert await mailbox.sweep(100) == 1050
    assert len(hashes(mailbox)) == 51
    assert await mailbox.sweep(100) == 0


async def test_data_is_found_by_hash_alone(mailbox):
    await fill(mailbox, "a", account=BOB, namespace=5, expiry=LIVING)
    await fill(mailbox, "old", account=BOB, namespace=5)
    assert await mailbox.find_data(*named("a")) == b"a"
    assert await mailbox.find_data(*named("b")) is None
    assert await mailbox.find_data(*named("old")) is None


# ---- revocations


async def test_revocations_need_no_messages_and_can_be_taken_back(mailbox):
    await mailbox.revoke(ALICE, [b"t1", b"t2"])
    assert mailbox.is_revoked(ALICE, b"t1")
    assert not mailbox.is_revoked(BOB, b"t1")
    assert await mailbox.unrevoke(ALICE, [b"t1", b"t3"]) == 1
    assert not mailbox.is_revoked(ALICE, b"t1")
    assert mailbox.is_revoked(ALICE, b"t2")


async def test_the_newest_fifty_revocations_are_kept(mailbox):
    tokens = [b"%03d" % i for i in range(60)]
    await mailbox.revoke(BOB, [b"kept"])
    await mailbox.revoke(ALICE, tokens[:50])
    await mailbox.revoke(ALICE, tokens[:1])  # now it is the newest
    await mailbox.revoke(ALICE, tokens[50:])
    assert [t for t in tokens if mailbox.is_revoked(ALICE, t)] == tokens[:1] + tokens[11:]
    assert mailbox.is_revoked(BOB, b"kept")


# ---- the file


async def test_everything_is_there_after_reopening(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await fill(box, "a", "b")
    await box.revoke(ALICE, [b"t"])
    await box.close()
    box = Mailbox(tmp_path / "m.db", type(disk)(), clock)
    assert hashes(box) == ["a", "b"]
    assert box.is_revoked(ALICE, b"t")
    await box.close()


async def test_the_file_is_the_owners_alone(tmp_path, mailbox):
    await fill(mailbox, "a")
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_transaction_is_synced_before_it_is_acknowledged(mailbox):
    assert mailbox._writer._db.pragma("journal_mode") == "wal"
    assert mailbox._writer._db.pragma("synchronous") == 2


async def test_all_that_waits_is_one_transaction(mailbox, disk):
    await fill(mailbox, "warm")
    before = disk.runs
    await asyncio.gather(*(mailbox.store(message(str(i))) for i in range(100)))
    assert disk.runs == before + 1
    assert len(hashes(mailbox)) == 101


async def test_a_file_of_a_newer_version_is_refused(tmp_path, disk, clock):
    with sqlite3.connect(tmp_path / "m.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(MailboxError, match="version 99"):
        Mailbox(tmp_path / "m.db", disk, clock)


async def test_a_file_that_is_no_database_is_refused(tmp_path, disk, clock):
    (tmp_path / "m.db").write_bytes(os.urandom(8192))
    with pytest.raises(MailboxError, match="damaged"):
        Mailbox(tmp_path / "m.db", disk, clock)


async def test_a_missing_directory_is_named(tmp_path, disk, clock):
    with pytest.raises(MailboxError, match="cannot be opened"):
        Mailbox(tmp_path / "no" / "m.db", disk, clock)


# ---- when it cannot


async def fill_up(box, prefix="", **more):
    """Store until there is no room; return what was stored."""
    stored = []
    for i in range(100):
        try:
            await box.store(message(f"{prefix}{i}", size=10_000, **more))
        except MailboxFull:
            return stored
        stored.append(f"{prefix}{i}")
    pytest.fail("it is never full")


async def test_a_full_mailbox_refuses_stores_and_evicts_no_living_message(tmp_path, disk, clock, caplog):
    box = Mailbox(tmp_path / "m.db", disk, clock, max_bytes=200_000)
    with caplog.at_level(logging.INFO):
        stored = await fill_up(box, expiry=LIVING)
        with pytest.raises(MailboxFull):
            await box.store(message("more", size=10_000, expiry=LIVING))
        assert 10 <= len(stored) < 20
        assert hashes(box) == stored
        assert (box.stats().full, box.stats().turned_away) == (True, 2)
        await fill(box, "small", size=10, expiry=LIVING)
        assert box.stats().full  # a small one found room, others will not
        await box.delete(ALICE, named(*stored[:11]))
        await fill(box, "large", size=10_000, expiry=LIVING)
        assert (box.stats().full, box.stats().turned_away) == (False, 2)
    assert hashes(box) == [*stored[11:], "small", "large"]
    assert [record.getMessage() for record in caplog.records] == [
        "the mailbox is full, new messages are refused: its limit of 200000 bytes is reached",
        "the mailbox has room again",
    ]
    await box.close()


async def test_what_has_expired_makes_room_before_anything_is_refused(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock, max_bytes=200_000)
    soon = clock.now() + 1000
    await fill(box, "first", size=10_000, expiry=LIVING)
    expiring = await fill_up(box, "x", expiry=soon)
    clock.time += 2000
    assert await fill_up(box, "y", expiry=LIVING)
    assert not set(expiring) & set(hashes(box))
    assert hashes(box)[0] == "first"
    assert await box.sweep(clock.now()) == len(expiring)  # they are counted, whoever let them go
    await box.close()


async def test_room_is_made_for_many_that_come_at_once(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock, max_bytes=200_000)
    await fill_up(box, "x", expiry=clock.now() + 1000)
    clock.time += 2000
    many = [message(f"y{i}", size=10_000, expiry=LIVING) for i in range(50)]
    outcomes = await asyncio.gather(*(box.store(one) for one in many), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Stored, MailboxFull}
    assert len(hashes(box)) == sum(isinstance(outcome, Stored) for outcome in outcomes) >= 10
    await box.close()


async def test_ghosts_make_room_after_that(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    for start in range(0, 2000, 100):
        group = [message(f"{start + i}", expiry=LIVING) for i in range(100)]
        await asyncio.gather(*(box.store(one) for one in group))
        await box.delete(ALICE, [one.hash for one in group], proof=b"p")
    ghosts = len(box.swarm.held(ALICE, ALICE, None, 9999))
    assert ghosts == 2000
    box._writer._max_bytes = box.stats().used_bytes
    await fill(box, "new", size=20_000, expiry=LIVING)
    assert 0 < len(box.swarm.held(ALICE, ALICE, None, 9999)) - 1 < ghosts
    assert hashes(box) == ["new"]
    await box.close()


async def test_ghosts_make_no_room_for_what_other_members_bring(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    group = [message(f"{i}", expiry=LIVING) for i in range(300)]
    await asyncio.gather(*(box.store(one) for one in group))
    await box.delete_all(ALICE, None, proof=b"p")
    box._writer._max_bytes = box.stats().used_bytes
    brought = Offer(Key(ALICE, 0, named("new")[0]), fresh(LIVING), 1, data=b"x" * 20_000)
    with pytest.raises(MailboxFull):
        await box.swarm.merge([brought])
    with pytest.raises(MailboxFull):
        await box.store_many([message("handed over", size=20_000, expiry=LIVING)])
    assert len(box.swarm.held(ALICE, ALICE, None, 9999)) == 300
    await box.close()


async def test_a_message_larger_than_the_database_may_be_takes_nobodys_place(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock, max_bytes=100_000)
    await fill(box, "old", "older")
    with pytest.raises(MailboxFull):
        await box.store(message("huge", size=100_001, expiry=LIVING))
    assert hashes(box) == ["old", "older"]
    await box.close()


async def test_what_has_expired_is_not_served_although_the_sweep_cannot_delete_it(mailbox, clock):
    soon = clock.now() + 1000
    await fill(mailbox, "a", expiry=soon)
    await fill(mailbox, "b", expiry=LIVING)
    await mailbox.store(message("outbox", namespace=-1, expiry=soon))
    clock.time += 2000
    assert hashes(mailbox) == ["a", "b"]  # as storage-rpc has it: until the sweep
    mailbox._writer._db.pragma("query_only", 1)
    for _ in range(2):
        with pytest.raises(MailboxError):
            await mailbox.sweep(clock.now())
        assert hashes(mailbox) == ["b"]
        assert hashes(mailbox, after=named("a")[0]) == ["b"]
        assert hashes(mailbox, namespace=-1) == []
        assert mailbox.expiries(ALICE, named("a", "b")) == {named("b")[0]: LIVING}
        assert mailbox.find(ALICE, 0, *named("a")) is None
    mailbox._writer._db.pragma("query_only", 0)
    assert await mailbox.sweep(clock.now()) == 2
    assert hashes(mailbox) == ["b"]
    await fill(mailbox, "c", expiry=clock.now() - 1)
    assert hashes(mailbox) == ["b", "c"]  # and again until the sweep


async def test_one_that_does_not_fit_hinders_no_other(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock, max_bytes=100_000)
    results = await asyncio.gather(
        box.store(message("a")),
        box.store(message("big", size=150_000)),
        box.store(message("b")),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [Stored, MailboxFull, Stored]
    assert hashes(box) == ["a", "b"]
    await box.close()


async def test_one_that_fails_in_the_database_hinders_no_other(mailbox):
    bad = message("bad")
    results = await asyncio.gather(
        mailbox.store(message("a")),
        mailbox.store(NewMessage(ALICE, 0, bad.hash, None, 1, b"")),
        mailbox.store(message("b", timestamp=2**70)),
        mailbox.store(message("c")),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [Stored, MailboxError, OverflowError, Stored]
    assert hashes(mailbox) == ["a", "c"]


async def test_a_full_disk_is_said_and_nothing_is_lost(mailbox):
    await fill(mailbox, "a")
    db = mailbox._writer._db
    pages = db.pragma("page_count")
    db.pragma("max_page_count", pages + 4)
    with pytest.raises(MailboxFull, match="database full"):
        await mailbox.store(message("big", size=70_000))
    await fill(mailbox, "b")
    db.pragma("max_page_count", pages + 1000)
    await fill(mailbox, "big", size=70_000)
    assert hashes(mailbox) == ["a", "b", "big"]


async def test_another_process_that_holds_the_lock_is_waited_for(tmp_path, mailbox):
    other = apsw.Connection(str(tmp_path / "mail.db"))
    other.execute("BEGIN IMMEDIATE")
    pending = asyncio.ensure_future(mailbox.store(message("a")))
    await asyncio.sleep(0.05)
    assert not pending.done()
    other.execute("COMMIT")
    await pending
    assert hashes(mailbox) == ["a"]


async def test_a_lock_that_is_never_released_is_named(tmp_path, mailbox, monkeypatch):
    monkeypatch.setattr("ramson.node.mailbox.writer.BUSY_MS", 50)
    other = apsw.Connection(str(tmp_path / "mail.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MailboxError, match="locked by another process"):
        await mailbox.store(message("a"))
    other.close()
    await fill(mailbox, "b")
    assert hashes(mailbox) == ["b"]


async def test_a_damaged_file_is_not_written_to_again(tmp_path, disk, clock):
    path = tmp_path / "m.db"
    box = Mailbox(path, disk, clock)
    await asyncio.gather(*(box.store(message(str(i), size=3000)) for i in range(200)))
    roots = box._reader.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name IN ('sqlite_autoindex_message_1', 'message_by_arrival')"
    )
    pages = [root for (root,) in roots.fetchall()]
    await box.close()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
    box = Mailbox(path, type(disk)(), clock)
    with pytest.raises(MailboxError, match="damaged"):
        box.retrieve(ALICE, 0, after=None, max_count=None, max_size=10**7)
    for text in ("x", "y"):
        with pytest.raises(MailboxError, match="damaged"):
            await box.store(message(text))
    await box.close()


async def test_a_failed_commit_acknowledges_nobody(mailbox):
    await fill(mailbox, "before")

    def fail():
        raise apsw.FullError("no space left")

    class FailingDb:
        def __init__(self, db):
            self.db = db

        def execute(self, sql, *args):
            return fail() if sql == "COMMIT" else self.db.execute(sql, *args)

        def __getattr__(self, name):
            return getattr(self.db, name)

    mailbox._writer._db = FailingDb(mailbox._writer._db)
    results = await asyncio.gather(mailbox.store(message("a")), mailbox.store(message("b")), return_exceptions=True)
    assert [type(r) for r in results] == [MailboxFull, MailboxFull]
    mailbox._writer._db = mailbox._writer._db.db
    assert hashes(mailbox) == ["before"]
    await fill(mailbox, "after")
    assert hashes(mailbox) == ["before", "after"]


async def test_a_caller_that_goes_away_stops_nothing(mailbox):
    gone = asyncio.ensure_future(mailbox.store(message("gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await fill(mailbox, "b")
    assert hashes(mailbox) == ["gone", "b"]


async def test_a_closed_mailbox_finishes_and_takes_no_more(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    pending = [asyncio.ensure_future(box.store(message(str(i)))) for i in range(10)]
    await asyncio.sleep(0)
    await box.close()
    assert [p.result().new for p in pending] == [True] * 10
    with pytest.raises(MailboxError, match="closed"):
        await box.store(message("late"))


async def test_stats(mailbox):
    await fill(mailbox, "a", "b")
    await fill(mailbox, "c", account=BOB)
    stats = mailbox.stats()
    assert (stats.messages, stats.accounts) == (3, 2)
    assert 0 < stats.used_bytes < 100_000 < stats.max_bytes


async def test_a_slow_disk_is_reported(mailbox, disk, clock, caplog):
    inline = disk.run

    async def slowly(work):
        result = await inline(work)
        clock.time += 5000
        return result

    disk.run = slowly
    await fill(mailbox, "a")
    assert "disk" in caplog.text
    assert "5000 ms" in caplog.text


async def test_a_writer_that_is_cancelled_acknowledges_nothing_more(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await fill(box, "before")
    never = asyncio.get_running_loop().create_future()

    async def stuck(work):
        await never

    works, disk.run = disk.run, stuck
    pending = asyncio.ensure_future(box.store(message("lost")))
    await asyncio.sleep(0.01)
    box._writer._task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    with pytest.raises(MailboxError, match="restart the node"):
        await box.store(message("late"))
    disk.run = works
    await box.close()
    box = Mailbox(tmp_path / "m.db", type(disk)(), clock)
    assert hashes(box) == ["before"]
    await fill(box, "after")
    await box.close()


async def test_a_mailbox_whose_disk_is_gone_keeps_no_lock(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)

    async def gone(work):
        raise asyncio.CancelledError

    disk.run = gone
    pending = asyncio.ensure_future(box.store(message("lost")))
    await asyncio.sleep(0.01)
    assert pending.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await box.close()
    box = Mailbox(tmp_path / "m.db", type(disk)(), clock)
    await fill(box, "after")
    assert hashes(box) == ["after"]
    await box.close()


async def test_reading_after_closing_is_an_error_of_the_mailbox(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await box.close()
    for read in (lambda: hashes(box), lambda: box.expiries(ALICE, []), lambda: box.is_revoked(ALICE, b""), box.stats):
        with pytest.raises(MailboxError):
            read()

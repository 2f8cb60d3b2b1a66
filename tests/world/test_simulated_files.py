"""A disk that may be full, and on which a failure in the middle of a commit leaves any part of it."""

import os
import random
import tempfile
from collections import Counter
from pathlib import Path

import apsw
import pytest

from ramson.world.simulated import SimulatedFiles


def open_database(directory, synchronous="full", checkpoint=1000):
    db = apsw.Connection(str(directory / "a.db"))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", synchronous)
    db.pragma("wal_autocheckpoint", checkpoint)
    return db


def begin(db, number):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (?, ?)", (number, bytes(3000)))
    return lambda: db.execute("COMMIT")


def found(directory):
    with apsw.Connection(str(directory / "a.db")) as db:
        assert db.pragma("integrity_check") == "ok"
        return [row for (row,) in db.execute("SELECT a FROM t ORDER BY a")]


@pytest.fixture
def memory(tmp_path):
    """A folder in memory if there is one: what a sync to a real disk does is not what is tested here."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)


@pytest.fixture
def homes(memory):
    """Folders for one life after the other."""
    return (memory / str(number) for number in range(10**6))


def lives(homes, seed, *, power, **options):
    """Fail in the middle of every fifth commit, thirty times; return what became of those commits, and the faults."""
    entropy = random.Random(seed)
    fates = Counter()
    with SimulatedFiles(entropy) as files:
        home = next(homes)
        home.mkdir()
        open_database(home, **options).execute("CREATE TABLE t (a, b)")
        number, expected = 0, []
        for _ in range(30):
            db = open_database(home, **options)
            for _ in range(5):
                begin(db, number)()
                expected.append(number)
                number += 1
            copy = next(homes)
            files.interrupt(home, copy, [begin(db, number)], power=power)
            there = found(copy)
            fates["survived" if number in there else "vanished"] += 1
            fates["lost"] += len(set(expected) - set(there))
            expected = there
            number += 1
            home = copy
    return fates, files.faults


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("checkpoint", [1000, 3])
def test_whenever_it_fails_commits_that_returned_are_there(homes, power, checkpoint):
    fates, faults = lives(homes, 1, power=power, checkpoint=checkpoint)
    assert fates["survived"] + fates["vanished"] == 30
    assert fates["survived"], "it always failed before the commit was on the disk"
    assert fates["vanished"], "it always failed after the commit was on the disk"
    assert fates["lost"] == 0
    assert faults["power-failure" if power else "killed-in-work"] == 30
    assert bool(faults["torn-write"]) == power


def test_a_program_that_does_not_sync_loses_what_it_promised(homes):
    fates, _ = lives(homes, 2, power=True, synchronous="normal", checkpoint=1000)
    assert fates["lost"]


def test_a_process_that_is_only_killed_needs_no_sync(homes):
    fates, _ = lives(homes, 3, power=False, synchronous="normal", checkpoint=1000)
    assert fates["lost"] == 0


def test_a_full_disk_refuses_what_would_grow_and_goes_on_when_there_is_room(tmp_path):
    with SimulatedFiles(random.Random(1)) as files:
        db = open_database(tmp_path)
        db.execute("CREATE TABLE t (a, b)")
        begin(db, 1)()
        files.fill(tmp_path)
        with pytest.raises(apsw.FullError):
            begin(db, 2)()
        assert not db.in_transaction
        assert files.faults["disk-full"] == 1
        files.free(tmp_path)
        begin(db, 3)()
        assert found(tmp_path) == [1, 3]


def test_one_seed_tears_alike(homes):
    assert lives(homes, 5, power=True) == lives(homes, 5, power=True)

"""Files beside an account: what was left by who was killed goes with the next making, and nothing else does."""

import fcntl
import os
import random
import signal
from pathlib import Path

import apsw
import pytest

from ramson.messenger import vault
from ramson.messenger.drafts import drafts, remove_left
from ramson.messenger.vault import KeyCost

CHEAP = KeyCost(passes=1, memory=13)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.ramson"


def fill(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE note (text TEXT)")


def make(path: Path, filling=fill, seed: int = 1) -> None:
    vault.create(path, "passphrase", filling, entropy=random.Random(seed), cost=CHEAP)


def die(connection: apsw.Connection) -> None:
    fill(connection)
    os.kill(os.getpid(), signal.SIGKILL)


def make_and_be_killed(path: Path) -> list[str]:
    """Return what a making that is killed leaves."""
    child = os.fork()
    if child == 0:
        try:
            make(path, die)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return names(path)


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


ACCOUNT = ["a.ramson", "a.ramson.0", "a.ramson.1"]


def test_what_a_killed_making_left_goes_with_the_next_one(path):
    left = make_and_be_killed(path)
    assert left
    assert all(name.startswith(".a.ramson.") for name in left)
    make(path, seed=2)
    assert names(path) == ACCOUNT


def test_it_goes_with_the_deletion_of_the_account_too(path):
    make_and_be_killed(path)
    make(path.with_name("b.ramson"), seed=2)
    vault.destroy(path.with_name("b.ramson"))
    assert names(path) == make_and_be_killed(path)  # of another account
    vault.destroy(path)
    assert names(path) == []


@pytest.mark.parametrize(
    "name",
    [
        ".b.ramson.0123456789abcdef.new0",  # of another account
        ".a.ramson.b.0123456789abcdef.new0",
        ".a.ramson.0123456789abcdef.new3",
        ".a.ramson.0123456789abcdef.new0.txt",
        ".a.ramson.0123456789ABCDEF.new0",
        ".a.ramson.0123456789abcde.new0",
        ".aXramson.0123456789abcdef.new0",
        "a.ramson.0123456789abcdef.new0",
        "x.a.ramson.0123456789abcdef.new0",
    ],
)
def test_nothing_goes_that_is_not_named_like_a_draft_of_this_account(path, name):
    (path.parent / name).touch()
    make(path)
    assert name in names(path)


def test_what_is_no_file_stays(path):
    directory, link = (path.parent / f".a.ramson.0123456789abcdef.new{number}" for number in (0, 1))
    directory.mkdir()
    link.symlink_to(path.parent / "elsewhere")
    make(path)
    assert directory.is_dir()
    assert link.is_symlink()


def test_drafts_that_somebody_has_in_hand_stay(path):
    with drafts(path, random.Random(1)) as mine:
        mine[0].touch()
        remove_left(path)
        with drafts(path, random.Random(2)) as others:
            assert mine[0].exists()
            others[0].touch()
        assert not others[0].exists()
        assert mine[0].exists()
        make(path, seed=3)
        assert mine[0].exists()
    assert names(path) == ACCOUNT


def test_who_found_somebody_at_work_is_at_work_too(path):
    one, other = drafts(path, random.Random(1)), drafts(path, random.Random(2))
    one.__enter__()
    mine = other.__enter__()
    mine[0].touch()
    one.__exit__(None, None, None)
    remove_left(path)
    assert mine[0].exists()
    other.__exit__(None, None, None)
    assert names(path) == []


def test_a_directory_that_another_program_has_locked_holds_nobody_up(path):
    make_and_be_killed(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        make(path, seed=2)
    finally:
        os.close(directory)
    assert len(names(path)) > len(ACCOUNT)
    vault.destroy(path)
    assert names(path) == []

"""The account file: whole or not there, sealed, for its owner only."""

import contextlib
import random
import stat
import unicodedata
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.messenger import vault
from ramson.messenger.account import DEFAULT_COST
from ramson.messenger.archive import ARCHIVE_COST
from ramson.messenger.keyslots import KeyFile
from ramson.messenger.vault import (
    AccountFileError,
    AccountFileExists,
    AccountFileMissing,
    AccountInUse,
    KeyCost,
    NotAnAccountFile,
    WeakPassphrase,
    WrongPassphrase,
)

CHEAP = KeyCost(passes=1, memory=13)
FORMER = KeyCost(passes=3, memory=28)  # what a guess at an account file cost by default before
SECRET = "the owl flies at noon"


def fill(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE note (text TEXT)")
    connection.execute("INSERT INTO note VALUES (?)", (SECRET,))


def make(path: Path, passphrase: str = "passphrase") -> Path:
    vault.create(path, passphrase, fill, entropy=random.Random(1), cost=CHEAP)
    return path


def read(path: Path, passphrase: str = "passphrase") -> str:
    connection = vault.open_file(path, passphrase, entropy=random.Random(0))
    try:
        return connection.execute("SELECT text FROM note").get
    finally:
        connection.close()


def test_what_is_written_can_be_read_with_the_passphrase(tmp_path):
    assert read(make(tmp_path / "a.ramson")) == SECRET


def test_a_wrong_passphrase_is_told(tmp_path):
    path = make(tmp_path / "a.ramson")
    with pytest.raises(WrongPassphrase) as caught:
        read(path, "passphrasE")
    assert "passphrasE" not in str(caught.value)


def test_the_same_letters_typed_on_another_system_open_it(tmp_path):
    path = make(tmp_path / "a.ramson", unicodedata.normalize("NFC", "clé de voûte"))
    assert read(path, unicodedata.normalize("NFD", "clé de voûte")) == SECRET


def test_a_short_passphrase_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(WeakPassphrase):
        make(tmp_path / "a.ramson", "12345")
    assert list(tmp_path.iterdir()) == []


def test_nothing_readable_is_on_disk_while_it_is_written_and_after(tmp_path):
    path = make(tmp_path / "a.ramson")
    connection = vault.open_file(path, "passphrase", entropy=random.Random(0))
    connection.execute("INSERT INTO note VALUES (?)", (SECRET + "!",))
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    connection.close()
    assert max(len(content) for name, content in files.items() if name.endswith("-wal")) > 4096
    for content in files.values():
        assert SECRET.encode() not in content
        assert b"SQLite" not in content
        assert b"note" not in content


def test_only_the_owner_may_read_any_of_its_files(tmp_path):
    path = make(tmp_path / "a.ramson")
    for file in tmp_path.iterdir():
        file.chmod(0o644)  # as a careless copy would leave it
    connection = vault.open_file(path, "passphrase", entropy=random.Random(0))
    connection.execute("INSERT INTO note VALUES ('x')")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    connection.close()
    assert len(modes) == 5
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("content", [b"", b"root:x:0:0\n", b"r\x01" + bytes(300), b"r\x02" + bytes(300), bytes(256)])
def test_a_file_that_is_no_account_stays_as_it_is(tmp_path, content):
    path = tmp_path / "passwd"
    path.write_bytes(content)
    path.chmod(0o644)
    with contextlib.suppress(vault.AccountFileError):
        vault.guard_of(path)
    with pytest.raises(vault.AccountFileError):
        vault.open_file(path, "passphrase", entropy=random.Random(0))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["passwd"]


def test_a_missing_directory_is_made_for_the_owner_only(tmp_path):
    path = make(tmp_path / "new" / "a.ramson")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "a.ramson"
    path.write_text("precious")
    with pytest.raises(AccountFileExists):
        make(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_never_overwritten(tmp_path):
    path = tmp_path / "a.ramson"
    with pytest.raises(AccountFileExists):
        vault.create(path, "passphrase", lambda _: path.write_text("precious"), entropy=random.Random(1), cost=CHEAP)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_creation_that_fails_leaves_nothing(tmp_path):
    def stumble(connection: apsw.Connection) -> None:
        fill(connection)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        vault.create(tmp_path / "a.ramson", "passphrase", stumble, entropy=random.Random(1), cost=CHEAP)
    assert list(tmp_path.iterdir()) == []


def test_databases_whose_key_file_was_moved_are_never_overwritten(tmp_path):
    path = make(tmp_path / "a.ramson")
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(AccountFileExists):
        make(path)
    (tmp_path / "elsewhere").rename(path)
    assert read(path) == SECRET


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(AccountFileMissing):
        read(tmp_path / "a.ramson")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"r", b"SQLite format 3\0" + bytes(100), b"r\x03\x01\x0d" + bytes(5000), b"r\x02\x01\x0d" + bytes(252)],
)
def test_another_file_is_not_taken_for_an_account(tmp_path, content):
    path = tmp_path / "a.ramson"
    path.write_bytes(content)
    with pytest.raises(NotAnAccountFile):
        read(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("passes", "memory"), [(0, 13), (17, 13), (1, 12), (1, 33)])
def test_an_absurd_cost_in_a_file_is_refused_before_it_is_paid(tmp_path, passes, memory):
    path = make(tmp_path / "a.ramson")
    content = bytearray(path.read_bytes())
    content[2:4] = passes, memory
    path.write_bytes(content)
    with pytest.raises(NotAnAccountFile):
        read(path)


def test_a_changed_byte_of_the_key_file_never_opens(tmp_path):
    path = make(tmp_path / "a.ramson")
    content = path.read_bytes()
    closed = 0
    for offset in range(len(content)):
        path.write_bytes(content[:offset] + bytes((content[offset] ^ 1,)) + content[offset + 1 :])
        try:
            assert read(path) == SECRET  # a byte of the slot that is not ours, or the note of what guards it
        except AccountFileError:
            closed += 1
    assert closed >= 105 + 33  # our slot, and what must be zero


@pytest.mark.parametrize("offset", [4, 15, 40, 3000])
def test_a_changed_byte_of_the_first_page_never_opens(tmp_path, offset):
    path = make(tmp_path / "a.ramson")
    for number in range(2):
        database = path.with_name(f"a.ramson.{number}")
        content = bytearray(database.read_bytes())
        content[offset] ^= 1
        database.write_bytes(content)
    with pytest.raises(AccountFileError):
        read(path)


def test_an_account_whose_database_was_left_behind_says_so(tmp_path):
    path = make(tmp_path / "a.ramson")
    for each in range(2):
        path.with_name(f"a.ramson.{each}").unlink()
    with pytest.raises(AccountFileMissing):
        read(path)


def test_what_a_killed_deletion_left_is_told_by_name(tmp_path):
    path = make(tmp_path / "a.ramson")
    path.write_bytes(bytes(256))  # the first thing that deleting does
    (tmp_path / "a.ramson.0").unlink()
    with pytest.raises(NotAnAccountFile, match="was deleted") as caught:
        read(path)
    assert caught.value.remedy == "Delete a.ramson, a.ramson.1."


def test_each_file_has_its_own_key(tmp_path):
    salts = [KeyCost().salt(random.SystemRandom()) for _ in range(2)]
    assert salts[0] != salts[1]
    assert salts[0][:4] == salts[1][:4] == b"r\x01\x04\x1a"


def test_opening_it_twice_in_one_program_keeps_both_usable(tmp_path):
    path = make(tmp_path / "a.ramson")
    first = vault.open_file(path, "passphrase", entropy=random.Random(0))
    second = vault.open_file(path, "passphrase", entropy=random.Random(0))
    second.execute("INSERT INTO note VALUES ('two')")
    second.close()
    first.execute("INSERT INTO note VALUES ('one')")
    assert first.execute("SELECT count(*) FROM note").get == 3
    first.close()


def test_only_one_client_receives_with_an_account_file(tmp_path):
    path = make(tmp_path / "a.ramson")
    with vault.Hold(path):
        with pytest.raises(AccountInUse) as caught:
            vault.Hold(path)
        assert caught.value.remedy
        assert read(path) == SECRET  # looking is free
    vault.Hold(path).close()


def test_the_files_of_an_account_are_deleted_keys_first(tmp_path):
    path = make(tmp_path / "a.ramson")
    vault.transports_directory(path).mkdir()
    (vault.transports_directory(path) / "state").write_text("what a transport keeps")
    vault.destroy(path)
    assert list(tmp_path.iterdir()) == []
    vault.destroy(path)


def test_a_guess_costs_less_at_an_account_that_is_opened_every_day_than_at_an_archive():
    assert (DEFAULT_COST.passes, 1 << DEFAULT_COST.memory) == (4, 64 << 20)
    assert (ARCHIVE_COST.passes, 1 << ARCHIVE_COST.memory) == (3, 256 << 20)


def test_an_account_of_former_cost_opens_and_never_becomes_cheaper(tmp_path):
    path = tmp_path / "a.ramson"
    vault.create(path, "passphrase", fill, entropy=random.Random(1), cost=FORMER)
    assert read(path) == SECRET
    assert FORMER.raised_to(DEFAULT_COST) == FORMER  # dearer already, though of fewer passes
    assert KeyFile.parse(path.read_bytes()).cost(0) == FORMER


@given(
    st.builds(KeyCost, st.integers(1, 16), st.integers(13, 32)),
    st.builds(KeyCost, st.integers(1, 16), st.integers(13, 32)),
)
def test_a_raised_cost_is_at_least_either_in_work_and_in_memory(one, other):
    raised = one.raised_to(other)
    for each in (one, other):
        assert raised.memory >= each.memory
        assert raised.passes << raised.memory >= each.passes << each.memory
    assert raised.raised_to(other) == raised

"""A second passphrase for somebody who forces the owner: another account, or the end of the first one.

And that nobody who has the files, or one of the passphrases, can tell whether there is another one.
"""

import itertools
import os
import random
import signal
import statistics
import time
from functools import partial

import apsw
import pytest

from ramson.messenger import keyslots, sealed_database, vault
from ramson.messenger.keyslots import KeyFile, Opens
from ramson.messenger.vault import AccountFileError, Guard, KeyCost, WeakPassphrase, WrongPassphrase

CHEAP = KeyCost(passes=1, memory=13)
REAL, DURESS = "the real one", "the other one"


def entropy():
    return random.SystemRandom()


def text(body):
    def fill(connection):
        connection.execute("CREATE TABLE note (text TEXT)")
        connection.execute("INSERT INTO note VALUES (?)", (body,))

    return fill


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.ramson"
    vault.create(path, REAL, text("real"), entropy=entropy(), cost=CHEAP)
    return path


def read(path, passphrase):
    connection = vault.open_file(path, passphrase, entropy=entropy())
    try:
        return connection.execute("SELECT text FROM note LIMIT 1").get
    finally:
        connection.close()
        vault.level(path, entropy())


def set_duress(path, *, wipe, passphrase=DURESS, real=REAL):
    vault.set_other(path, real, passphrase, text("decoy"), wipe=wipe, entropy=entropy())


def opens(path, passphrase):
    """What a passphrase opens, or None."""
    try:
        return read(path, passphrase)
    except WrongPassphrase:
        return None


def shape(path):
    """What the files show to everybody who has them."""
    raw = path.read_bytes()
    sizes = [file.stat().st_size for file in files(path)]
    return (
        sorted(file.name for file in path.parent.iterdir()),
        sizes,
        (raw[210], len(raw), raw[223:]),
        [(slot[:4], slot[:16] == raw[:16]) for slot in (raw[:105], raw[105:210])],
        [file.read_bytes()[16:24] for file in files(path)],
        len({file.stat().st_mtime_ns for file in files(path)}),
    )


def files(path):
    return [path.with_name(f"{path.name}.{number}") for number in range(2)]


def test_both_passphrases_open_their_own(path):
    set_duress(path, wipe=False)
    for _ in range(2):
        assert opens(path, REAL) == "real"
        assert opens(path, DURESS) == "decoy"
        assert opens(path, "neither of them") is None


def test_one_that_wipes_opens_its_own_and_nothing_opens_the_first_any_more(path):
    set_duress(path, wipe=True)
    assert opens(path, REAL) == "real"
    assert opens(path, DURESS) == "decoy"
    assert opens(path, REAL) is None
    assert opens(path, DURESS) == "decoy"


def test_a_wrong_passphrase_never_wipes(path):
    set_duress(path, wipe=True)
    for wrong in ("x", "", DURESS + " ", DURESS.upper(), REAL + DURESS):
        assert opens(path, wrong) is None
    assert opens(path, REAL) == "real"


@pytest.mark.parametrize("operation", ["change", "clear", "set"])
def test_whatever_is_done_with_the_passphrase_that_wipes_wipes(path, operation):
    set_duress(path, wipe=True)
    match operation:
        case "change":
            vault.change_passphrase(path, DURESS, "a new one", entropy=entropy(), cost=CHEAP)
        case "clear":
            vault.clear_other(path, DURESS, entropy=entropy())
        case "set":
            set_duress(path, wipe=False, passphrase="a third one", real=DURESS)
    assert opens(path, REAL) is None


@pytest.mark.parametrize("wipe", [False, True])
def test_the_files_look_the_same_with_and_without_one(path, wipe):
    before = shape(path)
    set_duress(path, wipe=wipe)
    assert shape(path) == before
    read(path, REAL)
    assert shape(path) == before
    read(path, DURESS)
    assert shape(path) == before
    if not wipe:
        vault.clear_other(path, REAL, entropy=entropy())
        assert shape(path) == before


def test_they_grow_together_whichever_account_is_used(path):
    set_duress(path, wipe=False)
    for passphrase, expected in ((REAL, 1), (DURESS, 2)):
        connection = vault.open_file(path, passphrase, entropy=entropy())
        for _ in range(expected):
            connection.execute("INSERT INTO note SELECT hex(randomblob(500000))")
        connection.close()
        vault.level(path, entropy())
        sizes = {file.stat().st_size for file in files(path)}
        assert len(sizes) == 1
        assert sizes.pop() >= expected * 1_000_000
        assert len({file.stat().st_mtime_ns for file in files(path)}) == 1
    for passphrase in (REAL, DURESS):
        connection = vault.open_file(path, passphrase, entropy=entropy())
        assert connection.pragma("integrity_check") == "ok"
        connection.close()


def test_nothing_is_added_to_one_that_is_open_here_or_elsewhere(path):
    connection = vault.open_file(path, REAL, entropy=entropy())
    used = files(path)[KeyFile.parse(path.read_bytes()).unlock(REAL).slot]
    size = used.stat().st_size
    extend = partial(sealed_database._extend, used, size + 1_000_000, entropy())
    with pytest.raises(apsw.BusyError):
        extend()
    assert in_a_child(extend) == 1
    assert used.stat().st_size == size
    connection.close()
    extend()
    assert used.stat().st_size > size
    assert opens(path, REAL) == "real"


def test_bytes_added_to_one_that_is_open_lose_nothing(path):
    connection = vault.open_file(path, REAL, entropy=entropy())
    for file in files(path):  # as by another program that did not see it was open
        with file.open("ab") as tail:
            tail.write(os.urandom(777_777))
    for _ in range(40):
        connection.execute("INSERT INTO note SELECT hex(randomblob(50000))")
    connection.close()
    vault.level(path, entropy())
    connection = vault.open_file(path, REAL, entropy=entropy())
    assert connection.pragma("integrity_check") == "ok"
    assert connection.execute("SELECT count(*) FROM note").get == 41
    connection.close()


def test_either_slot_may_be_the_first(tmp_path):
    slots = set()
    for number in range(14):
        path = tmp_path / f"{number}.ramson"
        vault.create(path, REAL, text("real"), entropy=entropy(), cost=CHEAP)
        slots.add(KeyFile.parse(path.read_bytes()).unlock(REAL).slot)
    assert slots == {0, 1}


@pytest.mark.parametrize("duress", [False, True])
def test_every_passphrase_costs_one_derivation_and_tries_both_slots(path, monkeypatch, duress):
    if duress:
        set_duress(path, wipe=False)
    steps = []
    derive, open_slot = keyslots.derive, KeyFile._open
    monkeypatch.setattr(keyslots, "derive", lambda *given: steps.append("derive") or derive(*given))
    monkeypatch.setattr(KeyFile, "_open", lambda *given: steps.append("try") or open_slot(*given))
    for passphrase in (REAL, DURESS, "neither of them"):
        steps.clear()
        opens(path, passphrase)
        assert steps == ["derive", "try", "try"]


def test_after_a_wipe_no_key_is_in_any_file(path):
    set_duress(path, wipe=True)
    key_file = KeyFile.parse(path.read_bytes())
    unlocked = key_file.unlock(REAL)
    slot = key_file.slots[unlocked.slot]
    real = files(path)[unlocked.slot]
    pages = real.read_bytes()
    assert opens(path, DURESS) == "decoy"
    left = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for content in left.values():
        for secret in (slot[16:], slot[40:72], unlocked.contents.key, unlocked.contents.salt, unlocked.secret):
            assert secret not in content
        assert pages[4096:8192] not in content  # nor what they opened
    after = KeyFile.parse(left["a.ramson"])
    assert after.unlock(DURESS).contents.opens is Opens.DATABASE  # and nothing tells that there was a wipe
    with pytest.raises(Exception, match="not a database"):
        sealed_database.connect(real, unlocked.contents.key, unlocked.contents.salt)


def test_a_log_that_a_killed_program_left_goes_too(path):
    set_duress(path, wipe=True)
    in_a_child(partial(write_and_die, lambda: vault.open_file(path, REAL, entropy=entropy())))
    assert len(list(path.parent.iterdir())) == 5
    assert opens(path, DURESS) == "decoy"
    assert len(list(path.parent.iterdir())) == 3


def test_it_wipes_even_while_the_first_account_is_open(path):
    set_duress(path, wipe=True)
    connection = vault.open_file(path, REAL, entropy=entropy())
    with vault.Hold(path):
        assert opens(path, DURESS) == "decoy"
    connection.close()
    assert opens(path, REAL) is None
    assert opens(path, DURESS) == "decoy"


def test_it_wipes_even_if_there_is_no_room_to_write_over_the_database(path, monkeypatch):
    set_duress(path, wipe=True)

    def full(*_given):
        raise OSError(28, "no space left")

    monkeypatch.setattr(sealed_database, "make_random", full)
    assert opens(path, DURESS) == "decoy"
    assert opens(path, REAL) is None


def test_setting_one_replaces_another_and_removing_it_leaves_one(path):
    set_duress(path, wipe=True)
    set_duress(path, wipe=False, passphrase="a third one")
    assert opens(path, DURESS) is None
    assert opens(path, "a third one") == "decoy"
    vault.clear_other(path, REAL, entropy=entropy())
    assert opens(path, "a third one") is None
    assert opens(path, REAL) == "real"


def test_what_could_not_be_told_apart_is_refused(path):
    with pytest.raises(WeakPassphrase):
        set_duress(path, wipe=False, passphrase=REAL)
    with pytest.raises(WeakPassphrase):
        set_duress(path, wipe=False, passphrase="short")
    with pytest.raises(WrongPassphrase):
        set_duress(path, wipe=False, real="wrong one")
    set_duress(path, wipe=True)
    with pytest.raises(WeakPassphrase):
        vault.change_passphrase(path, REAL, DURESS, entropy=entropy(), cost=CHEAP)
    assert opens(path, REAL) == "real"


# The passphrase is changed


@pytest.mark.parametrize("cost", [CHEAP, KeyCost(2, 14)])
@pytest.mark.parametrize("wipe", [None, False, True])
def test_a_changed_passphrase_opens_and_the_old_one_does_not(path, cost, wipe):
    if wipe is not None:
        set_duress(path, wipe=wipe)
    vault.change_passphrase(path, REAL, "a new one", entropy=entropy(), cost=cost)
    assert opens(path, REAL) is None
    assert opens(path, "a new one") == "real"
    assert opens(path, DURESS) == (None if wipe is None else "decoy")
    assert opens(path, "a new one") == (None if wipe else "real")


def test_a_guess_costs_no_less_after_a_change_and_more_if_that_is_the_custom_now(path):
    slot = KeyFile.parse(path.read_bytes()).unlock(REAL).slot
    for cost, expected in ((KeyCost(3, 13), (3, 13)), (KeyCost(1, 15), (3, 15)), (CHEAP, (3, 15))):
        vault.change_passphrase(path, REAL, REAL, entropy=entropy(), cost=cost)
        found = KeyFile.parse(path.read_bytes()).cost(slot)
        assert (found.passes, found.memory) == expected


def test_a_change_looks_the_same_with_and_without_a_second_passphrase(tmp_path):
    shapes = []
    for duress in (False, True):
        path = tmp_path / str(duress) / "a.ramson"
        while True:
            vault.create(path, REAL, text("real"), entropy=entropy(), cost=CHEAP)
            if KeyFile.parse(path.read_bytes()).unlock(REAL).slot == 0:
                break
            vault.destroy(path)
        if duress:
            set_duress(path, wipe=False)
        vault.change_passphrase(path, REAL, "a new one", entropy=entropy(), cost=KeyCost(2, 13))
        shapes.append(shape(path))
    assert shapes[0] == shapes[1]


def test_a_key_of_a_keyring_takes_the_place_of_the_passphrase_and_back(path):
    set_duress(path, wipe=False)
    key = "ab" * 32
    vault.change_passphrase(path, REAL, key, entropy=entropy(), cost=CHEAP, guard=Guard.KEYRING)
    guard, name = vault.guard_of(path)
    assert (guard, len(name)) == (Guard.KEYRING, 24)
    assert opens(path, key) == "real"
    assert opens(path, REAL) is None
    assert opens(path, DURESS) is None
    with pytest.raises(AccountFileError, match="keyring"):
        set_duress(path, wipe=True, real=key)
    vault.change_passphrase(path, key, REAL, entropy=entropy(), cost=CHEAP)
    assert vault.guard_of(path)[0] is Guard.PASSPHRASE
    assert KeyFile.parse(path.read_bytes()).cost(0) == CHEAP
    assert opens(path, key) is None
    assert opens(path, REAL) == "real"


# Killed at any moment

COUNTED = ("open", "pwrite", "fsync", "link", "unlink", "rename", "replace", "utime")


def in_a_child(work):
    """Do something in a process of its own; tell how that ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(work, stop):
    """Do something and be killed at its `stop`th call to the file system; tell whether it came to that."""
    calls = itertools.count(1)

    def counted(function):
        def call(*given, **named):
            if next(calls) == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return call

    def child():
        for name in COUNTED:
            setattr(os, name, counted(getattr(os, name)))
        work()

    code = in_a_child(child)
    assert code in {0, -signal.SIGKILL}
    return code != 0


def write_and_die(connect):
    connection = connect()
    connection.execute("INSERT INTO note VALUES ('late')")
    os.kill(os.getpid(), signal.SIGKILL)


def unlock(path, passphrase):
    vault.open_file(path, passphrase, entropy=entropy()).close()
    vault.level(path, entropy())


def change(path, new, guard):
    vault.change_passphrase(path, REAL, new, entropy=entropy(), cost=KeyCost(2, 13), guard=guard)


def copies(path, tmp_path):
    """The same account again and again, each in a directory of its own."""
    originals = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    for number in range(1, 60):
        directory = tmp_path / f"copy {number}"
        directory.mkdir(mode=0o700)
        for name, content in originals.items():
            (directory / name).write_bytes(content)
        yield number, directory / path.name


def test_a_wipe_that_is_killed_leaves_all_or_nothing_and_the_next_one_ends_it(path, tmp_path_factory):
    set_duress(path, wipe=True)
    states = []
    for stop, copy in copies(path, tmp_path_factory.mktemp("copies")):
        if not killed(partial(unlock, copy, DURESS), stop):
            break
        slots = KeyFile.parse(copy.read_bytes())
        states.append(slots.unlock(REAL) is not None)
        assert opens(copy, DURESS) == "decoy"
        assert opens(copy, REAL) is None
        assert {file.name for file in copy.parent.iterdir() if not file.name.startswith(".")} == {
            "a.ramson",
            "a.ramson.0",
            "a.ramson.1",
        }
    assert states == sorted(states, reverse=True)  # from one moment on the key is gone
    assert {True, False} == set(states)


@pytest.mark.parametrize(("guard", "new"), [(Guard.PASSPHRASE, "a new one"), (Guard.KEYRING, "ab" * 32)])
def test_a_change_that_is_killed_leaves_the_one_passphrase_or_the_other(path, tmp_path_factory, guard, new):
    states = set()
    for stop, copy in copies(path, tmp_path_factory.mktemp("copies")):
        ended = not killed(partial(change, copy, new, guard=guard), stop)
        state = (opens(copy, REAL), opens(copy, new))
        assert state in {("real", None), (None, "real")}
        states.add(state)
        if ended:
            break
    assert len(states) == 2


def test_setting_one_that_is_killed_leaves_the_account_and_no_half_set_passphrase(path, tmp_path_factory):
    for stop, copy in copies(path, tmp_path_factory.mktemp("copies")):
        if not killed(partial(set_duress, copy, wipe=True), stop):
            break
        assert opens(copy, REAL) == "real"
        if KeyFile.parse(copy.read_bytes()).unlock(DURESS) is not None:
            assert opens(copy, DURESS) == "decoy"
        else:
            set_duress(copy, wipe=True)
    assert stop > 5


# Files of the first layout


@pytest.fixture
def old(tmp_path):
    from first_layout import make

    def fill(connection):
        connection.execute("CREATE TABLE note (text TEXT)")
        connection.execute("INSERT INTO note VALUES ('real')")
        connection.execute("INSERT INTO note SELECT hex(randomblob(300000))")

    return make(tmp_path / "a.ramson", REAL, fill)


def test_a_file_of_the_first_layout_becomes_one_of_this_and_keeps_everything(old):
    with pytest.raises(WrongPassphrase):
        read(old, "wrong one")
    assert vault.guard_of(old) == (Guard.PASSPHRASE, "")
    assert [file.name for file in old.parent.iterdir()] == ["a.ramson"]
    assert read(old, REAL) == "real"
    fresh = old.with_name("fresh.ramson")
    vault.create(fresh, REAL, text("real"), entropy=entropy(), cost=CHEAP)
    assert shape(old)[2:] == shape(fresh)[2:]
    connection = vault.open_file(old, REAL, entropy=entropy())
    assert connection.execute("SELECT length(text) FROM note WHERE rowid = 2").get == 600_000
    assert connection.pragma("integrity_check") == "ok"
    assert connection.pragma("journal_mode") == "wal"
    connection.close()


def test_what_was_not_in_the_old_database_yet_but_in_its_log_comes_along(old):
    salt = old.read_bytes()[:16]
    in_a_child(partial(write_and_die, lambda: sealed_database.connect(old, vault.derive(REAL, salt, CHEAP), salt)))
    assert old.with_name("a.ramson-wal").exists()
    connection = vault.open_file(old, REAL, entropy=entropy())
    assert connection.execute("SELECT text FROM note WHERE rowid = 3").get == "late"
    connection.close()
    assert sorted(file.name for file in old.parent.iterdir()) == ["a.ramson", "a.ramson.0", "a.ramson.1"]


def test_an_upgrade_that_is_killed_leaves_the_old_or_the_new(old, tmp_path_factory):
    layouts = set()
    for stop, copy in copies(old, tmp_path_factory.mktemp("copies")):
        if not killed(partial(unlock, copy, REAL), stop):
            break
        layouts.add(copy.read_bytes()[1])
        assert opens(copy, REAL) == "real"
        assert opens(copy, REAL) == "real"
    assert layouts == {1, 2}


def test_an_old_file_that_another_program_has_open_waits_for_it(old, monkeypatch):
    monkeypatch.setattr(sealed_database, "BUSY_MS", 50)
    salt = old.read_bytes()[:16]
    connection = sealed_database.connect(old, vault.derive(REAL, salt, CHEAP), salt)
    connection.execute("SELECT * FROM note").fetchall()
    with pytest.raises(AccountFileError, match="another program"):
        read(old, REAL)
    connection.close()
    assert read(old, REAL) == "real"


def test_how_long_it_takes_does_not_tell_which_passphrase_it_was(path):
    """With a wide margin: it is the number of derivations and trials that counts, and those are tested above."""
    set_duress(path, wipe=False)
    key_file = KeyFile.parse(path.read_bytes())
    times = {passphrase: [] for passphrase in (REAL, DURESS, "neither of them")}
    for _ in range(15):
        for passphrase, measured in times.items():
            start = time.process_time()
            key_file.unlock(passphrase)
            measured.append(time.process_time() - start)
    medians = [statistics.median(measured) for measured in times.values()]
    assert max(medians) < 3 * min(medians)

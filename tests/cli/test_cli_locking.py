"""What opens an account, from the command line: changed passphrases, keyrings, second passphrases; and deleting."""

import io
import re
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backends.fail import Keyring as NoKeyring

from ramson.cli import main
from ramson.messenger import KeyCost, account
from ramson.messenger.keyslots import KeyFile

sys.path.insert(0, str(Path(__file__).parents[1] / "messenger"))  # tests are no package
from keyrings import in_memory

PASSPHRASE = "correct horse"
PHRASE = "virtual rounded dating itself sober fleet adrenalin puzzled wept rural axis fictional fleet"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, and account files that are cheap to open."""
    for function in (account.create, account.change_passphrase):
        monkeypatch.setitem(function.__kwdefaults__, "cost", KeyCost(passes=1, memory=13))
    for name in ("RAMSON_ACCOUNT", "RAMSON_NETWORK", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAMSON_PASSPHRASE", PASSPHRASE)
    return tmp_path / ".local/share/ramson"


@pytest.fixture
def ring():
    with in_memory() as ring:
        yield ring


@pytest.fixture
def ramson(monkeypatch, capsys):
    """Type a command, with a passphrase and more variables; returns exit code, standard output and standard error."""

    def type_command(*arguments, stdin="", passphrase=PASSPHRASE, **variables):
        monkeypatch.setattr(sys, "argv", ["ramson", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with monkeypatch.context() as context:
            for name, value in {"RAMSON_PASSPHRASE": passphrase, **variables}.items():
                context.setenv(name, value)
            try:
                main()
                code = 0
            except SystemExit as stopped:
                code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_command


@pytest.fixture
def identity(ramson):
    return ramson("account", "create", "--name", "Alice")[1].splitlines()[0]


def test_a_changed_passphrase_opens_and_the_old_one_does_not(ramson, identity):
    assert ramson("account", "passphrase", RAMSON_NEW_PASSPHRASE="a new one") == (0, "", "")
    assert ramson("account", "show", passphrase="a new one") == (0, identity + "\n", "")
    code, _, err = ramson("account", "show")
    assert code == 1
    assert err.startswith("The passphrase is wrong")


def test_a_passphrase_is_not_removed_nor_made_short(ramson, identity, home):
    for new in ("", "short"):
        secret = home / "new"
        secret.write_text(new + "\n")
        code, _, err = ramson("account", "passphrase", "--new-passphrase-file", secret)
        assert code == 1
        assert "at least 6" in err
    assert ramson("account", "show")[0] == 0


def test_an_account_of_the_keyring_asks_for_nothing(ramson, ring, monkeypatch):
    code, out, _ = ramson("account", "create", "--keyring")
    assert code == 0
    identity = out.splitlines()[0]
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    assert ramson("account", "show", passphrase="") == (0, identity + "\n", "")
    assert ramson("contacts", passphrase="") == (0, "", "")
    assert ramson("search", "words", passphrase="") == (0, "", "")
    assert len(ring.kept) == 1


def test_an_account_is_restored_into_the_keyring(ramson, ring):
    assert ramson("account", "restore", "--keyring", stdin=PHRASE)[0] == 0
    assert ramson("account", "show", passphrase="")[0] == 0


def test_a_passphrase_goes_into_the_keyring_and_comes_back(ramson, ring, identity):
    assert ramson("account", "passphrase", "--keyring") == (0, "", "")
    assert ramson("account", "show", passphrase="") == (0, identity + "\n", "")
    code, _, err = ramson("account", "passphrase", "--keyring")
    assert (code, "already" in err) == (1, True)
    assert ramson("account", "passphrase", RAMSON_NEW_PASSPHRASE=PASSPHRASE) == (0, "", "")
    assert ring.kept == {}
    assert ramson("account", "show") == (0, identity + "\n", "")


def test_without_a_keyring_the_error_is_one_line_with_a_remedy(ramson, home):
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    try:
        code, out, err = ramson("account", "create", "--keyring")
    finally:
        keyring.set_keyring(before)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "passphrase" in err
    assert not home.exists()


def set_duress(ramson, mode, **more):
    return ramson("account", "duress", "set", mode, RAMSON_DURESS_PASSPHRASE="under duress", **more)


def test_a_decoy_is_another_account(ramson, identity):
    code, decoy, err = set_duress(ramson, "--decoy", stdin="y\n")
    assert code == 0
    assert "destroyed" in err
    assert decoy.strip() != identity
    for _ in range(2):
        assert ramson("account", "show", passphrase="under duress") == (0, decoy, "")
        assert ramson("account", "show") == (0, identity + "\n", "")
    assert ramson("account", "duress", "remove", "--yes")[0] == 0
    assert ramson("account", "show", passphrase="under duress")[0] == 1
    assert ramson("account", "show")[0] == 0


def test_a_passphrase_that_wipes_looks_like_any_other_and_ends_the_account(ramson, identity, home):
    decoy = set_duress(ramson, "--wipe", stdin="y\n")[1]
    assert ramson("account", "show") == (0, identity + "\n", "")
    assert ramson("account", "show", passphrase="under duress") == (0, decoy, "")
    wrong = ramson("account", "show", passphrase="wrong one")
    assert ramson("account", "show") == wrong
    assert KeyFile.parse((home / "account.ramson").read_bytes()).unlock(PASSPHRASE) is None


def test_nothing_is_set_without_a_yes_or_without_saying_what_it_does(ramson, identity, home):
    before = (home / "account.ramson").read_bytes()
    assert set_duress(ramson, "--wipe", stdin="n\n")[0] == 1
    assert ramson("account", "duress", "remove", stdin="\n")[0] == 1
    code, _, err = ramson("account", "duress", "set", RAMSON_DURESS_PASSPHRASE="under duress")
    assert (code, "--decoy or --wipe" in err) == (1, True)
    assert ramson("account", "duress", "set", "--wipe", "--decoy", RAMSON_DURESS_PASSPHRASE="under duress")[0] == 1
    assert set_duress(ramson, "--wipe", stdin="y\n", passphrase="wrong one")[0] == 1
    assert (home / "account.ramson").read_bytes() == before


def test_whether_there_is_one_is_told_by_nothing_that_is_printed(ramson, identity):
    def told():
        return [
            ramson("account", "show"),
            ramson("account", "show", passphrase="wrong one"),
            ramson("contacts"),
            ramson("account", "duress", "remove", stdin="n\n"),
            set_duress(ramson, "--wipe", stdin="n\n"),
        ]

    without = told()
    set_duress(ramson, "--decoy", stdin="y\n")
    assert told() == without


def test_an_account_is_deleted_with_all_its_files_after_a_yes(ramson, identity, home):
    assert ramson("account", "delete", stdin="n\n")[0] == 1
    assert ramson("account", "show")[0] == 0
    assert ramson("account", "delete", passphrase="wrong one", stdin="y\n")[0] == 1
    assert len(list(home.iterdir())) == 3
    assert ramson("account", "delete", stdin="y\n")[:2] == (0, "deleted\n")
    assert list(home.iterdir()) == []


def test_no_option_takes_a_secret_from_the_arguments(ramson):
    for command in (["account", "passphrase"], ["account", "duress", "set"], ["account", "delete"]):
        options = re.findall(r"--[\w-]*passphrase[\w-]*", ramson(*command, "--help")[1])
        assert options
        assert all(option.endswith("-file") for option in options)

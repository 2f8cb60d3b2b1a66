"""`ramson account` and what all commands share: where secrets come from, how errors look, exit codes."""

import io
import json
import os
import pty
import re
import sys

import pytest

from ramson._version import __version__
from ramson.cli import main
from ramson.cli.harmless import printable
from ramson.cli.options import resolve_network
from ramson.errors import RamsonError
from ramson.messenger import KeyCost, account
from ramson.network import MAINNET, TESTNET

PHRASE = "virtual rounded dating itself sober fleet adrenalin puzzled wept rural axis fictional fleet"
PHRASE_ID = "056c3d9682f167135d4c86b0af24e7aca98949380fa825e01455e788fe3df1d05c"
PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, and account files that are cheap to open."""
    monkeypatch.setitem(account.create.__kwdefaults__, "cost", KeyCost(passes=1, memory=13))
    for name in ("RAMSON_ACCOUNT", "RAMSON_NETWORK", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAMSON_PASSPHRASE", PASSPHRASE)
    return tmp_path


@pytest.fixture
def ramson(monkeypatch, capsys):
    """Type a command; returns exit code, standard output and standard error."""

    def type_command(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["ramson", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_command


def test_a_new_account_prints_its_id_and_its_phrase_and_can_be_restored(ramson, home):
    code, out, err = ramson("account", "create")
    assert (code, err) == (0, "")
    identity, phrase = out.splitlines()
    assert account.keys_of_phrase(phrase).id.hex == identity
    assert (home / ".local/share/ramson/account.ramson").exists()
    restored = ramson("account", "restore", "--account", home / "again.ramson", stdin=phrase + "\n")
    assert restored == (0, identity + "\n", "")


def test_programs_get_an_account_as_json(ramson, home):
    code, out, err = ramson("account", "create", "--json")
    made = json.loads(out)
    assert (code, err, account.keys_of_phrase(made["phrase"]).id.hex) == (0, "", made["id"])
    again = ("account", "restore", "--account", home / "again.ramson", "--json")
    assert json.loads(ramson(*again, stdin=made["phrase"] + "\n")[1]) == {"id": made["id"]}
    assert json.loads(ramson("account", "show", "--json")[1]) == {"id": made["id"]}
    assert json.loads(ramson("account", "show", "--phrase", "--json", stdin="y\n")[1]) == {"phrase": made["phrase"]}
    gone = ramson("account", "delete", "--yes", "--json")
    assert (gone[0], json.loads(gone[1])) == (0, {"deleted": True, "confirmed": 0, "failed": 0})


def test_restoring_prints_the_id_of_the_phrase_and_never_the_phrase(ramson):
    assert ramson("account", "restore", stdin=PHRASE) == (0, PHRASE_ID + "\n", "")


def test_a_slip_in_the_phrase_is_named_without_repeating_it(ramson, home):
    code, out, err = ramson("account", "restore", stdin=PHRASE.replace("sober", "xxxxx"))
    assert (code, out) == (1, "")
    assert "5" in err
    assert "xxxxx" not in err
    assert len(err.splitlines()) == 1
    assert not (home / ".local/share/ramson").exists()


def test_the_account_is_shown_and_the_phrase_only_after_a_yes(ramson):
    ramson("account", "restore", stdin=PHRASE)
    assert ramson("account", "show") == (0, PHRASE_ID + "\n", "")
    for answer in ("n\n", "\n", ""):
        assert ramson("account", "show", "--phrase", stdin=answer)[:2] == (1, "")
    assert ramson("account", "show", "--phrase", stdin="y\n")[:2] == (0, PHRASE + "\n")


def test_a_wrong_passphrase_is_one_sentence_and_exit_code_1(ramson, monkeypatch):
    ramson("account", "create")
    monkeypatch.setenv("RAMSON_PASSPHRASE", "wrong horse")
    code, out, err = ramson("account", "show")
    assert (code, out) == (1, "")
    assert err.startswith("The passphrase is wrong")
    assert "Traceback" not in err
    assert "wrong horse" not in err


def test_the_passphrase_can_come_from_a_file(ramson, home, monkeypatch):
    ramson("account", "create")
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    secret = home / "secret"
    secret.write_text(PASSPHRASE + "\n")
    assert ramson("account", "show", "--passphrase-file", secret)[0] == 0
    assert ramson("account", "show", "--passphrase-file", home / "none")[0] == 1
    secret.write_bytes(b"\xff\xfe")
    assert "UTF-8" in ramson("account", "show", "--passphrase-file", secret)[2]


def test_without_a_terminal_nobody_is_asked(ramson, monkeypatch):
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    code, _, err = ramson("account", "show")
    assert code == 1
    assert "RAMSON_PASSPHRASE" in err


def test_no_option_takes_a_secret_from_the_arguments(ramson):
    for command in (["account", "create"], ["account", "restore"], ["account", "show"], ["send"], ["listen"]):
        text = ramson(*command, "--help")[1]
        assert set(re.findall(r"--(?:pass|phrase|seed)[\w-]*", text)) <= {"--passphrase-file", "--phrase"}


def test_an_existing_account_is_not_overwritten_nor_is_a_secret_asked_for(ramson, monkeypatch):
    _, out, _ = ramson("account", "create")
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    for command in ("create", "restore"):
        code, _, err = ramson("account", command)
        assert code == 1
        assert "already a file" in err
    monkeypatch.setenv("RAMSON_PASSPHRASE", PASSPHRASE)
    assert ramson("account", "show")[1] == out.splitlines()[0] + "\n"


def test_a_missing_account_says_how_to_make_one(ramson):
    code, _, err = ramson("listen")
    assert code == 1
    assert "ramson account create" in err


def test_what_cannot_be_sent_is_told_before_a_passphrase_is_asked_for(ramson, monkeypatch):
    monkeypatch.delenv("RAMSON_PASSPHRASE")
    for recipient, text, word in (
        ("05abc", "hello", "66"),
        ("03" + "ab" * 32, "hello", "05"),
        (PHRASE_ID, "", "empty"),
        (PHRASE_ID, "x" * 2001, "2000"),
    ):
        code, _, err = ramson("send", recipient, text)
        assert code == 1
        assert word in err
    assert "2000" in ramson("send", PHRASE_ID, "-", stdin="x" * 100_000)[2]


def test_a_command_line_that_makes_no_sense_is_exit_code_2(ramson):
    assert ramson("send")[0] == 2
    assert ramson("nonsense")[0] == 2
    assert ramson("path", "--timeout", "0")[0] == 2


def test_version_and_help(ramson):
    assert ramson("--version") == (0, f"ramson {__version__}\n", "")
    assert "send" in ramson("--help")[1]


def test_networks_are_named_or_described_by_a_file(home):
    assert resolve_network("mainnet").seeds == MAINNET.seeds
    assert resolve_network("testnet").seeds == TESTNET.seeds
    for content in (None, b"", b"[]", b"\xff"):
        file = home / "network.json"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(RamsonError):
            resolve_network(str(file))


def test_a_stranger_s_text_does_nothing_to_the_terminal():
    assert printable("a\x1b[2Jb\x9bc\rd\x00") == "a�[2Jb�c�d�"
    assert printable("evil\u202etxt") == "evil�txt"
    assert printable("\udc9b2J\ud800") == "�2J�"  # halves of pairs, the first of which stands for the byte 9b
    assert printable("two\nlines\t👩‍👧") == "two\n    lines\t👩‍👧"


def test_a_person_is_asked_for_a_passphrase_twice_and_it_is_not_shown(home):
    """On a real terminal, and with the real cost."""
    child, terminal = pty.fork()
    if child == 0:
        environment = {key: value for key, value in os.environ.items() if key != "RAMSON_PASSPHRASE"}
        os.execve(sys.executable, [sys.executable, "-m", "ramson", "account", "create"], environment)
    seen = b""

    def until(word):
        nonlocal seen
        while word not in seen:
            seen += os.read(terminal, 4096)

    until(b"passphrase for the account file: ")
    os.write(terminal, b"five quiet owls\n")
    until(b"epeat for confirmation: ")
    os.write(terminal, b"five quiet owls\n")
    try:
        while True:
            seen += os.read(terminal, 4096)
    except OSError:  # the other side is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    text = seen.decode()
    assert "five quiet owls" not in text
    assert "Your recovery phrase" in text
    assert re.search(r"^05[0-9a-f]{64}\r?$", text, re.MULTILINE)

"""What commands do with files, streams and numbers that nobody should have given them."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ramson import given_files
from ramson.bot.account_secret import ask
from ramson.cli.files import save_all
from ramson.cli.options import confirm
from ramson.errors import LocalError
from ramson.messenger import Client, KeyCost, account
from ramson.node.private_files import make_private_directory
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, Seed
from ramson.world import real

ACCOUNT = ("account", "show", "--account", "none.ramson")


@pytest.fixture
def ramson(tmp_path):
    """Run the command line as a process, so that its streams may be closed: `ramson(shell_suffix, *arguments)`."""

    def run(suffix, *arguments):
        environment = {k: v for k, v in os.environ.items() if k != "RAMSON_PASSPHRASE"} | {"HOME": str(tmp_path)}
        command = ["sh", "-c", f'exec "$@" {suffix}', "sh", sys.executable, "-m", "ramson", *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_file_is_read_up_to_its_bound_and_no_further(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert given_files.read(file, 5, what="the file") == b"12345"
    for path in (file, "/dev/zero"):
        with pytest.raises(LocalError, match="the file is too large"):
            given_files.read(path, 4, what="the file")
    for path in (tmp_path, tmp_path / "none", "a\0b", "x" * 5000):
        with pytest.raises(LocalError, match="the file cannot be read: "):
            given_files.read(path, 5, what="the file")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"nodes": 5}'])
def test_what_describes_no_network_is_named(tmp_path, content):
    file = tmp_path / "network.json"
    file.write_bytes(content)
    with pytest.raises(LocalError, match=r"network\.json describes no network") as raised:
        given_files.read_network(file)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("contacts", "--account", "."), "What is at . is no file. Give the path of an account file.\n"),
        (("contacts", "--account", ""), "What is at . is no file. Give the path of an account file.\n"),
        (
            ("listen", "--network", ""),
            "The name of the network is empty. Say mainnet, testnet, or a network.json file.\n",
        ),
        (("search", " "), "There is nothing to search for. Give a word, or its beginning.\n"),
        (("bot", "new", "taken"), "There is a taken already. Take another name, or remove it.\n"),
    ],
)
def test_what_a_newcomer_gives_by_mistake_is_one_line_that_says_what_to_do(tmp_path, arguments, said):
    (tmp_path / "taken").write_bytes(b"")
    command = (sys.executable, "-m", "ramson", *arguments)
    environment = os.environ | {"RAMSON_PASSPHRASE": "correct horse", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        ("<&-", "no terminal to ask for the passphrase"),
        ("</dev/null", "no terminal to ask for the passphrase"),
        (">&-", "nowhere to print results"),
    ],
)
def test_missing_streams_are_one_plain_line(ramson, suffix, said):
    code, _, err = ramson(suffix, *ACCOUNT)
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_no_file_gets_the_number_of_a_missing_stream():
    """What is printed to it would go into that file."""
    program = (
        "import os, ramson.streams as s; there = s.complete(); "
        "number = os.open('/dev/null', 0); os._exit(number + 100 * there)"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, check=False, timeout=60).returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_result_that_cannot_be_written_is_one_plain_line(ramson):
    code, _, err = ramson(">/dev/full", "node", "config")
    assert (code, err.count("\n")) == (1, 1), err
    assert "cannot be written: No space left" in err


def test_a_question_that_nobody_answers_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(LocalError, match="nobody answered"):
        confirm("Really?")
    assert capsys.readouterr().err == "Really? [y/N] \n"


async def test_no_number_is_too_large_to_be_asked_for_as_a_message(tmp_path):
    path = tmp_path / "me.ramson"
    await account.create(path, "correct horse", world=real.world(), cost=KeyCost(passes=1, memory=13))
    async with Client.open(path, passphrase="correct horse", connect=False) as me:
        assert [me.message(number) for number in (0, -1, 2**63, 10**30)] == [None] * 4


def test_a_directory_that_cannot_be_made_is_one_plain_line(ramson, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in ("/proc/none", str(tmp_path / "file" / "below")):
        code, _, err = ramson("", "bridge", "keygen", "--dir", place, "--label", "friends")
        assert (code, err.count("\n")) == (1, 1), err
        assert "cannot be made" in err
    with pytest.raises(LocalError, match="no directory"):
        make_private_directory(tmp_path / "file")


async def test_half_characters_are_refused_or_found_nowhere(tmp_path):
    """What is no UTF-8 in the arguments of a program comes as such."""
    path, cost = tmp_path / "me.ramson", KeyCost(passes=1, memory=13)
    with pytest.raises(LocalError, match="half a character"):
        await account.create(path, "correct horse", world=real.world(), cost=cost, name="a\udcff")
    assert not path.exists()
    await account.create(path, "correct horse", world=real.world(), cost=cost)
    async with Client.open(path, passphrase="correct horse", connect=False) as me:
        assert me.search("a\udcff") == []


def test_ctrl_c_ends_a_question_also_within_an_event_loop():
    program = (
        "import sys\n"
        "from ramson.cli.options import confirm\n"
        "from ramson.cli.terminal import Interrupted, run\n"
        "async def main(): confirm('Really?')\n"
        "try: run(main())\n"
        "except Interrupted: sys.exit(130)\n"
    )
    pipes = dict.fromkeys(("stdin", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as process:
        assert process.stderr.read(14) == b"Really? [y/N] "
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_a_secret_that_nobody_types_is_said(monkeypatch):
    def ended(_question):
        raise EOFError

    monkeypatch.setattr("getpass.getpass", ended)
    with pytest.raises(LocalError, match="nothing was typed"):
        ask("Passphrase: ")


async def test_a_directory_that_takes_no_file_is_one_plain_line():
    class Full:
        name = "cat.jpg"

        async def save(self, _directory, *, progress):
            del progress
            raise OSError(errno.ENOSPC, "No space left on device")

    message = SimpleNamespace(attachments=[Full()])
    with pytest.raises(LocalError, match="/somewhere takes no file: No space left"):
        await save_all(message, Path("/somewhere"), lambda _text: None)


@pytest.mark.parametrize(
    "command",
    [
        ("devnet", "--dir", "/proc/none"),
        ("nodes", "keygen", "/proc/none/key"),
        ("path", "--network", "network.json", "--timeout", "1"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_one_plain_line(ramson, tmp_path, monkeypatch, command):
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/none")
    nowhere = NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),))
    (tmp_path / "network.json").write_bytes(network_file.encode(nowhere))
    code, out, err = ramson("", *command)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert "Errno" not in err


async def test_why_an_account_cannot_be_made_is_said_without_numbers():
    with pytest.raises(LocalError, match=r"could not be made: No such file or directory$"):
        await account.create(Path("/proc/none/a.ramson"), "correct horse", world=real.world())


def test_where_there_is_no_way_the_doctor_is_named(ramson, tmp_path):
    nowhere = NetworkFile(nodes=(), seeds=(Seed("https://127.0.0.1:9/json_rpc", bytes(32)),))
    (tmp_path / "network.json").write_bytes(network_file.encode(nowhere))
    code, out, err = ramson("", "path", "--network", "network.json", "--timeout", "1")
    assert (code, out[:5], err.count("\n")) == (1, "red: ", 1)
    assert "`ramson doctor`" in err

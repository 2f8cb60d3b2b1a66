"""How commands and bots end: exit codes, and outputs that are full or that nobody reads."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from screens import Screen

from ramson.crypto.account import AccountKeys
from ramson.messenger import KeyCost
from ramson.messenger.store import Store
from ramson.node.keys import NodeKeys
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.world import real

PASSPHRASE = "correct horse"
NOBODY = "05" + "11" * 32
HOST = os.environ["RAMSON_TESTS_BLOCK"] + ".46.1"
ECHO = Path(__file__).parents[2] / "examples" / "echo.py"
RAMSON = (sys.executable, "-m", "ramson")
BOT = (sys.executable, str(ECHO))

# What runs until somebody stops it.  `devnet` and what serves is here to be stopped while it starts.
ENDLESS = {
    "listen": (*RAMSON, "listen"),
    "chat": (*RAMSON, "chat", NOBODY),
    "path": (*RAMSON, "path", "--watch"),
    "status": (*RAMSON, "node", "status", "--watch", "1", "--metrics", "SILENT"),
    "devnet": (*RAMSON, "devnet", "--dir", "net", "--nodes", "1", "--swarms", "1", "--in-process", "--no-file-server"),
    "node": (*RAMSON, "node", "run", "--dir", "node", "--network", "nodes.json", "--name", "n0"),
    "seed": (*RAMSON, "seed", "run", "--dir", "seed", "--network", "nodes.json", "--listen", f"{HOST}:22029"),
    "files": (*RAMSON, "servers", "files", "--dir", "files", "--listen", "127.0.0.1:0"),
    "reports": (*RAMSON, "servers", "reports", "--dir", "reports", "--listen", "127.0.0.1:0"),
    "bridge": (*RAMSON, "bridge", "run", "--dir", "bridge", "--network", "nodes.json", "--listen", "127.0.0.1:0"),
    "bot": BOT,
}


@pytest.fixture
def start(tmp_path):
    """Start a program in a directory with an account, two networks that do not answer, and the keys of a node."""
    entropy = real.world().entropy
    keys, cost = AccountKeys.generate(entropy), KeyCost(passes=1, memory=13)
    Store.create(tmp_path / "me.ramson", PASSPHRASE, keys, name="", now_ms=0, entropy=entropy, cost=cost)
    nowhere = (Seed("https://127.255.255.254:1/json_rpc"),)
    (tmp_path / "nowhere.json").write_bytes(network_file.encode(NetworkFile((), seeds=nowhere)))
    own = NodeKeys.generate(entropy)
    own.save(tmp_path / "node")
    record = NodeRecord(own.ed25519.public, own.x25519.public, own.legacy, HOST, 22021, 22020, 7)
    node = NetworkNode("n0", NodeState.ACTIVE, record)
    (tmp_path / "nodes.json").write_bytes(network_file.encode(NetworkFile((node,))))
    environment = os.environ | {
        "RAMSON_ACCOUNT": "me.ramson",
        "RAMSON_PASSPHRASE": PASSPHRASE,
        "RAMSON_NETWORK": "nowhere.json",
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "settings"),
    }
    started = []

    def launch(*command, **ends):
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | ends
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **ends))
        return started[-1]

    yield launch
    for each in started:
        each.kill()
        each.communicate()


def wait_until_it_catches(process, number):
    """Wait until a process does not die of a signal any more; before that it has only imported modules."""
    for _ in range(6000):
        found = re.search(r"^SigCgt:\t([0-9a-f]+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        if int(found[1], 16) >> number - 1 & 1:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    pytest.fail("it never does")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is not told which signals a process catches")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_runs_until_it_is_stopped_ends_well_when_it_is(start, name, number):
    if name == "bridge":
        assert start(*RAMSON, "bridge", "keygen", "--dir", "bridge").wait(timeout=60) == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = start(*(address if word == "SILENT" else word for word in ENDLESS[name]))
        wait_until_it_catches(process, signal.SIGTERM)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_what_would_end_by_itself_says_that_ctrl_c_ended_it(start):
    process = start(*RAMSON, "doctor", "--yes")
    assert process.stdout.readline() == "This contacts:\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def test_ctrl_c_ends_a_bot_at_once_that_asks_for_its_passphrase(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "RAMSON_PASSPHRASE"}
    at = Screen()
    bot = at.start([*BOT, "--network", "testnet"], environment | {"HOME": str(tmp_path)})
    try:
        at.until("Choose a passphrase")
        bot.send_signal(signal.SIGINT)
        assert bot.wait(timeout=60) == 130
    finally:
        bot.kill()
        bot.wait()
        at.close()


SHORT = [
    pytest.param((*RAMSON, "--help"), id="help"),
    pytest.param((*RAMSON, "--version"), id="version"),
    pytest.param((*RAMSON, "account", "show"), id="account"),
    pytest.param((*RAMSON, "doctor", "--dry-run", "--json"), id="json"),
    pytest.param((*BOT, "init"), id="bot"),
]


@pytest.fixture
def unread():
    """The writing end of a pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize("command", SHORT)
def test_nothing_is_said_where_nobody_reads_any_more(start, unread, command):
    process = start(*command, stdout=unread)
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 141)


def test_what_goes_on_printing_has_been_stopped_when_nobody_reads_any_more(start, unread):
    process = start(*RAMSON, "path", "--watch", "--json", stdout=unread)
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)


def test_what_serves_goes_on_when_nobody_waits_for_it_to_be_ready(start, unread):
    process = start(*ENDLESS["files"], "--stop-with-input", stdout=unread)
    while "x25519=" not in (line := process.stderr.readline()):
        assert line
    _, err = process.communicate("", timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", SHORT)
def test_a_full_disk_is_one_line(start, command):
    with Path("/dev/full").open("w") as full:
        process = start(*command, stdout=full)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        1,
        "The result cannot be written: No space left on device. Write it elsewhere.\n",
    )


@pytest.mark.parametrize("command", [("send", NOBODY, "-"), ("chat", NOBODY)])
def test_bytes_that_are_no_text_are_told_and_stop_nothing(start, command):
    strict = ("env", "PYTHONIOENCODING=utf-8:strict")  # as where a language is set
    process = start(*strict, *RAMSON, *command, errors="surrogateescape")
    out, err = process.communicate("a\udcffb\n/quit\n", timeout=60)
    assert (process.returncode, out) == (0 if "chat" in command else 1, "")
    told = "the message holds what is no character, such as bytes that are not UTF-8. Correct it, or send it as a file."
    assert err.strip("(\n)").lower() == told.lower()


def test_what_a_terminal_cannot_show_is_shown_as_something_else(start):
    sending = start("env", "PYTHONIOENCODING=ascii:strict", *RAMSON, "send", "--no-wait", NOBODY, "hi")
    out, err = sending.communicate(timeout=60)
    assert (sending.returncode, err) == (0, "")
    assert out == "this is the first message to 05111111?111111\nsending\n"

"""`ramson node config`, `check`, `keys` and `status` as an operator types them."""

import io
import json
import os
import random
import stat
import subprocess
import sys
import threading

import pytest
import uvloop

from ramson.cli import main, node_process, operate_status
from ramson.cli.operate_status import Look, duration, rates, render, size
from ramson.node import certificate, key_backup
from ramson.node.config import NodeConfig
from ramson.node.key_backup import Cost
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.node.settings import default_file, parse, parse_assignment, settle
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.world import Endpoint, real

HOST = os.environ["RAMSON_TESTS_BLOCK"] + ".31.1"
PASSPHRASE = "correct horse battery"
METRICS = f"{HOST}:22029"


@pytest.fixture
def ramson(monkeypatch, capsys):
    """Type a command; returns exit code, standard output and standard error."""
    monkeypatch.delenv("RAMSON_PASSPHRASE", raising=False)

    def type_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["ramson", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_command


@pytest.fixture
def home(tmp_path):
    """A network of one node: its keys in `node`, `network.json`, and `node.toml`."""
    keys = NodeKeys.generate(random.Random(1))
    keys.save(tmp_path / "node")
    record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, HOST, 22021, 22020, 7)
    network = NetworkFile((NetworkNode("n0", NodeState.ACTIVE, record),))
    (tmp_path / "network.json").write_bytes(network_file.encode(network))
    (tmp_path / "node.toml").write_text(
        f'data_dir = "{tmp_path}/node"\n[network]\nfile = "{tmp_path}/network.json"\nname = "n0"\n'
        f'[metrics]\nlisten = "{METRICS}"\n[limits]\ndatabase_mib = 16\nconnections = 100\n'
    )
    return tmp_path


@pytest.fixture
def running(home):
    """The node of `home`, running in a thread."""
    started, stop = threading.Event(), []

    async def live():
        import asyncio

        world, ended = real.world(HOST), asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        network = network_file.parse((home / "network.json").read_bytes())
        config = NodeConfig(
            Endpoint(HOST, 22021), Endpoint(HOST, 22020), home / "node", metrics=Endpoint(HOST, 22029), quic=True
        )
        chain = certificate.load_or_create(home / "node", world.clock.now())
        async with Node(world, NodeKeys.load(home / "node"), chain, config, FileRegistry(network)):
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: uvloop.run(live()))
    thread.start()
    assert started.wait(20)
    yield home
    loop, ended = stop[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(20)


# ---- config


def test_config_prints_the_default_file(ramson):
    code, out, err = ramson("node", "config")
    assert (code, err) == (0, "")
    assert out == default_file() + "\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits]\nconections = 5\n", "line 2: there is no option limits.conections. Did you mean connections"),
        ('[limits]\nconnections = "many"\n', "line 2: limits.connections must be a whole number. Write, for example"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_remedy(ramson, home, text, says):
    (home / "bad.toml").write_text(text)
    for command in ("run", "check"):
        code, out, err = ramson("node", command, "--config", home / "bad.toml")
        assert (code, out) == (1, "")
        assert says in err
        assert err.count("\n") == 1


def test_a_file_that_is_not_there(ramson, home):
    code, _, err = ramson("node", "check", "--config", home / "none.toml")
    assert code == 1
    assert "cannot be read" in err
    (home / "latin.toml").write_bytes(b"\xff\xfe")
    assert "not a UTF-8 text" in ramson("node", "check", "--config", home / "latin.toml")[2]
    code, _, err = ramson("node", "check", "--network", home / "none.json", "--name", "n0", "--dir", home / "node")
    assert (code, "network file" in err) == (1, True)


def test_the_command_line_wins(ramson, home):
    code, _, err = ramson("node", "run", "--config", home / "node.toml", "--name", "n5")
    assert code == 1
    assert "It lists: n0" in err
    code, _, err = ramson("node", "run", "--config", home / "node.toml", "--metrics", "0.0.0.0:1")
    assert (code, "loopback only" in err) == (1, True)
    code, _, err = ramson("node", "run", "--config", home / "node.toml", "--set", "limits.connections=0")
    assert (code, "from 1 to" in err) == (1, True)


def test_keys_of_another_node_are_not_used(ramson, home):
    NodeKeys.generate(random.Random(2)).save(home / "other")
    code, _, err = ramson("node", "run", "--config", home / "node.toml", "--dir", home / "other")
    assert code == 1
    assert "are not those of n0" in err


# ---- check


def test_check_tells_all_and_exits_with_1_when_anything_fails(ramson, home):
    code, out, err = ramson("node", "check", "--config", home / "node.toml")
    assert (code, err) == (0, "")
    for name in ("data directory", "disk speed", "keys", "certificate", "HTTPS port", "OMQ port", "clock"):
        assert name in out
    (home / "node" / "keys.json").chmod(0o644)
    code, out, _ = ramson("node", "check", "--config", home / "node.toml")
    assert code == 1
    assert "chmod 0600" in out


def test_check_as_json(ramson, home):
    (home / "node" / "keys.json").unlink()
    code, out, _ = ramson("node", "check", "--config", home / "node.toml", "--json")
    checks = {each["name"]: each for each in json.loads(out)}
    assert code == 1
    assert checks["keys"]["verdict"] == "fail"
    assert "keys import" in checks["keys"]["remedy"]
    assert checks["HTTPS port"]["verdict"] == "ok"


def test_check_beside_a_daemon_that_is_away(ramson, home, monkeypatch):
    monkeypatch.setattr("ramson.node.checkup.DAEMON_SECONDS", 0.3)
    code, out, _ = ramson("node", "check", "--oxend", f"ipc://{home}/none.sock", "--dir", home / "node", "--json")
    assert code == 1
    assert {each["name"]: each["verdict"] for each in json.loads(out)}["oxend"] == "fail"


# ---- status


def test_status_of_a_running_node(ramson, running, monkeypatch):
    monkeypatch.setattr(operate_status, "APART", 0.05)
    code, out, err = ramson("node", "status", "--config", running / "node.toml")
    assert (code, err) == (0, "")
    for text in ("serving", "swarm          7, 1 members", "0 messages", "onions", "free"):
        assert text in out
    code, out, _ = ramson("node", "status", "--metrics", METRICS, "--json")
    status = json.loads(out)
    assert status["unready"] == []
    assert set(status["rates"]) == {"requests", "stored", "retrieved", "onions", "cpu"}
    code, out, _ = ramson("node", "check", "--config", running / "node.toml", "--json")
    assert code == 0
    assert {each["name"]: each["verdict"] for each in json.loads(out)}["reached by others"] == "skipped"


def test_status_is_shown_again_and_again(running, monkeypatch, capsys):
    shown = []

    def result(text):
        shown.append(text)
        if len(shown) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(operate_status, "result", result)
    monkeypatch.setattr(sys, "argv", ["ramson", "node", "status", "--metrics", METRICS, "--watch", "0.5"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert len(shown) == 3
    assert all(text.startswith(operate_status.CLEAR) for text in shown)


def test_no_status(ramson, home):
    code, _, err = ramson("node", "status", "--config", home / "node.toml")
    assert (code, "metrics.listen" in err) == (1, True)
    code, _, err = ramson("node", "status")
    assert (code, "give --metrics" in err) == (1, True)
    assert ramson("node", "status", "--metrics", "nonsense")[0] == 1


def test_rates_and_units():
    before = {"counters": {"requests": {"a": 1, "b": 2}, "stored": 5, "retrieved": 0, "onions": {"x": 1}}}
    now = {"counters": {"requests": {"a": 3, "b": 4}, "stored": 4, "retrieved": 6, "onions": {"x": 1}}}
    for status, cpu in ((before, 1.0), (now, 2.0)):
        status["process"] = {"cpu_seconds": cpu}
    made = rates(Look(10.0, before), Look(12.0, now))
    assert made == {"requests": 2, "stored": 0, "retrieved": 3, "onions": 0, "cpu": 0.5}  # a restart is no loss
    assert [duration(s) for s in (5, 119, 120, 7200, 200_000)] == ["5 s", "119 s", "2 min", "2 h", "2 d"]
    assert [size(b) for b in (5, 2048, 5 << 20, 3 << 30)] == ["5 B", "2 KiB", "5 MiB", "3.0 GiB"]


def test_troubles_are_shown():
    shown = {
        "ed25519": "ab" * 32,
        "version": "1",
        "uptime": 1,
        "unready": ["not in any swarm"],
        "swarm": "7",
        "swarm_seconds": 1,
        "peers": [{"name": "1a2b3c4d", "failures": 3, "replication_failures": 9}],
        "listed_nodes": 2,
        "list_height": 5,
        "failing_peers": 1,
        "daemon": {"connected": False, "block": 5, "problems": ["ping: no reply"]},
        "silence": {"omq": 500.0, "https": 300.0},
        "pinged": {"omq": True, "https": False},
        "mailbox": None,
        "connections": 1,
        "subscriptions": 0,
        "process": {"resident": 1, "open_files": 2, "disk_free": 3},
        "counters": {
            name: ({} if name in {"onions", "peer_tests", "storage_tests"} else 0)
            for name in (
                "stored",
                "store_failures",
                "retrieved",
                "refused",
                "rate_limited",
                "onions",
                "peer_tests",
                "storage_tests",
            )
        },
        "rates": dict.fromkeys(("stored", "retrieved", "requests", "onions", "cpu"), 0.0),
    }
    assert "FULL" not in render(shown)
    shown["mailbox"] = {
        "messages": 5,
        "accounts": 2,
        "used_bytes": 2**20,
        "max_bytes": 2**20,
        "full": True,
        "turned_away": 7,
    }
    text = render(shown)
    for part in (
        "(100 %); FULL: new messages are refused (7 so far)",
        "not serving: not in any swarm",
        "failed 3 tests in a row, 9 failed",
        "away, block 5; ping: no reply",
        "omq 8 min ago",
        "never over https, for 5 min",
    ):
        assert part in text


# ---- keys


@pytest.fixture
def passphrase(tmp_path, monkeypatch):
    monkeypatch.setattr(key_backup.seal, "__defaults__", (Cost(passes=1, memory=8192),))
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return path


def test_keys_go_out_sealed_and_come_back(ramson, home, passphrase):
    keys, backup = NodeKeys.load(home / "node"), home / "backup.json"
    code, out, err = ramson(
        "node", "keys", "export", "--dir", home / "node", "--out", backup, "--passphrase-file", passphrase
    )
    assert (code, err) == (0, "")
    assert out == keys.ed25519.public.hex() + "\n"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    for secret in (keys.ed25519.seed.hex(), keys.legacy_scalar.hex()):
        assert secret not in backup.read_text()
        assert secret not in out
    code, out, _ = ramson("node", "keys", "import", backup, "--dir", home / "again", "--passphrase-file", passphrase)
    assert (code, out) == (0, keys.ed25519.public.hex() + "\n")
    assert NodeKeys.load(home / "again").legacy_scalar == keys.legacy_scalar
    assert stat.S_IMODE((home / "again" / "keys.json").stat().st_mode) == 0o600
    assert (home / "again" / "keys.json").read_bytes() == (home / "node" / "keys.json").read_bytes()


def test_neither_backup_nor_keys_are_overwritten(ramson, home, passphrase):
    arguments = ("--dir", home / "node", "--passphrase-file", passphrase)
    assert ramson("node", "keys", "export", *arguments, "--out", home / "b")[0] == 0
    before = (home / "node" / "keys.json").read_bytes()
    code, _, err = ramson("node", "keys", "export", *arguments, "--out", home / "b")
    assert (code, "there already" in err) == (1, True)
    code, _, err = ramson("node", "keys", "import", home / "b", *arguments)
    assert (code, "already" in err) == (1, True)
    assert (home / "node" / "keys.json").read_bytes() == before


def test_what_can_go_wrong_with_a_backup(ramson, home, passphrase, monkeypatch):
    arguments = ("--dir", home / "new", "--passphrase-file", passphrase)
    assert "cannot be read" in ramson("node", "keys", "import", home / "none", *arguments)[2]
    (home / "bad").write_text("{}")
    assert "no backup" in ramson("node", "keys", "import", home / "bad", *arguments)[2]
    code, _, err = ramson(
        "node", "keys", "export", "--dir", home / "new", "--out", home / "x", "--passphrase-file", passphrase
    )
    assert (code, "oxend" in err) == (1, True)
    code, _, err = ramson(
        "node", "keys", "export", "--dir", home / "node", "--out", home / "no" / "x", "--passphrase-file", passphrase
    )
    assert (code, "cannot be written" in err) == (1, True)
    monkeypatch.setenv("RAMSON_PASSPHRASE", "short")
    code, _, err = ramson("node", "keys", "export", "--dir", home / "node", "--out", home / "x")
    assert (code, "fewer than 8" in err) == (1, True)
    assert not (home / "new").exists()
    assert not (home / "x").exists()


def test_without_a_terminal_a_passphrase_must_be_given(ramson, home):
    code, _, err = ramson("node", "keys", "export", "--dir", home / "node", "--out", home / "x")
    assert code == 1
    assert "RAMSON_PASSPHRASE" in err


LOADED = """
import sys
import ramson.cli.node_process
from ramson.world.real.omq import ZmqTransport
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("ramson.")))
"""


def test_the_process_of_a_node_holds_nothing_of_clients_or_of_the_command_line():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    packages, ours = (set(line.split()) for line in done.stdout.splitlines())
    assert {"uvloop", "apsw", "zmq"} <= packages
    assert not packages & {"typer", "pydantic", "rich", "google", "cryptography"}
    assert "ramson.node.node" in ours
    assert not [name for name in ours if name.startswith(("ramson.messenger", "ramson.network", "ramson.bot"))]


def test_a_node_that_is_run_becomes_a_process_with_the_same_settings(ramson, home, monkeypatch):
    became = []
    monkeypatch.setattr(os, "execv", lambda _path, arguments: became.append(arguments))
    code, _, err = ramson("node", "run", "--config", home / "node.toml", "--set", "limits.connections=77")
    assert (code, err) == (0, "")
    assert became[0][:4] == [sys.executable, "-P", "-m", "ramson.cli.node_process"]
    chosen = settle({}, dict(map(parse_assignment, became[0][4:])))
    written = parse((home / "node.toml").read_text())
    assert chosen == settle(written, {"limits.connections": 77})


@pytest.mark.parametrize("arguments", [[], ["data_dir=/nowhere"], ["limits.connections=none"]])
def test_the_process_of_a_node_says_in_a_line_why_it_does_not_run(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        node_process.main(arguments)
    assert exit_.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1

"""The systemd unit of a node: what it runs, what it is kept from, and that systemd and the command line take it."""

import asyncio
import ctypes
import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ramson.cli.app import app
from ramson.node.keys import NodeKeys
from ramson.node.settings import BY_KEY
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.world.real.listener import GRACE

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
UNIT = FOLDER / "ramson-node.service"


def parse(text):
    """Read a unit file: section → option → its values, of which there may be several."""
    sections, current = {}, None
    for line in text.splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            current.setdefault(name, []).append(value)
    return sections


@pytest.fixture(scope="module")
def service():
    return parse(UNIT.read_text())["Service"]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("User", ["ramson"]),
        ("CapabilityBoundingSet", [""]),
        ("AmbientCapabilities", [""]),
        ("NoNewPrivileges", ["yes"]),
        ("ProtectSystem", ["strict"]),
        ("ProtectHome", ["yes"]),
        ("ProtectProc", ["invisible"]),
        ("PrivateTmp", ["yes"]),
        ("PrivateDevices", ["yes"]),
        ("ProtectKernelTunables", ["yes"]),
        ("ProtectKernelModules", ["yes"]),
        ("ProtectKernelLogs", ["yes"]),
        ("ProtectControlGroups", ["yes"]),
        ("RestrictNamespaces", ["yes"]),
        ("RestrictSUIDSGID", ["yes"]),
        ("LockPersonality", ["yes"]),
        ("MemoryDenyWriteExecute", ["yes"]),
        ("SystemCallArchitectures", ["native"]),
        ("SystemCallFilter", ["@system-service", "~@privileged"]),
        ("RestrictAddressFamilies", ["AF_INET AF_INET6 AF_UNIX AF_NETLINK"]),
        ("LimitCORE", ["0"]),
        ("UMask", ["0077"]),
        ("StateDirectoryMode", ["0700"]),
        ("Restart", ["always"]),
    ],
)
def test_what_the_node_is_kept_from(service, option, values):
    assert service[option] == values


def test_it_may_write_where_its_data_are_and_open_what_it_needs(service):
    assert [f"/var/lib/{name}" for name in service["StateDirectory"]] == [BY_KEY["data_dir"].default]
    assert "ReadWritePaths" not in service
    assert int(service["LimitNOFILE"][0]) * 0.7 > BY_KEY["limits.connections"].default
    assert int(service["TimeoutStopSec"][0]) > GRACE + 10


def test_user_and_directories_are_made(service):
    assert (FOLDER / "ramson-node.sysusers.conf").read_text().splitlines()[-1].split()[:2] == ["u", *service["User"]]
    made = [line.split() for line in (FOLDER / "ramson-node.tmpfiles.conf").read_text().splitlines() if line[0] != "#"]
    [program, *arguments] = shlex.split(service["ExecStart"][0])
    assert str(Path(arguments[-1]).parent) in [path for _, path, *_ in made]
    assert ["d", "/var/lib/ramson", "0700", "ramson", "ramson", "-"] in made
    assert program == "/opt/ramson/bin/ramson"


def test_the_command_line_is_one_of_ours(service):
    command, arguments = typer.main.get_command(app), shlex.split(service["ExecStart"][0])[1:]
    context = None
    while hasattr(command, "get_command"):
        context = typer.Context(command, parent=context)
        command = command.get_command(context, arguments.pop(0))
    assert command.name == "run"
    parsed = command.make_context("run", arguments, parent=context, resilient_parsing=True)
    assert Path("/etc/ramson/node.toml") in parsed.params.values()
    with pytest.raises(Exception, match="No such option"):
        command.make_context("run", ["--conf-file", "x"], parent=context)


@pytest.fixture
def analyze(tmp_path):
    """Run systemd-analyze on the unit, whose program is one that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/ramson/bin/ramson", sys.executable))

    def run(*arguments):
        return subprocess.run(
            ["systemd-analyze", *arguments, str(unit)], capture_output=True, text=True, check=False, timeout=60
        )

    return run


def test_systemd_finds_nothing_wrong_with_it(analyze):
    done = analyze("verify", "--man=no")
    assert (done.returncode, done.stderr.replace("\n", "")) == (0, "")


def test_systemd_finds_it_little_exposed(analyze):
    done = analyze("security", "--offline=true", "--threshold=20")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit offline")
    assert done.returncode == 0, done.stdout[-500:]


PR_SET_MDWE = 65
WITHOUT_WRITABLE_CODE = (
    "import ctypes, os, sys\n"
    f"if ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0): sys.exit(77)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'ramson', *sys.argv[1:]])\n"
)


async def test_it_runs_with_memory_that_is_never_writable_and_executable(tmp_path):
    """MemoryDenyWriteExecute, as far as a process can ask for it by itself."""
    if not hasattr(ctypes.CDLL(None), "prctl"):
        pytest.skip("no Linux")
    keys = NodeKeys.generate(random.Random(1))
    keys.save(tmp_path / "node")
    host = os.environ["RAMSON_TESTS_BLOCK"] + ".98.3"
    record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, host, 22021, 22020, 7)
    (tmp_path / "network.json").write_bytes(
        network_file.encode(NetworkFile((NetworkNode("n", NodeState.ACTIVE, record),)))
    )
    (tmp_path / "node.toml").write_text(
        f'data_dir = "{tmp_path}/node"\n[network]\nfile = "{tmp_path}/network.json"\nname = "n"\n'
    )
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_WRITABLE_CODE, "node", "run", "--config", tmp_path / "node.toml"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ready = await asyncio.wait_for(node.stdout.readline(), 60)
    if node.returncode is None:
        node.terminate()
    _, said = await asyncio.wait_for(node.communicate(), 30)
    if node.returncode == 77:
        pytest.skip("this kernel cannot forbid it")
    assert ready == b"ready\n", said.decode()
    assert node.returncode == 0

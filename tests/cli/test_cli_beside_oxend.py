"""`ramson node run --oxend`: starting beside a daemon, and being told to stop while it still waits for one."""

import asyncio
import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest

from ramson.cli import main

spec = importlib.util.spec_from_file_location(
    "oxend_stand_in", Path(__file__).parents[1] / "registry" / "oxend_stand_in.py"
)
stand_in = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stand_in)

HOST = os.environ["RAMSON_TESTS_BLOCK"] + ".92.1"


async def start(tmp_path, *more):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ramson", "node", "run", "--dir", tmp_path / "node", "--testnet", "--no-seeds"),
        *("--oxend", f"ipc://{tmp_path}/oxend.sock", "--listen", HOST, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_node_beside_a_daemon(tmp_path):
    async with stand_in.StandIn(f"ipc://{tmp_path}/oxend.sock", nodes=3) as oxend:
        node = await start(tmp_path)
        try:
            assert await asyncio.wait_for(node.stdout.readline(), 30) == b"ready\n"
            while not (ping := oxend.params("admin.storage_server_ping")):  # noqa: ASYNC110 - it lives in a thread
                await asyncio.sleep(0.05)
            assert ping[0]["pubkey_ed25519"] == oxend.keys.ed25519.public.hex()
            assert (ping[0]["https_port"], ping[0]["omq_port"]) == (38155, 38154)
            node.send_signal(signal.SIGTERM)
            _, log = await asyncio.wait_for(node.communicate(), 20)
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()
    assert node.returncode == 0
    assert b"Traceback" not in log
    for secret in (oxend.keys.ed25519.seed.hex(), oxend.keys.legacy_scalar.hex()):
        assert secret.encode() not in log
        assert not any(secret in path.read_bytes().hex() for path in (tmp_path / "node").iterdir())


async def test_told_to_stop_while_waiting_for_the_daemon(tmp_path):
    node = await start(tmp_path)
    while b"waiting for the keys" not in await asyncio.wait_for(node.stderr.readline(), 30):
        pass
    node.send_signal(signal.SIGTERM)
    out, log = await asyncio.wait_for(node.communicate(), 10)
    assert (node.returncode, out) == (0, b"")
    assert b"Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--network and --name, or --oxend"),
        (["--oxend", "ipc:///x", "--name", "n1"], "either of a network file or beside an oxend"),
        (["--oxend", "oxend.sock"], "tcp://HOST:PORT"),
    ],
)
def test_what_does_not_go_together(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ramson", "node", "run", "--dir", str(tmp_path / "d"), *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code
    printed = " ".join(capsys.readouterr().err.split())
    assert says in printed

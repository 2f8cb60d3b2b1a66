"""The obfs4 door of a bridge, with the program itself where it is installed."""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from ramson.errors import LocalError, ParseError
from ramson.protocol import network_file
from ramson.protocol.bridge import Refusal, link
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.reach import Rung
from ramson.reach.bridge import BridgeRefused
from ramson.reach.settings import TransportBridge
from ramson.reach.transport import open_transport
from ramson.reach.transport_line import TransportLine
from ramson.servers.bridge import config, keys
from ramson.servers.bridge.service import BridgeService
from ramson.servers.bridge.transport import LINE_FILE, TransportUnusable, environment, hear
from ramson.world import Endpoint, real

GUARD = NodeRecord(bytes([7]) * 32, bytes([8]) * 32, bytes(32), "127.0.0.1", 9, 1, 0)


def test_what_the_program_says_becomes_the_line_for_clients():
    said = "SMETHOD obfs4 0.0.0.0:9443 ARGS:cert=AbC/+x,iat-mode=0"
    assert hear(said) == "obfs4 0.0.0.0:9443 cert=AbC/+x iat-mode=0"
    assert hear(r"SMETHOD obfs4 [::]:9443 ARGS:a\,b=c\\d") == "obfs4 [::]:9443 a,b=c\\d"
    assert hear("SMETHOD obfs4 0.0.0.0:9443") == "obfs4 0.0.0.0:9443"
    assert TransportLine.parse(hear(said)).arguments["iat-mode"] == "0"
    for other in ("VERSION 1", "SMETHODS DONE", "LOG SEVERITY=debug", ""):
        assert hear(other) is None
    for wrong in (
        "ENV-ERROR no",
        "SMETHOD-ERROR obfs4 no",
        "VERSION-ERROR no-version",
        "SMETHOD other 1.2.3.4:5",
        "SMETHOD",
    ):
        with pytest.raises(ParseError):
            hear(wrong)


def test_the_program_is_told_where_to_listen_and_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "secret")
    told = environment(Endpoint("0.0.0.0", 9443), Endpoint("127.0.0.1", 8080), Path("/srv/bridge/obfs4"))
    assert told["TOR_PT_SERVER_BINDADDR"] == "obfs4-0.0.0.0:9443"
    assert told["TOR_PT_ORPORT"] == "127.0.0.1:8080"
    assert "RAMSON_PASSPHRASE" not in told


def settings(path, **changes):
    keys.add(path / "bridge", "friends", random.Random(1))
    network = path / "network.json"
    network.write_bytes(network_file.encode(NetworkFile((NetworkNode("a", NodeState.ACTIVE, GUARD),))))
    values = {
        "directory": str(path / "bridge"),
        "listen": "127.0.0.1:0",
        "network": str(network),
        "allow_private": True,
    }
    return config.parse("", values | {"obfs4": "127.0.0.1:0"} | changes)


@pytest.mark.parametrize("program", ["/does/not/exist", shutil.which("true")])
async def test_a_program_that_does_not_start_is_an_error_at_the_start(tmp_path, program):
    with pytest.raises(TransportUnusable):
        async with BridgeService(real.world(), settings(tmp_path, obfs4_program=program)):
            pass


def test_where_it_listens_is_checked(tmp_path):
    with pytest.raises(LocalError):
        settings(tmp_path, obfs4="nowhere")


def children():
    """Return the names of this process's children."""
    pids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return " ".join(Path(f"/proc/{pid}/comm").read_text() for pid in pids)


@pytest.mark.skipif(shutil.which("obfs4proxy") is None, reason="obfs4proxy is not installed")
@pytest.mark.timeout(90)
async def test_a_client_comes_in_by_obfs4(tmp_path):
    made = settings(tmp_path)
    secret = keys.load(made.directory)[0].secret
    world = real.world()
    async with BridgeService(world, made) as service, asyncio.timeout(60):
        line = TransportLine.parse(service.transport_line)
        written = made.directory / LINE_FILE
        assert written.read_text().strip() == service.transport_line
        assert written.stat().st_mode & 0o777 == 0o600
        known = link.make(f"http://{service.endpoint}/", secret, "private")
        route = await open_transport(world, TransportBridge(line, known, ("obfs4proxy",)), tmp_path / "client")
        try:
            assert route.rung is Rung.TRANSPORT
            with pytest.raises(BridgeRefused) as caught:
                await route.post(GUARD, b"onion", timeout=20)
            assert caught.value.reason is Refusal.GUARD_UNREACHABLE  # so the bridge was reached, and read it
        finally:
            await route.close()
    async with BridgeService(world, made) as service:  # its keys are kept: lines that were handed out stay good
        assert TransportLine.parse(service.transport_line).arguments == line.arguments
    await world.net.close()
    assert "obfs4proxy" not in children(), "the program ended with the bridge"

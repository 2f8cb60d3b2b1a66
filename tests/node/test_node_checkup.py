"""`ramson node check`: what is wrong is found, and what is right is not complained about."""

import asyncio
import os
import random
import time
from contextlib import asynccontextmanager

import pytest

from ramson.node import certificate, checkup
from ramson.node.checkup import Checkup, Verdict
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry
from ramson.world import DaemonAddress, Endpoint, HttpLimits, HttpResponse, real

CERTIFICATE = certificate.create(int(time.time() * 1000))
OK, WARN, FAIL, SKIPPED = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED
BLOCK = os.environ["RAMSON_TESTS_BLOCK"] + ".32"


class Place:
    """A machine on which a node of a network of two is to live; the other one is a stranger's."""

    def __init__(self, path, swarm=7):
        self.world = real.world(f"{BLOCK}.1")
        self.home = path / "node"
        self.keys = NodeKeys.generate(random.Random(1))
        self.other = NodeKeys.generate(random.Random(2))
        self.nodes = FileRegistry(self.file(swarm)).current()
        self.listed = self.nodes.by_ed25519[self.keys.ed25519.public]
        self.config = self.configured()

    def file(self, swarm):
        return NetworkFile(
            tuple(
                NetworkNode(
                    f"n{i}",
                    NodeState.ACTIVE,
                    NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"{BLOCK}.{i}", 22021, 22020, swarm),
                )
                for i, k in ((1, self.keys), (2, self.other))
            )
        )

    def configured(self, **kw):
        fields = {"https": Endpoint(f"{BLOCK}.1", 22021), "omq": Endpoint(f"{BLOCK}.1", 22020), "data_dir": self.home}
        return NodeConfig(**fields | kw)

    async def check(self, **kw):
        """All checks by name."""
        kw = {"listed": self.listed, "nodes": self.nodes} | kw
        return {each.name: each async for each in Checkup(self.world, self.config, **kw).run()}


@pytest.fixture
async def place(tmp_path):
    made = Place(tmp_path)
    made.keys.save(made.home)
    yield made
    await made.world.net.close()


@asynccontextmanager
async def peer(place, *, ahead=0):
    """Let the other node tell its time."""

    def answer(request):
        told = int(time.time() * 1000) + ahead
        return HttpResponse(200, {}, b'{"timestamp":%d}' % told)

    listener = await place.world.net.listen(
        Endpoint(f"{BLOCK}.2", 22021), answer, certificate=CERTIFICATE, limits=HttpLimits()
    )
    yield
    await listener.close()


async def test_a_place_that_is_fit(place):
    async with peer(place):
        checks = await place.check()
    assert {each.name: each.verdict for each in checks.values() if each.verdict is not OK} == {
        "reached by others": SKIPPED,  # nothing runs yet
    } | {name: WARN for name in ("open files", "disk speed", "disk space") if checks[name].verdict is WARN}
    assert all(each.remedy or each.verdict in {OK, SKIPPED} for each in checks.values())
    assert "they are those the network lists" in checks["keys"].found
    assert "swarm 7, one of 2" in checks["node list"].found
    assert [path.name for path in place.home.iterdir()] == ["keys.json"]  # nothing is left behind


async def test_a_node_that_runs_is_known_by_its_key(place):
    place.config = place.configured(metrics=Endpoint(f"{BLOCK}.1", 22029))
    registry = FileRegistry(place.file(7))
    async with Node(real.world(f"{BLOCK}.1"), place.keys, CERTIFICATE, place.config, registry):
        checks = await place.check()
        assert "running and answers" in checks["HTTPS port"].found
        assert "running and answers" in checks["OMQ port"].found
        assert checks["reached by others"].verdict is SKIPPED  # nobody has pinged it yet
        place.config = place.configured(omq=Endpoint(f"{BLOCK}.1", 22033))
        assert (await place.check())["OMQ port"].verdict is FAIL


async def test_a_running_node_that_nobody_pings(place, monkeypatch):
    monkeypatch.setattr(checkup, "SILENCE_SECONDS", 0.3)
    place.config = place.configured(metrics=Endpoint(f"{BLOCK}.1", 22029))
    async with Node(real.world(f"{BLOCK}.1"), place.keys, CERTIFICATE, place.config, FileRegistry(place.file(7))):
        await asyncio.sleep(0.4)
        check = (await place.check())["reached by others"]
    assert check.verdict is FAIL
    assert "HTTPS and OMQ" in check.found  # its being pinged by the check itself does not count
    assert "firewall" in check.remedy


async def test_a_port_that_another_program_has(place):
    def answer(_request):
        return HttpResponse(404)

    for port in (22021, 22020):
        listener = await place.world.net.listen(
            Endpoint(f"{BLOCK}.1", port), answer, certificate=CERTIFICATE, limits=HttpLimits()
        )
        name = {22021: "HTTPS port", 22020: "OMQ port"}[port]
        check = (await place.check())[name]
        await listener.close()
        assert check.verdict is FAIL
        assert check.remedy


@pytest.mark.parametrize(("ahead", "verdict"), [(0, OK), (5_000, WARN), (-5_000, WARN), (60_000, FAIL)])
async def test_the_clock_is_compared_with_other_nodes(place, ahead, verdict):
    async with peer(place, ahead=ahead):
        check = (await place.check())["clock"]
    assert check.verdict is verdict
    if ahead:
        assert ("behind" if ahead > 0 else "ahead of") in check.found
        assert "NTP" in check.remedy


async def test_without_other_nodes_the_clock_is_not_judged(place):
    assert (await place.check())["clock"].verdict is SKIPPED


async def test_keys(place, tmp_path):
    (place.home / "keys.json").chmod(0o644)
    assert (await place.check())["keys"].verdict is FAIL
    (place.home / "keys.json").unlink()
    check = (await place.check())["keys"]
    assert check.verdict is FAIL
    assert "keys import" in check.remedy
    place.other.save(place.home)
    assert "not those" in (await place.check())["keys"].found


async def test_the_data_directory(place, tmp_path):
    place.home.chmod(0o755)
    check = (await place.check())["data directory"]
    assert (check.verdict, "chmod 0700" in check.remedy) == (FAIL, True)
    place.config = place.configured(data_dir=tmp_path / "new" / "er")
    assert "will be made" in (await place.check())["data directory"].found


async def test_the_disk(place, monkeypatch):
    place.config = place.configured(max_database_bytes=10**15)
    assert (await place.check())["disk space"].verdict is WARN
    monkeypatch.setattr(checkup, "LEAST_FREE", 10**15)
    assert (await place.check())["disk space"].verdict is FAIL
    for milliseconds, verdict in ((1, OK), (50, WARN), (900, FAIL)):
        monkeypatch.setattr(checkup, "time_writes", lambda *_, ms=milliseconds: [ms / 1000] * 3)
        assert (await place.check())["disk speed"].verdict is verdict

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checkup, "time_writes", fails)
    assert "Input/output error" in (await place.check())["disk speed"].found


def test_writes_are_timed_on_the_disk_itself(tmp_path):
    times = checkup.time_writes(tmp_path, time.monotonic, 5)
    assert len(times) == 5
    assert all(0 < t < 30 for t in times)
    assert not list(tmp_path.iterdir())


async def test_the_certificate(place):
    assert "first start" in (await place.check())["certificate"].found
    certificate.load_or_create(place.home, 1_000)
    old = (await place.check())["certificate"]
    assert (old.verdict, "1997" in old.found) == (WARN, True)
    (place.home / "cert.pem").write_bytes(CERTIFICATE.certificate)
    assert "do not belong together" in (await place.check())["certificate"].found
    (place.home / "cert.pem").write_bytes(b"nonsense")
    assert (await place.check())["certificate"].verdict is FAIL
    (place.home / "key.pem").chmod(0o644)
    assert "chmod 0600" in (await place.check())["certificate"].remedy


async def test_the_listing(place, tmp_path):
    place.config = place.configured(https=Endpoint(f"{BLOCK}.1", 22031))
    check = (await place.check())["node list"]
    assert (check.verdict, "22021 and 22020, not 22031" in check.found) == (FAIL, True)
    unassigned = Place(tmp_path / "other", swarm=UNASSIGNED)
    unassigned.keys.save(unassigned.home)
    assert (await unassigned.check())["node list"].verdict is WARN


async def test_too_few_open_files(place):
    place.config = place.configured(max_connections=10**8)
    check = (await place.check())["open files"]
    assert (check.verdict, "LimitNOFILE" in check.remedy) == (WARN, True)


async def test_a_daemon_that_is_not_there(place, tmp_path, monkeypatch):
    monkeypatch.setattr(checkup, "DAEMON_SECONDS", 0.3)
    oxend = DaemonAddress.parse(f"ipc://{tmp_path}/oxend.sock")
    checks = await place.check(oxend=oxend, listed=None, nodes=None)
    assert checks["oxend"].verdict is FAIL
    assert "start oxend" in checks["oxend"].remedy
    assert checks["node list"].verdict is SKIPPED
    assert "keys" not in checks
    await asyncio.sleep(0)

"""Nodes that test one another, in virtual time, and what they tell the daemon."""

import asyncio
import logging
import random
from base64 import b64encode
from collections import Counter
from dataclasses import replace

import pytest

from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.counters import PeerTestOutcome
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.node.reachability import PeerReporter, Probe
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord, base32z
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry, OxendRegistry
from ramson.world import Command, Endpoint, HttpLimits, HttpResponse
from ramson.world.simulated import Simulation

CERTIFICATE = certificate.create(1_700_000_000_000)


class Daemon(FileRegistry):
    """A registry that takes reports, as a daemon's does."""

    def __init__(self, network, clock):
        super().__init__(network)
        self.clock = clock
        self.reports = []

    async def report_peer_status(self, legacy, *, passed):
        self.reports.append((self.clock.monotonic(), legacy, passed))
        return True


class Village:
    """Nodes 0 … count−1 of one swarm; `running` of them are up."""

    def __init__(self, place, count=6, *, running=None, swarms=None, **config):
        self.simulation = Simulation(3)
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(count)]
        self.swarms = swarms or [7] * count
        self.place = place
        self.config = config
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"10.0.{i}.1", 22021, 22020, swarm)
            for i, (k, swarm) in enumerate(zip(self.keys, self.swarms, strict=True))
        ]
        self.daemons, self.nodes = {}, {}
        for i in range(count):
            host = self.simulation.host(self.records[i].ip)
            if running is None or i in running:
                host.start(lambda world, i=i: self.live(i, world))

    def file(self):
        return NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, record) for record in self.records))

    async def live(self, i, world):
        daemon = self.daemons.setdefault(i, Daemon(self.file(), world.clock))
        record = self.records[i]
        config = NodeConfig(
            https=Endpoint(record.ip, 22021),
            omq=Endpoint(record.ip, 22020),
            data_dir=self.place / f"{i}",
            **self.config,
        )
        async with Node(world, self.keys[i], CERTIFICATE, config, daemon) as node:
            self.nodes[i] = node
            await asyncio.Event().wait()

    def change(self, i, **fields):
        self.records[i] = replace(self.records[i], **fields)
        for daemon in self.daemons.values():
            daemon.replace(self.file())

    def run(self, scenario):
        self.simulation.run(scenario)

    def verdicts(self, by, since=0.0):
        """(node number, passed) of the reports of a node."""
        numbers = {record.legacy: i for i, record in enumerate(self.records)}
        return [(numbers[legacy], passed) for at, legacy, passed in self.daemons[by].reports if at >= since]


def test_a_daemons_registry_takes_reports_and_a_file_does_not():
    assert issubclass(OxendRegistry, PeerReporter)
    assert not issubclass(FileRegistry, PeerReporter)


def test_healthy_nodes_pass_and_every_result_is_reported(tmp_path):
    village = Village(tmp_path)

    async def scenario():
        await asyncio.sleep(600)
        for i in range(6):
            verdicts = village.verdicts(i)
            assert 50 <= len(verdicts) <= 70
            assert {number for number, _ in verdicts} == set(range(6)) - {i}
            assert all(passed for _, passed in verdicts)
            assert village.nodes[i].counters.peer_tests[PeerTestOutcome.PASSED] == len(verdicts)
            assert village.nodes[i].counters.peer_reports == len(verdicts)

    village.run(scenario())


def test_a_dead_node_fails_is_retested_and_passes_when_it_is_back(tmp_path, caplog):
    village = Village(tmp_path)
    caplog.set_level(logging.INFO)

    async def scenario():
        await asyncio.sleep(60)
        village.simulation.crash(village.records[2].ip)
        await asyncio.sleep(900)
        verdicts = [passed for number, passed in village.verdicts(0, since=61) if number == 2]
        assert len(verdicts) >= 10  # a node of six is tested at random about every 50 s: 18 times
        assert not any(verdicts)
        assert village.nodes[0].counters.peer_tests[PeerTestOutcome.NEITHER] == len(verdicts)
        village.simulation.restart(village.records[2].ip)
        await asyncio.sleep(300)
        verdicts = [passed for number, passed in village.verdicts(0, since=962) if number == 2]
        assert verdicts
        assert all(verdicts)

    village.run(scenario())
    name = village.keys[2].ed25519.public.hex()[:8]
    said = Counter(r.getMessage().partition(":")[0] for r in caplog.records if name in r.getMessage())
    assert said == {"peer failed a test": 5, "peer answers again": 5}


def test_who_has_no_address_is_left_alone_and_a_new_node_is_tested(tmp_path):
    village = Village(tmp_path)
    village.records[3] = replace(village.records[3], ip="0.0.0.0")

    async def scenario():
        await asyncio.sleep(400)
        assert 3 not in {number for number, _ in village.verdicts(0)}
        village.change(3, ip="10.0.3.1")
        await asyncio.sleep(400)
        assert (3, True) in village.verdicts(0)

    village.run(scenario())


def test_a_decommissioned_node_tests_nobody_but_is_tested(tmp_path):
    village = Village(tmp_path, count=4, swarms=[7, 7, 7, UNASSIGNED])

    async def scenario():
        await asyncio.sleep(300)
        assert village.verdicts(3) == []
        assert (3, True) in village.verdicts(0)
        village.change(3, swarm_id=7)
        await asyncio.sleep(60)
        assert village.verdicts(3)

    village.run(scenario())


def test_testing_can_be_switched_off(tmp_path):
    village = Village(tmp_path, test_peers=False)

    async def scenario():
        await asyncio.sleep(300)
        assert not any(village.daemons[i].reports for i in range(6))

    village.run(scenario())


def test_nobody_pinging_is_warned_of_every_two_minutes(tmp_path, caplog):
    village = Village(tmp_path, count=2, running=[0])

    async def scenario():
        await asyncio.sleep(119)
        assert not [r for r in caplog.records if "has pinged" in r.getMessage()]
        await asyncio.sleep(250)

    village.run(scenario())
    warned = [r.getMessage() for r in caplog.records if "has pinged" in r.getMessage()]
    assert sorted("OMQ" in text for text in warned) == [False] * 3 + [True] * 3


@pytest.mark.parametrize(("count", "running"), [(1, [0]), (3, [0, 1, 2])])
def test_nothing_is_warned_of_when_pings_come_or_nobody_could_ping(tmp_path, caplog, count, running):
    village = Village(tmp_path, count=count, running=running)
    village.run(asyncio.sleep(600))
    assert not [r for r in caplog.records if "has pinged" in r.getMessage()]


# ---- one test


@pytest.fixture
def world():
    return Simulation(1)


def probe(simulation, *, reply=None, omq=True, shown=None):
    """Test a node that answers HTTPS with `reply`."""
    keys, tester = NodeKeys.generate(random.Random(1)), NodeKeys.generate(random.Random(2))
    record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, "10.0.0.1", 22021, 22020, 7)
    seen = []

    async def serve(world):
        def answer(request):
            seen.append(request)
            return reply(keys)

        if reply is not None:
            await world.net.listen(Endpoint("10.0.0.1", 22021), answer, certificate=CERTIFICATE, limits=HttpLimits())
        commands = {"sn.ping": Command(lambda _o, _p: omq if isinstance(omq, list) else None)} if omq else {}
        await world.net.link(keys.x25519, commands, listen=Endpoint("10.0.0.1", 22020))
        await asyncio.Event().wait()

    async def test():
        world = simulation.world("10.0.0.2")
        link = await world.net.link(tester.x25519, {}, listen=None)
        began = world.clock.monotonic()
        result = await Probe(lambda: link, world.net).test(record)
        return result, seen, world.clock.monotonic() - began, keys

    simulation.host("10.0.0.1").start(serve)
    return simulation.run(test())


def pong(status=200, encode=lambda key: b64encode(key).decode(), key=None):
    return lambda keys: HttpResponse(status, {"X-Oxen-Snode-Pubkey": encode(key or keys.legacy)}, b"")


@pytest.mark.parametrize(
    "encode", [lambda k: b64encode(k).decode(), lambda k: b64encode(k).decode().rstrip("="), bytes.hex, base32z]
)
def test_a_ping_names_the_node_and_takes_its_legacy_key_in_any_writing(world, encode):
    reached, (request,), _, keys = probe(world, reply=pong(encode=encode), omq=[b"pong"])
    assert (reached.omq, reached.https) == (True, True)
    assert (request.method, request.target, request.body) == ("POST", "/ping_test/v1", b"")
    assert request.headers["host"] == base32z(keys.ed25519.public) + ".snode"


@pytest.mark.parametrize(
    "reply",
    [
        pong(status=503),
        pong(key=b"\x01" * 32),
        pong(encode=lambda _: "what?"),
        lambda keys: HttpResponse(200, {}, b""),
        lambda keys: HttpResponse(200, {"X-Oxen-Snode-Pubkey": b64encode(keys.legacy).decode()}, bytes(100_000)),
        None,
    ],
)
def test_a_wrong_answer_over_https_is_a_failure(world, reply):
    reached, *_ = probe(world, reply=reply, omq=[b"any reply will do"])
    assert (reached.omq, reached.https) == (True, False)


def test_silence_is_a_failure_after_five_seconds(world):
    reached, _, seconds, _ = probe(world, reply=pong(), omq=True)
    assert (reached.omq, reached.https) == (False, True)
    assert 5 <= seconds < 5.5

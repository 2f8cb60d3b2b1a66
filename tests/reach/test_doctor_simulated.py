"""The doctor in the simulated world: each censor leaves its mark, and is told by it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from ramson.network import NetworkProfile, SeedUrl
from ramson.network.cache import Snapshot, encode
from ramson.protocol.bridge.link import make
from ramson.protocol.nodes import NodeRecord
from ramson.reach import ReachSettings
from ramson.reach.doctor import Problem, Subject, diagnose, examine, known_nodes, make_plan
from ramson.reach.settings import TransportBridge
from ramson.reach.transport_line import TransportLine
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import Limits
from ramson.servers.bridge.guards import FixedGuards
from ramson.servers.bridge.handler import BridgeHandler
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.sim import SimulatedNetwork
from ramson.sim.network import SEED_ADDRESS, SEED_PORT, shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpResponse
from ramson.world.pins import pin_of
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

PROXY, RESOLVER, PORTAL, BRIDGE = "10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4"
SECRET = bytes(range(32))
LINK = make("https://site.example/notes/", SECRET, "private", pin=pin_of(shared_certificate()))
BEHIND = make("http://127.0.0.1:8080/notes/", SECRET, "private")
SEED_NAME = "seed.example"
BLOCKED, CUT = Verdict.DROP, Verdict.RESET


class Censor:
    """Does as it is told to what leaves clients."""

    def __init__(self, rule=lambda _flow: Verdict.PASS, answer=None):
        self.rule, self.answer = rule, answer
        self.met = set()

    def look_up(self, _origin, _name):
        return self.answer

    def judge(self, flow):
        if not flow.origin.startswith("10.2."):
            return Verdict.PASS
        self.met.add(flow.target.host)
        return self.rule(flow)


def is_node(flow):
    return flow.target.host.startswith("10.3.")


def play(tmp_path, censor, settings=ReachSettings(), *, known=True, skew_ms=0, resolver="", seconds=60.0, tell=None):  # noqa: B008 - a value
    """Examine from a client's host behind a censor; return the findings, the diagnosis and the seconds it took."""
    sim = Simulation(5)
    town = SimulatedNetwork(sim, tmp_path, nodes=12, swarms=3, tests=False)
    sim.host(PROXY).proxy(1080)
    sim.name(SEED_NAME, SEED_ADDRESS)
    pins = town.profile.seeds[0].pins
    profile = replace(town.profile, name="private", seeds=(SeedUrl(f"https://{SEED_NAME}:{SEED_PORT}/json_rpc", pins),))
    world = town.client_world(0, skew_ms=skew_ms)

    async def resolve(host):
        def answer(request):
            query = dns.message.from_wire(request.body)
            reply = dns.message.make_response(query)
            reply.answer.append(dns.rrset.from_text(f"{SEED_NAME}.", 60, "IN", "A", SEED_ADDRESS))
            return HttpResponse(200, {}, reply.to_wire())

        await host.net.listen(Endpoint(RESOLVER, 80), answer, certificate=None, limits=HttpLimits())
        await asyncio.Event().wait()

    async def mislead(host):
        def page(_request):
            return HttpResponse(200, {}, b"<html>Please log in</html>")

        for port in (SEED_PORT, 22021):
            await host.net.listen(Endpoint(PORTAL, port), page, certificate=shared_certificate(), limits=HttpLimits())
        await asyncio.Event().wait()

    async def lend(host):
        bridge = Bridge(
            host,
            (SECRET,),
            FixedGuards(town.file),
            Nonces(IN_MEMORY, host.disk()),
            Parcels(IN_MEMORY, host.disk(), host.clock, capacity=Limits().max_kept),
            limits=Limits(),
            node_list=lambda: None,
            allow_private=True,
        )
        handler = BridgeHandler(bridge, lambda _request: HttpResponse(404))
        async with bridge:
            for port, shown in ((443, shared_certificate()), (80, None)):
                await host.net.listen(Endpoint(BRIDGE, port), handler, certificate=shown, limits=HttpLimits())
            await asyncio.Event().wait()

    sim.name("site.example", BRIDGE)
    sim.host(BRIDGE).start(lend)
    sim.host(PROXY).transport_end(9000, "obfs4", Endpoint(BRIDGE, 80), {"cert": "c"})
    sim.host("10.2.0.1").programs["obfs4proxy"] = frozenset({"obfs4"})
    sim.host(RESOLVER).start(resolve)
    sim.host(PORTAL).start(mislead)
    sim.censor(censor)

    async def main():
        await town.up()
        nodes = town.records if known else ()
        plan = make_plan(world, profile, settings, nodes=nodes, state=tmp_path, resolver=resolver)
        began = asyncio.get_running_loop().time()
        found = await examine(world, plan, show=tell or (lambda _text: None), seconds=seconds)
        return found, diagnose(found), asyncio.get_running_loop().time() - began

    return sim.run(main())


def test_where_nothing_is_blocked(tmp_path):
    said = []
    findings, diagnosis, seconds = play(tmp_path, Censor(), tell=said.append)
    assert (diagnosis.problems, findings.complete) == ((), True)
    assert len(findings.of(Subject.NODE)) == 10
    assert (findings.long_tried, findings.long_frozen) == (2, 0)
    assert abs(findings.clock_ahead_ms) < 1000
    assert diagnosis.ways == ("the straight way", "a split hello")
    assert seconds < 10
    assert len(said) > 10


def test_without_a_known_node_seeds_name_them(tmp_path):
    findings, diagnosis, _ = play(tmp_path, Censor(), known=False)
    assert diagnosis.well
    assert len(findings.of(Subject.NODE)) == 10


@pytest.mark.parametrize(
    ("censor", "problems"),
    [
        pytest.param(Censor(lambda _: BLOCKED), (Problem.UNREACHABLE,), id="everything is dropped"),
        pytest.param(Censor(lambda _: CUT, ""), (Problem.UNREACHABLE,), id="everything is refused, no names"),
        pytest.param(
            Censor(lambda flow: BLOCKED if is_node(flow) else Verdict.PASS),
            (Problem.NODES_BLOCKED,),
            id="nodes dropped",
        ),
        pytest.param(
            Censor(lambda flow: BLOCKED if flow.target.host == SEED_ADDRESS else Verdict.PASS),
            (Problem.SEEDS_BLOCKED,),
            id="seeds dropped",
        ),
        pytest.param(
            Censor(lambda flow: CUT if flow.hello and not flow.split else Verdict.PASS),
            (Problem.HELLO_CUT, Problem.SEEDS_BLOCKED),
            id="whole hellos are cut off",
        ),
        pytest.param(
            Censor(lambda flow: CUT if flow.server_name == SEED_NAME else Verdict.PASS),
            (Problem.SEEDS_BLOCKED,),
            id="the seed's name is cut off",
        ),
        pytest.param(
            Censor(lambda flow: BLOCKED if is_node(flow) and flow.sent + flow.received > 16_000 else Verdict.PASS),
            (Problem.FREEZING,),
            id="flows freeze after 16 kB",
        ),
        pytest.param(Censor(answer=""), (Problem.NAMES_FAIL,), id="there is no such name"),
    ],
)
def test_a_censor_is_told_by_its_mark(tmp_path, censor, problems):
    findings, diagnosis, seconds = play(tmp_path, censor)
    assert diagnosis.problems == problems
    assert findings.complete
    assert seconds < 60


def test_a_split_hello_is_found_to_help(tmp_path):
    _, diagnosis, _ = play(tmp_path, Censor(lambda flow: CUT if flow.hello and not flow.split else Verdict.PASS))
    assert diagnosis.ways == ("a split hello",)
    assert "by a split hello" in diagnosis.verdict


def test_a_poisoned_name_is_found_where_names_may_be_compared(tmp_path):
    censor = Censor(answer=PORTAL)
    _, alone, _ = play(tmp_path / "a", censor)
    assert alone.problems == (Problem.SEEDS_BLOCKED,)
    assert RESOLVER not in censor.met
    _, compared, _ = play(tmp_path / "b", censor, resolver=f"http://{RESOLVER}:80/dns-query")
    assert compared.problems == (Problem.NAMES_POISONED,)
    assert RESOLVER in censor.met


def test_a_wrong_clock_is_found_from_what_nodes_say(tmp_path):
    findings, diagnosis, _ = play(tmp_path, Censor(), skew_ms=20 * 60_000)
    assert diagnosis.problems == (Problem.CLOCK,)
    assert abs(findings.clock_ahead_ms - 20 * 60_000) < 1000


def test_with_a_proxy_nothing_goes_beside_it(tmp_path):
    censor = Censor()
    _, diagnosis, _ = play(tmp_path, censor, ReachSettings().changed(proxy=f"socks5://{PROXY}:1080"))
    assert diagnosis.ways == ("proxy 1",)
    assert censor.met == {PROXY}


def test_a_proxy_that_is_gone(tmp_path):
    censor = Censor()
    settings = ReachSettings().changed(proxy="socks5://u:SECRET@10.99.0.77:1080")
    findings, diagnosis, _ = play(tmp_path, censor, settings)
    assert diagnosis.problems == (Problem.PROXY_FAILS,)
    assert not diagnosis.well
    assert "SECRET" not in repr(findings) + str(diagnosis.advice)
    assert "10.99" not in repr(findings) + str(diagnosis.advice)


def test_a_bridge_and_a_transport_are_found_to_work_where_nothing_else_does(tmp_path):
    behind = TransportBridge(TransportLine.parse(f"obfs4 {PROXY}:9000 cert=c"), BEHIND)
    settings = ReachSettings(bridges=(LINK,), transports=(behind,))
    censor = Censor(lambda flow: BLOCKED if is_node(flow) or flow.target.host == SEED_ADDRESS else Verdict.PASS)
    findings, diagnosis, _ = play(tmp_path, censor, settings)
    assert diagnosis.ways == ("bridge 1", "transport 1")
    assert diagnosis.problems == (Problem.NODES_BLOCKED,)
    assert "by bridge 1" in diagnosis.verdict
    assert "site.example" not in repr(findings)


def test_a_bridge_is_all_that_is_asked_when_it_is_pinned(tmp_path):
    censor = Censor()
    findings, diagnosis, _ = play(tmp_path, censor, ReachSettings(bridges=(LINK,)).changed(route="bridge"))
    assert (diagnosis.ways, diagnosis.problems) == (("bridge 1",), ())
    assert censor.met == {BRIDGE}
    assert len(findings.of(Subject.NODE)) == 3


def test_a_bridge_that_is_gone_is_named_by_its_number_only(tmp_path):
    link = make("https://10.99.0.66:8443/secret-path/", b"K" * 32, "private")
    findings, diagnosis, _ = play(tmp_path, Censor(), replace(ReachSettings(), bridges=(link,)))
    assert diagnosis.problems == (Problem.BRIDGE_FAILS,)
    assert [trial.label for trial in findings.of(Subject.ROUTE) if trial.failed and not trial.optional] == ["bridge 1"]
    assert "10.99" not in repr(findings)


def test_where_the_straight_way_is_watched_it_is_not_what_everything_is_asked_by(tmp_path):
    censor = Censor()
    findings, diagnosis, _ = play(tmp_path, censor, ReachSettings(country="IR"))
    assert diagnosis.problems == ()
    assert [trial.label for trial in findings.of(Subject.ROUTE) if not trial.failed] == [
        "the straight way",
        "a split hello",
    ]
    link = make("https://10.99.0.66:8443/secret-path/", b"K" * 32, "private")
    settings = ReachSettings(country="IR", bridges=(link,))
    plan = make_plan(Simulation(1).world("10.2.0.1"), NetworkProfile("private", ()), settings, nodes=(), state=tmp_path)
    assert plan.ways[0].label == "bridge 1"
    assert plan.ways[-1].label == "the straight way"
    assert "3 nodes of the network" in plan.contacts[0]


def test_it_ends_in_time_with_what_was_found(tmp_path):
    findings, _, seconds = play(tmp_path, Censor(lambda _: BLOCKED), seconds=12.0)
    assert seconds < 12.5
    assert not findings.complete
    assert findings.of(Subject.SEED)


def test_what_is_known_is_found_without_asking_anybody():
    """Nothing goes out to make a plan: a cache, a list on this machine, or else nothing."""
    sim = Simulation(1)
    censor = Censor()
    sim.censor(censor)
    nodes = tuple(NodeRecord(bytes([i]) * 32, bytes(32), b"", f"10.3.{i}.1", 22021, 22020, 0) for i in range(3))
    profile = NetworkProfile("private", (SeedUrl("https://seed.example/json_rpc"),))
    world = sim.world("10.2.0.1")
    snapshot = Snapshot(nodes, (), world.clock.now())
    cached = encode(snapshot, profile.fingerprint)

    async def main():
        return [
            await known_nodes(world, known, data)
            for known, data in (
                (profile, cached),
                (profile, cached[:-5]),
                (replace(profile, bundled=nodes[:1]), None),
                (profile, None),
            )
        ]

    assert sim.run(main()) == [nodes, (), nodes[:1], ()]
    assert censor.met == set()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (0, "up to 10 nodes of the network that a seed or a bridge names, drawn at random, by the straight way"),
        (2, "all nodes of the network that are known here, 2, by the straight way"),
        (10, "all nodes of the network that are known here, 10, by the straight way"),
        (11, "10 nodes of the network, drawn at random, by the straight way"),
    ],
)
def test_no_more_nodes_are_promised_than_there_are(known, said):
    nodes = tuple(NodeRecord(bytes([i]) * 32, bytes(32), b"", f"10.3.{i}.1", 22021, 22020, 0) for i in range(known))
    world = Simulation(1).world("10.2.0.1")
    plan = make_plan(world, NetworkProfile("private", ()), ReachSettings(), nodes=nodes, state=Path())
    assert plan.contacts[0] == said
    assert plan.contacts[1].startswith("up to 3 of these" if known < 3 else "3 of these")


def test_what_will_be_contacted_is_said_and_shows_no_address_but_the_seeds():
    link = make("https://10.99.0.66:8443/secret-path/", b"K" * 32, "private")
    world = Simulation(1).world("10.2.0.1")
    profile = NetworkProfile("private", (SeedUrl("https://seed.example/json_rpc"),))
    plan = make_plan(world, profile, replace(ReachSettings(), bridges=(link,)), nodes=(), state=Path())
    text = "\n".join(plan.contacts)
    assert SEED_NAME in text
    assert "bridge 1" in text
    assert "10.99" not in text
    assert "if it runs on this machine" in text

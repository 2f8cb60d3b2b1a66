"""The way over a web bridge: a client, a bridge before a web site, and a guard, in virtual time."""

import asyncio
import random
from email.utils import formatdate

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import RemoteError
from ramson.network import MemoryCache, guard_test
from ramson.network.directory import LIST_TIMEOUT
from ramson.protocol import bridge as protocol
from ramson.protocol import node_list
from ramson.protocol.bridge import CLASSES, SMALL, BridgeLink, Refusal, link
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.reach import CannotFetch, Rung, Symptom, symptom
from ramson.reach.bridge import BridgeLists, BridgeRefused, BridgeRoute, SiteAnswered
from ramson.reach.memory import Memory
from ramson.reach.thrift import Thrift
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import Limits
from ramson.servers.bridge.guards import FixedGuards
from ramson.servers.bridge.handler import BridgeHandler
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.sim.network import shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError, Stage
from ramson.world.pins import pin_of
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

SECRET = bytes(range(32))
GUARD = NodeRecord(bytes([7]) * 32, bytes([8]) * 32, b"", "10.0.0.7", 22021, 22020, 0)
NETWORK = NetworkFile((NetworkNode("a", NodeState.ACTIVE, GUARD),))


def a_link(**changes):
    options = {"pin": pin_of(shared_certificate())} | changes
    return link.make("https://site.example/notes/", SECRET, "mainnet", **options)


class Town:
    """A guard that answers with what it is told, a site with a bridge, and a client of it."""

    def __init__(self, *, skew_ms=0, signed=None, seed=1):
        self.simulation = Simulation(seed)
        self.simulation.name("site.example", "10.0.0.2")
        self.simulation.name("front.example", "10.0.0.2")
        self.client = self.simulation.world("10.0.0.1", skew_ms=skew_ms)
        self.list_given = lambda: signed
        self.asked = []
        self.seen = []
        self.answer = HttpResponse(200, {}, b"sealed reply")
        self.bridge_alive = True
        self.simulation.host("10.0.0.7").start(self._guard)
        self.simulation.host("10.0.0.2").start(self._site)

    def _list(self):
        return self.list_given()

    async def _guard(self, world):
        async def answer(request):
            self.asked.append(request)
            return self.answer

        await world.net.listen(
            Endpoint("10.0.0.7", 22021), answer, certificate=shared_certificate(), limits=HttpLimits()
        )
        await asyncio.Event().wait()

    async def _site(self, world):
        bridge = Bridge(
            world,
            (SECRET,),
            FixedGuards(NETWORK),
            Nonces(IN_MEMORY, world.disk()),
            Parcels(IN_MEMORY, world.disk(), world.clock, capacity=Limits().max_kept),
            limits=Limits(),
            node_list=self._list,
            allow_private=True,
        )

        def cover(request):
            return HttpResponse(405, {"date": formatdate(world.clock.now() / 1000, usegmt=True)})

        site = BridgeHandler(bridge, cover)

        async def serve(request):
            self.seen.append(request)
            return await site(request) if self.bridge_alive else cover(request)

        async with bridge:
            await world.net.listen(
                Endpoint("10.0.0.2", 443), serve, certificate=shared_certificate(), limits=HttpLimits()
            )
            await asyncio.Event().wait()

    def run(self, scenario, the_link: BridgeLink | None = None, **options):
        async def session():
            await asyncio.sleep(0.1)
            route = BridgeRoute(self.client, self.client.outlets.direct(), the_link or a_link(), **options)
            try:
                return await scenario(route)
            finally:
                await route.close()

        return self.simulation.run(session())


def post(body, seconds=10):
    async def scenario(route):
        return await route.post(GUARD, body, timeout=seconds)

    return scenario


def test_an_onion_request_comes_to_the_guard_and_its_reply_back():
    town = Town()
    reply = town.run(post(b"onion"))
    assert (reply.status, reply.body) == (200, b"sealed reply")
    assert [(each.target, each.body, each.peer) for each in town.asked] == [("/onion_req/v2", b"onion", "10.0.0.2")]


def test_what_is_sent_looks_like_a_browsers_script_and_no_two_requests_are_alike():
    town = Town()

    async def scenario(route):
        assert (route.rung, route.label) == (Rung.BRIDGE, "bridge")
        for _ in range(2):
            await route.post(GUARD, b"onion", timeout=10)

    town.run(scenario)
    one, two = town.seen
    assert one.target.startswith("/notes/")
    assert len(one.target) == len("/notes/") + 43
    assert len(one.body) == len(two.body) == 1024
    assert one.target != two.target
    assert one.body != two.body
    assert one.headers["host"] == "site.example"
    assert one.headers["user-agent"].startswith("Mozilla/5.0")


def test_a_connection_is_kept_once_one_has_carried_more_than_a_freezing_censor_lets_through():
    """To find out about a freeze by connections that fill up slowly costs silences when nobody can afford them."""
    town = Town()

    async def scenario(route):
        await route.post(GUARD, b"onion", timeout=10)
        await route.post(GUARD, bytes(100_000), timeout=10)
        await route.post(GUARD, b"onion", timeout=10)

    town.run(scenario)
    assert [each.headers.get("connection") for each in town.seen] == ["close", "close", None]


@pytest.mark.parametrize("size", [900, 30_000, 700_000, 2_000_000])
def test_requests_and_replies_of_any_size_come_through(size):
    town = Town()
    onion, answer = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
    town.answer = HttpResponse(502, {}, answer)
    reply = town.run(post(onion, 100))
    assert (reply.status, reply.body) == (502, answer)
    assert town.asked[0].body == onion
    assert len(town.asked) == 1
    assert all(len(request.body) in CLASSES for request in town.seen)


class Freezer:
    """Lets nothing pass on a connection that has carried 16 KB."""

    def __init__(self):
        self.flows = []

    def look_up(self, origin, name):
        return None

    def judge(self, flow):
        if flow.origin != "10.0.0.1":
            return Verdict.PASS
        if flow not in self.flows:
            self.flows.append(flow)
        return Verdict.DROP if flow.sent + flow.received > 16_000 else Verdict.PASS


def test_where_connections_are_frozen_it_goes_on_with_short_ones():
    town, freezer = Town(), Freezer()
    onion, answer = random.Random(1).randbytes(30_000), random.Random(2).randbytes(30_000)
    town.answer = HttpResponse(200, {}, answer)

    async def scenario(route):
        town.simulation.censor(freezer)
        assert (await route.post(GUARD, onion, timeout=10)).body == answer  # nothing is risked for so little
        assert not route.thrifty
        with pytest.raises(NetError) as caught:
            await route.post(GUARD, bytes(100_000), timeout=10)
        assert symptom(caught.value) in {Symptom.FROZEN, Symptom.HTTP}
        assert route.thrifty
        freezer.flows.clear()
        began = town.client.clock.monotonic()
        assert (await route.post(GUARD, onion, timeout=30)).body == answer
        assert town.client.clock.monotonic() - began < 10
        await asyncio.sleep(1800)
        assert not route.thrifty  # perhaps it is another network by now

    town.run(scenario)
    assert len(freezer.flows) == 10  # four pieces, the last one with the question, five more parts
    assert max(flow.sent + flow.received for flow in freezer.flows) <= 14_000
    assert all(request.headers["connection"] == "close" for request in town.seen[-10:])


def test_what_one_bridge_found_out_others_know_also_after_the_next_start():
    town, cache = Town(), MemoryCache()
    onion = random.Random(1).randbytes(100_000)

    async def a_life(scenario):
        memory = Memory(cache, town.client.disk())
        await memory.load()
        thrift = Thrift(town.client, memory)
        routes = [BridgeRoute(town.client, town.client.outlets.direct(), a_link(), thrift=thrift) for _ in range(2)]
        await scenario(*routes)
        await memory.close()

    async def find_out(one, other):
        with pytest.raises(NetError):
            await one.post(GUARD, onion, timeout=10)
        assert other.thrifty

    async def know(one, _other):
        began = town.client.clock.monotonic()
        await one.post(GUARD, onion, timeout=30)
        assert town.client.clock.monotonic() - began < 10
        town.simulation.host("10.0.0.1").gateway = "somewhere else"
        assert not one.thrifty

    async def session():
        await asyncio.sleep(0.1)
        town.simulation.censor(Freezer())
        await a_life(find_out)
        await a_life(know)

    town.simulation.run(session())


def test_a_long_list_comes_through_also_where_connections_are_frozen():
    signed = listing(2000, signed_by=Ed25519KeyPair.generate(random.Random(9)))  # as many as the public network has
    town = Town(signed=signed)

    async def scenario(_route):
        town.simulation.censor(Freezer())
        async with asyncio.timeout(LIST_TIMEOUT):
            assert await BridgeLists(town.client, [a_link()]).fetch(None) == signed

    town.run(scenario)


def test_it_can_be_thrifty_from_the_beginning():
    town = Town()
    town.answer = HttpResponse(200, {}, bytes(30_000))
    assert len(town.run(post(bytes(20_000)), thrifty=True).body) == 30_000
    assert all(len(request.body) <= SMALL for request in town.seen)


@pytest.mark.parametrize("skew_ms", [-3 * 86_400_000, -30 * 60_000, 9 * 60_000, 30 * 60_000, 86_400_000])
def test_a_wrong_clock_is_put_right_by_the_sites(skew_ms):
    town = Town(skew_ms=skew_ms)

    async def scenario(route):
        for _ in range(2):
            assert (await route.post(GUARD, b"onion", timeout=10)).status == 200

    town.run(scenario)
    assert len(town.seen) == (2 if abs(skew_ms) < 600_000 else 3)


def test_a_site_without_a_bridge_is_told_from_one_that_fails():
    town = Town()
    town.bridge_alive = False
    with pytest.raises(SiteAnswered, match="not as a bridge"):
        town.run(post(b"onion"))
    assert len(town.seen) == 2


def test_a_link_that_was_withdrawn_is_answered_by_the_site():
    town = Town()
    other = link.make("https://site.example/notes/", bytes(32), "mainnet", pin=pin_of(shared_certificate()))
    with pytest.raises(SiteAnswered):
        town.run(post(b"onion"), other)
    assert not town.asked


def test_a_certificate_with_another_key_is_shown_no_ticket():
    town = Town()
    with pytest.raises(NetError) as caught:
        town.run(post(b"onion"), a_link(pin=bytes(32)))
    assert caught.value.stage is Stage.TLS
    with pytest.raises(NetError) as caught:  # no public authority vouches for the simulated site
        Town().run(post(b"onion"), a_link(pin=None))
    assert caught.value.stage is Stage.TLS
    assert not town.seen


def test_a_front_is_what_is_dialled_and_the_site_is_named_inside_only():
    town, freezer = Town(), Freezer()

    async def scenario(route):
        town.simulation.censor(freezer)
        return await route.post(GUARD, b"onion", timeout=10)

    assert town.run(scenario, a_link(front="front.example")).status == 200
    assert [flow.server_name for flow in freezer.flows] == ["front.example"]
    assert town.seen[0].headers["host"] == "site.example"


@pytest.mark.parametrize(
    ("change", "reason", "stage"),
    [
        (lambda town: town.simulation.crash("10.0.0.7"), Refusal.GUARD_UNREACHABLE, Stage.CONNECT),
        (lambda town: NETWORK, Refusal.UNKNOWN_GUARD, Stage.CONNECT),
    ],
)
def test_a_guard_that_cannot_be_reached_is_not_the_bridges_fault(change, reason, stage):
    town = Town()
    guard = GUARD
    if reason is Refusal.UNKNOWN_GUARD:
        guard = NodeRecord(bytes(32), bytes(32), b"", "10.0.0.7", 22021, 22020, 0)

    async def scenario(route):
        change(town)
        await route.post(guard, b"onion", timeout=10)

    with pytest.raises(BridgeRefused) as caught:
        town.run(scenario)
    assert (caught.value.reason, caught.value.stage) == (reason, stage)
    assert "10.0" not in str(caught.value)
    assert "site.example" not in str(caught.value)


def test_the_signed_list_comes_over_the_bridge():
    signed = random.Random(4).randbytes(700_000)

    async def scenario(route):
        return await route.node_list(timeout=30)

    assert Town(signed=signed).run(scenario) == signed
    with pytest.raises(BridgeRefused, match="no list"):
        Town().run(scenario)


def listing(count, *, signed_by=None):
    pairs = [Ed25519KeyPair.generate(random.Random(i)) for i in range(count)]
    nodes = [
        NodeRecord(p.public, p.to_x25519().public, b"", f"10.{i >> 8}.{i & 255}.1", 1, 1, 0)
        for i, p in enumerate(pairs)
    ]
    statement = node_list.state("mainnet", nodes, height=1, time_ms=1)
    made = node_list.SignedNodeList(statement, {})
    return node_list.encode(made.signed_by(signed_by) if signed_by else made)


def test_bridges_are_one_voice_and_the_first_list_that_claims_a_signature_is_theirs():
    plain, signed = listing(3), listing(4, signed_by=Ed25519KeyPair.generate(random.Random(9)))
    broken = link.make("https://nowhere.example/", SECRET, "mainnet")

    def brought(given, links):
        town = Town()

        async def scenario(_route):
            # The one site stands for several bridges: it gives another list each time.
            source = BridgeLists(town.client, links)
            assert (source.name, source.local) == ("bridges", False)
            lists = iter(given)
            town.list_given = lambda: next(lists)
            return await source.fetch(None)

        return town.run(scenario)

    assert brought([plain, signed], [a_link(), a_link()]) == signed
    assert brought([plain, b"nonsense"], [a_link(), a_link()]) == plain
    assert brought([plain], [broken, a_link()]) == plain
    with pytest.raises(RemoteError):
        brought([], [broken])
    with pytest.raises(RemoteError):
        brought([b"nonsense"], [a_link()])


def test_ordinary_requests_are_not_carried():
    async def scenario(route):
        await route.fetch(Endpoint("10.0.0.7", 80), HttpRequest("GET", "/"), tls=None, timeout=10)

    with pytest.raises(CannotFetch):
        Town().run(scenario)


class Scripted:
    """A `Net` whose site answers as the bridge would, but with what the test says."""

    def __init__(self, replies):
        self.replies = list(replies)

    async def request(self, endpoint, request, **_options):
        answer = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, HttpResponse):
            return answer
        found = protocol.find(
            request.target.rpartition("/")[2], (SECRET,), now_ms=Simulation(1).world("10.0.0.1").clock.now()
        )
        return HttpResponse(200, {}, found[1].seal_reply(answer))

    async def close(self):
        pass


CUT = b"\x01" + (200).to_bytes(2, "big") + (10).to_bytes(4, "big") + b"01234"
TOO_MUCH = CUT + b"5"
OTHER_TOTAL = b"\x01" + (200).to_bytes(2, "big") + (11).to_bytes(4, "big") + b"01234"


@pytest.mark.parametrize(
    "replies",
    [
        [b"nonsense"],
        [b"\x02"],  # "kept", to a question
        [CUT, OTHER_TOTAL],
        [CUT, TOO_MUCH],
        [CUT, b"\x01\x00\xc8\x00\x00\x00\x0a"],  # nothing, for ever
        [HttpResponse(200, {"date": "nonsense"}, bytes(1024))],
        [HttpResponse(200, {"date": "Mon, 32 Foo 99999 00:00:00 GMT"}, b"")],
        [NetError(Stage.TIMEOUT, "")],
    ],
)
def test_a_bridge_that_answers_nonsense_is_a_failure_and_nothing_else(replies):
    simulation = Simulation(1)

    async def scenario():
        route = BridgeRoute(simulation.world("10.0.0.1"), Scripted(replies), a_link())
        with pytest.raises(NetError):
            await route.post(GUARD, b"onion", timeout=10)

    simulation.run(scenario())


def test_the_guard_test_goes_over_a_bridge_like_any_request():
    town = Town()

    async def scenario(route):
        return await guard_test.run(GUARD, route.post, town.client.entropy)

    assert town.run(scenario) is False  # this guard cannot open anything, and the bridge cannot answer for it
    assert len(town.asked) <= 1

"""Choosing a way out: what is tried, in what order and when; what happens when the way in use fails."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.crypto.onion import node_cipher
from ramson.network.cache import MemoryCache
from ramson.network.entry import Notice
from ramson.protocol import onion
from ramson.protocol.nodes import NodeRecord
from ramson.reach import Rung, Symptom
from ramson.reach.ladder import KNOWN, Ladder
from ramson.reach.memory import Memory
from ramson.reach.order import Candidate, after_failure, first_order
from ramson.reach.route import CannotFetch
from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Stage
from ramson.world.simulated import Simulation

SEEDS = Endpoint("seeds.example", 443)
ASK = HttpRequest("GET", "/")


class Nodes:
    """Nodes that can be asked whether they would be guards."""

    def __init__(self, count: int) -> None:
        entropy = random.Random(1)
        self.keys = {}
        self.records = []
        for i in range(count):
            ed25519, x25519 = Ed25519KeyPair.generate(entropy), X25519KeyPair.generate(entropy)
            self.keys[ed25519.public] = x25519
            self.records.append(
                NodeRecord(ed25519.public, x25519.public, bytes(32), f"10.0.{i}.1", 22021, 22020, swarm_id=1)
            )

    def answer(self, guard: NodeRecord, body: bytes) -> HttpResponse:
        layer = onion.parse_entry(body)
        cipher = node_cipher(layer.enc_type, self.keys[guard.ed25519], layer.ephemeral)
        inner = onion.parse_inner(cipher.decrypt(layer.ciphertext))
        assert isinstance(inner, onion.ForMe)
        reply = onion.encode_node_reply(200, b'{"results":[]}', True, inner)
        return HttpResponse(200, body=onion.seal_reply(cipher, reply, bytes(24)))


@dataclass
class Way:
    """A route that does as it is told, and remembers when it was used."""

    rung: Rung
    label: str
    nodes: Nodes
    delay: float = 0.1
    fails: Callable[[], NetError] | None = None
    silent: bool = False
    carries_all: bool = True
    probes: list[float] = field(default_factory=list)
    fetches: list[float] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    async def open(self) -> "Way":
        self.opened += 1
        return self

    async def post(self, guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Route's
        self.probes.append(asyncio.get_running_loop().time())
        await self._travel(timeout)
        return self.nodes.answer(guard, body)

    async def fetch(self, endpoint: Endpoint, request: HttpRequest, *, tls: object, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Route's
        if not self.carries_all:
            raise CannotFetch
        self.fetches.append(asyncio.get_running_loop().time())
        await self._travel(timeout)
        return HttpResponse(200, body=self.label.encode())

    async def _travel(self, seconds: float) -> None:
        if self.silent:
            await asyncio.sleep(seconds)
            raise NetError(Stage.TIMEOUT, "silence", reached=Stage.CONNECT)
        await asyncio.sleep(self.delay)
        if self.fails is not None:
            raise self.fails()

    async def close(self) -> None:
        self.closed += 1


def reset() -> NetError:
    return NetError(Stage.TLS, "reset")


def refused() -> NetError:
    return NetError(Stage.CONNECT, "refused")


@dataclass
class Ways:
    nodes: Nodes
    direct: Way
    split: Way
    proxy: Way
    bridge: Way
    other: Way
    network: str = "home"

    def all(self) -> list[Way]:
        return [self.direct, self.split, self.proxy, self.bridge, self.other]

    def candidates(self) -> list[Candidate]:
        return [Candidate(way.label, way.rung, way.label, way.open) for way in reversed(self.all())]

    def used(self) -> set[str]:
        return {way.label for way in self.all() if way.probes or way.fetches}


def make_ways() -> Ways:
    nodes = Nodes(4)
    return Ways(
        nodes,
        Way(Rung.DIRECT, "direct", nodes),
        Way(Rung.SPLIT, "split", nodes),
        Way(Rung.PROXY, "proxy", nodes),
        Way(Rung.BRIDGE, "bridge", nodes, carries_all=False),
        Way(Rung.TRANSPORT, "other", nodes),
    )


@pytest.fixture
def ways() -> Ways:
    return make_ways()


def play(ways: Ways, scene: Callable, cache: MemoryCache | None = None) -> object:
    """Run a scene with a ladder in virtual time."""
    sim = Simulation(3)
    world = sim.world("10.9.9.9")

    class Outlets:
        def gateway(self) -> str:
            return ways.network

    world = replace(world, outlets=Outlets())

    async def run() -> object:
        memory = Memory(cache or MemoryCache(), world.disk())
        async with Ladder(world, ways.candidates(), memory) as ladder:
            return await scene(ladder)

    return sim.run(run())


async def passes(ladder: Ladder, ways: Ways) -> float:
    """Test nodes until one passes, as the path builder does; returns how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        async with asyncio.TaskGroup() as group:
            tests = [group.create_task(ladder.test(node)) for node in ways.nodes.records[:2]]
        if any(test.result() for test in tests):
            return loop.time() - began
        await asyncio.sleep(1)


def test_the_straight_way_is_taken_and_nothing_else_touched_while_it_answers(ways):
    async def scene(ladder: Ladder) -> None:
        assert await passes(ladder, ways) < 1
        for _ in range(50):
            assert await ladder.test(ways.nodes.records[2])
            await asyncio.sleep(10)
        assert ladder.status.using.label == "direct"

    play(ways, scene)
    assert ways.used() == {"direct"}
    assert all(way.closed == way.opened for way in ways.all())


def test_it_says_whether_guards_see_this_device_itself_the_moment_that_changes(ways):
    async def scene(ladder: Ladder) -> list[bool]:
        said = []
        ladder.watch(lambda: said.append(ladder.straight), lambda: said.append(ladder.straight))
        assert not ladder.straight  # nothing is known yet
        await passes(ladder, ways)
        assert ladder.straight
        assert said[-1]
        for now_failing, taken, straight in ((ways.direct, "split", True), (ways.split, "proxy", False)):
            now_failing.fails = reset
            for _ in range(5):
                await ladder.test(ways.nodes.records[0])
            await asyncio.sleep(10)
            assert ladder.status.using.label == taken
            assert ladder.straight is straight
        return said

    assert not play(ways, scene)[-1]


def test_a_slow_straight_way_is_waited_for_before_somebody_elses_bridge_is_troubled(ways):
    ways.direct.delay = 2.5
    ways.split.fails = reset
    ways.proxy.fails = refused

    play(ways, lambda ladder: passes(ladder, ways))
    assert "bridge" not in ways.used()
    assert "other" not in ways.used()


def test_what_fails_at_once_is_followed_at_once(ways):
    ways.direct.fails, ways.split.fails, ways.proxy.fails = reset, reset, refused

    async def scene(ladder: Ladder) -> float:
        return await passes(ladder, ways)

    assert play(ways, scene) < 1
    assert ways.used() == {"direct", "split", "proxy", "bridge"}


def test_silence_is_passed_within_seconds(ways):
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True

    async def scene(ladder: Ladder) -> float:
        took = await passes(ladder, ways)
        assert ladder.status.using.label == "bridge"
        assert ladder.notice == Notice("The straight way is blocked here; messages travel by a bridge.", way="bridge")
        return took

    assert play(ways, scene) < 7


@pytest.mark.parametrize("others_answer", [True, False])
def test_a_request_that_waits_makes_it_look_again_only_if_nobody_else_answers(ways, others_answer):
    slow, quick = ways.nodes.records[2:]
    post = ways.direct.post

    async def to(guard: NodeRecord, body: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Route's
        if guard is slow:
            await asyncio.sleep(10)
        return await post(guard, body, timeout=timeout)

    async def scene(ladder: Ladder) -> int:
        await passes(ladder, ways)
        await asyncio.sleep(10)
        before, asked = len(ways.direct.probes), 0
        ways.direct.post = to
        async with asyncio.TaskGroup() as group:
            group.create_task(ladder.test(slow))
            for _ in range(5 if others_answer else 0):
                asked += await ladder.test(quick)
                await asyncio.sleep(2)
            await asyncio.sleep(4)
            ways.direct.post = post
        return len(ways.direct.probes) - before - asked - 1  # the slow one answers in the end

    probes = play(ways, scene)
    assert (probes == 0) is others_answer


def test_a_way_that_falls_silent_is_left_within_seconds_of_its_last_reply(ways):
    async def scene(ladder: Ladder) -> float:
        await passes(ladder, ways)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            await asyncio.sleep(10)
            ways.direct.delay = 5.0
            group.create_task(ladder.test(ways.nodes.records[0]))
            await asyncio.sleep(1)
            ways.direct.delay = 0.1
            assert await ladder.test(ways.nodes.records[1])
            last, ways.direct.silent = loop.time(), True
            while ladder.status.using.label == "direct":  # noqa: ASYNC110 - virtual time, looked at often
                await asyncio.sleep(0.1)
            return loop.time() - last

    assert 3.0 < play(ways, scene) < 5.0


def test_doubts_about_a_bridge_in_use_do_not_show_nodes_to_who_watches(ways):
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        await asyncio.sleep(30)
        before = len(ways.direct.probes)
        ways.bridge.delay = 4.0
        slow = asyncio.create_task(ladder.test(ways.nodes.records[0]))
        await asyncio.sleep(1)
        ways.bridge.delay = 1.0
        looks = len(ways.bridge.probes)
        assert await slow
        assert len(ways.bridge.probes) > looks
        await asyncio.sleep(30)
        assert len(ways.direct.probes) == before

    play(ways, scene)


def test_a_bridge_whose_connection_froze_is_not_left(ways):
    """It goes on by shorter connections, and there is nothing better behind a censor who freezes all there are."""
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        await asyncio.sleep(30)
        before = len(ways.direct.probes)
        ways.bridge.fails = lambda: NetError(
            Stage.TIMEOUT, "silence", reached=Stage.REPLY, received=16000, replied=9000
        )
        assert not await ladder.test(ways.nodes.records[0])
        ways.bridge.fails = None
        assert await ladder.test(ways.nodes.records[0])
        await asyncio.sleep(30)
        assert len(ways.direct.probes) == before
        assert ladder.status.using.label == "bridge"

    play(ways, scene)


def test_after_a_blocked_address_the_split_hello_goes_last():
    candidates = make_ways().candidates()
    order = first_order(candidates, [])
    assert [c.name for c in order] == ["direct", "split", "proxy", "bridge", "other"]
    assert [c.name for c in after_failure(order[1:], order[0], Symptom.TCP)] == ["proxy", "bridge", "other", "split"]
    assert [c.name for c in after_failure(order[1:], order[0], Symptom.HELLO)] == ["split", "proxy", "bridge", "other"]


def test_where_addresses_are_known_to_be_blocked_hidden_ways_come_first():
    order = first_order(make_ways().candidates(), ["split"], "IR")
    assert [c.name for c in order] == ["split", "bridge", "other", "proxy", "direct"]
    assert [c.name for c in first_order(order, [], "DE")] == ["direct", "split", "proxy", "bridge", "other"]


def test_the_next_start_begins_with_what_worked_beside_the_straight_way(ways):
    cache = MemoryCache()
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True
    play(ways, lambda ladder: passes(ladder, ways), cache)
    again = make_ways()
    again.direct.silent = again.split.silent = again.proxy.silent = True

    assert play(again, lambda ladder: passes(ladder, again), cache) < 1
    assert again.used() <= {"bridge", "direct"}


def test_what_worked_elsewhere_is_not_begun_with(ways):
    cache = MemoryCache()
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True
    play(ways, lambda ladder: passes(ladder, ways), cache)
    again = make_ways()
    again.network = "work"
    play(again, lambda ladder: passes(ladder, again), cache)
    assert again.used() == {"direct"}


def test_a_censor_that_switches_on_is_passed_within_fifteen_seconds(ways):
    async def scene(ladder: Ladder) -> float:
        await passes(ladder, ways)
        changes: list[str] = []
        ladder.watch(lambda: changes.append(ladder.status.using.label), lambda: None)
        ways.direct.silent = ways.split.silent = ways.proxy.silent = True
        took = await passes(ladder, ways)
        assert changes == ["bridge"]
        return took

    assert play(ways, scene) < 15


def test_one_dead_guard_costs_the_way_nothing(ways):
    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        dead = replace(ways.nodes.records[3], ed25519=bytes(32))
        real = ways.direct.post

        async def post(guard, body, *, timeout):  # noqa: ASYNC109 - Route's
            if guard is dead:
                await asyncio.sleep(timeout)
                raise NetError(Stage.TIMEOUT, "silence")
            return await real(guard, body, timeout=timeout)

        ways.direct.post = post
        assert not await ladder.test(dead)
        assert ladder.status.using.label == "direct"

    play(ways, scene)
    assert ways.used() == {"direct"}


def test_the_spare_is_next_when_the_way_in_use_falls(ways):
    ways.direct.silent = ways.split.silent = ways.proxy.silent = True
    ways.bridge.delay = ways.other.delay = 1.5  # so that the other is begun before this one answers

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        await asyncio.sleep(5)
        first = ladder.status.using.label
        ways.bridge.silent = True
        took = await passes(ladder, ways)
        assert (first, ladder.status.using.label) == ("bridge", "other")
        assert took < 10
        assert len(ways.proxy.probes) == 2  # one probe, of two nodes: nobody else was asked again

    play(ways, scene)


def test_everything_blocked_is_tried_again_and_again_but_ever_more_rarely(ways):
    for way in ways.all():
        way.silent = True

    async def scene(ladder: Ladder) -> None:
        for _ in range(360):
            await ladder.test(ways.nodes.records[0])
        assert ladder.status.using is None
        assert ladder.status.symptom is Symptom.TCP
        assert ladder.notice.lost
        assert ladder.notice.text.startswith("The nodes of the network cannot be connected to from here")
        assert "wait in the outbox" in ladder.notice.text
        probes = len(ways.bridge.probes)
        assert 20 < probes < 120  # in an hour
        ways.bridge.silent = False
        await passes(ladder, ways)
        assert ladder.status.using.label == "bridge"

    play(ways, scene)


def test_a_way_whose_connections_freeze_is_left_though_probes_pass(ways):
    real = ways.direct.post

    async def post(guard, body, *, timeout):  # noqa: ASYNC109 - Route's
        if len(body) < 4000:
            return await real(guard, body, timeout=timeout)
        await asyncio.sleep(timeout)
        raise NetError(Stage.TIMEOUT, "stopped in the middle", received=9000, replied=8000)

    ways.direct.post = post
    ways.proxy.fails = refused

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        with pytest.raises(NetError):
            await ladder.send(ways.nodes.records[0], bytes(5000), timeout=4)
        await asyncio.sleep(5)
        assert ladder.status.using.label == "bridge"
        assert ladder.notice.text.startswith("The straight way is blocked here")
        await asyncio.sleep(300)
        await passes(ladder, ways)
        assert ladder.status.using.label == "bridge"
        ways.network = "cafe"
        await asyncio.sleep(10)
        assert ladder.status.using.label == "direct"

    play(ways, scene)
    assert not ways.split.probes  # what freezes the one freezes the other


def test_another_network_starts_everything_over(ways):
    ways.direct.fails, ways.split.fails, ways.proxy.fails = reset, reset, refused

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        assert ladder.status.using.label == "bridge"
        ways.direct.fails = None
        ways.network = "cafe"
        await asyncio.sleep(10)
        assert ladder.status.using.label == "direct"

    play(ways, scene)


def test_without_a_node_a_list_is_fetched_by_each_way_that_can(ways):
    ways.direct.silent = ways.split.silent = True

    async def scene(ladder: Ladder) -> HttpResponse:
        await asyncio.sleep(60)
        assert ways.used() == set()  # nothing is asked of anybody before there is a reason
        return await ladder.fetch(SEEDS, ASK, tls=None, timeout=5)

    assert play(ways, scene).body == b"proxy"
    assert "bridge" not in ways.used()


def test_a_fetch_that_no_way_carries_tells_how_the_first_failed(ways):
    for way in ways.all():
        way.fails = reset

    async def scene(ladder: Ladder) -> None:
        with pytest.raises(NetError) as caught:
            await ladder.fetch(SEEDS, ASK, tls=None, timeout=5)
        assert caught.value.stage is Stage.TLS

    play(ways, scene)


def test_over_a_bridge_nothing_is_fetched_by_another_way(ways):
    ways.direct.fails, ways.split.fails, ways.proxy.fails = reset, reset, refused

    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        with pytest.raises(CannotFetch):
            await ladder.fetch(SEEDS, ASK, tls=None, timeout=5)

    play(ways, scene)
    assert not ways.direct.fetches


def test_a_way_that_cannot_be_opened_is_passed_over(ways):
    async def broken() -> Way:
        raise OSError("no such program")

    ways.direct.open = broken
    ways.split.fails = reset
    play(ways, lambda ladder: passes(ladder, ways))
    assert ways.used() == {"split", "proxy"}


def test_only_so_many_nodes_are_remembered(ways):
    async def scene(ladder: Ladder) -> None:
        await passes(ladder, ways)
        for i in range(2 * KNOWN):
            node = replace(ways.nodes.records[0], ed25519=i.to_bytes(32, "big"))
            ways.nodes.keys[node.ed25519] = ways.nodes.keys[ways.nodes.records[0].ed25519]
            assert await ladder.test(node)
        assert len(ladder._known) == KNOWN

    play(ways, scene)

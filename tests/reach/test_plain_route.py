"""The routes that ask guards themselves: connections are kept, unless they freeze."""

import asyncio

import pytest

from ramson.network.cache import MemoryCache
from ramson.protocol.nodes import NodeRecord
from ramson.reach import Rung
from ramson.reach.memory import Memory
from ramson.reach.plain import CARRIED, PlainRoute
from ramson.reach.thrift import THRIFTY_FOR, Thrift
from ramson.world import HttpResponse, NetError, Stage
from ramson.world.simulated import Simulation


@pytest.fixture
def node():
    return lambda i: NodeRecord(bytes([i]) * 32, bytes([i]) * 32, bytes(32), f"10.0.{i}.1", 22021, 22020, swarm_id=1)


class FakeNet:
    """Answers, or fails as it is told; remembers how it was asked."""

    def __init__(self) -> None:
        self.fails = None
        self.kept = []
        self.closed = 0

    async def request(self, _endpoint, request, **_rest):
        self.kept.append("Connection" not in request.headers)
        if self.fails is not None:
            raise self.fails
        return HttpResponse(200)

    async def close(self):
        self.closed += 1


def silence(received, reached=Stage.REPLY):
    return NetError(Stage.TIMEOUT, "silence", reached=reached, received=received)


def play(scene):
    net = FakeNet()
    sim = Simulation(1)
    sim.run(scene(net, PlainRoute(net, Rung.DIRECT, "straight", Thrift(sim.world("10.9.9.9")))))
    return net


async def post(route, guard):
    try:
        await route.post(guard, b"sealed", timeout=1)
    except NetError:
        return False
    return True


def test_connections_are_kept_while_nothing_freezes(node):
    async def scene(net, route):
        reset = NetError(Stage.TLS, "reset")
        for fails in (None, silence(CARRIED), None, silence(0), silence(99_999, Stage.CONNECT), reset):
            net.fails = fails
            await post(route, node(1))
        net.fails = None
        assert await post(route, node(1))

    net = play(scene)
    assert all(net.kept)
    assert net.closed == 0


def test_after_two_freezes_each_request_has_its_own_connection_for_a_while(node):
    async def scene(net, route):
        for fails in (silence(CARRIED), silence(CARRIED), None, None):
            net.fails = fails
            await post(route, node(1))
        await asyncio.sleep(THRIFTY_FOR / 1000 + 1)
        await post(route, node(1))

    net = play(scene)
    assert net.kept == [True, True, False, False, True]
    assert net.closed == 1


def test_two_silences_far_apart_are_no_freeze(node):
    async def scene(net, route):
        for _ in range(4):
            net.fails = silence(CARRIED)
            await post(route, node(1))
            await asyncio.sleep(130)

    assert all(play(scene).kept)


def test_what_freezes_is_known_at_the_next_start_and_is_nothing_to_bridges(node):
    async def main():
        world, cache, kept = sim.world("10.9.9.9"), MemoryCache(), []
        for failures in ((silence(CARRIED), silence(CARRIED)), ()):
            memory = Memory(cache, world.disk())
            await memory.load()
            net = FakeNet()
            route = PlainRoute(net, Rung.SPLIT, "split", Thrift(world, memory, kind="nodes"))
            for net.fails in (*failures, None):
                await post(route, node(1))
            kept.append(net.kept)
            assert not Thrift(world, memory).needed
            await memory.close()
        assert kept == [[True, True, False], [False]]

    sim = Simulation(1)
    sim.run(main())

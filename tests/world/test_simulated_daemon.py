"""Lasting connections in the simulated world: they come back, tell of it, and are not closed for being idle."""

import asyncio
import random

import pytest

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError
from ramson.world import Command, DaemonAddress, Endpoint, PeerTimeout
from ramson.world.simulated import Simulation

ONE, TWO = "10.0.0.1", "10.0.0.2"
PORT = 22020
KEY = X25519KeyPair.generate(random.Random(2))
AT = Endpoint(TWO, PORT)
ADDRESS = DaemonAddress(AT, KEY.public)


class Node:
    """What listens: it echoes, and remembers who asked, to tell it something later."""

    def __init__(self, sim):
        self.sim = sim
        self.origins = []
        self.link = None

    def host(self):
        return self.sim.host(TWO)

    async def run(self, world):
        self.link = await world.net.link(KEY, {"test.echo": Command(self.echo)}, listen=AT)
        await asyncio.Event().wait()

    def echo(self, origin, parts):
        self.origins.append(origin)
        return parts

    def tell(self, *parts):
        return self.link.push(self.origins[-1], "notify.message", parts)


@pytest.fixture
def sim():
    return Simulation(1)


@pytest.fixture
def node(sim):
    node = Node(sim)
    node.host().start(node.run)
    return node


def dial(sim, told=None, **options):
    commands = {} if told is None else {"notify.message": Command(lambda _origin, parts: told.append(parts), False)}
    return sim.world(ONE).net.dial(ADDRESS, commands, **options)


def test_it_asks_and_is_told_unasked_however_long_it_was_quiet(sim, node):
    told, heard = [], []

    async def main():
        link = await dial(sim, told, heard=lambda: heard.append(1))
        assert await link.request("test.echo", [b"a"], timeout=5) == [b"a"]
        await asyncio.sleep(3600)
        assert node.tell(b"news")
        await asyncio.sleep(1)
        assert link.connected
        await link.close()
        await asyncio.sleep(1)
        assert not node.tell(b"more")

    sim.run(main())
    assert told == [[b"news"]]
    assert len(heard) == 2


def test_the_far_end_knows_it_by_a_passing_key(sim, node):
    async def main():
        for _ in range(2):
            link = await dial(sim)
            await link.request("test.echo", [], timeout=5)
            await link.close()

    sim.run(main())
    assert len({origin.key for origin in node.origins}) == 2


def test_it_comes_back_after_a_restart_and_says_so(sim, node):
    news = []

    async def main():
        link = await dial(sim, watcher=news.append)
        await link.request("test.echo", [], timeout=5)
        sim.crash(TWO)
        await asyncio.sleep(30)
        assert not link.connected
        with pytest.raises(PeerTimeout, match="no connection"):
            await link.request("test.echo", [], timeout=5)
        sim.restart(TWO)
        assert await link.request("test.echo", [b"b"], timeout=10) == [b"b"]
        await link.close()

    sim.run(main())
    assert news == [True, False, True]


def test_a_request_under_way_fails_as_soon_as_the_connection_breaks(sim, node):
    async def main():
        link = await dial(sim)
        await link.request("test.echo", [], timeout=5)
        asking = asyncio.ensure_future(link.request("test.echo", [], timeout=600))
        await asyncio.sleep(0)
        sim.crash(TWO)
        began = sim.now
        with pytest.raises(PeerTimeout, match="closed"):
            await asking
        return sim.now - began

    assert sim.run(main()) < 1


def test_a_partition_is_noticed_by_the_missing_heartbeats(sim, node):
    news = []

    async def main():
        link = await dial(sim, watcher=news.append)
        await link.request("test.echo", [], timeout=5)
        sim.partition([[ONE]])
        await asyncio.sleep(20)
        assert link.connected
        await asyncio.sleep(40)
        assert not link.connected
        sim.heal()
        assert await link.request("test.echo", [b"c"], timeout=10) == [b"c"]

    sim.run(main())
    assert news == [True, False, True]


def test_a_message_that_is_too_long_costs_the_connection(sim, node):
    news, told = [], []

    async def main():
        link = await dial(sim, told, watcher=news.append, max_message=100)
        await link.request("test.echo", [], timeout=5)
        node.tell(bytes(200))
        await asyncio.sleep(10)
        await link.close()

    sim.run(main())
    assert news == [True, False, True]
    assert told == []


def test_another_key_is_not_connected_to(sim, node):
    async def main():
        link = await sim.world(ONE).net.dial(DaemonAddress(AT, bytes(range(32))), {})
        with pytest.raises(PeerTimeout, match="no connection"):
            await link.request("test.echo", [], timeout=60)

    sim.run(main())


@pytest.mark.parametrize("address", [DaemonAddress("x"), DaemonAddress(AT)])
def test_there_are_no_other_daemons(sim, address):
    with pytest.raises(LocalError, match="no daemon"):
        sim.run(sim.world(ONE).net.dial(address, {}))

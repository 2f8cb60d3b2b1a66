"""Clients whose nodes tell them of messages, in a whole network in virtual time; and those who never want that."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from ramson.messenger import Client, KeyCost, SubscriptionChanged, SubscriptionRefused
from ramson.messenger.pace import JITTER, TALKING, TOLD, USUAL
from ramson.network import Network
from ramson.node import monitor as on_nodes
from ramson.protocol.bridge.link import make
from ramson.reach import ReachSettings
from ramson.sim import SimulatedNetwork
from ramson.world import MissingExtra
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

CHEAP = KeyCost(passes=1, memory=13)
PASSPHRASE = "correct horse"
SOON = 5.0  # seconds from sending to reading: a handful of trips through paths


class Town:
    """Twelve nodes in three swarms, Alice who writes, and Bob whose client is to be told."""

    def __init__(self, tmp_path, seed=1):
        self.sim = Simulation(seed)
        self.network = SimulatedNetwork(self.sim, tmp_path, nodes=12, swarms=3, tests=False)
        self.directory = tmp_path

    def client(self, number, **options):
        return Client.create(
            self.directory / f"{number}.ramson",
            passphrase=PASSPHRASE,
            network=self.network.profile,
            cost=CHEAP,
            **{"world": self.network.client_world(number), **options},
        )

    def run(self, main, **options):
        """Run `main(alice, bob)`, Bob's client with these options; it begins a minute later."""

        async def start():
            await self.network.up()
            async with self.client(0) as alice, self.client(1, **options) as bob, asyncio.timeout(7200):
                await bob.synced()
                await asyncio.sleep(60)
                return await main(alice, bob)

        return self.sim.run(start())

    def swarm(self, bob):
        """The numbers of the nodes that keep Bob's messages."""
        _, members = self.network.file.node_list().swarm_of(bob.account_id.raw)
        return {self.network.records.index(member) for member in members}

    def telling(self, bob):
        """The numbers of the nodes that tell him."""
        keys = [record.ed25519 for record in self.network.records]
        return {keys.index(node.ed25519) for node in bob.told_by}

    def linked(self, number=1):
        """Messages over direct connections from or to a client, by the journal of the run."""
        address = self.network.client_address(number)
        return [line for line in self.sim.log if line.split()[1] == "peer" and address in line.split()[2:4]]


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)


@pytest.fixture
def polls(monkeypatch):
    """The polls of all clients of the run, by account."""
    counted = []
    poll = Network.poll

    async def counting(self, keys, *arguments, **options):
        counted.append(keys.id)
        return await poll(self, keys, *arguments, **options)

    monkeypatch.setattr(Network, "poll", counting)
    return counted


async def delivered(alice, bob, text):
    """Send a text and return how many seconds later it was read."""
    began = asyncio.get_running_loop().time()
    await alice.send(bob.account_id, text, wait=False)
    async for message in bob.messages():
        if message.body == text:
            return asyncio.get_running_loop().time() - began
    raise AssertionError


def test_messages_come_at_once_although_polls_are_rare(town, polls):
    async def main(alice, bob):
        events = bob.events()
        assert town.telling(bob) <= town.swarm(bob)
        assert len(bob.told_by) == 2
        polls.clear()
        took = []
        for number in range(20):
            await asyncio.sleep(100 + number)
            took.append(await delivered(alice, bob, f"{number}"))
        events.close()
        return took, polls.count(bob.account_id), [event async for event in events]

    took, asked, events = town.run(main, subscribe=True)
    assert max(took) < SOON
    rare = 20 * 110 / (TOLD * (1 - JITTER))
    assert asked < 20 + rare + 5
    assert not [event for event in events if isinstance(event, SubscriptionChanged)]


def test_a_client_that_was_not_told_to_never_connects_to_nodes(town, polls):
    async def main(alice, bob):
        await delivered(alice, bob, "hello")
        polls.clear()
        await asyncio.sleep(600)
        return bob.told_by, polls.count(bob.account_id)

    told_by, asked = town.run(main)
    assert told_by == ()
    assert asked > 600 / (1.5 * USUAL)
    assert town.linked() == []
    assert town.linked(0) == []


def test_without_receiving_there_is_nothing_to_be_told(town):
    async def main():
        await town.network.up()
        async with town.client(0, subscribe=True, receive=False) as alice:
            await alice.send(alice.account_id, "note")
            await asyncio.sleep(60)

    town.sim.run(main())
    assert town.linked(0) == []


def test_where_the_library_is_missing_the_client_ends_and_says_what_to_do(town):
    class Bare:
        async def dial(self, *_arguments, **_options):
            raise MissingExtra("zmq is not installed", remedy="Run: pip install 'ramson[node]'")

    async def main():
        await town.network.up()
        world = replace(town.network.client_world(1), net=Bare())
        async with asyncio.timeout(600), town.client(1, subscribe=True, world=world) as bob:
            await anext(bob.messages())

    with pytest.raises(MissingExtra, match="not installed"):
        town.sim.run(main())


def test_when_its_nodes_crash_others_tell_and_when_all_do_it_polls(town, polls):
    async def main(alice, bob):
        events, before = bob.events(), town.telling(bob)
        for number in sorted(before):
            town.network.kill(number)
        took = [await delivered(alice, bob, "none tells")]
        await asyncio.sleep(120)
        assert bob.told_by
        assert not before & town.telling(bob)
        took.append(await delivered(alice, bob, "others tell"))
        for number in sorted(town.swarm(bob) - before):
            town.network.kill(number)
        await asyncio.sleep(60)
        assert bob.told_by == ()
        polls.clear()
        await asyncio.sleep(600)
        asked = polls.count(bob.account_id)
        for number in sorted(town.swarm(bob)):
            town.network.restart(number)
        await asyncio.sleep(1200)
        took.append(await delivered(alice, bob, "as before"))
        events.close()
        return took, asked, [event.live async for event in events if isinstance(event, SubscriptionChanged)]

    took, asked, lives = town.run(main, subscribe=True)
    assert took[0] < 60  # half of its swarm is gone, and nobody tells
    assert took[1] < SOON
    assert took[2] < SOON
    assert asked > 20
    assert lives == [False, True, False, True]


def test_when_the_swarm_is_another_the_new_one_tells(town):
    async def main(alice, bob):
        left = town.telling(bob)
        other = next(node.swarm_id for n, node in enumerate(town.network.records) if n not in town.swarm(bob))
        nodes = tuple(
            replace(node, record=replace(node.record, swarm_id=other)) if number in left else node
            for number, node in enumerate(town.network.file.nodes)
        )
        town.network.file = replace(town.network.file, nodes=nodes, height=town.network.file.height + 1)
        for number in range(len(nodes)):
            town.network.announce(town.network.file, number)
        await asyncio.sleep(600)
        assert town.telling(bob) == town.swarm(bob)
        assert len(bob.told_by) == 2
        assert not town.telling(bob) & left
        return await delivered(alice, bob, "hello")

    assert town.run(main, subscribe=True) < SOON


def test_nodes_that_lie_do_not_make_it_ask_more_than_who_talks(town, polls, monkeypatch):
    def lie(monitor, message):
        for origin in list(monitor._by_origin):
            for number in range(20):
                false = structs.replace(message, hash=f"{number:043d}")
                monitor._push(origin, "notify.message", [on_nodes.encode_notice(false, data=False)])

    monkeypatch.setattr(on_nodes.Monitor, "notify", lie)

    async def main(alice, bob):
        polls.clear()
        began = asyncio.get_running_loop().time()
        for number in range(60):
            await alice.send(bob.account_id, f"{number}")
        took = asyncio.get_running_loop().time() - began
        return polls.count(bob.account_id), took, [message.body for message in bob.history(alice.account_id, limit=100)]

    asked, took, read = town.run(main, subscribe=True)
    assert asked <= 5 + took / TALKING
    assert len(read) > 50


# ---- where the address is to stay hidden


@pytest.mark.parametrize(
    "reach",
    [
        ReachSettings().changed(proxy="socks5://10.99.0.1:1080"),
        ReachSettings().changed(proxy="socks5://10.99.0.1:1080", route="auto"),
        ReachSettings().changed(bridge=make("https://site.example/notes/", b"K" * 32, "simulated").uri),
        ReachSettings().changed(route="split"),
    ],
    ids=["pinned proxy", "proxy", "bridge", "split"],
)
def test_with_a_proxy_or_bridge_it_is_refused_before_anything_happens(town, reach):
    async def main():
        await town.network.up()
        with pytest.raises(SubscriptionRefused, match="straight"):
            async with town.client(1, subscribe=True, reach=reach):
                pass
        assert not list(town.directory.glob("1.ramson*"))
        async with town.client(1, subscribe=True, receive=False, reach=reach):
            pass

    town.sim.run(main())
    assert town.linked() == []


TOR, TOR_PORT = "10.99.0.1", 9050


class OnlyTor:
    """Drops all that a client sends but what goes to Tor."""

    def look_up(self, _origin, _name):
        return None

    def judge(self, flow):
        return (
            Verdict.DROP if flow.origin == "10.2.0.2" and flow.target.host not in {"127.0.0.1", TOR} else Verdict.PASS
        )


@pytest.fixture
def tor(town):
    """Tor listens on Bob's machine, which nobody told him to use."""
    town.sim.host(TOR).proxy(TOR_PORT)
    town.sim.name("127.0.0.1", TOR)


def test_where_only_tor_gets_through_it_polls_and_connects_to_nobody(town, tor):
    async def main(alice, bob):
        assert bob.path.way == "Tor"
        took = await delivered(alice, bob, "hello")
        await asyncio.sleep(600)
        return bob.told_by, took

    town.sim.censor(OnlyTor())
    told_by, took = town.run(main, subscribe=True)
    assert told_by == ()
    assert took < 2 * USUAL + SOON
    assert town.linked() == []


def test_when_the_way_out_becomes_tor_it_hangs_up(town, tor):
    async def main(alice, bob):
        assert len(bob.told_by) == 2
        town.sim.censor(OnlyTor())
        await delivered(alice, bob, "hello")
        await asyncio.sleep(120)
        assert bob.path.way == "Tor"
        assert bob.told_by == ()
        before = len(town.linked())
        await asyncio.sleep(600)
        return before, len(town.linked())

    before, after = town.run(main, subscribe=True)
    assert before == after > 0

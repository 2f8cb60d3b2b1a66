"""Being told of messages by nodes of our own swarm: to few, only straight, and never at their mercy."""

import asyncio
import random
from itertools import pairwise

import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import X25519KeyPair, verify
from ramson.network import NoPath
from ramson.network.hop_policy import ANY_NODE, HopPolicy
from ramson.network.subscriptions import LONGEST_REST, LOOK, MOST_MESSAGES, PATIENCE, WANTED, Subscriptions
from ramson.protocol import bt
from ramson.protocol.monitor import LIFETIME
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import Result
from ramson.world import Command, Endpoint, MissingExtra
from ramson.world.simulated import Simulation

KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
NAMESPACES = (0, 2, 3)
NAME = message_hash(KEYS.id.raw, 0, b"hello")
OMQ_PORT = 22020
OK = bt.encode({"success": 1})


class Node:
    """A node that takes subscriptions, and can be told to behave badly."""

    def __init__(self, number):
        self.address = f"10.0.{number}.1"
        self.pair = X25519KeyPair.generate(random.Random(number))
        self.record = NodeRecord(bytes([number]) * 32, self.pair.public, b"", self.address, 22021, OMQ_PORT, 7)
        self.asked = []
        self.callers = []
        self.answer = [OK]
        self.hangs_up = False
        self.link = None

    async def run(self, world):
        self.link = await world.net.link(
            self.pair, {"monitor.messages": Command(self.take)}, listen=Endpoint("0.0.0.0", OMQ_PORT)
        )
        await asyncio.Event().wait()

    def take(self, origin, parts):
        (part,) = parts
        self.asked.append(bt.decode(part))
        self.callers.append(origin)
        if self.hangs_up:
            asyncio.get_running_loop().call_later(1, origin.route.transport.close, origin.route)
        return self.answer

    def tell(self, name=NAME, namespace=0, account=KEYS.id.raw, **more):
        return self.push(bt.encode({"@": account, "h": name, "n": namespace, "t": 1, "z": 2, **more}))

    def push(self, *parts, command="notify.message"):
        return self.link.push(self.callers[-1], command, parts)


class Entry:
    """A way out that is straight, or not."""

    straight = True

    def watch(self, changed, told):
        self.changed = told

    def turn(self, *, straight):
        self.straight = straight
        self.changed()


class Home:
    """What is known of the swarm."""

    def __init__(self, sim, nodes):
        self.clock = sim.world("10.9.9.9").clock
        self.members = [node.record for node in nodes]
        self.lost = False

    async def swarm(self, account):
        assert account == KEYS.id
        if self.lost:
            raise NoPath("none")
        return tuple(self.members)

    def now(self):
        return self.clock.now()


class Town:
    """Five nodes and one client, which `run` lets subscribe while `main` runs."""

    def __init__(self, count=5):
        self.sim = Simulation(1)
        self.nodes = [Node(number) for number in range(1, count + 1)]
        for node in self.nodes:
            self.sim.host(node.address).start(node.run)
        self.entry, self.home = Entry(), Home(self.sim, self.nodes)
        self.world = self.sim.world("10.9.9.9")
        self.told, self.changes = [], []
        self.policy = ANY_NODE

    def run(self, main):
        async def start():
            self.subscriptions = Subscriptions(
                self.world,
                self.entry,
                self.home,
                KEYS,
                NAMESPACES,
                told=self.told.append,
                changed=self.changes.append,
                policy=self.policy,
            )
            task = asyncio.ensure_future(self.subscriptions.run())
            await asyncio.sleep(5)
            try:
                return await main()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert self.subscriptions.live == ()

        return self.sim.run(start())

    @property
    def live(self):
        records = self.subscriptions.live
        return [node for node in self.nodes if node.record in records]

    def asked(self):
        return [node for node in self.nodes if node.asked]


@pytest.fixture
def town():
    return Town()


def test_two_members_are_asked_and_the_same_two_at_every_start():
    def start(town):
        async def main():
            assert len(town.live) == WANTED
            return {node.address for node in town.asked()}

        return town.run(main)

    first, again, without_one = Town(), Town(), Town()
    before = start(first)
    assert len(before) == WANTED
    again.nodes.reverse()
    again.home.members.reverse()
    assert start(again) == before
    without_one.home.members = [node.record for node in without_one.nodes if node.address != min(before)]
    assert max(before) in start(without_one)


def test_nodes_that_are_to_be_no_hops_are_not_connected_to(town):
    town.policy = HopPolicy.parse(avoid=["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24"])

    async def main():
        await asyncio.sleep(600)
        assert town.live == town.asked() == [town.nodes[4]]

    town.run(main)


def test_what_is_asked_is_signed_now_and_comes_with_a_passing_key(town):
    async def main():
        first, second = town.asked()
        assert first.callers[0].key != second.callers[0].key
        assert KEYS.x25519.public not in {first.callers[0].key, second.callers[0].key}
        return first.asked[0]

    asked = town.run(main)
    signed = f"MONITOR{KEYS.id.hex}{asked[b't']}00,2,3".encode()
    assert verify(KEYS.ed25519.public, signed, asked[b"s"])
    assert abs(asked[b"t"] - town.world.clock.now() // 1000) < 60
    assert asked[b"n"] == list(NAMESPACES)


def test_a_notice_is_heard_from_each(town):
    async def main():
        for node in town.live:
            node.tell()
        await asyncio.sleep(1)

    town.run(main)
    assert town.told == [NAME] * WANTED
    assert town.changes == [True, True, True, False]


def test_it_is_renewed_long_before_the_node_forgets(town):
    async def main():
        await asyncio.sleep(20 * 3600)
        return [[document[b"t"] for document in node.asked] for node in town.asked()]

    for times in town.run(main):
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert max(waits) < LIFETIME - 300
        assert min(waits) > LIFETIME / 2
        assert len(set(waits)) > 10


def test_when_a_node_dies_another_takes_its_place_and_it_is_asked_again_when_it_is_back(town):
    async def main():
        first, other = town.live
        town.sim.crash(first.address)
        await asyncio.sleep(1)
        assert town.live == [other]
        await asyncio.sleep(PATIENCE + 5)
        assert first not in town.live
        assert len(town.live) == WANTED
        town.sim.restart(first.address)
        await asyncio.sleep(600)
        assert town.live == [first, other]
        return len(first.asked)

    assert town.run(main) == 2


def test_a_node_that_is_back_at_once_keeps_its_place(town):
    async def main():
        first, _ = before = town.live
        town.sim.crash(first.address)
        await asyncio.sleep(5)
        town.sim.restart(first.address)
        await asyncio.sleep(10)
        assert town.live == before
        return town.asked()

    assert len(town.run(main)) == WANTED


def test_with_nobody_left_nobody_is_troubled_often(town):
    async def main():
        for node in town.nodes:
            town.sim.crash(node.address)
        await asyncio.sleep(1)
        assert town.changes[-1] is False
        await asyncio.sleep(12 * 3600)
        before = town.sim.faults["link-refused"]
        await asyncio.sleep(3600)
        refused = town.sim.faults["link-refused"] - before
        for node in town.nodes:
            town.sim.restart(node.address)
        await asyncio.sleep(LONGEST_REST + 2 * LOOK)
        assert len(town.live) == WANTED
        return refused

    assert town.run(main) < 5 * 4 * PATIENCE  # five nodes, hardly more than one time each


def test_it_moves_when_the_swarm_is_another(town):
    async def main():
        left, stays = town.live
        town.home.members.remove(left.record)
        await asyncio.sleep(LOOK + 5)
        assert left not in town.live
        assert stays in town.live
        assert len(town.live) == WANTED
        assert not left.tell()  # nobody is there any more

    town.run(main)


def test_a_node_with_another_address_is_connected_to_there(town):
    async def main():
        node = town.live[0]
        at = town.home.members.index(node.record)
        moved = NodeRecord(node.record.ed25519, node.record.x25519, b"", "10.0.99.1", 22021, OMQ_PORT, 7)
        town.sim.host("10.0.99.1").start(node.run)
        town.home.members[at] = moved
        await asyncio.sleep(LOOK + 5)
        return moved in town.subscriptions.live, node.record in town.subscriptions.live

    assert town.run(main) == (True, False)


def test_while_the_swarm_cannot_be_asked_for_nothing_changes(town):
    async def main():
        before = town.live
        town.home.lost = True
        await asyncio.sleep(600)
        assert town.live == before

    town.run(main)
    assert town.changes == [True, True, True, False]


# ---- the way out


def test_it_hangs_up_as_soon_as_the_way_out_is_not_the_straight_one(town):
    async def main():
        tellers = town.live
        town.entry.turn(straight=False)
        await asyncio.sleep(0.5)
        assert town.live == []
        assert not any(node.tell() for node in tellers)
        await asyncio.sleep(600)
        asked = sum(len(node.asked) for node in town.nodes)
        town.entry.turn(straight=True)
        await asyncio.sleep(LOOK)
        assert town.live == tellers
        return asked

    assert town.run(main) == WANTED


def test_nothing_is_connected_to_before_the_way_out_is_known_to_be_straight(town):
    town.entry.straight = False

    async def main():
        await asyncio.sleep(600)
        return town.asked()

    assert town.run(main) == []


# ---- bad nodes


def test_a_node_that_refuses_is_left_alone_and_others_are_asked(town):
    for node in town.nodes[:4]:
        node.answer = [bt.encode({"errcode": 6, "error": "the account belongs to another swarm"})]

    async def main():
        await asyncio.sleep(60)
        assert town.live == [town.nodes[4]]
        await asyncio.sleep(3600)
        return max(len(node.asked) for node in town.nodes)

    assert town.run(main) < 10


@pytest.mark.parametrize("answer", [None, [b"429", b"Too Many Requests\n"], [b"\xff"], [bt.encode([])]])
def test_a_node_whose_answer_is_none_is_left_alone(town, answer):
    for node in town.nodes:
        node.answer = answer

    async def main():
        await asyncio.sleep(300)
        assert town.live == []

    town.run(main)
    assert town.changes == []


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"",),
        (b"de", b"de"),
        (bt.encode({"@": KEYS.id.raw, "h": "short", "n": 0}),),
        (bt.encode({"@": b"\x05" + bytes(32), "h": NAME, "n": 0}),),
        (bt.encode({"@": KEYS.id.raw, "h": NAME, "n": 11}),),
    ],
)
def test_a_node_that_says_what_was_not_asked_for_is_left_alone_for_an_hour(town, parts):
    async def main():
        bad, good = town.live
        bad.push(*parts)
        await asyncio.sleep(5)
        assert bad not in town.live
        assert good in town.live
        assert len(town.live) == WANTED
        await asyncio.sleep(LONGEST_REST - 60)
        assert bad not in town.live
        await asyncio.sleep(60 + 2 * LOOK)
        assert bad in town.live

    town.run(main)
    assert town.told == []


@pytest.mark.parametrize("command", ["notify.message", "some.nonsense"])
def test_a_flood_of_anything_ends_the_connection(town, command):
    async def main():
        bad, _ = town.live
        for _ in range(10 * MOST_MESSAGES):
            if not bad.tell() if command == "notify.message" else not bad.push(b"x", command=command):
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(2)
        assert bad not in town.live
        await asyncio.sleep(LOOK)
        assert len(town.live) == WANTED

    town.run(main)
    assert len(town.told) <= MOST_MESSAGES


def test_a_message_that_is_too_long_never_arrives(town):
    async def main():
        town.live[0].tell(**{"~": bytes(10_000)})
        await asyncio.sleep(5)

    town.run(main)
    assert town.told == []


def test_a_node_that_always_hangs_up_is_left_alone(town):
    async def main():
        bad, _ = town.live
        bad.hangs_up = True
        bad.callers[-1].route.transport.close(bad.callers[-1].route)
        await asyncio.sleep(3600)
        return len(bad.asked)

    assert town.run(main) < 40


def test_without_the_library_it_fails_and_says_so(town):
    class Bare:
        async def dial(self, *_arguments, **_options):
            raise MissingExtra("pyzmq is not installed")

    class World:
        net, entropy = Bare(), random.Random(1)

    town.world = World()

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:
            await Subscriptions(
                town.world, town.entry, town.home, KEYS, NAMESPACES, told=town.told.append, changed=town.changes.append
            ).run()
        assert isinstance(caught.value.exceptions[0], MissingExtra)

    town.sim.run(main())


# ---- ports, which lists for clients leave out


def described(record, **changes):
    said = {"pubkey_ed25519": record.ed25519.hex(), "pubkey_x25519": record.x25519.hex(), "pubkey_legacy": "00" * 32}
    return said | {"ip": record.ip, "port_https": 22021, "port_omq": OMQ_PORT, "address": "x", **changes}


def test_a_node_is_asked_itself_where_it_listens_and_nothing_else_of_its_answer_counts(town):
    liar, asked = town.nodes[0], []
    for node in town.nodes:
        node.record = NodeRecord(node.record.ed25519, node.record.x25519, b"", node.address, 22021, 0, 7)
    town.home.members = [node.record for node in town.nodes]

    async def request(node, requests):
        (question,) = requests
        assert question.account == KEYS.id.raw
        asked.append(node)
        others = [described(other.record, ip="10.66.6.6") for other in town.nodes]
        swarm = {"snodes": [] if node == liar.record else others, "swarm": "7"}
        return [Result(200, swarm)]

    town.home.request = request

    async def main():
        await asyncio.sleep(120)
        assert len(town.live) == WANTED
        assert liar not in town.live

    town.run(main)
    assert {node.ip for node in asked} <= {node.address for node in town.nodes}

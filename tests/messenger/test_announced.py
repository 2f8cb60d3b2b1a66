"""What nodes announce makes the inbox look, soon and not often; alone and in the inbox, in virtual time."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.hashing import message_hash
from ramson.messenger.announced import LOOKS, MOST, Announced
from ramson.messenger.inbox import Inbox, Listeners
from ramson.messenger.letters import Letter
from ramson.messenger.pace import BURST, JITTER, TALKING, TOLD, USUAL, Pace
from ramson.network import NoPath, Polled, Retrieved
from ramson.protocol.content import TextMessage
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import RetrievedMessage
from ramson.world.simulated.loop import SimulatedLoop

NODE = NodeRecord(bytes(32), bytes(32), bytes(32), "10.0.0.1", 1, 2, 0)


def virtually(main):
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(time_limit=7200)) as runner:
        return runner.run(main)


# ---- alone


def test_what_is_known_is_no_reason():
    known = set()
    announced = Announced(lambda names: set(names) - known)
    assert announced.due() is None
    assert announced.add("one", 5.0)
    assert not announced.add("one", 6.0)
    assert announced.add("two", 7.0)
    assert announced.due() == 5.0
    assert not announced.is_due(4.0)
    assert announced.is_due(5.0)
    known.add("one")
    assert not announced.is_due(5.0)
    assert announced.is_due(7.0)
    known.add("two")
    assert not announced.is_due(7.0)
    assert announced.names == ()
    assert announced.due() is None


def test_what_is_never_found_is_looked_for_three_times_with_longer_and_longer_pauses():
    announced = Announced(set)
    announced.add("lie", 0.0)
    now = 0.0
    for pause in LOOKS:
        assert announced.due() == now + pause
        now += pause + 0.5
        announced.looked_for(announced.names, now)
    assert announced.due() is None


@given(st.lists(st.tuples(st.sampled_from(["add", "look", "find"]), st.integers(0, 200)), max_size=300))
def test_it_never_holds_much_and_always_ends(steps):
    known = set()
    announced = Announced(lambda names: set(names) - known)
    for now, (step, number) in enumerate(steps):
        match step:
            case "add":
                announced.add(str(number), now)
            case "look":
                announced.looked_for(announced.names, now)
            case _:
                known.add(str(number))
        assert len(announced.names) <= MOST
        if announced.is_due(now):
            assert set(announced.names) - known == set(announced.names)
    for _ in LOOKS:
        announced.looked_for(announced.names, 1e9)
    assert announced.due() is None


# ---- in the inbox


class Swarm:
    """A swarm of one node; `down` makes polls fail, and `behind` polls find nothing yet."""

    def __init__(self, account):
        self.account = account
        self.kept = []
        self.polls = []
        self.polled = asyncio.Event()
        self.down = False
        self.behind = 0

    def keep(self, data):
        self.kept.append(data)
        return message_hash(self.account, 0, data)

    async def poll(self, keys, namespaces, last, *, extend=()):
        self.polls.append(asyncio.get_running_loop().time())
        self.polled.set()
        await asyncio.sleep(0.5)
        if self.down:
            raise NoPath("x")
        found = () if self.behind else tuple(RetrievedMessage("n", 0, 0, data) for data in self.kept)
        self.behind = max(0, self.behind - 1)
        return Polled((Retrieved(NODE, {0: found}, False),), {})


class Told:
    """An inbox whose owner has nodes that tell of messages."""

    def __init__(self, store, bob):
        self.swarm = Swarm(store.keys.id.raw)
        self.pace = Pace(random.Random(1))

        def read(data, name, _expiry_ms):
            return Letter(bob.id, bob.id, TextMessage(data.decode(), len(self.swarm.kept)), b"", name)

        def nothing(*_what):
            pass

        listeners = Listeners(nothing, nothing, nothing)
        self.inbox = Inbox(store, self.swarm, read, lambda: 1000, listeners, self.pace)

    async def quiet(self):
        """Wait until just after a poll, when the next one is far."""
        self.swarm.polled.clear()
        await self.swarm.polled.wait()
        await asyncio.sleep(1)

    def polls_since(self, then):
        return [each for each in self.swarm.polls if each >= then]

    def run(self, main):
        async def start():
            task = asyncio.ensure_future(self.inbox.run())
            await asyncio.sleep(20)
            try:
                return await main()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        return virtually(start())


@pytest.fixture
def told(store, bob):
    return Told(store, bob)


def now():
    return asyncio.get_running_loop().time()


def test_while_nodes_tell_it_asks_seldom_and_then_as_before(told):
    async def main():
        told.pace.told(told=True)
        began = now()
        await asyncio.sleep(2400)
        seldom = len(told.polls_since(began))
        told.pace.told(told=False)
        began = now()
        await asyncio.sleep(600)
        return seldom, len(told.polls_since(began))

    seldom, after = told.run(main)
    assert seldom == pytest.approx(2400 / TOLD, rel=0.1)
    assert after == pytest.approx(600 / (USUAL + 0.5), rel=0.2)


def test_when_the_last_node_goes_it_asks_at_the_usual_pace_at_once(told):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        await asyncio.sleep(2 * USUAL)
        began = now()
        told.pace.told(told=False)
        await asyncio.sleep(0.1)
        return told.polls_since(began)

    assert len(told.run(main)) == 1


def test_what_came_just_before_nodes_told_is_not_missed(told):
    async def main():
        await told.quiet()
        began = now()
        told.swarm.keep(b"between")
        told.pace.told(told=True)
        message = await anext(told.inbox.messages())
        return message.body, now() - began

    body, took = told.run(main)
    assert body == "between"
    assert took < 1


def test_a_notice_brings_its_message_at_once_with_one_poll(told):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        began = now()
        name = told.swarm.keep(b"hello")
        told.inbox.told(name)
        asyncio.get_running_loop().call_later(0.2, told.inbox.told, name)  # the second node
        asyncio.get_running_loop().call_later(2.0, told.inbox.told, name)
        message = await anext(told.inbox.messages())
        took = now() - began
        await asyncio.sleep(20)
        return message.body, took, len(told.polls_since(began))

    body, took, polls = told.run(main)
    assert body == "hello"
    assert took < 1
    assert polls == 1


def test_a_message_that_has_not_reached_the_asked_node_is_looked_for_again(told):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        began = now()
        told.swarm.behind = 2
        told.inbox.told(told.swarm.keep(b"hello"))
        await anext(told.inbox.messages())
        return now() - began, len(told.polls_since(began))

    took, polls = told.run(main)
    assert took < sum(LOOKS) + len(LOOKS)
    assert polls == 3


def test_what_does_not_exist_costs_three_polls(told):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        began = now()
        told.inbox.told("a lie")
        await asyncio.sleep(TOLD * (1 - JITTER) - 2)
        return told.polls_since(began)

    assert len(told.run(main)) == len(LOOKS)


@pytest.mark.parametrize("pause", [0.01, 0.7])
def test_however_much_nodes_say_it_asks_no_more_often_than_who_talks(told, pause):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        began = now()
        for number in range(int(300 / pause)):
            told.inbox.told(f"lie {number}")
            await asyncio.sleep(pause)
        return len(told.polls_since(began))

    assert told.run(main) <= BURST + 300 / TALKING + 1


def test_connections_that_come_and_go_are_no_way_to_make_it_ask(told):
    async def main():
        began = now()
        for _ in range(600):
            told.pace.told(told=True)
            await asyncio.sleep(0.25)
            told.pace.told(told=False)
            await asyncio.sleep(0.25)
        return len(told.polls_since(began))

    assert told.run(main) <= 2 * (BURST + 300 / TALKING)


def test_a_poll_that_failed_is_repeated_as_if_nobody_told(told):
    async def main():
        told.pace.told(told=True)
        await told.quiet()
        told.swarm.down = True
        name = told.swarm.keep(b"hello")
        told.inbox.told(name)
        await asyncio.sleep(60)
        told.swarm.down = False
        began = now()
        await anext(told.inbox.messages())
        return now() - began

    assert told.run(main) < USUAL * (1 + JITTER) + 1

"""The inbox: whatever nodes say and whenever we are stopped, each message reaches its consumer once."""

import asyncio
import contextlib
import logging
import random
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramson.crypto.hashing import message_hash
from ramson.messenger import letters
from ramson.messenger.inbox import Inbox, Listeners
from ramson.messenger.letters import Letter
from ramson.messenger.pace import IDLE, JITTER, QUIET, TALK, TALKING, USUAL, Pace
from ramson.messenger.store import Store
from ramson.messenger.vault import KeyCost
from ramson.network import NoPath, Polled, Retrieved
from ramson.protocol.content import TextMessage
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import RetrievedMessage
from ramson.world.simulated.loop import SimulatedLoop

PASSPHRASE = "correct horse"


def virtually(main, *, limit=7200.0):
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(time_limit=limit)) as runner:
        return runner.run(main)


class Node:
    """A node with its own order of arrival; pages of `page` messages."""

    def __init__(self, number, page=100):
        self.record = NodeRecord(bytes([number]) * 32, bytes(32), bytes(32), f"10.0.{number}.1", 1, 2, 0)
        self.kept = []
        self.page = page
        self.asked = []

    def keep(self, data, name=None):
        self.kept.append((name or f"name of {data!r}", data))

    def answer(self, last):
        position = last.get(self.record.ed25519, {}).get(0)
        self.asked.append(position)
        names = [name for name, _ in self.kept]
        start = names.index(position) + 1 if position in names else 0
        found = self.kept[start : start + self.page]
        messages = tuple(RetrievedMessage(name, 0, 0, data) for name, data in found)
        return Retrieved(self.record, {0: messages}, start + self.page < len(self.kept))


class Swarm:
    """Answers polls with two random nodes, as the network does; `down` makes it fail."""

    def __init__(self, *nodes, seed=1):
        self.nodes = nodes
        self.entropy = random.Random(seed)
        self.down = False
        self.polls = 0

    async def poll(self, keys, namespaces, last, *, extend=()):
        self.polls += 1
        await asyncio.sleep(0.1)
        if self.down:
            raise NoPath("x")
        chosen = self.entropy.sample(self.nodes, min(2, len(self.nodes)))
        return Polled(tuple(node.answer(last) for node in chosen), {})


def plain(sender, data, name, _expiry_ms=0):
    """Read `sent time|text`, a stand-in for sealed envelopes."""
    sent_ms, bar, text = data.decode().partition("|")
    return Letter(sender.id, sender.id, TextMessage(text, int(sent_ms)), b"", name) if bar else None


def nothing(*_what):
    pass


@contextlib.asynccontextmanager
async def running(store, swarm, read):
    inbox = Inbox(store, swarm, read, lambda: 1000, Listeners(nothing, nothing, nothing), Pace(random.Random(1)))
    task = asyncio.get_running_loop().create_task(inbox.run())
    try:
        yield inbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def collect(inbox, seconds):
    found = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), contextlib.aclosing(inbox.messages()) as messages:
            async for message in messages:
                found.append(message.body)  # noqa: PERF401 - the time limit must leave what was found
    return found


def test_messages_from_several_nodes_become_one_stream_by_sent_time(store, bob):
    first, second = Node(1), Node(2)
    for data in (b"30|c", b"10|a", b"20|b"):
        first.keep(data)
    for data in (b"20|b", b"40|d", b"10|a"):
        second.keep(data)

    async def main():
        async with running(store, Swarm(first, second), partial(plain, bob)) as inbox:
            return await collect(inbox, 60)

    assert virtually(main()) == ["a", "b", "c", "d"]


def test_a_node_is_not_asked_again_for_what_it_gave(store, bob):
    node = Node(1)
    node.keep(b"10|a")

    async def main():
        async with running(store, Swarm(node), partial(plain, bob)):
            await asyncio.sleep(12)

    virtually(main())
    assert node.asked == [None, "name of b'10|a'", "name of b'10|a'"]


def test_it_polls_every_five_seconds_also_through_an_outage(store, bob):
    node = Node(1)
    swarm = Swarm(node)

    async def main():
        async with running(store, swarm, partial(plain, bob)) as inbox:
            swarm.down = True
            await asyncio.sleep(60)
            node.keep(b"10|a")
            swarm.down = False
            return await collect(inbox, USUAL * (1 + JITTER) + 1)

    assert virtually(main()) == ["a"]
    assert swarm.polls == pytest.approx(60 / USUAL, abs=3)


def test_it_polls_more_often_while_people_talk_and_less_when_nothing_happens():
    async def main():
        pace = Pace(random.Random(1))

        async def polls(seconds):
            loop, count = asyncio.get_running_loop(), 0
            ends = loop.time() + seconds
            while loop.time() < ends:
                await pace.wait()
                count += 1
            return count

        assert await polls(600) == pytest.approx(600 / USUAL, rel=0.1)
        await asyncio.sleep(QUIET)
        assert await polls(600) == pytest.approx(600 / IDLE, rel=0.1)
        with pace.watching():
            assert await polls(600) == pytest.approx(600 / TALKING, rel=0.1)
        pace.active()
        assert await polls(TALK) == pytest.approx(TALK / TALKING, rel=0.1)
        assert await polls(600) == pytest.approx(600 / USUAL, rel=0.1)

    virtually(main())


def test_a_word_ends_a_long_wait_and_waits_differ():
    async def main():
        loop, pace = asyncio.get_running_loop(), Pace(random.Random(1))
        pace.interval()
        await asyncio.sleep(1.1 * QUIET)
        began = loop.time()
        loop.call_later(1, pace.active)
        await pace.wait()
        assert loop.time() - began <= TALKING * (1 + JITTER)
        moments = []
        for _ in range(20):
            began = loop.time()
            await pace.wait()
            moments.append(loop.time() - began)
        return moments

    moments = virtually(main())
    assert len(set(moments)) == 20
    assert all(TALKING * (1 - JITTER) <= each <= TALKING * (1 + JITTER) + 0.01 for each in moments)


def test_a_long_backlog_is_fetched_without_waiting(store, bob):
    node = Node(1, page=10)
    for number in range(95):
        node.keep(b"%d|%d" % (number, number))

    async def main():
        async with running(store, Swarm(node), partial(plain, bob)) as inbox:
            return await collect(inbox, 3)

    assert virtually(main()) == [str(number) for number in range(95)]


def test_a_node_that_always_says_there_is_more_does_not_keep_us_busy(store, bob):
    node = Node(1)
    node.keep(b"10|a")
    swarm = Swarm(node)
    node.answer = lambda last: Retrieved(node.record, {0: (RetrievedMessage("n", 0, 0, b"10|a"),)}, True)

    async def main():
        async with running(store, swarm, partial(plain, bob)):
            await asyncio.sleep(60)

    virtually(main())
    assert swarm.polls < 15


def test_what_cannot_be_read_is_passed_over_once_and_stops_nothing(store, bob):
    node = Node(1)
    read = []

    def stumbling(data, name, _expiry_ms):
        read.append(data)
        if data == b"poison":
            raise RuntimeError("a message text in an error")
        return plain(bob, data, name)

    for data in (b"junk", b"poison", b"10|a"):
        node.keep(data)

    async def main():
        async with running(store, Swarm(node), stumbling) as inbox:
            found = await collect(inbox, 20)
            node.kept.append(("another name", b"junk"))
            return found + await collect(inbox, 20)

    assert virtually(main()) == ["a"]
    assert sorted(read) == [b"10|a", b"junk", b"poison"]


def test_what_cannot_be_taken_in_is_passed_over_once_and_stops_nothing(store, bob, caplog):
    node = Node(1)
    for data in (b"10|a", b"%d|secret" % 2**63, b"20|b"):  # the database holds no such time
        node.keep(data)

    async def main():
        async with running(store, Swarm(node), partial(plain, bob)) as inbox:
            found = await collect(inbox, 20)
            node.keep(b"30|c")
            return found + await collect(inbox, 20)

    with caplog.at_level(logging.DEBUG):
        assert virtually(main()) == ["a", "b", "c"]
    assert caplog.text.count("could not be taken in:") == 1
    assert "secret" not in caplog.text


def test_a_message_that_cannot_be_read_is_not_logged(store, bob, caplog):
    node = Node(1)
    node.keep(b"secret|text")

    async def main():
        async with running(store, Swarm(node), partial(plain, bob)):
            await asyncio.sleep(1)

    with caplog.at_level(logging.DEBUG):
        virtually(main())
    assert "could not be read" in caplog.text
    assert "secret" not in caplog.text


def test_a_node_cannot_spoil_a_message_by_showing_something_else_under_its_hash(store, alice, bob):
    liar, honest = Node(1), Node(2)
    name = message_hash(alice.id.raw, 0, b"10|the truth")
    liar.keep(b"junk", name)
    swarm = Swarm(liar)

    async def main():
        async with running(store, swarm, partial(plain, bob)) as inbox:
            before = await collect(inbox, 10)
            honest.keep(b"10|the truth", name)
            swarm.nodes = (honest,)
            return before, await collect(inbox, 10)

    assert virtually(main()) == ([], ["the truth"])


def test_real_envelopes_are_delivered_and_everything_else_is_not(store, alice, bob):
    mallory = letters.AccountKeys.generate(random.Random(66))
    node = Node(1)

    def sealed(text, sender, to, sent_ms):
        message = TextMessage(text, sent_ms)
        return [each.data for each in letters.write(message, sender, to.id, random.Random(sent_ms)).sealed]

    node.keep(sealed("to alice", bob, alice, 10)[0])
    node.keep(sealed("to bob, not for us", mallory, bob, 11)[0])
    node.keep(sealed("from our phone", alice, bob, 12)[1])
    node.keep(b"junk")

    async def main():
        async with running(
            store, Swarm(node), lambda data, name, expiry: letters.read(data, name, alice, expiry)
        ) as inbox:
            return await collect(inbox, 10)

    assert virtually(main()) == ["to alice"]
    assert [message.body for message in store.conversations.history(bob.id, 9)] == ["to alice", "from our phone"]


def test_a_message_in_hand_comes_again_after_a_crash_and_not_after_a_good_end(reopen, bob):
    node = Node(1)
    node.keep(b"10|a")
    node.keep(b"20|b")

    async def take_one(store, *, well):
        async with running(store, Swarm(node), partial(plain, bob)) as inbox:
            async for message in inbox.messages():
                if well:
                    inbox.release()
                return message.body
        return None

    assert virtually(take_one(reopen(), well=False)) == "a"
    assert virtually(take_one(reopen(), well=True)) == "a"
    assert virtually(take_one(reopen(), well=True)) == "b"


def test_two_consumers_share_the_messages(store, bob):
    node = Node(1)
    for number in range(10):
        node.keep(b"%d|%d" % (number, number))

    async def main():
        async with running(store, Swarm(node), partial(plain, bob)) as inbox:
            return await asyncio.gather(collect(inbox, 10), collect(inbox, 10))

    one, two = virtually(main())
    assert sorted(one + two) == [str(number) for number in range(10)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_in_any_order_with_any_losses_and_restarts_each_message_is_delivered_once(tmp_path_factory, alice, bob, data):
    """Nodes get messages in their own orders, some late, some twice; the program is stopped at random moments."""
    path = tmp_path_factory.mktemp("inbox") / "a.ramson"
    cost = KeyCost(passes=1, memory=13)
    Store.create(path, PASSPHRASE, alice, name="", now_ms=1, entropy=random.Random(1), cost=cost)
    nodes = [Node(number, page=data.draw(st.integers(1, 4))) for number in (1, 2, 3)]
    swarm = Swarm(*nodes, seed=data.draw(st.integers(0, 99)))
    sent, delivered = [], []
    for run in range(data.draw(st.integers(1, 3))):
        fresh = [b"%d|%d.%d" % (time, run, time) for time in data.draw(st.sets(st.integers(0, 99), max_size=8))]
        keepers = {letter: data.draw(st.sets(st.sampled_from(nodes), min_size=1)) for letter in fresh}
        for node in nodes:
            arriving = [letter for letter in fresh if node in keepers[letter]]
            twice = data.draw(st.lists(st.sampled_from(arriving), max_size=2)) if arriving else []
            for letter in data.draw(st.permutations(arriving + twice)):
                node.keep(letter, f"{len(node.kept)}")
        sent += fresh
        ends = data.draw(st.floats(0.05, 12))
        swarm.down = data.draw(st.booleans())

        async def main(ends=ends):
            store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
            try:
                async with running(store, swarm, partial(plain, bob)) as inbox:
                    found = await collect(inbox, ends)
                    inbox.release()
                    return found
            finally:
                store.close()

        delivered += virtually(main())

    async def finish():
        store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
        async with running(store, Swarm(*nodes, seed=5), partial(plain, bob)) as inbox:
            found = await collect(inbox, 100)
        store.close()
        return found

    swarm.down = False
    delivered += virtually(finish())
    unique = {}
    for letter in sent:
        time, _, text = letter.decode().partition("|")
        unique.setdefault(int(time), set()).add(text)
    assert len(delivered) == len(set(delivered))
    times = [int(text.split(".")[1]) for text in delivered]
    # The identity of a message is its author and sent time: of those that share one, exactly one is delivered.
    assert sorted(times) == sorted(unique)
    for text, time in zip(delivered, times, strict=True):
        assert text in unique[time]

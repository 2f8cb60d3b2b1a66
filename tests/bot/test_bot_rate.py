"""One person's flood is in nobody's way, and takes no more than its share."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson import Bot, LocalError, Message, Rate
from ramson import filters as f
from ramson.bot.rate import Turns
from ramson.testing import on_fake_network


async def flood(person, address, count):
    for number in range(count):
        await person.client.send(address, f"flood {number}", wait=False)
    await person.client.drain()


@on_fake_network
async def test_a_flood_takes_one_worker_and_others_are_answered_beside_it(net):
    slow, log = Bot("unused.ramson", workers=2, rate=None), []

    @slow.on(f.text)
    async def handle(message: Message) -> None:
        await asyncio.sleep(30)
        log.append(message.body)

    async with net.running(slow) as address:
        pass
    async with net.person("A") as flooder, net.person("B") as other:
        await flood(flooder, address, 12)
        await other.say(address, "hello")
        async with net.running(slow):
            await net.until(lambda: "hello" in log)
            assert len(log) <= 3


@on_fake_network
async def test_beyond_the_rate_one_person_waits_and_loses_nothing(net):
    quick, log = Bot("unused.ramson", workers=1, rate=Rate(3, 60)), []

    @quick.on(f.text)
    async def handle(message: Message) -> None:
        log.append((net.now, message.body))

    async with net.running(quick) as address:
        pass
    async with net.person("A") as flooder, net.person("B") as other:
        await flood(flooder, address, 8)
        await other.say(address, "hello")
        async with net.running(quick):
            began = net.now
            await net.until(lambda: len(log) == 9, within=300)
    bodies = [body for _, body in log]
    assert [body for body in bodies if body != "hello"] == [f"flood {number}" for number in range(8)]
    assert bodies.index("hello") == 3
    moments = [moment - began for moment, body in log if body != "hello"]
    assert moments[2] < 15
    assert all(20 * (number - 2) <= moments[number] < 20 * (number - 2) + 15 for number in range(3, 8))


A, B = "a", "b"


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.floats(0, 5)), max_size=60), st.integers(1, 5), st.floats(1, 20))
def test_no_window_holds_more_than_twice_the_rate_and_none_rests_for_ever(asked, messages, seconds):
    turns, now, handled = Turns(Rate(messages, seconds)), 0.0, []
    for who, later in asked:
        now += later
        if who not in turns.resting(now):
            turns.take(who, now)
            handled.append((who, now))
    for who in (A, B):
        times = [moment for each, moment in handled if each == who]
        for start in times:
            assert sum(start <= moment < start + seconds for moment in times) <= 2 * messages
    assert turns.resting(now + seconds / messages + 1e-3) == []


def test_without_a_rate_nobody_rests():
    turns = Turns(None)
    for _ in range(1000):
        turns.take(A, 0)
    assert list(turns.resting(0)) == []


@pytest.mark.parametrize(("messages", "seconds"), [(0, 60), (1, 0), (1, float("inf")), (1, float("nan"))])
def test_a_rate_has_messages_and_time(messages, seconds):
    with pytest.raises(LocalError):
        Rate(messages, seconds)

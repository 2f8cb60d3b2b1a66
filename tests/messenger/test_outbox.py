"""The outbox: everything goes out, in order, as the bytes first written, however often the network or we go down."""

import asyncio
import contextlib
import itertools
import random
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.messenger.letters import Outgoing, Sealed
from ramson.messenger.message import State
from ramson.messenger.outbox import LONGEST_DELAY, REFUSALS, Outbox
from ramson.messenger.store import Store
from ramson.messenger.vault import KeyCost
from ramson.network import CannotStore
from ramson.network.errors import ClockSkew, NoPath, NotRunning, RequestFailed, SwarmUnavailable
from ramson.network.failures import Failure
from ramson.protocol.content import TextMessage
from ramson.world.simulated.loop import SimulatedLoop

PASSPHRASE = "correct horse"
DAY = 86_400.0


def virtually(main, *, limit=4 * DAY):
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(time_limit=limit)) as runner:
        return runner.run(main)


class Swarms:
    """Mailboxes that name messages by their hash, behind a network that does as `script` says.

    Each step of the script is an exception to raise, or None to store; `lost` as well stores and then loses
    the answer.  When the script is at its end everything works.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.boxes = {}
        self.attempts = []

    async def store(self, account, data, *, ttl_ms, namespace=0):
        self.attempts.append((asyncio.get_running_loop().time(), account, data))
        await asyncio.sleep(0.1)
        step = self.script.pop(0) if self.script else None
        if step is not None and step != "lost":
            raise step
        name = message_hash(account.raw, namespace, data)
        self.boxes.setdefault(account, {}).setdefault(name, data)
        if step == "lost":
            raise NoPath("gone")
        return SimpleNamespace(hash=name, stored_by=("a", "b"), failed=("c",), timestamp=1000)

    def kept(self, keys):
        return list(self.boxes.get(keys.id, {}).values())


@contextlib.asynccontextmanager
async def running(store, carrier):
    outbox = Outbox(store, carrier, random.Random(7))
    task = asyncio.get_running_loop().create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def put(store, recipient, text, copy_to=None):
    """Queue a text; its envelope differs each time it is sealed, as a real one does."""

    def write(sent_ms):
        fresh = random.randbytes(8)
        sealed = [Sealed(recipient.id, text.encode() + b"|" + fresh, False, 0, 1000)]
        if copy_to:
            sealed.append(Sealed(copy_to.id, b"copy of " + text.encode(), True, 0, 1000))
        return Outgoing(TextMessage(text, sent_ms), b"", tuple(sealed))

    return store.queue(recipient.id, 1000, write)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - time is virtual
        await asyncio.sleep(1)


def texts(envelopes):
    return [data.split(b"|")[0].decode() for data in envelopes]


def test_a_message_is_stored_and_its_receipt_says_by_how_many(store, bob):
    swarms = Swarms()

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "hello")
            outbox.wake()
            return await outbox.settled(message)

    receipt = virtually(main())
    assert (receipt.state, receipt.stored, receipt.total) == (State.SENT, 2, 3)
    assert receipt.hash == next(iter(swarms.boxes[bob.id]))


def test_what_was_written_first_arrives_first_even_when_it_is_hard_to_send(store, bob):
    swarms = Swarms(NoPath("x"), NoPath("x"), None, SwarmUnavailable("x"))

    async def main():
        async with running(store, swarms) as outbox:
            sent = [put(store, bob, str(number)) for number in range(5)]
            outbox.wake()
            for message in sent:
                await outbox.settled(message)

    virtually(main())
    assert texts(swarms.kept(bob)) == ["0", "1", "2", "3", "4"]


def test_one_recipient_in_trouble_does_not_hold_up_another(store, alice, bob):
    carol = AccountKeys.generate(random.Random(4))
    swarms = Swarms()
    plain = swarms.store

    async def store_unless_bob(account, data, **rest):
        if account == bob.id:
            raise SwarmUnavailable("x")
        return await plain(account, data, **rest)

    swarms.store = store_unless_bob

    async def main():
        async with running(store, swarms) as outbox:
            put(store, bob, "waits")
            message = put(store, carol, "goes")
            outbox.wake()
            async with asyncio.timeout(3):
                await outbox.settled(message)

    virtually(main())
    assert store.waiting() == 1


def test_a_day_without_a_network_is_no_failure(store, bob):
    swarms = Swarms(*[NoPath("no path")] * 10_000)

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "patience")
            outbox.wake()
            await asyncio.sleep(DAY)
            waiting = store.receipt(message)
            swarms.script.clear()
            return waiting, await outbox.settled(message)

    waiting, sent = virtually(main())
    assert (waiting.state, waiting.reason) == (State.SENDING, "no path")
    assert sent.state is State.SENT
    times = [time for time, _, _ in swarms.attempts]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[0] < 2 < gaps[2] < 8  # it tries again soon at first
    assert max(gaps) <= 1.25 * LONGEST_DELAY + 0.1  # and then not more rarely than this
    assert min(gaps[10:]) >= 0.75 * LONGEST_DELAY
    assert len({data for _, _, data in swarms.attempts}) == 1


def test_a_wrong_clock_and_a_lost_answer_are_no_failures_either(store, bob):
    swarms = Swarms(*[ClockSkew()] * 20, "lost", "lost", RequestFailed(Failure.DESTINATION_ERROR, status=500))

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "once")
            outbox.wake()
            return await outbox.settled(message)

    assert virtually(main()).state is State.SENT
    assert texts(swarms.kept(bob)) == ["once"]


def test_what_cannot_be_stored_fails_at_once_with_the_reason_and_the_next_goes(store, bob):
    swarms = Swarms(CannotStore("the message is too large"))

    async def main():
        async with running(store, swarms) as outbox:
            first, second = put(store, bob, "huge"), put(store, bob, "small")
            outbox.wake()
            return await outbox.settled(first), await outbox.settled(second)

    first, second = virtually(main())
    assert (first.state, first.reason) == (State.FAILED, "the message is too large")
    assert second.state is State.SENT


REFUSED = [
    RequestFailed(Failure.BAD_REQUEST, status=400),
    RequestFailed(Failure.DESTINATION_ERROR, status=403),
    RequestFailed(Failure.DESTINATION_ERROR, status=413),
]


@pytest.mark.parametrize("refusal", REFUSED)
def test_a_message_is_given_up_when_several_nodes_in_a_row_refuse_it(store, bob, refusal):
    swarms = Swarms(*[refusal] * REFUSALS)

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "malformed")
            outbox.wake()
            return await outbox.settled(message)

    assert virtually(main()).state is State.FAILED
    assert len(swarms.attempts) == REFUSALS


def test_the_word_of_fewer_nodes_is_not_enough(store, bob):
    swarms = Swarms(*REFUSED[:1] * (REFUSALS - 1), NoPath("x"), *REFUSED[:1] * (REFUSALS - 1))

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "fine")
            outbox.wake()
            return await outbox.settled(message)

    assert virtually(main()).state is State.SENT


def test_hurry_ends_a_long_delay(store, bob):
    swarms = Swarms(*[NoPath("x")] * 10)

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "x")
            outbox.wake()
            await until(lambda: len(swarms.attempts) == 10)
            await asyncio.sleep(5)
            outbox.hurry()
            async with asyncio.timeout(1):
                await outbox.settled(message)

    virtually(main())


def test_the_copy_for_our_other_devices_follows_the_message(store, alice, bob):
    swarms = Swarms(NoPath("x"))

    async def main():
        async with running(store, swarms) as outbox:
            put(store, bob, "hello", copy_to=alice)
            outbox.wake()
            await until(lambda: not store.recipients())

    virtually(main())
    assert [account for _, account, _ in swarms.attempts] == [bob.id, bob.id, alice.id]
    assert swarms.kept(alice) == [b"copy of hello"]


def test_no_copy_says_that_a_message_was_sent_when_it_was_not(store, alice, bob):
    swarms = Swarms(CannotStore("too large"))

    async def main():
        async with running(store, swarms) as outbox:
            message = put(store, bob, "hello", copy_to=alice)
            outbox.wake()
            await outbox.settled(message)
            await asyncio.sleep(10)

    virtually(main())
    assert swarms.kept(alice) == []


def test_what_another_program_put_into_the_file_goes_out_too(store, file, bob):
    swarms = Swarms()
    other = Store.open(file, PASSPHRASE, entropy=random.Random(0))

    async def main():
        async with running(store, swarms):
            await asyncio.sleep(1)
            put(other, bob, "from elsewhere")
            await asyncio.sleep(6)

    virtually(main())
    assert other.waiting() == 0
    other.close()


def test_a_network_that_was_never_started_is_our_mistake_and_not_the_message_s(store, bob):
    async def main():
        outbox = Outbox(store, Swarms(NotRunning("x")), random.Random(1))
        put(store, bob, "x")
        await outbox.run()

    with pytest.raises(ExceptionGroup) as caught:
        virtually(main())
    assert caught.group_contains(NotRunning)
    assert store.waiting() == 1


def outcomes():
    return st.lists(
        st.sampled_from([None, None, "lost", NoPath("x"), SwarmUnavailable("x"), REFUSED[0], ClockSkew()]), max_size=20
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_happens_every_message_arrives_once_and_in_order(tmp_path_factory, alice, bob, data):
    """Random failures, and the program ended at random moments between and during attempts."""
    path = tmp_path_factory.mktemp("outbox") / "a.ramson"
    cost = KeyCost(passes=1, memory=13)
    Store.create(path, PASSPHRASE, alice, name="", now_ms=1, entropy=random.Random(1), cost=cost)
    carol = AccountKeys.generate(random.Random(4))
    swarms, written = Swarms(), {bob.id: [], carol.id: []}
    for run in range(data.draw(st.integers(1, 4))):
        store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
        swarms.script = data.draw(outcomes())
        to = data.draw(st.lists(st.sampled_from([bob, carol]), max_size=4))
        ends = data.draw(st.floats(0, 10))

        async def main(store=store, to=to, ends=ends, run=run):
            async with running(store, swarms) as outbox:
                for number, recipient in enumerate(to):
                    put(store, recipient, f"{run}.{number}", copy_to=alice)
                    written[recipient.id].append(f"{run}.{number}")
                    outbox.wake()
                    await asyncio.sleep(ends / 8)
                await asyncio.sleep(ends)

        virtually(main())
        store.close()

    store = Store.open(path, PASSPHRASE, entropy=random.Random(0))
    swarms.script = []

    async def finish():
        async with running(store, swarms):
            await until(lambda: not store.recipients())

    virtually(finish())
    failed = {
        m.body for keys in (bob, carol) for m in store.conversations.history(keys.id, 99) if m.state is State.FAILED
    }
    store.close()
    for keys in (bob, carol):
        assert texts(swarms.kept(keys)) == [text for text in written[keys.id] if text not in failed]
    copies = sorted(data.removeprefix(b"copy of ").decode() for data in swarms.kept(alice))
    assert copies == sorted(text for texts in written.values() for text in texts if text not in failed)

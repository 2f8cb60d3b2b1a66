"""OxenMQ links in the simulated world: keys are checked, order is kept, silence ends in PeerTimeout."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import X25519KeyPair
from ramson.world import CannotListen, Command, Endpoint, PeerAddress, PeerRefused, PeerTimeout
from ramson.world.simulated import Model, Simulation

ONE, TWO = "10.0.0.1", "10.0.0.2"
PORT = 22020
KEYS = {address: X25519KeyPair.generate(random.Random(address)) for address in (ONE, TWO)}
EXACT = Model(distances_ms={("here", "here"): 100.0}, jitter=0.0)


def peer(address, key=None):
    return PeerAddress(Endpoint(address, PORT), key or KEYS[address].public)


def link(sim, address, commands=None, *, listen=True, **options):
    at = Endpoint(address, PORT) if listen else None
    return sim.world(address).net.link(KEYS[address], commands or {}, listen=at, **options)


async def ask(one, name, parts, patience):
    return await one.request(peer(TWO), name, parts, timeout=patience)


def echo(origin, parts):
    return [origin.key, origin.address.encode(), *parts]


ECHO = {"test.echo": Command(echo)}


def test_a_request_is_answered_and_each_end_is_known_by_its_key():
    sim = Simulation(1)

    async def main():
        await link(sim, TWO, ECHO)
        one = await link(sim, ONE, listen=False)
        return await one.request(peer(TWO), "test.echo", [b"a", b"b"], timeout=5)

    assert sim.run(main()) == [KEYS[ONE].public, ONE.encode(), b"a", b"b"]


def test_connecting_costs_two_round_trips_once():
    sim, times = Simulation(1, model=EXACT), []

    async def main():
        await link(sim, TWO, ECHO)
        one = await link(sim, ONE)
        for _ in range(2):
            began = sim.now
            await one.request(peer(TWO), "test.echo", [], timeout=5)
            times.append(sim.now - began)

    sim.run(main())
    assert times == [pytest.approx(0.6, abs=0.01), pytest.approx(0.2, abs=0.01)]


def test_an_unused_connection_is_closed_after_thirty_seconds():
    sim, times = Simulation(1, model=EXACT), []

    async def main():
        await link(sim, TWO, ECHO)
        one = await link(sim, ONE)
        await one.request(peer(TWO), "test.echo", [], timeout=5)
        await asyncio.sleep(40)
        began = sim.now
        await one.request(peer(TWO), "test.echo", [], timeout=5)
        times.append(sim.now - began)

    sim.run(main())
    assert times == [pytest.approx(0.6, abs=0.01)]


def test_a_wrong_key_does_not_connect():
    handled = []
    sim = Simulation(1)

    async def main():
        await link(sim, TWO, {"test.echo": Command(lambda origin, parts: handled.append(1) or [])})
        one = await link(sim, ONE)
        with pytest.raises(PeerTimeout):
            await one.request(peer(TWO, KEYS[ONE].public), "test.echo", [], timeout=5)

    sim.run(main())
    assert not handled
    assert sim.now == pytest.approx(5)
    assert sim.faults["link-refused"] > 1


@pytest.mark.parametrize("target", [TWO, "10.0.0.99"])
def test_nobody_listening_is_a_timeout(target):
    sim = Simulation(1)
    sim.host(TWO)

    async def main():
        one = await link(sim, ONE)
        with pytest.raises(PeerTimeout):
            await one.request(peer(target, KEYS[TWO].public), "test.echo", [], timeout=3)

    sim.run(main())


def test_what_was_sent_waits_for_a_listener_that_comes_up_in_time():
    sim = Simulation(1)

    async def main():
        sim.host(TWO)
        one = await link(sim, ONE)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(one, "test.echo", [b"x"], 20))
            await asyncio.sleep(3)
            await link(sim, TWO, ECHO)
        return asked.result()[-1]

    assert sim.run(main()) == b"x"


def test_refusals_come_back():
    sim = Simulation(1)
    commands = ECHO | {"test.no": Command(echo, refuse=lambda origin: b"FORBIDDEN_SN")}

    async def main():
        await link(sim, TWO, commands)
        one = await link(sim, ONE)
        for name, code in (("test.no", b"FORBIDDEN_SN"), ("test.unknown", b"UNKNOWNCOMMAND")):
            with pytest.raises(PeerRefused) as caught:
                await one.request(peer(TWO), name, [], timeout=5)
            assert caught.value.code == code

    sim.run(main())


def test_a_push_goes_back_along_the_connection_until_it_closes():
    sim, origins, pushed = Simulation(1), [], []

    async def main():
        def subscribe(origin, parts):
            origins.append(origin)
            return [b"OK"]

        two = await link(sim, TWO, {"sub.it": Command(subscribe)})
        notify = Command(lambda origin, parts: pushed.append((origin.key, parts)), expects_reply=False)
        one = await link(sim, ONE, {"notify.it": notify}, listen=False)
        await one.request(peer(TWO), "sub.it", [], timeout=5)
        assert two.push(origins[0], "notify.it", [b"news"])
        await asyncio.sleep(1)
        await one.close()
        await asyncio.sleep(1)
        assert not two.push(origins[0], "notify.it", [b"more"])

    sim.run(main())
    assert pushed == [(KEYS[TWO].public, [b"news"])]


def test_a_crash_fails_requests_in_progress_and_a_restart_serves_again():
    sim = Simulation(1)

    async def program(world):
        async def slow(origin, parts):
            await asyncio.sleep(30)
            return [b"late"]

        await world.net.link(KEYS[TWO], ECHO | {"test.slow": Command(slow)}, listen=Endpoint(TWO, PORT))
        await asyncio.Event().wait()

    sim.host(TWO).start(program)

    async def main():
        one = await link(sim, ONE)
        async with asyncio.TaskGroup() as group:
            group.create_task(expect_timeout(one))
            await asyncio.sleep(2)
            sim.crash(TWO)
        assert sim.now < 3
        sim.restart(TWO)
        assert (await one.request(peer(TWO), "test.echo", [b"again"], timeout=5))[-1] == b"again"

    async def expect_timeout(one):
        with pytest.raises(PeerTimeout):
            await one.request(peer(TWO), "test.slow", [], timeout=20)

    sim.run(main())


def test_a_partition_is_silence_and_heals():
    sim = Simulation(1)

    async def main():
        await link(sim, TWO, ECHO)
        one = await link(sim, ONE)
        await one.request(peer(TWO), "test.echo", [], timeout=5)
        sim.partition([[ONE]])
        with pytest.raises(PeerTimeout):
            await one.request(peer(TWO), "test.echo", [], timeout=5)
        sim.heal()
        await one.request(peer(TWO), "test.echo", [], timeout=5)

    sim.run(main())
    assert sim.faults["parted"] == 1


def test_a_lost_message_is_silence():
    sim = Simulation(1, model=Model(peer_loss=1.0))

    async def main():
        await link(sim, TWO, ECHO)
        one = await link(sim, ONE)
        with pytest.raises(PeerTimeout):
            await one.request(peer(TWO), "test.echo", [], timeout=5)

    sim.run(main())
    assert sim.faults["peer-lost"] == 1


def test_a_message_over_the_listeners_limit_closes_the_connection():
    sim = Simulation(1)

    async def main():
        await link(sim, TWO, ECHO, max_message=100)
        one = await link(sim, ONE)
        with pytest.raises(PeerTimeout):
            await one.request(peer(TWO), "test.echo", [bytes(101)], timeout=50)
        assert sim.now < 2
        await one.request(peer(TWO), "test.echo", [bytes(10)], timeout=5)

    sim.run(main())


def test_two_links_cannot_have_one_port():
    sim = Simulation(1)

    async def main():
        first = await link(sim, ONE)
        with pytest.raises(CannotListen):
            await link(sim, ONE)
        await first.close()
        await link(sim, ONE)

    sim.run(main())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 200_000), max_size=25))
def test_messages_of_one_connection_arrive_in_order_whatever_their_sizes(seed, sizes):
    sim, seen = Simulation(seed, model=Model(jitter=1.0, bandwidth=1e5)), []

    async def main():
        await link(sim, TWO, {"test.count": Command(lambda origin, parts: seen.append(int(parts[0])) or [])})
        one = await link(sim, ONE)
        async with asyncio.TaskGroup() as group:
            for number, size in enumerate(sizes):
                group.create_task(ask(one, "test.count", [b"%d" % number, bytes(size)], 1000))

    sim.run(main())
    assert seen == list(range(len(sizes)))

"""Virtual time: waiting costs nothing, nothing real is reachable, and a standstill is told."""

import asyncio
import socket
import threading
import time

import pytest

from ramson.world.simulated import Deadlock, OutsideSimulation, Simulation, TimeLimit, UnhandledError


def test_an_hour_of_sleep_costs_no_time():
    sim = Simulation(1)

    async def main():
        await asyncio.sleep(3600)
        return sim.now

    began = time.monotonic()
    assert sim.run(main()) == 3600
    assert time.monotonic() - began < 5


def test_sleepers_wake_in_the_order_of_their_times():
    woken = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def main():
        async with asyncio.TaskGroup() as group:
            for seconds in (3, 1, 2, 0, 10):
                group.create_task(sleeper(seconds))

    Simulation(1).run(main())
    assert woken == [0, 1, 2, 3, 10]


def test_a_timeout_ends_what_takes_longer_and_not_what_takes_less():
    async def main():
        async with asyncio.timeout(5):
            await asyncio.sleep(4.999)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(5.001)

    sim = Simulation(1)
    sim.run(main())
    assert sim.now == pytest.approx(9.999)


def test_the_clock_follows_virtual_time_with_its_skew():
    sim = Simulation(1, epoch_ms=1_000_000)
    right, fast = sim.world("10.0.0.1"), sim.world("10.0.0.2", skew_ms=90_000)

    async def main():
        await asyncio.sleep(2.5)
        return right.clock.now(), fast.clock.now(), right.clock.monotonic()

    assert sim.run(main()) == (1_002_500, 1_092_500, 2.5)


def test_a_deadlock_names_the_tasks_that_wait():
    async def waits_for_nobody():
        await asyncio.Event().wait()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_for_nobody(), name="the lonely one")

    with pytest.raises(Deadlock, match=r"the lonely one \(.*waits_for_nobody\)"):
        Simulation(1).run(main())


def test_what_repeats_for_ever_meets_the_time_limit():
    async def main():
        while True:
            await asyncio.sleep(10)
            ticks.append(sim.now)

    ticks = []
    sim = Simulation(1, time_limit=1000)
    with pytest.raises(TimeLimit):
        sim.run(main())
    assert ticks[-1] == 1000


def test_cleanup_runs_after_a_failed_run_even_beyond_the_time_limit():
    cleaned = []

    async def main():
        try:
            await asyncio.sleep(2000)
        finally:
            await asyncio.sleep(5)
            cleaned.append(True)

    with pytest.raises(TimeLimit):
        Simulation(1, time_limit=1000).run(main())
    assert cleaned


def test_the_error_of_main_comes_out_as_it_is():
    async def main():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Simulation(1).run(main())


def test_an_error_lost_in_a_task_fails_the_run():
    async def fails():
        raise KeyError("lost")

    async def main():
        task = asyncio.create_task(fails())
        await asyncio.sleep(1)
        del task

    with pytest.raises(UnhandledError) as caught:
        Simulation(1).run(main())
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda loop: asyncio.open_connection("127.0.0.1", 80),
        lambda loop: asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0),
        lambda loop: loop.getaddrinfo("localhost", 80),
        lambda loop: asyncio.to_thread(print),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)),
    ],
)
def test_nothing_real_can_be_reached(attempt):
    async def main():
        await attempt(asyncio.get_running_loop())

    with pytest.raises(OutsideSimulation):
        Simulation(1).run(main())


def test_a_real_socket_cannot_be_watched():
    async def main():
        with socket.socketpair()[0] as one:
            asyncio.get_running_loop().add_reader(one, print)

    with pytest.raises(OutsideSimulation):
        Simulation(1).run(main())


def test_a_thread_cannot_call_in():
    errors = []

    async def main():
        loop = asyncio.get_running_loop()

        def call_in():
            try:
                loop.call_soon_threadsafe(print)
            except OutsideSimulation as error:
                errors.append(error)

        thread = threading.Thread(target=call_in)
        thread.start()
        thread.join()

    Simulation(1).run(main())
    assert errors


def test_a_task_group_cancels_its_children_in_the_order_they_were_made():
    ended = []

    async def child(number):
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(number)

    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(child(number))
            await asyncio.sleep(1)
            {}["missing"]

    with pytest.raises(ExceptionGroup):
        Simulation(1).run(main())
    assert ended == sorted(ended)
    assert len(ended) == 200

"""Hosts live, crash and live again; disks take their time and lose what was not done."""

import asyncio
import sqlite3

import pytest

from ramson.errors import LocalError
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError, Stage
from ramson.world.simulated import HostDown, HostFailed, Model, Simulation

SERVER, CLIENT = "10.0.0.1", "10.0.0.2"
AT = Endpoint(SERVER, 80)


async def listen(world, handler=lambda request: HttpResponse(200)):
    return await world.net.listen(AT, handler, certificate=None, limits=HttpLimits())


async def serve(world):
    await listen(world)
    await asyncio.Event().wait()


async def ask(sim, patience=10.0):
    world = sim.world(CLIENT)
    try:
        return (await world.net.request(AT, HttpRequest("GET", "/"), tls=None, timeout=patience)).status
    except NetError as error:
        return error.stage


def test_a_crashed_host_refuses_and_serves_again_after_its_restart():
    sim = Simulation(1)
    sim.host(SERVER).start(serve)

    async def main():
        assert await ask(sim) == 200
        sim.crash(SERVER)
        assert await ask(sim) is Stage.CONNECT
        sim.restart(SERVER)
        assert await ask(sim) == 200

    sim.run(main())
    assert sim.faults == {"crash": 1, "refused": 1}


def test_a_crash_resets_requests_in_progress():
    async def slow(world):
        async def handler(request):
            await asyncio.sleep(60)
            return HttpResponse(200)

        await listen(world, handler)
        await asyncio.Event().wait()

    sim = Simulation(1)
    sim.host(SERVER).start(slow)

    async def main():
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(ask(sim, patience=100))
            await asyncio.sleep(5)
            sim.crash(SERVER)
        assert asked.result() is Stage.REPLY
        assert sim.now < 6

    sim.run(main())
    assert sim.faults["reset"] == 1


def test_nothing_of_a_crashed_program_has_any_effect_any_more():
    written = []

    async def program(world):
        disk = world.disk()
        await listen(world)
        try:
            await asyncio.sleep(1000)
        finally:
            written.append("memory only")
            await disk.run(lambda: written.append("goodbye"))

    sim = Simulation(1)
    sim.host(SERVER).start(program)

    async def main():
        await asyncio.sleep(1)
        sim.crash(SERVER)
        await asyncio.sleep(10)

    sim.run(main())
    assert written == ["memory only"]


def test_a_child_task_of_a_crashed_program_ends_too():
    ticks = []

    async def ticker():
        while True:
            await asyncio.sleep(1)
            ticks.append(1)

    async def program(world):
        async with asyncio.TaskGroup() as group:
            group.create_task(ticker())
            group.create_task(ticker())

    sim = Simulation(1)
    sim.host(SERVER).start(program)

    async def main():
        await asyncio.sleep(3.5)
        sim.crash(SERVER)
        await asyncio.sleep(10)

    sim.run(main())
    assert len(ticks) == 6


def test_a_stopped_host_says_goodbye():
    written = []

    async def program(world):
        disk = world.disk()
        try:
            await asyncio.sleep(1000)
        finally:
            await disk.run(lambda: written.append("goodbye"))

    sim = Simulation(1)
    sim.host(SERVER).start(program)

    async def main():
        await asyncio.sleep(1)
        await sim.host(SERVER).stop()

    sim.run(main())
    assert written == ["goodbye"]


def test_the_end_of_a_run_stops_all_hosts_in_good_order():
    stopped = []

    async def program(world):
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            stopped.append(world)

    sim = Simulation(1)
    sim.host(SERVER).start(program)
    sim.host(CLIENT).start(program)
    sim.run(asyncio.sleep(1))
    assert stopped == [sim.world(SERVER), sim.world(CLIENT)]


def test_a_program_that_dies_fails_the_run():
    async def program(world):
        await asyncio.sleep(1)
        raise KeyError("bug")

    sim = Simulation(1)
    sim.host(SERVER).start(program)
    with pytest.raises(HostFailed, match=SERVER) as caught:
        sim.run(asyncio.sleep(1000))
    assert isinstance(caught.value.__cause__, KeyError)
    assert sim.now == 1


def test_the_world_of_a_former_life_is_of_no_use():
    sim = Simulation(1)
    former = sim.world(SERVER)

    async def main():
        sim.crash(SERVER)
        sim.restart(SERVER)
        with pytest.raises(HostDown):
            await listen(former)
        with pytest.raises(HostDown):
            await former.net.request(AT, HttpRequest("GET", "/"), tls=None, timeout=5)
        with pytest.raises(HostDown):
            await former.disk().run(print)
        await listen(sim.world(SERVER))

    sim.run(main())


def test_hosts_crash_and_start_once_at_a_time():
    sim = Simulation(1)
    sim.host(SERVER).start(serve)

    async def main():
        with pytest.raises(LocalError):
            sim.host(SERVER).start(serve)
        with pytest.raises(LocalError):
            sim.restart(SERVER)
        sim.crash(SERVER)
        with pytest.raises(LocalError):
            sim.crash(SERVER)

    sim.run(main())


def test_randomness_differs_between_hosts_and_lives_and_agrees_between_runs():
    def draw():
        sim = Simulation(1)
        drawn = [sim.world(SERVER).entropy.random(), sim.world(CLIENT).entropy.random()]

        async def main():
            sim.crash(SERVER)
            sim.restart(SERVER)

        sim.run(main())
        return (*drawn, sim.world(SERVER).entropy.random())

    assert draw() == draw()
    assert len(set(draw())) == 3


# ---- disks


def test_a_disk_without_delay_still_works_in_order():
    sim, order = Simulation(1, model=Model(disk_ms=0)), []

    async def main():
        disk = sim.world(SERVER).disk()
        await asyncio.gather(*(disk.run(lambda n=n: order.append(n)) for n in range(100)))

    sim.run(main())
    assert order == list(range(100))


def test_disk_work_takes_time_and_is_done_in_order_and_its_error_comes_back():
    sim = Simulation(1, model=Model(disk_ms=10, disk_jitter=0))
    order = []

    async def main():
        disk = sim.world(SERVER).disk()
        results = await asyncio.gather(*(disk.run(lambda n=n: order.append(n) or n) for n in range(5)))
        with pytest.raises(ZeroDivisionError):
            await disk.run(lambda: 1 / 0)
        return results

    assert sim.run(main()) == [0, 1, 2, 3, 4]
    assert order == [0, 1, 2, 3, 4]
    assert sim.now == pytest.approx(0.06)


def test_two_disks_of_a_host_work_side_by_side():
    sim = Simulation(1, model=Model(disk_ms=10, disk_jitter=0))

    async def main():
        world = sim.world(SERVER)
        one, two = world.disk(), world.disk()
        await asyncio.gather(one.run(int), two.run(int))

    sim.run(main())
    assert sim.now == pytest.approx(0.01)


def test_a_slow_disk_is_slow_and_a_stall_is_a_fault():
    sim = Simulation(1, model=Model(disk_ms=10, disk_jitter=0, stall=1.0, stall_ms=90))
    sim.slow_disk(SERVER, 5)
    sim.run(sim.world(SERVER).disk().run(int))
    assert sim.now == pytest.approx(0.5)
    assert sim.faults["disk-stall"] == 1


def test_close_lets_the_work_given_be_done_and_takes_no_more():
    done = []
    sim = Simulation(1)

    async def main():
        disk = sim.world(SERVER).disk()
        async with asyncio.TaskGroup() as group:
            group.create_task(disk.run(lambda: done.append(1)))
            await asyncio.sleep(0)
            await disk.close()
            assert done
            with pytest.raises(LocalError):
                await disk.run(int)

    sim.run(main())


def test_work_given_is_done_though_its_caller_gave_up():
    done = []
    sim = Simulation(1, model=Model(disk_ms=10, disk_jitter=0))

    async def main():
        disk = sim.world(SERVER).disk()
        tasks = [asyncio.create_task(disk.run(lambda n=n: done.append(n))) for n in range(2)]
        await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await disk.close()
        assert done == [0, 1]

    sim.run(main())


def test_a_crash_loses_work_not_done_and_keeps_what_was_acknowledged(tmp_path):
    path = tmp_path / "ledger.sqlite"
    acknowledged = []

    async def program(world):
        disk = world.disk()
        database = sqlite3.connect(path, isolation_level=None)
        await disk.run(lambda: database.execute("create table if not exists entry (number integer)"))
        first = (database.execute("select max(number) from entry").fetchone()[0] or 0) + 1
        for number in range(first, first + 1000):
            await disk.run(lambda: database.execute("insert into entry values (?)", (number,)))  # noqa: B023
            acknowledged.append(number)

    sim = Simulation(5)
    sim.host(SERVER).start(program)

    async def main():
        for _ in range(5):
            await asyncio.sleep(0.1)
            sim.crash(SERVER)
            await asyncio.sleep(0.1)
            sim.restart(SERVER)
        await asyncio.sleep(0.1)

    sim.run(main())
    with sqlite3.connect(path) as database:
        kept = [number for (number,) in database.execute("select number from entry order by rowid")]
    database.close()
    assert sim.faults["disk-work-lost"] == 5
    assert kept == list(range(1, len(kept) + 1))
    assert set(acknowledged) <= set(kept)
    assert len(acknowledged) > 100

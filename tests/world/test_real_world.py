"""The clock, the randomness and the disks of the real world."""

import asyncio
import threading
import time

import pytest

from ramson.errors import LocalError
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse
from ramson.world.real import world


async def test_a_world_serves_and_asks():
    real = world()
    listener = await real.net.listen(
        Endpoint("127.0.0.1", 0), lambda r: HttpResponse(200, {}, r.body), certificate=None, limits=HttpLimits()
    )
    reply = await real.net.request(listener.endpoint, HttpRequest("POST", "/", {}, b"x"), tls=None, timeout=5)
    assert reply.body == b"x"
    await real.net.close()
    await listener.close()


def test_time_and_randomness():
    real = world()
    before = int(time.time() * 1000)
    assert before <= real.clock.now() <= time.time() * 1000
    first = real.clock.monotonic()
    assert real.clock.monotonic() >= first
    assert real.entropy.randbytes(32) != world().entropy.randbytes(32)


async def test_work_is_done_off_the_loop_in_order():
    disk, order, threads = world().disk(), [], set()

    def work(i):
        threads.add(threading.get_ident())
        order.append(i)
        return i * i

    assert await asyncio.gather(*(disk.run(lambda i=i: work(i)) for i in range(500))) == [i * i for i in range(500)]
    assert order == list(range(500))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    await disk.close()


async def test_the_loop_runs_on_while_a_disk_works():
    disk, beaten = world().disk(), threading.Event()
    task = asyncio.create_task(disk.run(lambda: beaten.wait(30)))
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert not task.done()
    beaten.set()
    assert await task
    await disk.close()


async def test_what_work_raises_is_raised_where_it_is_awaited():
    disk = world().disk()
    with pytest.raises(ZeroDivisionError):
        await disk.run(lambda: 1 / 0)
    assert await disk.run(lambda: 1) == 1
    await disk.close()


async def test_work_that_was_given_is_done_even_if_nobody_waits():
    disk, done = world().disk(), []
    tasks = [asyncio.create_task(disk.run(lambda i=i: time.sleep(0.01) or done.append(i))) for i in range(5)]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    await disk.close()
    assert done == list(range(5))


async def test_a_closed_disk_takes_no_work():
    unused, disk = world().disk(), world().disk()
    await disk.run(lambda: None)
    for each in (unused, disk, disk):
        await each.close()
    for each in (unused, disk):
        with pytest.raises(LocalError, match="closed"):
            await each.run(lambda: None)


async def test_disks_are_independent():
    slow, fast, overtaken = world().disk(), world().disk(), threading.Event()
    task = asyncio.create_task(slow.run(lambda: overtaken.wait(30)))
    await asyncio.sleep(0)
    await fast.run(lambda: None)
    assert not task.done()
    overtaken.set()
    assert await task
    await slow.close()
    await fast.close()

"""One seed, one run: also in another process, with other hashes of strings and other memory addresses."""

import os
import subprocess
import sys

PROGRAM = """
import asyncio, sys
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, NetError
from ramson.world.simulated import ROUGH, Simulation

ballast = [object() for _ in range(int(sys.argv[1]))]  # moves the heap
ADDRESSES = [f"10.0.0.{n}" for n in range(1, 9)]
sim = Simulation(42, model=ROUGH)

async def gossip(world):
    seen = set()

    async def handler(request):
        await asyncio.sleep(world.entropy.random() / 10)
        if request.body not in seen and len(seen) < 40:
            seen.add(request.body)
        return HttpResponse(200, {}, world.entropy.randbytes(20))

    here = ADDRESSES[len(started) % len(ADDRESSES)]
    started.append(here)
    await world.net.listen(Endpoint("0.0.0.0", 80), handler, certificate=None, limits=HttpLimits())
    disk = world.disk()

    async def talk():
        while True:
            await asyncio.sleep(world.entropy.expovariate(2))
            peer = world.entropy.choice(ADDRESSES)
            request = HttpRequest("POST", "/", {}, world.entropy.randbytes(30))
            try:
                await world.net.request(Endpoint(peer, 80), request, tls=None, timeout=3)
            except NetError:
                await disk.run(lambda: None)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(talk())

started = []
for address in ADDRESSES:
    sim.host(address).start(gossip)

async def main():
    await asyncio.sleep(20)
    for address in ADDRESSES[:3]:
        sim.crash(address)
    sim.partition([{"10.0.0.4", "10.0.0.5", "10.0.0.6"}])
    await asyncio.sleep(20)
    sim.heal()
    for address in ADDRESSES[:3]:
        sim.restart(address)
    await asyncio.sleep(20)

sim.run(main())
expected = ("crash", "parted", "request-lost", "reply-lost", "reset", "refused")
assert all(sim.faults[kind] for kind in expected), sim.faults
print(len(sim.log), sim.log_digest())
"""


def run(hash_seed, ballast):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PROGRAM, ballast]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_log_does_not_depend_on_the_process():
    first, second, third = run("0", "10"), run("1", "100000"), run("random", "7")
    assert first == second == third
    assert int(first.split()[0]) > 3000

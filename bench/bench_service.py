"""What the storage service costs in CPU, without transports: µs a request.  `python bench/bench_service.py`.

One swarm of six; the peers answer at once and cost nothing but the service's own work.  Stores go to a real mailbox,
many at a time, as a busy node has them.
"""

import asyncio
import concurrent.futures
import os
import resource
import tempfile
import time
from pathlib import Path

import msgspec

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.node.mailbox import Mailbox
from ramson.node.monitor import Monitor
from ramson.node.outcome import Outcome
from ramson.node.service import Service
from ramson.protocol import bt, storage
from ramson.protocol.nodes import NodeList, NodeRecord

DAY = 86_400_000
HASH = "A" * 43


class Now:
    def now(self):
        return int(time.time() * 1000)

    def monotonic(self):
        return time.monotonic()


class ThreadDisk:
    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)

    async def run(self, work):
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def close(self):
        self.pool.shutdown()


class OneSwarm:
    def __init__(self, nodes):
        self.nodes = NodeList(nodes, 100, "00" * 32, (19, 4))

    def current(self):
        return self.nodes


class Peers:
    """Answers a store as a member does, without checking or keeping anything."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.answer = bt.encode({"expiry": Now().now(), "hash": HASH, "signature": bytes(64)})

    def peers(self, _account):
        return self.nodes

    def forward(self, _peer, _method, _body, _timeout):
        answer = asyncio.get_running_loop().create_future()
        answer.set_result([self.answer])
        return answer


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(name, work, count):
    work()
    start = cpu()
    for _ in range(count):
        work()
    print(f"{name:36}{(cpu() - start) / count * 1e6:10.1f}")


async def measure_stores(name, service, bodies, concurrency=64):
    queue = iter(bodies)

    async def worker():
        for body in queue:
            outcome = await service.handle_json(body)
            assert outcome.status == 200

    start = cpu()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    print(f"{name:36}{(cpu() - start) / len(bodies) * 1e6:10.1f}")


def body(request):
    return msgspec.json.encode(storage.to_json(request))


async def main(directory):
    clock, disk = Now(), ThreadDisk()
    pairs = [Ed25519KeyPair.from_seed(os.urandom(32)) for _ in range(6)]
    nodes = tuple(
        NodeRecord(pair.public, os.urandom(32), os.urandom(32), f"127.0.0.{i + 1}", 22021, 22020, 7)
        for i, pair in enumerate(pairs)
    )
    registry = OneSwarm(nodes)
    mailbox = Mailbox(Path(directory) / "mailbox.db", disk, clock)
    monitor = Monitor(clock=clock, push=lambda *_: True, owns=lambda _: True, is_revoked=mailbox.is_revoked)

    def service_of(peers):
        return Service(
            clock=clock,
            signer=pairs[0],
            mailbox=mailbox,
            registry=registry,
            forwarder=Peers(peers),
            monitor=monitor,
            testnet=False,
        )

    service, alone = service_of(nodes[1:]), service_of(())
    keys = AccountKeys.from_seed(os.urandom(32))
    account = keys.id.raw
    for size, count in ((1024, 100),):
        for _ in range(count):
            now = clock.now()
            request = storage.Store(account=account, data=os.urandom(size), timestamp=now, expiry=now + DAY)
            outcome = await alone.handle_json(body(request))
    last = msgspec.json.decode(outcome.body)["hash"]

    def signed(request):
        return body(storage.sign(request, keys))

    print(f"{'':36}{'µs CPU':>10}")
    info = body(storage.Info())
    swarm = body(storage.GetSwarm(account=account))
    poll = signed(storage.Retrieve(account=account, timestamp=clock.now(), last_hash=last))
    full = signed(storage.Retrieve(account=account, timestamp=clock.now()))
    for name, request, count in (
        ("info", info, 20_000),
        ("get_swarm", swarm, 20_000),
        ("poll (signed retrieve, nothing new)", poll, 5_000),
        ("retrieve 100 × 1 KiB", full, 500),
    ):
        outcome = service.handle_json(request)
        assert isinstance(outcome, Outcome), name
        assert outcome.status == 200, outcome
        measure(name, lambda request=request: service.handle_json(request), count)

    now = clock.now()

    def unsigned(count):
        return [
            body(storage.Store(account=account, data=os.urandom(1024), timestamp=now, expiry=now + DAY))
            for _ in range(count)
        ]

    await measure_stores("store 1 KiB, alone", alone, unsigned(5_000))
    await measure_stores("store 1 KiB, five peers", service, unsigned(5_000))
    await mailbox.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(directory))

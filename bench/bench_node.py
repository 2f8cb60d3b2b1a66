"""What requests cost a whole node in CPU: over HTTPS, with its mailbox on a disk.  `python bench/bench_node.py`.

Two nodes, each a process and a swarm of its own; the load comes from this process, sixteen requests at a time.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from ramson.crypto.account import AccountKeys
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol import onion, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.world import Endpoint, HttpRequest, Tls, real

SWARMS = [0, 1 << 63]
DAY = 86_400_000
CONCURRENCY = 16
REQUESTS = 3000


def town():
    parent = os.getppid() if "--serve" in sys.argv else os.getpid()
    block = 100 + parent % 100
    keys = [NodeKeys.generate(random.Random(i)) for i in range(len(SWARMS))]
    records = [
        NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"127.{block}.{i + 1}.1", 22021, 22020, s)
        for i, (k, s) in enumerate(zip(keys, SWARMS, strict=True))
    ]
    registry = FileRegistry(NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, r) for r in records)))
    return keys, records, registry


async def serve(number, directory):
    keys, records, registry = town()
    ip = records[number].ip
    config = NodeConfig(https=Endpoint(ip, 22021), omq=Endpoint(ip, 22020), data_dir=Path(directory, f"n{number}"))
    async with Node(real.world(ip), keys[number], certificate.create(1_700_000_000_000), config, registry):
        print("up", flush=True)
        await asyncio.get_running_loop().create_future()


def cpu_of(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """Sends requests and prints what they cost each node."""

    def __init__(self, processes):
        self.processes = processes
        self.keys, self.records, self.registry = town()
        self.measures = 0

    async def measure(self, name, path, bodies):
        """Send all bodies and print the cost."""
        queue = iter(bodies)
        endpoint = Endpoint(self.records[0].ip, 22021)
        self.measures += 1

        async def worker(number):
            # every client has an address of its own: the node limits the requests of one
            net = real.world(f"127.200.{self.measures}.{number + 1}").net
            for body in queue:
                reply = await net.request(endpoint, HttpRequest("POST", path, {}, body), tls=Tls(), timeout=30)
                assert reply.status == 200, reply
            await net.close()

        before = [cpu_of(p) for p in self.processes]
        began = time.perf_counter()
        await asyncio.gather(*(worker(i) for i in range(CONCURRENCY)))
        took = time.perf_counter() - began
        costs = [(cpu_of(p) - b) / len(bodies) * 1e6 for p, b in zip(self.processes, before, strict=True)]
        print(f"{name:<40}{costs[0]:>12.0f}{costs[1]:>12.0f}{len(bodies) / took:>12.0f}")


def account(registry, swarm_id):
    chance = random.Random(1)
    while True:
        keys = AccountKeys.generate(chance)
        if registry.current().swarm_of(keys.id.raw)[0] == swarm_id:
            return keys


def rpc(request):
    return json.dumps(storage.to_json(request)).encode()


async def load(processes):
    load = Load(processes)
    now = time.time_ns() // 1_000_000
    chance = random.Random(2)
    hops = [onion.NodeHop(k.ed25519.public, k.x25519.public) for k in load.keys]
    print(f"{'':<40}{'CPU µs, 1st':>12}{'CPU µs, 2nd':>12}{'per second':>12}")

    def stores(keys, count):
        return [
            storage.Store(
                account=keys.id.raw, data=chance.randbytes(1024), timestamp=now, expiry=now + DAY, namespace=0
            )
            for _ in range(count)
        ]

    here, there = (account(load.registry, s) for s in SWARMS)
    await load.measure("info", "/storage_rpc/v1", [rpc(storage.Info())] * REQUESTS)
    await load.measure("store 1 KiB", "/storage_rpc/v1", [rpc(r) for r in stores(here, REQUESTS)])
    ask = storage.sign(storage.Retrieve(account=here.id.raw, timestamp=now, namespace=0, max_count=100), here)
    await load.measure("retrieve 100 × 1 KiB", "/storage_rpc/v1", [rpc(ask)] * (REQUESTS // 10))
    bodies = [onion.build(hops[:1], hops[1], rpc(r), entropy=chance).body for r in stores(there, REQUESTS)]
    await load.measure("relay a store of 1 KiB to the 2nd", "/onion_req/v2", bodies)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", help="where the mailboxes are (default: the temporary directory)")
    options = parser.parse_args()
    if options.serve is not None:
        uvloop.run(serve(options.serve, options.directory))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--serve", str(i), "--directory", directory], stdout=subprocess.PIPE
            )
            for i in range(len(SWARMS))
        ]
        try:
            for process in processes:
                assert process.stdout.readline() == b"up\n"
            uvloop.run(load(processes))
        finally:
            for process in processes:
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()

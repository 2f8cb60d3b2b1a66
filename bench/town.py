"""A devnet to be measured, and the CPU time and memory of its processes."""

import asyncio
import json
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from load import Load, run
from ramson.devnet.devnet import Devnet
from ramson.protocol import onion, storage
from ramson.world import real

DAY = 86_400_000
RPC, ONION = "/storage_rpc/v1", "/onion_req/v2"


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, all threads."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory_of(pid: int, kind: str = "VmRSS") -> float:
    """Resident memory in MiB; of `kind` RssAnon without what processes share."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{kind}:")[2].split()[0]) / 1024


def compared(ours: float, theirs: float | None) -> str:
    """Write the C++ storage server's figure, measured on another day, and what part of it ours is."""
    return f"{'':>16}" if theirs is None else f"{theirs:>8}{ours / theirs:>8.0%}"


class Town:
    """`count` nodes, all in one swarm, each a process."""

    def __init__(self, devnet):
        self.world = real.world()
        self.records = [node.record for node in devnet.nodes]
        self.hops = [onion.NodeHop(record.ed25519, record.x25519) for record in self.records]
        self._devnet = devnet

    @property
    def pids(self):
        """The processes of the nodes."""
        return [self._devnet.pid(node.name) for node in self._devnet.nodes]

    async def restart(self):
        """Start all nodes anew, with what they have."""
        for node in self._devnet.nodes:
            await self._devnet.kill(node.name)
            await self._devnet.restart(node.name)

    async def send(self, requests, *, via=None, **options):
        """Send requests to the first node; `via` (numbers of nodes, the last the destination) wraps them in onions."""
        bodies = [json.dumps(storage.to_json(request)).encode() for request in requests]
        if via:
            *hops, last = (self.hops[number] for number in via)
            bodies = [onion.build(hops, last, body, entropy=self.world.entropy).body for body in bodies]
        load = Load(self.records[0].ip, self.records[0].https_port, ONION if via else RPC, bodies, **options)
        return await asyncio.to_thread(run, load)

    async def measure(self, name, requests, *, columns=0, theirs=None, **options):
        """Send requests and print what each cost all nodes together, and the first `columns` of them alone.

        `theirs` is what the same costs the C++ storage server.
        """
        before = [cpu_of(pid) for pid in self.pids]
        done = await self.send(requests, **options)
        cost = [(cpu_of(pid) - b) / done.count * 1e6 for pid, b in zip(self.pids, before, strict=True)]
        alone = "".join(f"{each:>10.0f}" for each in cost[:columns])
        print(f"{name:<40}{sum(cost):>10.0f}{compared(sum(cost), theirs)}{alone}", end="")
        print(f"{done.count / done.seconds:>12.0f}{done.median:>10.1f}", flush=True)

    def header(self, title, columns=()):
        """Print the head of a table."""
        alone = "".join(f"{column:>10}" for column in columns)
        print(f"\n{title:<40}{'CPU µs':>10}{'C++':>8}{'of it':>8}{alone}{'a second':>12}{'wait ms':>10}")

    def stores(self, count, keys=None):
        """Stores of 1 KiB, each for one of a thousand accounts or for the account of `keys`."""
        entropy, now = self.world.entropy, self.world.clock.now()
        accounts = [keys.id.raw] if keys else [b"\x05" + entropy.randbytes(32) for _ in range(1000)]
        return [
            storage.Store(
                account=accounts[i % 1000 % len(accounts)],
                data=entropy.randbytes(1024),
                timestamp=now,
                expiry=now + DAY,
            )
            for i in range(count)
        ]


@asynccontextmanager
async def town(count):
    """Start a town, and stop it."""
    with tempfile.TemporaryDirectory() as directory:
        async with Devnet(real.world(), Path(directory, "net"), nodes=count, swarms=1) as devnet:
            yield Town(devnet)

"""What the mailbox costs in CPU and time, storing and retrieving.  `python bench/bench_mailbox.py [DIRECTORY]`."""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from ramson.crypto.hashing import message_hash
from ramson.node.mailbox import Mailbox, NewMessage
from ramson.world import real

DAY = 86_400_000


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def batch(count, size, tag):
    now = int(time.time() * 1000)
    out = []
    for i in range(count):
        data = (b"%s %d " % (tag, i)).ljust(size, b"x")
        account = b"\x05" + (i % 100).to_bytes(32, "big")
        out.append(NewMessage(account, 0, message_hash(account, 0, data), now, now + DAY, data))
    return out


async def stores(mailbox, messages, concurrency):
    queue = iter(messages)

    async def worker():
        for message in queue:
            await mailbox.store(message)

    c0, t0 = cpu(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    n = len(messages)
    return (cpu() - c0) / n * 1e6, n / (time.perf_counter() - t0)


async def main(directory):
    world = real.world()
    mailbox = Mailbox(Path(directory, "bench.sqlite"), world.disk(), world.clock)
    print(f"{'store':<28}{'CPU µs each':>12}{'per second':>12}")
    for size in (1024, 10_000, 76_000):
        for concurrency in (1, 16, 128):
            messages = batch(3000 if size < 50_000 else 500, size, b"%d/%d" % (size, concurrency))
            used, rate = await stores(mailbox, messages, concurrency)
            print(f"{size:>6} B, {concurrency:>3} at once{'':<8}{used:>12.1f}{rate:>12.0f}")
    account = b"\x06" * 33
    for i in range(100):
        data = (b"%d " % i).ljust(1024, b"y")
        await mailbox.store(NewMessage(account, 0, message_hash(account, 0, data), 1, 2**60, data))
    print(f"\n{'retrieve':<28}{'CPU µs each':>12}")
    for name, kw in {
        "100 messages of 1 KiB": {"after": None},
        "nothing new": {"after": message_hash(account, 0, b"99 ".ljust(1024, b"y"))},
    }.items():
        c0 = cpu()
        for _ in range(1000):
            mailbox.retrieve(account, 0, max_count=None, max_size=1_560_000, **kw)
        print(f"{name:<28}{(cpu() - c0) * 1000:>12.1f}")
    print(f"\n{mailbox.stats()}")
    await mailbox.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        asyncio.run(main(place))

"""What requests cost one node, through its HTTPS listener: CPU µs of its process.  `python bench/bench_node.py`."""

import asyncio

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.protocol import storage
from town import compared, memory_of, town


async def main():
    async with town(1) as place:
        await place.restart()  # its first start, with the making of keys and certificate, is like no other
        await asyncio.sleep(1)
        idle = [memory_of(place.pids[0], kind) for kind in ("VmRSS", "RssAnon")]
        info = [storage.Info()]
        keys = AccountKeys.generate(place.world.entropy)

        place.header("one node, 16 requests at a time")
        await place.measure("info", info, repeat=True, theirs=55)
        await place.measure("get_swarm", [storage.GetSwarm(account=keys.id.raw)], repeat=True, theirs=59)
        await place.measure("info through an onion of one hop", info * 1500, via=[0], repeat=True, theirs=205)
        for concurrency, theirs in ((1, None), (16, 270), (64, None)):
            name = f"store 1 KiB, {concurrency} at a time"
            await place.measure(name, place.stores(10_000), concurrency=concurrency, theirs=theirs)

        messages = place.stores(100, keys)
        await place.send(messages, concurrency=1)  # so that they are in this order
        asked = storage.Retrieve(account=keys.id.raw, timestamp=place.world.clock.now(), namespace=0)
        await place.measure("retrieve 100 messages of 1 KiB", [storage.sign(asked, keys)], repeat=True, theirs=2000)
        last = message_hash(keys.id.raw, 0, messages[-1].data)
        asked = storage.Retrieve(account=keys.id.raw, timestamp=asked.timestamp, namespace=0, last_hash=last)
        await place.measure("poll that finds nothing, signed", [storage.sign(asked, keys)], repeat=True, theirs=310)

        await place.measure("info on a new TLS connection", info, repeat=True, fresh=True, concurrency=8, theirs=1200)
        await place.measure("the same, session resumed", info, repeat=True, fresh=True, resume=True, concurrency=8)
        busy = [memory_of(place.pids[0], kind) for kind in ("VmRSS", "RssAnon")]
        print(f"\n{'memory, MiB':<40}{'resident':>10}{'C++':>8}{'of it':>8}{'unshared':>10}")
        for name, (resident, unshared), theirs in (("idle", idle, 22), ("after all this", busy, 40)):
            print(f"{name:<40}{resident:>10.1f}{compared(resident, theirs)}{unshared:>10.1f}")


if __name__ == "__main__":
    asyncio.run(main())

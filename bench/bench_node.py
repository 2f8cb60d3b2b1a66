"""What requests cost one node, through its HTTPS listener: CPU µs of its process.  `python bench/bench_node.py`."""

import asyncio

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.protocol import storage
from town import memory_of, town


async def main():
    async with town(1) as place:
        await asyncio.sleep(1)
        idle = [memory_of(place.pids[0], kind) for kind in ("VmRSS", "RssAnon")]
        info = [storage.Info()]

        place.header("one node, 16 requests at a time")
        await place.measure("info", info, repeat=True)
        await place.measure("info through an onion of one hop", info * 1500, via=[0], repeat=True)
        for concurrency in (1, 16, 64):
            await place.measure(f"store 1 KiB, {concurrency} at a time", place.stores(10_000), concurrency=concurrency)

        keys = AccountKeys.generate(place.world.entropy)
        messages = place.stores(100, keys)
        await place.send(messages, concurrency=1)  # so that they are in this order
        asked = storage.Retrieve(account=keys.id.raw, timestamp=place.world.clock.now(), namespace=0)
        await place.measure("retrieve 100 messages of 1 KiB", [storage.sign(asked, keys)], repeat=True)
        last = message_hash(keys.id.raw, 0, messages[-1].data)
        asked = storage.Retrieve(account=keys.id.raw, timestamp=asked.timestamp, namespace=0, last_hash=last)
        await place.measure("poll that finds nothing, signed", [storage.sign(asked, keys)], repeat=True)

        await place.measure("info on a new TLS connection", info, repeat=True, fresh=True, concurrency=8)
        await place.measure("the same, session resumed", info, repeat=True, fresh=True, resume=True, concurrency=8)
        print(f"\n{'memory, MiB':<40}{'resident':>10}{'unshared':>10}")
        print(f"{'idle':<40}{idle[0]:>10.1f}{idle[1]:>10.1f}")
        print(f"{'after all this':<40}{memory_of(place.pids[0]):>10.1f}{memory_of(place.pids[0], 'RssAnon'):>10.1f}")


if __name__ == "__main__":
    asyncio.run(main())

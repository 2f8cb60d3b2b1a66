"""What requests cost a swarm of six nodes together, each a process: CPU µs.  `python bench/bench_swarm.py`."""

import asyncio

from ramson.protocol import storage
from town import town


async def main():
    async with town(6) as place:
        info = [storage.Info()] * 1000
        place.header("swarm of six, 16 requests at a time", ["1st", "2nd", "3rd"])
        for concurrency, theirs in ((1, None), (16, 2200), (64, None)):
            name = f"store 1 KiB, {concurrency} at a time"
            await place.measure(name, place.stores(5000), columns=3, concurrency=concurrency, theirs=theirs)
        await place.measure("info through 1 hop to the 2nd", info, columns=3, via=[0, 1], repeat=True)
        await place.measure("info through 2 hops to the 3rd", info, columns=3, via=[0, 1, 2], repeat=True, theirs=900)
        await place.measure("store 1 KiB through 2 hops", place.stores(2000), columns=3, via=[0, 1, 2], theirs=3700)


if __name__ == "__main__":
    asyncio.run(main())

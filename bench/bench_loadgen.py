"""Another load generator on the same nodes, for figures that can be compared with those of other servers.

`RAMSON_LOADGEN=DIRECTORY python bench/bench_loadgen.py`: the directory holds a `bench.py` that takes `--net`, a JSON
file of the nodes, `--pids`, the processes to be measured, and a scenario, and prints a line of JSON.  Skipped without.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from town import town

ONE = [["info"], ["get_swarm"], ["store"], ["retrieve"], ["poll"], ["connect", "-c", "8"]]
ONION = ["onion", "--pregen", "3000", "--inner"]
SIX = [["store"], [*ONION, "info", "--hops", "1"], [*ONION, "info"], [*ONION, "store"]]


def describe(place):
    nodes = [
        {
            "ip": record.ip,
            "https_port": record.https_port,
            "ed25519_pub": record.ed25519.hex(),
            "x25519_pub": record.x25519.hex(),
        }
        for record in place.records
    ]
    return json.dumps({"nodes": nodes})


def measure(place, generator, scenarios, seconds="3"):
    with tempfile.TemporaryDirectory() as directory:
        net = Path(directory, "net.json")
        net.write_text(describe(place))
        pids = [f"{number}:{pid}" for number, pid in enumerate(place.pids)]
        for scenario in scenarios:
            command = [sys.executable, "bench.py", *scenario, "--net", str(net), "--pids", *pids]
            command += ["-d", seconds, "--conns", "128"]
            done = subprocess.run(command, cwd=generator, capture_output=True, check=True, timeout=60)
            result = json.loads(done.stdout)
            failed = result["requests"] - result["ok"]
            print(
                f"{result['scenario']:<30}{result['cpu_us_per_req_all']:>10.0f}{result['cpu_us_per_req_target']:>10.0f}"
                f"{result['rps']:>12.0f}{result['p50_ms']:>10.1f}{failed:>8}",
                flush=True,
            )


async def main(generator):
    for count, scenarios in ((1, ONE), (6, SIX)):
        async with town(count) as place:
            print(f"\n{f'nodes: {count}':<30}{'CPU µs':>10}{'1st':>10}{'a second':>12}{'wait ms':>10}{'failed':>8}")
            await asyncio.to_thread(measure, place, generator, scenarios)


if __name__ == "__main__":
    if generator := os.environ.get("RAMSON_LOADGEN"):
        asyncio.run(main(generator))
    else:
        print("skipped: RAMSON_LOADGEN names no load generator")

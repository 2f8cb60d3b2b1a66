"""A node killed in the middle of storing: everything it acknowledged is there afterwards, and nothing is half there."""

import asyncio
import random
import subprocess
import sys
import time

import pytest

from ramson.node.mailbox import Mailbox

ALICE = b"\x05" + b"a" * 32

# Stores messages, sixteen at a time, and says the number of each when it is acknowledged.
STORING = """
import asyncio, itertools, os, sys
from ramson.node.mailbox import Mailbox, NewMessage
from ramson.world import real

async def main(path, first):
    world = real.world()
    box = Mailbox(path, world.disk(), world.clock)
    numbers = itertools.count(first)
    async def worker():
        for i in numbers:
            data = b"%d " % i * 500
            await box.store(NewMessage(b"\\x05" + b"a" * 32, 0, f"{i:043d}", i, 2**60, data))
            os.write(1, b"%d\\n" % i)
    await asyncio.gather(*(worker() for _ in range(16)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def acknowledged_before_kill(path, first, chance):
    """Let a process store until some moment in its first 1,000 messages, kill it, and return the numbers it said."""
    with subprocess.Popen([sys.executable, "-c", STORING, path, str(first)], stdout=subprocess.PIPE) as child:
        said = [child.stdout.readline() for _ in range(chance.randint(1, 900))]
        time.sleep(chance.uniform(0, 0.003))
        child.kill()
        said += child.stdout.read().splitlines(keepends=True)
    return {int(line) for line in said if line.endswith(b"\n")}  # a kill may cut the last line


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path, disk, clock, seed):
    chance = random.Random(seed)
    path = tmp_path / "m.db"
    acknowledged: set[int] = set()
    for round_ in range(4):
        acknowledged |= await asyncio.to_thread(acknowledged_before_kill, path, 100_000 * round_, chance)
        box = Mailbox(path, type(disk)(), clock)
        page = box.retrieve(ALICE, 0, after=None, max_count=None, max_size=10**9)
        assert all(m.data == b"%d " % m.timestamp * 500 for m in page.messages)
        assert acknowledged <= {m.timestamp for m in page.messages}
        assert box._reader.pragma("integrity_check") == "ok"
        await box.close()
    assert acknowledged

"""What an account with a long history costs to open, search and hold.  `python bench/bench_account.py [MESSAGES]`."""

import asyncio
import random
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from ramson.crypto.account import AccountKeys
from ramson.messenger import Client
from ramson.messenger.account import DEFAULT_COST
from ramson.messenger.conversations import Row
from ramson.messenger.message import State
from ramson.messenger.store import Store
from ramson.protocol import content
from ramson.protocol.config import Contact
from ramson.protocol.content import TextMessage

PASSPHRASE = "correct horse"
PEOPLE = 50
RUNS = 7


def words(entropy):
    """Return a sentence of words of which some are rare, as in a language."""
    return " ".join(f"word{int(entropy.paretovariate(0.6)) % 20_000}" for _ in range(entropy.randint(3, 25)))


def fill(store, count):
    entropy = random.Random(1)
    people = [AccountKeys.generate(entropy).id for _ in range(PEOPLE)]
    with store.configs.changing():
        for number, person in enumerate(people):
            store.configs.contacts.set(Contact(person, name=f"Person {number}", approved=True, approved_me=True))
        for number in range(count):
            person = people[min(int(entropy.paretovariate(0.8)) - 1, PEOPLE - 1)]
            body, sent_ms = words(entropy), 1_700_000_000_000 + 60_000 * number
            mine = entropy.random() < 0.5
            store.conversations.add(
                Row(
                    person,
                    store.keys.id if mine else person,
                    sent_ms,
                    State.SENT if mine else State.RECEIVED,
                    body=body,
                    content=content.encode(TextMessage(body, sent_ms)),
                    hash=f"hash{number}",
                    own_hash=f"own{number}",
                )
            )
        for person in people:
            store.conversations.set_last_read(person, 1_700_000_000_000 + 60_000 * (count - 20))


def make(path, count):
    keys = AccountKeys.generate(random.Random(2))
    options = {"name": "Alice", "now_ms": 1_700_000_000_000, "entropy": random.SystemRandom(), "cost": DEFAULT_COST}
    Store.create(path, PASSPHRASE, keys, more=lambda store: fill(store, count), **options)


def resident():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def median(times):
    return sorted(times)[len(times) // 2] * 1000


async def times(path):
    before = resident()
    found = {}

    def timed(name, work):
        start = time.perf_counter()
        answer = work()
        found.setdefault(name, []).append(time.perf_counter() - start)
        return answer

    for _ in range(RUNS):
        start = time.perf_counter()
        async with Client.open(path, passphrase=PASSPHRASE, connect=False) as me:
            found.setdefault("opening, from passphrase to reading", []).append(time.perf_counter() - start)
            lines = timed("list of conversations", me.conversations)
            peer = lines[0].peer
            timed("newest 50 of a conversation", partial(me.history, peer))
            timed("search: a rare word", lambda: me.search("word1234"))
            timed("search: the commonest word", lambda: me.search("word1"))
            timed("search: a beginning", lambda: me.search("word12"))
            timed("search: two words, one person", partial(me.search, "word1 word2", conversation=peer))
    for name, measured in found.items():
        print(f"{name:<36}{median(measured):>10.1f} ms   (longest {max(measured) * 1000:.1f})")
    print(f"{'memory, highest':<36}{peak():>10.1f} MiB  (while Argon2id runs)")
    print(f"{'memory, resident':<36}{resident():>10.1f} MiB  (before opening {before:.1f})")


def main():
    if sys.argv[1:2] == ["--times"]:
        asyncio.run(times(Path(sys.argv[2])))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "me.ramson")
        make(path, count)
        size = sum(file.stat().st_size for file in Path(place).iterdir()) / 1e6
        print(f"{count} messages with {PEOPLE} people; {size:.1f} MB on disk; median of {RUNS}")
        print(f"Argon2id: {DEFAULT_COST.passes} passes over {1 << DEFAULT_COST.memory - 20} MiB")
        subprocess.run([sys.executable, __file__, "--times", str(path)], check=True)


if __name__ == "__main__":
    main()

"""A node's process and its disk: killed at any moment, a full disk, a damaged file, a lock; `make soak` kills longer.

After every kill all that was acknowledged is as it was acknowledged; of what was being done, all or nothing.
"""

import asyncio
import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

import apsw
import pytest

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.devnet import Devnet
from ramson.devnet.processes import DevnetError
from ramson.errors import ParseError
from ramson.protocol import storage
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage.entries import Failed, Signed
from ramson.protocol.strict_json import encode
from ramson.world import Endpoint, HttpRequest, NetError, Tls, World, real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROUNDS = 60 if os.environ.get("RAMSON_SOAK") else 8
CLIENTS = 16
CHANGES = ("stored", "deleted", "expiries changed")
ENOUGH = 5  # of each, on average, before each kill
DAY = 86_400_000


@dataclass
class Account:
    """Somebody who does one thing after the other, and what he knows of his messages.

    `known` has the expiry of each message, `doubtful` those that the last request, which was not answered, may have
    changed: their expiries as it would have them (None: deleted).
    """

    world: World
    node: NodeRecord
    keys: AccountKeys
    chance: random.Random
    done: Counter = field(default_factory=Counter)
    known: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int | None] = field(default_factory=dict)

    async def ask(self, request: storage.Request, seconds: float = 20.0):
        http = HttpRequest("POST", "/storage_rpc/v1", {}, encode(storage.to_json(request)))
        endpoint = Endpoint(self.node.ip, self.node.https_port)
        reply = await self.world.net.request(endpoint, http, tls=Tls(), timeout=seconds)
        assert reply.status == 200, reply
        return storage.read_reply(request, reply.body)

    async def change(self, request: storage.AccountRequest):
        """Ask for a change and return what the node reported: the entry, or its failure."""
        (report,) = (await self.ask(storage.sign(request, self.keys))).members.values()
        return report.entry if isinstance(report, Signed) else report

    async def store(self, size: int = 0):
        now = self.world.clock.now()
        data = self.chance.randbytes(size or self.chance.choice((100, 1000, 5000)))
        request = storage.Store(account=self.keys.id.raw, data=data, timestamp=now, expiry=now + DAY)
        name = message_hash(request.account, request.namespace, data)
        self.doubtful = {name: request.expiry}
        return self._settle("stored", await self.change(request))

    async def delete(self):
        names = tuple(self.chance.sample(sorted(self.known), min(len(self.known), self.chance.randint(1, 4))))
        self.doubtful = dict.fromkeys(names)
        return self._settle("deleted", await self.change(storage.Delete(account=self.keys.id.raw, messages=names)))

    async def expire(self):
        name = self.chance.choice(sorted(self.known))
        expiry = self.world.clock.now() + self.chance.randint(DAY // 2, 2 * DAY)
        self.doubtful = {name: expiry}
        request = storage.Expire(account=self.keys.id.raw, messages=(name,), expiry=(expiry,))
        return self._settle("expiries changed", await self.change(request))

    def _settle(self, what: str, entry):
        """Believe what was acknowledged."""
        if not isinstance(entry, Failed):
            self.done[what] += 1
            for name, expiry in self.doubtful.items():
                if expiry is None:
                    self.known.pop(name, None)
                else:
                    self.known[name] = expiry
        self.doubtful = {}
        return entry

    async def go_on(self) -> None:
        """Do things until the node is gone."""
        try:
            while True:
                if len(self.known) < 4 or self.chance.random() < 0.6:
                    await self.store()
                else:
                    await self.chance.choice((self.delete, self.expire))()
        except (NetError, ParseError):
            pass

    async def everything(self) -> dict[str, int]:
        found: dict[str, int] = {}
        last = ""
        while True:
            now = self.world.clock.now()
            request = storage.Retrieve(account=self.keys.id.raw, timestamp=now, last_hash=last, max_size=-1)
            reply = await self.ask(storage.sign(request, self.keys))
            found |= {message.hash: message.expiry for message in reply.messages}
            if not reply.more:
                return found
            last = reply.messages[-1].hash

    async def is_right(self) -> bool:
        """Compare what the node has with what is known, and take its word for what was doubtful."""
        found = await self.everything()
        right = all(
            found.get(name) == self.known.get(name)
            or (name in self.doubtful and found.get(name) == self.doubtful[name])
            for name in found.keys() | self.known.keys()
        )
        self.known, self.doubtful = found, {}
        return right


def accounts(devnet, count=CLIENTS, seed=1):
    """Let people ask the one node, each from an address of his own."""
    chance = random.Random(seed)
    record = devnet.nodes[0].record
    return [
        Account(real.world(f"127.0.78.{i + 1}"), record, AccountKeys.generate(chance), random.Random(chance.random()))
        for i in range(count)
    ]


async def test_whenever_it_is_killed_what_it_acknowledged_is_there(tmp_path):
    chance = random.Random(3)
    reopened: list[float] = []
    async with Devnet(real.world(), tmp_path / "net", nodes=1, swarms=1) as devnet:
        people = accounts(devnet)
        for number in range(1, ROUNDS + 1):
            async with asyncio.TaskGroup() as tasks:
                for person in people:
                    tasks.create_task(person.go_on())
                while any(acknowledged(people)[what] < ENOUGH * number for what in CHANGES):  # noqa: ASYNC110 - of all people
                    await asyncio.sleep(0.02)
                await asyncio.sleep(chance.uniform(0.05, 1.5))
                await devnet.kill("n0")
            assert integrity(tmp_path) == "ok"
            began = time.monotonic()
            await devnet.restart("n0")
            reopened.append(time.monotonic() - began)
            for i, person in enumerate(people):
                assert await person.is_right(), f"account {i}"
        people[0].known["n" * 43] = 1
        assert not await people[0].is_right(), "a message that was lost would not be noticed"
        for person in people:
            await person.world.net.close()
    done = acknowledged(people)
    size = (tmp_path / "net" / "n0" / "mailbox.db").stat().st_size
    print(
        f"\n{ROUNDS} kills; acknowledged: {dict(done)}; database {size // 1024} KiB; from start of the process"
        f" to serving: median {statistics.median(reopened):.2f} s, longest {max(reopened):.2f} s"
    )


def acknowledged(people):
    return sum((person.done for person in people), Counter())


def integrity(directory):
    """Check a copy of the database as the kill left it, log and all."""
    copy = directory / "copy"
    copy.mkdir(exist_ok=True)
    for name in ("mailbox.db", "mailbox.db-wal"):
        (copy / name).unlink(missing_ok=True)
        if (directory / "net" / "n0" / name).exists():
            shutil.copy(directory / "net" / "n0" / name, copy / name)
    db = apsw.Connection(str(copy / "mailbox.db"))
    try:
        return db.pragma("integrity_check")
    finally:
        db.close()


# ---- disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB that can be made larger; where none can be mounted, None."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "ramson-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def until_refused(person):
    """Store until the node refuses, and return its reason."""
    for _ in range(2000):
        entry = await person.store(size=50_000)
        if isinstance(entry, Failed):
            return entry
    raise AssertionError("the disk never became full")


async def test_on_a_full_disk_it_refuses_keeps_all_it_has_and_goes_on_when_there_is_room(small_disk):
    if small_disk is None:
        pytest.skip("no file system can be mounted here; see the next test")
    async with Devnet(real.world(), small_disk / "net", nodes=1, swarms=1) as devnet:
        (person,) = accounts(devnet, 1)
        refusal = await until_refused(person)
        assert refusal.query_failure
        assert "database full" in refusal.reason
        assert len(person.known) > 20
        assert isinstance(await person.store(size=50_000), Failed)
        assert await person.is_right()
        await devnet.kill("n0")
        await devnet.restart("n0")
        assert await person.is_right()
        larger = ["mount", "-o", "remount,size=64m", str(small_disk)]
        await asyncio.to_thread(subprocess.run, larger, check=True)
        assert not isinstance(await person.store(size=50_000), Failed)
        assert await person.is_right()
        await person.world.net.close()


async def test_a_file_that_may_not_grow_is_a_disk_that_failed(tmp_path):
    async with Devnet(real.world(), tmp_path / "net", nodes=1, swarms=1) as devnet:
        (person,) = accounts(devnet, 1)
        limit = 3 * 1024 * 1024
        resource.prlimit(devnet.pid("n0"), resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        refusal = await until_refused(person)
        assert refusal.query_failure
        assert "disk" in refusal.reason
        assert await person.is_right()
        resource.prlimit(devnet.pid("n0"), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert not isinstance(await person.store(size=50_000), Failed)
        assert await person.is_right()
        await person.world.net.close()


async def test_a_damaged_database_is_named_and_not_written_to(tmp_path):
    async with Devnet(real.world(), tmp_path / "net", nodes=1, swarms=1) as devnet:
        (person,) = accounts(devnet, 1)
        for _ in range(30):
            await person.store(size=5000)
        await devnet.kill("n0")
        path = tmp_path / "net" / "n0" / "mailbox.db"
        db = apsw.Connection(str(path))
        db.pragma("journal_mode", "delete")  # everything into the one file
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'message_by_arrival'").fetchone()
        db.close()
        overwrite(path, page)
        await devnet.restart("n0")
        for _ in range(2):
            entry = await person.store()
            assert isinstance(entry, Failed)
            assert "damaged" in entry.reason
        assert "damaged" in (tmp_path / "net" / "n0" / "log").read_text()
        await devnet.kill("n0")
        overwrite(path, 1)
        with pytest.raises(DevnetError, match=r"damaged.*move the database file away"):
            await devnet.restart("n0")
        path.unlink()
        await devnet.restart("n0")
        assert not isinstance(await person.store(), Failed)
        await person.world.net.close()


def overwrite(path, page):
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


async def test_a_locked_database_is_waited_for_and_then_named(tmp_path):
    async with Devnet(real.world(), tmp_path / "net", nodes=1, swarms=1) as devnet:
        (person,) = accounts(devnet, 1)
        await person.store()
        db = apsw.Connection(str(tmp_path / "net" / "n0" / "mailbox.db"))
        db.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(person.store())
        await asyncio.sleep(1)
        db.execute("ROLLBACK")
        assert not isinstance(await waiting, Failed)
        db.execute("BEGIN IMMEDIATE")
        entry = await person.store()
        assert isinstance(entry, Failed)
        assert "locked by another process" in entry.reason
        assert await person.is_right()
        db.execute("ROLLBACK")
        db.close()
        assert not isinstance(await person.store(), Failed)
        assert await person.is_right()
        await person.world.net.close()

"""One run in virtual time in which everything happens to forty nodes at once, and the history of it.

Three things go on beside each other: clients ask; single nodes and links fail; and the list of nodes changes, which
each node learns at its own moment.  Then the faults stop, members get time to repair, and what all have is written
down.
`PLANNED` names the faults that have to have happened, or the run proves nothing.
"""

import asyncio
import functools
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw
from history import History, Key, Kind, Membership, Op, Read, Snapshot, State, TokenRead

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.protocol import storage
from ramson.protocol.network_file import NetworkFile
from ramson.protocol.storage.entries import (
    DeletedEntry,
    Entry,
    ExpireEntry,
    StoreEntry,
    UnrevokedEntry,
    UpdatedEntry,
    flat,
)
from ramson.protocol.strict_json import encode
from ramson.protocol.swarms import UNASSIGNED
from ramson.sim import SimulatedNetwork
from ramson.world import Endpoint, HttpRequest, NetError, Tls
from ramson.world.simulated import Model, SimulatedFiles, Simulation
from ramson.world.simulated.simulation import EPOCH_MS

NODES, SWARMS, SPARE = 40, 5, 2
CLIENTS, PEOPLE, GROUPS = 6, 10, 2
MORE_CRASHES = 8  # at most, until one has torn a write
STORM = 110.0  # seconds in which clients ask and faults happen
ROUND = 75.0  # seconds: the longest pause between two repairs of a member
CALMED = 30.0  # seconds after the last fault until requests, retries and connections are settled
DAY = 24 * 3600 * 1000
MODEL = Model(jitter=0.5, http_loss=0.004, peer_loss=0.004, stall=0.005)

PLANNED = (
    *("crash", "killed-in-work", "power-failure", "torn-write", "disk-full", "disk-stall", "parted", "peer-lost"),
    *("clock-skew", "clock-jump", "slow-disk", "joined", "left", "decommissioned", "recommissioned", "split"),
    *("dissolved", "members-failed"),
)


@functools.cache
def people() -> tuple[AccountKeys | Ed25519KeyPair, ...]:
    """The accounts of all runs: making keys for each would cost more than using them."""
    entropy = random.Random("people")
    persons = [AccountKeys.from_seed(entropy.randbytes(32)) for _ in range(PEOPLE)]
    return (*persons, *(Ed25519KeyPair.from_seed(entropy.randbytes(32)) for _ in range(GROUPS)))


def account_of(keys: AccountKeys | Ed25519KeyPair) -> bytes:
    return keys.id.raw if isinstance(keys, AccountKeys) else b"\x03" + keys.public


@dataclass
class Letter:
    """A message that was stored, for operations on it."""

    keys: AccountKeys | Ed25519KeyPair
    namespace: int
    data: bytes
    hash: str


@dataclass
class Storm:
    """A run.  `rounds` is for how many repairs of every member to wait before the end."""

    seed: int
    directory: Path
    rounds: int = 2
    history: History = field(default_factory=History)
    faults: Counter[str] = field(default_factory=Counter)

    def run(self) -> History:
        self.entropy = random.Random(f"storm {self.seed}")
        self.sim = Simulation(self.seed, model=MODEL)
        with SimulatedFiles(random.Random(f"files {self.seed}")) as self.files:
            self.network = SimulatedNetwork(
                self.sim, self.directory, nodes=NODES - SPARE, swarms=SWARMS, spare=SPARE, tests=False
            )
            self.file = self.network.file
            self.records = [entry.record for entry in self.network.entries]
            self.number = {record.ed25519: i for i, record in enumerate(self.records)}
            self.unready: Counter[int] = Counter()
            self.ready_since = [0] * NODES
            self.full_disks: set[int] = set()
            self.told = [0] * NODES
            self.letters: list[Letter] = []
            self.tokens: list[tuple[Ed25519KeyPair, Ed25519KeyPair, bytes]] = []
            self.over = False
            self.gone: set[int] = set()
            self._set_clocks()
            self.sim.run(self._main())
            self.faults += self.sim.faults + self.files.faults
        return self.history

    # ---- the course of it

    async def _main(self) -> None:
        await self.network.up()
        self._take_down_membership()
        async with asyncio.TaskGroup() as tasks:
            harm = [self._trouble(), self._churn()]
            for number in range(CLIENTS):
                tasks.create_task(self._client(number))
            async with asyncio.TaskGroup() as troubles:
                for each in harm:
                    troubles.create_task(each)
            await asyncio.sleep(max(0.0, STORM - self.sim.now))
            self.over = True
        await asyncio.sleep(CALMED + self.rounds * ROUND)
        await self._read_everything()
        self._take_down_membership()

    def now(self) -> int:
        return EPOCH_MS + int(self.sim.now * 1000)

    def _take_down_membership(self) -> None:
        has = {node: self._look(node) for node in range(NODES)}
        swarms = {self.number[n.record.ed25519]: n.record.swarm_id for n in self.file.nodes if n.record.assigned}
        self.history.memberships.append(Membership(self.now(), swarms, has))

    def _look(self, node: int) -> Snapshot:
        """Read a node's database as it is on the disk."""
        with closing(apsw.Connection(str(self.network.home(node) / "mailbox.db"))) as db:
            messages = {
                Key(*row[:3]): State(row[3], False, *row[4:])
                for row in db.execute("SELECT account, namespace, hash, birth, version, expiry FROM message")
            }
            ghosts = {
                Key(*row[:3]): State(row[3], bool(row[4]), *row[5:])
                for row in db.execute("SELECT account, namespace, hash, birth, dead, version, expiry FROM ghost")
            }
            tokens = {
                (account, token): bool(revoked)
                for account, token, revoked in db.execute("SELECT account, token, revoked FROM token")
            }
        return Snapshot(messages, ghosts, tokens)

    # ---- trouble of single nodes and links

    def _set_clocks(self) -> None:
        for node in range(NODES):
            host = self.sim.host(self.network.address(node))
            host.skew_ms = self.entropy.randint(-3000, 3000)
            host.pace = 1 + self.entropy.uniform(-1, 1) * 2e-4
        self.faults["clock-skew"] += NODES

    async def _trouble(self) -> None:
        kinds = [
            *(functools.partial(self._crash, power=power) for power in (True, True, True, False)),
            *(self._partition, self._partition, self._full_disk, self._full_disk, self._jump, self._slow_disk),
        ]
        self.entropy.shuffle(kinds)
        async with asyncio.TaskGroup() as tasks:
            for number, kind in enumerate(kinds):
                await asyncio.sleep(max(0.0, (number + self.entropy.random()) * STORM / len(kinds) - self.sim.now))
                tasks.create_task(kind())
        for _ in range(MORE_CRASHES):
            if not self.files.faults["torn-write"]:
                await self._crash(power=True)

    def _victim(self) -> int:
        """Choose a node in a swarm to which nothing happens just now."""
        swarms = self.history.memberships[-1].swarm
        return self.entropy.choice(sorted(node for node in swarms if not self.unready[node]))

    async def _crash(self, *, power: bool) -> None:
        node = self._victim()
        self.unready[node] += 1
        host = self.sim.host(self.network.address(node))
        try:
            async with asyncio.timeout(20):
                await host.busy()
        except TimeoutError:
            pass  # it crashes while it does nothing
        self.network.interrupt(node, self.files, power=power)
        await asyncio.sleep(self.entropy.uniform(0.1, 15))
        self.network.restart(node)
        self._ready(node)

    async def _partition(self) -> None:
        some = self.entropy.sample(range(NODES), self.entropy.randint(3, 12))
        clients = self.entropy.sample(range(CLIENTS), 2)
        group = [self.network.address(node) for node in some] + [_client_address(number) for number in clients]
        self.sim.partition([group])
        await asyncio.sleep(self.entropy.uniform(2, 12))
        self.sim.heal()

    async def _full_disk(self) -> None:
        node = self._victim()
        self.unready[node] += 1
        self.full_disks.add(node)  # it is up, and may not serve what has expired
        before, home = self.files.faults["disk-full"], self.network.home(node)
        self.files.fill(home)
        for _ in range(40):
            await asyncio.sleep(0.5)
            if self.files.faults["disk-full"] > before:
                await asyncio.sleep(self.entropy.uniform(0, 5))
                break
        self.files.free(home)
        self.full_disks.discard(node)
        self.unready[node] -= 1

    async def _jump(self) -> None:
        """Somebody sets a clock wrong by up to 40 seconds, and later right again."""
        node = self._victim()
        self.unready[node] += 1
        host = self.sim.host(self.network.address(node))
        was, host.skew_ms = host.skew_ms, self.entropy.choice((-1, 1)) * self.entropy.randint(15_000, 40_000)
        self.faults["clock-jump"] += 1
        await asyncio.sleep(self.entropy.uniform(5, 25))
        host.skew_ms = was
        self._ready(node)

    async def _slow_disk(self) -> None:
        node = self._victim()
        self.unready[node] += 1
        self.sim.slow_disk(self.network.address(node), 200.0)
        self.faults["slow-disk"] += 1
        await asyncio.sleep(self.entropy.uniform(5, 20))
        self.sim.slow_disk(self.network.address(node), 1.0)
        self._ready(node)

    def _ready(self, node: int) -> None:
        self.unready[node] -= 1
        self.ready_since[node] = self.now()

    # ---- changes of the list

    async def _churn(self) -> None:
        kinds: list[Callable[[dict[int, int]], str]] = [
            *(self._join, self._leave, self._decommission, self._split, self._dissolve),
        ]
        self.entropy.shuffle(kinds)
        kinds.append(self._recommission)
        async with asyncio.TaskGroup() as tasks:
            for number, kind in enumerate(kinds):
                await asyncio.sleep(max(0.0, (number + self.entropy.random()) * STORM / len(kinds) - self.sim.now))
                swarms = dict(self.history.memberships[-1].swarm)
                self.faults[kind(swarms)] += 1
                self._publish(swarms, tasks)

    def _publish(self, swarms: dict[int, int], tasks: asyncio.TaskGroup) -> None:
        listed = {self.number[node.record.ed25519] for node in self.file.nodes} | set(swarms)
        nodes = tuple(
            replace(
                self.network.entries[number],
                record=replace(self.records[number], swarm_id=swarms.get(number, UNASSIGNED)),
            )
            for number in sorted(listed - self.gone)
        )
        self.file = replace(self.file, nodes=nodes, height=self.file.height + 1)
        self._take_down_membership()
        for node in range(NODES):
            tasks.create_task(self._tell(node, self.file))

    async def _tell(self, node: int, file: NetworkFile) -> None:
        await asyncio.sleep(self.entropy.uniform(0, 8))
        if file.height > self.told[node]:
            self.told[node] = file.height
            self.network.announce(file, node)

    def _swarm(self, swarms: dict[int, int]) -> int:
        return self.entropy.choice(sorted(set(swarms.values())))

    def _member(self, swarms: dict[int, int]) -> int:
        """Choose a member of the largest swarm: swarms must not run dry."""
        sizes = Counter(swarms.values())
        return self.entropy.choice(
            sorted(node for node, swarm in swarms.items() if sizes[swarm] == max(sizes.values()))
        )

    def _join(self, swarms: dict[int, int]) -> str:
        for node in range(NODES - SPARE, NODES):
            swarms[node] = self._swarm(swarms)
        return "joined"

    def _leave(self, swarms: dict[int, int]) -> str:
        node = self._member(swarms)
        del swarms[node]
        self.gone.add(node)
        return "left"

    def _decommission(self, swarms: dict[int, int]) -> str:
        for _ in range(2):
            del swarms[self._member(swarms)]
        return "decommissioned"

    def _recommission(self, swarms: dict[int, int]) -> str:
        listed = {self.number[node.record.ed25519] for node in self.file.nodes}
        for node in sorted(listed - set(swarms) - self.gone):
            swarms[node] = self._swarm(swarms)
        return "recommissioned"

    def _split(self, swarms: dict[int, int]) -> str:
        """Move half of a swarm, and one node of another, to a new swarm in the middle of the widest gap."""
        ids = sorted(set(swarms.values()))
        gaps = [(right - left) % 2**64 for left, right in zip(ids, ids[1:] + ids[:1], strict=True)]
        widest = gaps.index(max(gaps))
        new = (ids[widest] + gaps[widest] // 2) % (2**64 - 1)
        parent = Counter(swarms.values()).most_common(1)[0][0]
        members = sorted(node for node, swarm in swarms.items() if swarm == parent)
        others = sorted(node for node, swarm in swarms.items() if swarm != parent)
        for node in (*self.entropy.sample(members, len(members) // 2), self.entropy.choice(others)):
            swarms[node] = new
        return "split"

    def _dissolve(self, swarms: dict[int, int]) -> str:
        victim = self._swarm(swarms)
        others = sorted(set(swarms.values()) - {victim})
        for node in sorted(node for node, swarm in swarms.items() if swarm == victim):
            swarms[node] = self.entropy.choice(others)
        return "dissolved"

    # ---- clients

    async def _client(self, number: int) -> None:
        entropy = random.Random(f"client {self.seed} {number}")
        client = _Client(self, number, entropy)
        while not self.over:
            await asyncio.sleep(entropy.expovariate(1 / 2.2))
            await client.act()

    async def _read_everything(self) -> None:
        """Read every account at one member of its swarm, and try every token at all of them."""
        client = _Client(self, 0, self.entropy)
        end = self.history.memberships[-1]
        for keys in people():
            members = sorted(end.members(account_of(keys)))
            for namespace in (0, 2):
                await client.read(keys, namespace, self.entropy.choice(members))
        for owner, pair, token in self.tokens:
            for node in sorted(end.members(account_of(owner))):
                await client.read_with(owner, pair, token, node)


def _client_address(number: int) -> str:
    return f"10.2.0.{number + 1}"


class _Client:
    """Somebody who asks nodes directly, without onions."""

    def __init__(self, storm: Storm, number: int, entropy: random.Random) -> None:
        self.storm, self.entropy = storm, entropy
        self.world = storm.network.client_world(number)

    async def act(self) -> None:
        choices = {
            self.store: 42,
            self.store_again: 8,
            self.read_some: 20,
            self.delete: 8,
            self.delete_all: 2,
            self.delete_before: 2,
            self.expire: 9,
            self.expire_all: 2,
            self.revoke: 4,
            self.read_revoked: 5,
        }
        (action,) = self.entropy.choices(list(choices), list(choices.values()))
        await action()

    # ---- what clients do

    async def store(self) -> None:
        keys = self.entropy.choice(people())
        namespace = self.entropy.choice((0, 0, 2))
        size = self.entropy.choice((50, 300, 300, 2000, 12_000))
        data = self.entropy.randbytes(size)
        letter = Letter(keys, namespace, data, message_hash(account_of(keys), namespace, data))
        self.storm.letters.append(letter)
        await self._store(letter)

    async def store_again(self) -> None:
        if self.storm.letters:
            await self._store(self.entropy.choice(self.storm.letters))

    async def _store(self, letter: Letter) -> None:
        """Store as clients do: with the same timestamp at another member when the first did not do it."""
        now = self.storm.now()
        ttl = self.entropy.choice((15_000, 40_000, DAY, DAY, DAY, 2 * DAY))
        request = storage.Store(
            account=account_of(letter.keys),
            namespace=letter.namespace,
            data=letter.data,
            timestamp=now,
            expiry=now + ttl,
        )
        if letter.namespace:
            request = storage.sign(request, letter.keys)
        for _ in range(3):
            op = await self.change(Kind.STORE, request, hashes=frozenset({letter.hash}), value=now + ttl, timestamp=now)
            if op.said:
                return

    async def read_some(self) -> None:
        if self.storm.letters:
            letter = self.entropy.choice(self.storm.letters)
            await self.read(letter.keys, letter.namespace)

    async def delete(self) -> None:
        if self.storm.letters:
            letter = self.entropy.choice(self.storm.letters)
            request = storage.Delete(account=account_of(letter.keys), messages=(letter.hash,))
            await self.change(Kind.DELETE, storage.sign(request, letter.keys), hashes=frozenset({letter.hash}))

    async def delete_all(self) -> None:
        keys, namespace = self.entropy.choice(people()), self.entropy.choice((0, 2, None))
        request = storage.DeleteAll(account=account_of(keys), namespace=namespace, timestamp=self.storm.now())
        await self.change(Kind.DELETE_ALL, storage.sign(request, keys))

    async def delete_before(self) -> None:
        keys, namespace = self.entropy.choice(people()), self.entropy.choice((0, 2, None))
        before = self.storm.now() - self.entropy.randint(0, 60_000)
        request = storage.DeleteBefore(account=account_of(keys), namespace=namespace, before=before)
        await self.change(Kind.DELETE_BEFORE, storage.sign(request, keys), value=before)

    async def expire(self) -> None:
        if not self.storm.letters:
            return
        letter = self.entropy.choice(self.storm.letters)
        kind = self.entropy.choice((Kind.SET, Kind.SHORTEN, Kind.EXTEND))
        expiry = self.storm.now() + self.entropy.choice((20_000, 50_000, DAY // 2, 3 * DAY))
        request = storage.Expire(
            account=account_of(letter.keys),
            messages=(letter.hash,),
            expiry=(expiry,),
            shorten=kind is Kind.SHORTEN,
            extend=kind is Kind.EXTEND,
        )
        await self.change(kind, storage.sign(request, letter.keys), hashes=frozenset({letter.hash}), value=expiry)

    async def expire_all(self) -> None:
        keys, namespace = self.entropy.choice(people()), self.entropy.choice((0, 2, None))
        expiry = self.storm.now() + self.entropy.choice((20_000, DAY // 3))
        request = storage.ExpireAll(account=account_of(keys), namespace=namespace, expiry=expiry)
        await self.change(Kind.EXPIRE_ALL, storage.sign(request, keys), value=expiry)

    async def revoke(self) -> None:
        """Revoke a new token, or take back or repeat what was done to an old one."""
        if self.storm.tokens and self.entropy.random() < 0.6:
            owner, _, token = self.entropy.choice(self.storm.tokens)
        else:
            owner = self.entropy.choice([keys for keys in people() if isinstance(keys, Ed25519KeyPair)])
            pair = Ed25519KeyPair.from_seed(self.entropy.randbytes(32))
            token = bytes([3, 0b111, 0, 0]) + pair.public
            self.storm.tokens.append((owner, pair, token))
        kind = self.entropy.choice((Kind.REVOKE, Kind.REVOKE, Kind.UNREVOKE))
        make = storage.RevokeSubaccount if kind is Kind.REVOKE else storage.UnrevokeSubaccount
        request = make(account=account_of(owner), tokens=(token,), timestamp=self.storm.now())
        await self.change(kind, storage.sign(request, owner), token=token)

    async def read_revoked(self) -> None:
        if self.storm.tokens:
            owner, pair, token = self.entropy.choice(self.storm.tokens)
            await self.read_with(owner, pair, token, self._somebody(account_of(owner)))

    # ---- asking

    def _somebody(self, account: bytes) -> int:
        """Choose a member of the account's swarm, by the newest list or, now and then, an old one."""
        memberships = self.storm.history.memberships
        which = memberships[-1] if self.entropy.random() < 0.75 else self.entropy.choice(memberships)
        return self.entropy.choice(sorted(which.members(account)))

    async def _ask(self, node: int, request: storage.Request) -> tuple[int, bytes]:
        """Return status and body; status 0 when there was no reply."""
        record = self.storm.records[node]
        body = encode(storage.to_json(request))
        http = HttpRequest("POST", "/storage_rpc/v1", {}, body)
        try:
            reply = await self.world.net.request(Endpoint(record.ip, record.https_port), http, tls=Tls(), timeout=8.0)
        except NetError:
            return 0, b""
        self.storm.faults["wrong-swarm"] += reply.status == 421
        return reply.status, reply.body

    async def change(self, kind: Kind, request: storage.AccountRequest, **fields) -> Op:
        """Ask for a change and write down what came of it."""
        start = self.storm.now()
        status, body = await self._ask(self._somebody(request.account), request)
        said: dict[int, dict[str, int]] = {}
        settled = status not in {0, 200, 500}
        if status == 200:
            reply = storage.read_reply(request, body)
            number = self.storm.number
            said = {
                number[node]: _named(kind, request, report.entry)
                for node, report in reply.succeeded.items()
                if not isinstance(report.entry, UnrevokedEntry) or report.entry.count
            }
            settled = not any(not failed.code for failed in reply.failed.values())
            self.storm.faults["members-failed"] += bool(reply.failed)
        op = Op(
            kind,
            request.account,
            start,
            self.storm.now(),
            said,
            settled,
            namespace=getattr(request, "namespace", None),
            **fields,
        )
        self.storm.history.ops.append(op)
        return op

    async def read(self, keys: AccountKeys | Ed25519KeyPair, namespace: int, node: int | None = None) -> None:
        account = account_of(keys)
        node = self._somebody(account) if node is None else node
        start, ready = self.storm.now(), self.storm.ready_since[node]
        request = storage.Retrieve(account=account, namespace=namespace, timestamp=start, max_size=-1)
        status, body = await self._ask(node, storage.sign(request, keys))
        if status == 200:
            reply = storage.read_reply(request, body)
            served = {message.hash: message.expiry for message in reply.messages}
            down = self.storm.unready[node] and node not in self.storm.full_disks
            ready = 2**62 if down else max(ready, self.storm.ready_since[node])
            self.storm.history.reads.append(
                Read(node, account, namespace, start, self.storm.now(), reply.t, served, reply.more, ready)
            )

    async def read_with(self, owner: Ed25519KeyPair, pair: Ed25519KeyPair, token: bytes, node: int) -> None:
        account, start = account_of(owner), self.storm.now()
        request = storage.sign_as_subaccount(
            storage.Retrieve(account=account, namespace=0, timestamp=start),
            token=token,
            token_signature=owner.sign(token),
            signer=pair.sign,
        )
        status, _ = await self._ask(node, request)
        if status in {200, 401}:
            self.storm.history.token_reads.append(
                TokenRead(node, account, token, start, self.storm.now(), status == 401)
            )


def _named(kind: Kind, request: storage.AccountRequest, entry: Entry) -> dict[str, int]:
    """Return the hashes that a member says it changed, with their expiries (0: deleted)."""
    match entry:
        case StoreEntry():
            return {entry.hash: entry.expiry}
        case DeletedEntry():
            return dict.fromkeys(flat(entry.hashes), 0)
        case UpdatedEntry():
            return dict.fromkeys(flat(entry.hashes), request.expiry)
        case ExpireEntry() if isinstance(entry.expiry, int):
            return dict.fromkeys(entry.updated, entry.expiry)
        case ExpireEntry():
            return dict(zip(entry.updated, entry.expiry, strict=True))
    return {}

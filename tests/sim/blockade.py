"""A country is cut off: people in three regions write to each other, and in one of them a censor is at work.

Everything is the real code: nodes, bridges before web sites, and whole clients (`messenger.Client` with the ladder),
for whether something is lost or comes twice is decided in their outbox and inbox.  One run is

    0 s          everybody starts for the first time, at the same moment, and writes to two others
    restart      everybody's machine loses power for some seconds; then all start and write again
    switch       a conversation is under way; a censor of the kind that switches on does so

Everybody writes to somebody of the same region, and to somebody of the next one in the first two rounds.  All have
been given the links of all bridges.  Delays between two hosts are exact here (no jitter), so that a run with a censor
and one without differ by nothing but what the censor causes: until a censor switches on, by nothing at all.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from ramson.crypto.keys import Ed25519KeyPair
from ramson.messenger import Client, KeyCost, State
from ramson.network.profile import SeedUrl
from ramson.protocol import node_list
from ramson.protocol.node_list import ListAuthority, SignedNodeList
from ramson.reach import ReachSettings
from ramson.servers.bridge.counters import Outcome as Kind
from ramson.sim import SimulatedNetwork, censors
from ramson.sim.bridges import SimulatedWebBridge
from ramson.sim.censors import Blocking, Censor
from ramson.sim.network import SEED_ADDRESS, SEED_PORT
from ramson.world.simulated import Model, Simulation
from ramson.world.simulated.censorship import Flow, Verdict

REGIONS = ("america", "asia", "europe")
BLOCKED = "asia"
SEED_NAME = "seed.example"
CHEAP = KeyCost(passes=1, memory=13)
SIGNER = Ed25519KeyPair.from_seed(b"who signs the list of the nodes!")
EXACT = Model(jitter=0.0)

OBSERVER = "10.99.0.1"
DOWN = 5.0  # seconds without power
ABROAD = frozenset({"first", "again"})  # rounds in which somebody in the next region is written to as well
TITLES = {"first start": ("first",), "after a restart": ("again",), "conversation": ("before", "in it", "after")}
TWICE = 15.0  # seconds, three polls of everybody, in which a second copy of a message would show
PATIENCE = 300.0


@dataclass(frozen=True)
class Size:
    """How much of everything, and when what happens, in seconds; without `restart` there is the first round only.

    People are as many in each region.
    """

    nodes: int
    swarms: int
    clients: int
    bridges: int
    restart: float | None = None
    switch: float = 0.0

    @property
    def rounds(self) -> dict[str, float]:
        """When people write; 0 is at their start."""
        if self.restart is None:
            return {"first": 0.0}
        later = {"before": self.switch - 4, "in it": self.switch + 0.5, "after": self.switch + 6}
        return {"first": 0.0, "again": 0.0, **later}


TINY = Size(nodes=12, swarms=3, clients=6, bridges=1)
SMALL = Size(nodes=36, swarms=6, clients=12, bridges=3, restart=28.0, switch=50.0)
LARGE = Size(nodes=300, swarms=43, clients=201, bridges=5, restart=45.0, switch=75.0)


@dataclass(frozen=True)
class Letter:
    """One message; people are known by number."""

    sender: int
    recipient: int
    round: str

    @property
    def body(self) -> str:
        """Its text."""
        return f"{self.sender} to {self.recipient}, {self.round}"


@dataclass
class Times:
    """When a letter was given to the sender's client, kept by the recipient's swarm, and read: virtual seconds."""

    written: float
    kept: float = float("inf")
    read: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Places:
    """What a censor may be interested in."""

    seeds: frozenset[str]
    nodes: frozenset[str]
    seed_name: str = SEED_NAME


def everything(places: Places) -> Blocking:
    """Block in all ways at once."""
    names = censors.poison(places.seed_name) | censors.reset(places.seed_name)
    addresses = censors.dropped("seeds", places.seeds) | censors.dropped("nodes", places.nodes)
    return names | addresses | censors.FREEZE | censors.UDP


class Watch:
    """Sees what leaves all hosts, and hands it to the censor, if there is one."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.censor: Censor | None = None
        self._seen: set[Flow] = set()
        self.opened: list[tuple[float, str, str]] = []  # when, origin, target

    def look_up(self, origin: str, name: str) -> str | None:
        """See `censorship.Censor`."""
        return self.censor.look_up(origin, name) if self.censor else None

    def judge(self, flow: Flow) -> Verdict:
        """See `censorship.Censor`."""
        if flow not in self._seen:
            self._seen.add(flow)
            self.opened.append((self._simulation.now, flow.origin, flow.target.host))
        return self.censor.judge(flow) if self.censor else Verdict.PASS


@dataclass
class Outcome:
    """What happened in one run; times are virtual seconds since everybody started."""

    size: Size
    since: float
    places: Places
    addresses: list[str]  # of people, by number
    letters: dict[Letter, Times]
    ways: dict[str, Counter[str]]  # by which people's letters travelled at last, by region
    opened: list[tuple[float, str, str]]  # connections: when, origin, target
    met: Counter[str]
    bridges: list[str]  # addresses
    served: list[int]  # requests, by bridge
    refused: int  # by bridges that were busy
    asked: Counter[str]  # requests, by node
    cpu: float  # seconds

    def of(self, *rounds: str, regions: Iterable[str] = REGIONS, abroad: bool | None = None) -> dict[Letter, Times]:
        """Return the letters of some rounds from some regions, to the same or to the next one."""
        chosen = set(regions)
        return {
            letter: times
            for letter, times in self.letters.items()
            if letter.round in rounds
            and region(letter.sender) in chosen
            and abroad in {None, region(letter.sender) != region(letter.recipient)}
        }

    @property
    def missing(self) -> int:
        """How many letters nobody read, of all that were to be written."""
        planned = sum(2 if name in ABROAD else 1 for name in self.size.rounds) * self.size.clients
        return planned - sum(bool(times.read) for times in self.letters.values())

    @property
    def doubled(self) -> list[Letter]:
        """Letters that were read more than once."""
        return [letter for letter, times in self.letters.items() if len(times.read) > 1]

    def strays(self) -> int:
        """Count connections of people in the blocked region to seeds and nodes that a bridge made needless.

        That is so from the moment at which the first letter a person wrote behind the censor is kept by its swarm,
        until the machine goes down.
        """
        people = {self.addresses[n]: n for n in range(self.size.clients) if region(n) == BLOCKED}
        restart = float("inf") if self.size.restart is None else self.size.restart
        lives = [(max(begin, self.since), end) for begin, end in ((0.0, restart), (restart, float("inf")))]
        through: dict[tuple[int, float], float] = {}
        for letter, times in self.letters.items():
            for begin, end in lives:
                if begin <= times.written < end:
                    key = (letter.sender, end)
                    through[key] = min(times.kept, through.get(key, times.kept))
        return sum(
            target in self.places.seeds | self.places.nodes
            and any(through.get((people[origin], end), end) < when < end for _, end in lives)
            for when, origin, target in self.opened
            if origin in people
        )

    def busiest_second(self) -> int:
        """Return the most connections that one bridge got in one second."""
        seconds = Counter((target, int(when)) for when, _, target in self.opened if target in self.bridges)
        return max(seconds.values(), default=0)


def region(number: int) -> str:
    """Return where somebody lives."""
    return REGIONS[number % len(REGIONS)]


class Blockade:
    """One run with a seed; `blocking` says what the censor does whom it is told of, from `since` on."""

    def __init__(
        self, seed: int, directory: Path, size: Size, blocking: Callable[[Places], Blocking] | None, since: float = 0.0
    ) -> None:
        self.size = size
        self._directory = directory
        self._sim = Simulation(seed, model=EXACT)
        self._observer = self._sim.world(OBSERVER).clock
        self._network = SimulatedNetwork(
            self._sim, directory / "nodes", nodes=size.nodes, swarms=size.swarms, tests=False
        )
        self._sim.name(SEED_NAME, SEED_ADDRESS)
        authority = ListAuthority("simulated", frozenset([SIGNER.public]), 1)
        profile = self._network.profile
        (seed_url,) = profile.seeds
        by_name = SeedUrl(f"https://{SEED_NAME}:{SEED_PORT}/json_rpc", seed_url.pins)
        self._profile = replace(profile, seeds=(by_name,), signers=authority)
        self._addresses = [self._network.client_address(number) for number in range(size.clients)]
        statement = node_list.state("simulated", self._network.records, height=1, time_ms=self._observer.now())
        signed = node_list.encode(SignedNodeList(statement, {}).signed_by(SIGNER))
        self._bridges = [
            SimulatedWebBridge(self._sim, self._network, number, node_list=lambda: signed)
            for number in range(size.bridges)
        ]
        for number, address in enumerate(self._addresses):
            self._sim.host(address).region = region(number)
        for number, bridge in enumerate(self._bridges):
            self._sim.host(bridge.address).region = ("america", "europe")[number % 2]
        self._reach = ReachSettings(bridges=tuple(bridge.link for bridge in self._bridges))
        self._since = since
        self._watch = Watch(self._sim)
        self._censor: Censor | None = None
        self._blocking = blocking
        self._ids: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._all_known, self._news = asyncio.Event(), asyncio.Event()
        self._began = 0.0
        self._letters: dict[Letter, Times] = {}
        self._ways: dict[int, str] = {}
        self._places = Places(frozenset([SEED_ADDRESS]), frozenset(record.ip for record in self._network.records))
        (directory / "people").mkdir(parents=True)

    def run(self) -> Outcome:
        """Play it."""
        cpu = time.process_time()
        self._sim.run(self._play())
        asked: Counter[str] = Counter()
        for line in self._sim.log:
            _, kind, _, target, *_ = line.split(" ")
            if kind == "request" and target in self._places.nodes:
                asked[target] += 1
        ways: dict[str, Counter[str]] = {name: Counter() for name in REGIONS}
        for number, way in self._ways.items():
            ways[region(number)][way] += 1
        counters = [bridge.counters.outcomes for bridge in self._bridges]
        return Outcome(
            self.size,
            self._since,
            self._places,
            self._addresses,
            self._letters,
            ways,
            [(when - self._began, *ends) for when, *ends in self._watch.opened],
            self._censor.met if self._censor else Counter(),
            [bridge.address for bridge in self._bridges],
            [each.total() for each in counters],
            sum(each[Kind.BUSY] for each in counters),
            asked,
            time.process_time() - cpu,
        )

    async def _play(self) -> None:
        await self._network.up()
        self._began = self._sim.now
        if self._blocking is not None:
            origins = frozenset(self._addresses[n] for n in range(self.size.clients) if region(n) == BLOCKED)
            self._censor = Censor(self._blocking(self._places), origins, self._observer, self._began + self._since)
        self._watch.censor = self._censor
        self._sim.censor(self._watch)
        for number, address in enumerate(self._addresses):
            self._sim.host(address).start(lambda world, number=number: self._live(number, world))
        if self.size.restart is not None:
            await self._until(self.size.restart)
            for address in self._addresses:
                self._sim.crash(address)
            await self._until(self.size.restart + DOWN)
            for address in self._addresses:
                self._sim.restart(address)
        expected = sum(2 if name in ABROAD else 1 for name in self.size.rounds) * self.size.clients
        try:
            async with asyncio.timeout(PATIENCE):
                while sum(bool(times.read) for times in self._letters.values()) < expected:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        await asyncio.sleep(TWICE)
        for address in self._addresses:  # without farewells: nodes go down first otherwise, and clients look for others
            self._sim.crash(address)

    @property
    def _now(self) -> float:
        return self._sim.now - self._began

    async def _until(self, moment: float) -> None:
        await asyncio.sleep(moment - self._now)

    # People.

    async def _live(self, number: int, world) -> None:
        path = self._directory / "people" / f"{number}.ramson"
        options = {"passphrase": "correct horse", "network": self._profile, "world": world, "reach": self._reach}
        first = not path.exists()
        client = Client.create(path, cost=CHEAP, **options) if first else Client.open(path, **options)
        async with client as me, asyncio.TaskGroup() as group:
            self._ids[number] = me.account_id
            self._numbers[me.account_id] = number
            if len(self._ids) == self.size.clients:
                self._all_known.set()
            group.create_task(self._read(me, number))
            await self._all_known.wait()
            for name, moment in self.size.rounds.items():
                if (name == "first") != first:
                    continue
                if moment:
                    await self._until(moment + number % 10 / 10)
                near, far = (number + len(REGIONS)) % self.size.clients, (number + 1) % self.size.clients
                for friend in [near, far] if name in ABROAD else [near]:
                    group.create_task(self._write(me, Letter(number, friend, name)))

    async def _write(self, me: Client, letter: Letter) -> None:
        times = self._letters[letter] = Times(self._now)
        receipt = await me.send(self._ids[letter.recipient], letter.body)
        assert receipt.state is State.SENT, receipt
        times.kept = self._now
        self._ways[letter.sender] = way_of(me.path.reason)

    async def _read(self, me: Client, number: int) -> None:
        async for message in me.messages():
            name = message.body.rpartition(", ")[2]
            self._letters[Letter(self._numbers[message.sender], number, name)].read.append(self._now)
            self._news.set()


def way_of(reason: str) -> str:
    """Say in a word by which way messages travel."""
    _, found, way = reason.partition("messages travel by a ")
    return way.rstrip(".") if found else "straight"


def spread(values: Iterable[float]) -> str:
    """Write median, 95th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return "–"
    return f"{median(ordered):.1f} / {ordered[int(0.95 * (len(ordered) - 1))]:.1f} / {ordered[-1]:.1f}"


def table(runs: Mapping[str, Outcome]) -> str:
    """Write what happened as a table: seconds from writing to being kept by the swarm, and to being read."""
    lines = [
        "| censor | region | round | kept, s | read in the region, s | read in the next one, s | way |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        for place in REGIONS:
            way = ", ".join(f"{way} {count}" for way, count in sorted(run.ways[place].items()))
            for title, rounds in TITLES.items():
                kept, near, far = (run.of(*rounds, regions=[place], abroad=each) for each in (None, False, True))
                lines.append(
                    f"| {name} | {place} | {title} | {spread(t.kept - t.written for t in kept.values())} "
                    f"| {spread(_read(near))} | {spread(_read(far))} | {way} |"
                )
        busiest, usual = max(run.asked.values()), median(run.asked.values())
        lines.append(
            f"\n{name}: lost {run.missing}, doubled {len(run.doubled)}, met {dict(run.met)}, strays {run.strays()}; "
            f"bridges served {run.served}, {run.busiest_second()} in one second at most, refused {run.refused}; "
            f"nodes were asked {usual:.0f} times, the busiest {busiest}; {run.cpu:.0f} s of processor\n"
        )
    return "\n".join(lines)


def _read(letters: Mapping[Letter, Times]) -> list[float]:
    return [times.read[0] - times.written for times in letters.values() if times.read]

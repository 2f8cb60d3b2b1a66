"""Two people talk across a test network, two nodes die, and the talk goes on: what `ramson demo` shows.

The story is told in frozen steps to whoever listens; this module neither prints nor prompts.  It ends normally only if
every step of it really happened, and raises DemoFailed otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path as FilePath

from ramson.crypto.account import AccountId
from ramson.devnet.devnet import Devnet
from ramson.errors import RamsonError
from ramson.messenger import Client, Message
from ramson.network import NetworkProfile, Path
from ramson.network.trace import (
    Event,
    NodeDropped,
    PathBuilt,
    PathDropped,
    PathPatched,
    PathTested,
    RequestAnswered,
    RequestOvertaken,
    RequestSent,
)
from ramson.protocol.network_file import NetworkNode
from ramson.world import World

PASSPHRASE = "only for the demo"  # noqa: S105 - protects two accounts that live for a minute on a test network
ARRIVAL_TIMEOUT = 90.0  # seconds from sending a message until it must have been read
MENDING_TIMEOUT = 90.0  # seconds until the paths must be whole again

FIRST = "Hello from A. Can you read this?"
ANSWER = "Loud and clear. This is B."
LAST = "Two nodes have just died. Still there?"


class DemoFailed(RamsonError):
    """Something that the demo promises did not happen."""


@dataclass(frozen=True, slots=True)
class NetworkUp:
    """The processes are running; `swarms` are the names of their members."""

    directory: FilePath
    swarms: tuple[tuple[str, ...], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class AccountsMade:
    """The two people, and where their mail is kept."""

    a: AccountId
    b: AccountId
    swarm_of_a: tuple[str, ...]
    swarm_of_b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """The way one request took: three hops, then the member of the recipient's swarm it was for."""

    hops: tuple[NetworkNode, ...]
    destination: NetworkNode


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message was stored by `stored` of `total` members and read by its recipient."""

    sender: str
    recipient: str
    text: str
    route: Route
    hash: str
    stored: int
    total: int
    stored_ms: int
    read_ms: int


@dataclass(frozen=True, slots=True)
class Killed:
    """A node's process was ended as by a crash; `why` says what it was to the two."""

    node: NetworkNode
    why: str


@dataclass(frozen=True, slots=True)
class Mended:
    """A path that held the dead node was replaced; what happened, in order."""

    before: tuple[NetworkNode, ...]
    after: tuple[NetworkNode, ...]
    events: tuple[str, ...]
    seconds: float


Step = NetworkUp | AccountsMade | Delivered | Killed | Mended
Tell = Callable[[Step], None]


class _Watcher:
    """Remembers what one client's network said about its requests and paths."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._sent: dict[int, RequestSent] = {}
        self._store: RequestSent | None = None

    def await_store(self) -> None:
        """Look out for the next store that succeeds: the message, for the copy to one's own devices comes later."""
        self._store = None

    @property
    def store(self) -> RequestSent:
        """The store looked out for.  Raises DemoFailed when none was seen."""
        if self._store is None:
            raise DemoFailed("the way of the message was not seen")
        return self._store

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case RequestSent():
                self._sent[event.number] = event
            case RequestAnswered():
                sent = self._sent.pop(event.number, None)
                if self._store is None and sent is not None and event.failure is None and "store" in sent.what:
                    self._store = sent


@dataclass(frozen=True, slots=True)
class _Person:
    """One side of the talk."""

    letter: str
    client: Client
    watcher: _Watcher
    mail: AsyncGenerator[Message, None]


class Demo:
    """The whole story, on a devnet that is already running."""

    def __init__(self, world: World, devnet: Devnet, tell: Tell) -> None:
        self._world = world
        self._devnet = devnet
        self._tell = tell

    async def run(self) -> None:
        """Play it.  Raises DemoFailed, or whatever the network raised."""
        watcher_a, watcher_b = _Watcher(), _Watcher()
        async with (
            self._new_client("a", watcher_a) as a,
            self._new_client("b", watcher_b) as b,
            aclosing(a.messages()) as mail_a,
            aclosing(b.messages()) as mail_b,
        ):
            one, two = _Person("A", a, watcher_a, mail_a), _Person("B", b, watcher_b, mail_b)
            self._tell(
                AccountsMade(
                    a.account_id, b.account_id, self._swarm_names(a.account_id), self._swarm_names(b.account_id)
                )
            )
            await self._deliver(one, two, FIRST)
            await self._deliver(two, one, ANSWER)
            await self._kill_and_go_on(one, two)

    def _new_client(self, name: str, watcher: _Watcher) -> Client:
        profile = NetworkProfile.from_file(self._devnet.network, name="devnet")
        path = self._devnet.directory / f"{name}.ramson"
        return Client.create(path, passphrase=PASSPHRASE, network=profile, world=self._world, trace=watcher)

    async def _deliver(self, sender: _Person, recipient: _Person, text: str) -> None:
        began = self._world.clock.monotonic()
        sender.watcher.await_store()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read(recipient), name="demo reader")
            receipt = await sender.client.send(recipient.client.account_id, text)
            stored_ms = self._since(began)
            if receipt.hash is None or not receipt.stored:
                reading.cancel()
        if receipt.hash is None or not receipt.stored:
            raise DemoFailed(f"{sender.letter}'s message was not stored: {receipt.reason}")
        found = reading.result()
        if found is None:
            raise DemoFailed(f"{recipient.letter} did not get the message within {ARRIVAL_TIMEOUT:.0f} s")
        message, read = found
        if message.body != text or message.sender != sender.client.account_id:
            raise DemoFailed(f"{recipient.letter} read something else than {sender.letter} wrote")
        self._tell(
            Delivered(
                sender.letter,
                recipient.letter,
                text,
                self._route(sender.watcher),
                receipt.hash,
                receipt.stored,
                receipt.total,
                stored_ms,
                round(1000 * (read - began)),
            )
        )

    async def _read(self, recipient: _Person) -> tuple[Message, float] | None:
        """Return the next message and when it was read: its sender may learn only later that it is stored."""
        try:
            async with asyncio.timeout(ARRIVAL_TIMEOUT):
                return await anext(recipient.mail), self._world.clock.monotonic()
        except TimeoutError:
            return None

    async def _kill_and_go_on(self, a: _Person, b: _Person) -> None:
        began = self._world.clock.monotonic()
        path = a.watcher.store.path
        on_path = self._devnet.node(path.middle.ed25519)
        seen = len(a.watcher.events)
        in_swarm = self._victim_in_swarm(b.client.account_id, path, a.client.path.paths)
        await self._devnet.kill(on_path.name)
        self._tell(Killed(on_path, "the middle hop of A's path"))
        await self._devnet.kill(in_swarm.name)
        self._tell(Killed(in_swarm, "a member of B's swarm"))
        await self._deliver(a, b, LAST)
        self._tell(await self._mended(a, path, (on_path, in_swarm), seen, began))

    async def _mended(
        self, person: _Person, broken: Path, dead: tuple[NetworkNode, ...], seen: int, began: float
    ) -> Mended:
        """Wait until no path of the person holds a dead node, and tell how that came about."""
        try:
            async with asyncio.timeout(MENDING_TIMEOUT):
                async for status in person.client.watch_path():
                    paths = status.paths
                    if paths and not any(path.holds(node.record.ed25519) for path in paths for node in dead):
                        break
        except TimeoutError:
            raise DemoFailed("A's path was not mended") from None
        after = next((path for path in paths if path.guard == broken.guard), paths[-1])
        told = tuple(text for event in person.watcher.events[seen:] if (text := self._describe(event)))
        return Mended(self._named(broken), self._named(after), told, self._world.clock.monotonic() - began)

    def _describe(self, event: Event) -> str:
        match event:
            case RequestAnswered(failure=failure, path=path) if failure is not None:
                return f"a request by {self._line(path)} got no proper answer: {failure.value}"
            case RequestOvertaken(path=path, elapsed_ms=waited):
                return f"a request by {self._line(path)} was silent for {waited} ms; another path brought the answer"
            case PathTested(path=path, good=good):
                return f"path {self._line(path)} was tested: {'it works' if good else 'no answer'}"
            case NodeDropped(node=node, why=why):
                return f"{self._devnet.node(node.ed25519).name} is no longer used: {why}"
            case PathPatched(before=before, after=after):
                return f"path {self._line(before)} was patched to {self._line(after)}; its guard stays"
            case PathDropped(path=path, why=why):
                return f"path {self._line(path)} was given up: {why}"
            case PathBuilt(path=path):
                return f"path {self._line(path)} was built"
            case _:
                return ""

    def _victim_in_swarm(self, account: AccountId, path: Path, paths: Sequence[Path]) -> NetworkNode:
        """Choose a member of the swarm that is not on the path, so that the two deaths are two troubles.

        It is on none of the sender's paths if that can be: two broken at once tell nothing about mending one.
        """
        _, members = self._devnet.network.node_list().swarm_of(account.raw)
        free = [member for member in members if not path.holds(member.ed25519)]
        if not free:
            raise DemoFailed("all of B's swarm is on A's path", remedy="Start the demo again.")
        aside = [member for member in free if not any(other.holds(member.ed25519) for other in paths)]
        return self._devnet.node(self._world.entropy.choice(aside or free).ed25519)

    def _route(self, watcher: _Watcher) -> Route:
        sent = watcher.store
        for node in self._devnet.nodes:
            if sent.destination in {node.record.ip, f"{node.record.ip}:{node.record.https_port}"}:
                return Route(self._named(sent.path), node)
        raise DemoFailed("the message went to a node that is not of this network")

    def _swarm_names(self, account: AccountId) -> tuple[str, ...]:
        _, members = self._devnet.network.node_list().swarm_of(account.raw)
        return tuple(self._devnet.node(member.ed25519).name for member in members)

    def _named(self, path: Path) -> tuple[NetworkNode, ...]:
        return tuple(self._devnet.node(hop.ed25519) for hop in path.hops)

    def _line(self, path: Path) -> str:
        return "→".join(node.name for node in self._named(path))

    def _since(self, began: float) -> int:
        return round(1000 * (self._world.clock.monotonic() - began))


def network_up(devnet: Devnet, seconds: float) -> NetworkUp:
    """Make the step that tells that `devnet` is up, `seconds` after it was begun."""
    swarms = devnet.network.node_list().swarms.values()
    return NetworkUp(
        devnet.directory,
        tuple(tuple(devnet.node(node.ed25519).name for node in members) for members in swarms),
        seconds,
    )

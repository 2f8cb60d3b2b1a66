"""Subscriptions: nodes of our own swarm tell us at once that there is something to fetch.  Off unless asked for.

It connects straight to nodes, which learn our address together with our account id: whoever does not want that polls
through paths.  It never goes beside a proxy or bridge, fetches nothing, and believes nothing: what a node says is a
reason to look.  Spec: storage-rpc.md §6 (`monitor.messages`), oxend-interface.md §1.

Theory of operation.  Of the members of the swarm, `WANTED` are connected to: those that a keyed hash of ours ranks
first, so that every start shows our address to the same few and nobody can choose to be among them.  A node that
goes is waited for a little, then left alone for a while, each time twice as long, and the next in rank takes its
place; so does one that refuses, that says what was not asked for, or that says too much.  The members are looked at
again every half minute: when the swarm has become another, by what the polls found out, the connections follow.

Connections exist only while guards see our address as well.  They are dropped the moment the way out is another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, Protocol

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.hashing import blake2b
from ramson.errors import LocalError, ParseError, RemoteError
from ramson.network.countries import country_of
from ramson.network.entry import Entry
from ramson.network.hop_policy import ANY_NODE, HopPolicy
from ramson.protocol import monitor
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import GetSwarm, Request, Result, read_get_swarm
from ramson.world import Command, DaemonAddress, DaemonLink, Endpoint, MissingExtra, Origin, World

WANTED: Final = 2  # nodes that tell us: one may die, or keep silent
PATIENCE: Final = 20.0  # seconds for a connection and an answer
RENEWED: Final = 50 * 60.0  # seconds on average, by JITTER more or less; a node forgets after 65 minutes
JITTER: Final = 0.1
LOOK: Final = 30.0  # seconds between two looks at who is in the swarm
FIRST_REST, LONGEST_REST = 60.0, 3600.0  # seconds a node is left alone for
SHORT: Final = 60.0  # seconds; a connection that lasts no longer is a failure
MOST_SHORT: Final = 3  # of them in a row, before a node is left alone
MOST_MESSAGES: Final = 1200  # of one node in a minute: where there is more, polls bring it as soon
MINUTE: Final = 60.0
REMEMBERED: Final = 64  # nodes that are left alone

log = logging.getLogger(__name__)


class Home(Protocol):
    """The part of the network that is needed."""

    async def swarm(self, account: AccountId) -> tuple[NodeRecord, ...]:
        """Return the members of a swarm.  Raises RemoteError."""
        ...

    async def request(self, node: NodeRecord, requests: Sequence[Request]) -> list[Result]:
        """Ask a node through a path.  Raises RemoteError."""
        ...

    def now(self) -> int:
        """Return network time in Unix ms."""
        ...


class BadTeller(RemoteError):
    """A node said something that nobody asked it for, or far too much."""


class Unsteady(RemoteError):
    """The connections to a node break again and again."""


class Subscriptions:
    """Keeps nodes of the swarm of `keys` telling us of messages in `namespaces`; `run` does the work.

    `told` is given the hash of each message that a node claims to have; `changed` is called, when other nodes tell us
    than before, with whether any does.  Only nodes that `policy` allows as hops are connected to: whoever avoids some
    does not want to be seen by them.
    """

    def __init__(
        self,
        world: World,
        entry: Entry,
        home: Home,
        keys: AccountKeys,
        namespaces: Collection[int],
        *,
        told: Callable[[str], None],
        changed: Callable[[bool], None],
        policy: HopPolicy = ANY_NODE,
    ) -> None:
        self._world = world
        self._entry = entry
        self._home = home
        self._keys = keys
        self._namespaces = frozenset(namespaces)
        self._told = told
        self._changed = changed
        self._policy = policy
        self._held: dict[NodeRecord, asyncio.Task[None]] = {}
        self._live: dict[NodeRecord, None] = {}
        self._resting: dict[bytes, tuple[float, float]] = {}  # until when, and for how long
        self._look = asyncio.Event()

    @property
    def live(self) -> tuple[NodeRecord, ...]:
        """The nodes that tell us now; each knows our address."""
        return tuple(self._live)

    async def run(self) -> None:
        """Work until cancelled.  Raises MissingExtra where the program lacks what connects to nodes."""
        self._entry.watch(self._way_changed, self._way_changed)
        async with asyncio.TaskGroup() as group:
            while True:
                self._look.clear()
                wanted = await self._wanted()
                for node, task in self._held.items():
                    if node not in wanted:
                        task.cancel()
                for node in wanted:
                    if node not in self._held:
                        task = group.create_task(self._hold(node), name="subscription")
                        self._held[node] = task
                        task.add_done_callback(partial(self._ended, node))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._look.wait()

    async def _wanted(self) -> list[NodeRecord]:
        """Return the nodes that are to tell us."""
        try:
            members = await self._home.swarm(self._keys.id)
        except RemoteError:  # nothing is known that speaks against those we have
            members = tuple(self._held)
        if not self._entry.straight:
            return []
        now = asyncio.get_running_loop().time()
        allowed = [node for node in members if node.contactable and self._policy.allows(node.ip, country_of)]
        ranked = sorted(allowed, key=self._rank)
        return [node for node in ranked if self._resting.get(node.ed25519, (0.0, 0.0))[0] <= now][:WANTED]

    def _rank(self, node: NodeRecord) -> bytes:
        return blake2b(node.ed25519, key=self._keys.ed25519.seed, person=b"ramson tellers")

    def _way_changed(self) -> None:
        """Hang up when the way out goes through somebody else now."""
        if not self._entry.straight:
            for task in self._held.values():
                task.cancel()
        self._look.set()

    async def _hold(self, node: NodeRecord) -> None:
        """Have a node tell us, until it fails."""
        began = asyncio.get_running_loop().time()
        try:
            port = await self._port(node)
            if self._entry.straight:
                await _Subscription(self._world, node, port, self._ask, self._hear, self._show).run()
        except MissingExtra:
            raise
        except (RemoteError, LocalError) as error:
            log.info("a node does not tell us of messages: %s", type(error).__name__)
            self._rest(node, asyncio.get_running_loop().time() - began, hopeless=isinstance(error, BadTeller))

    async def _port(self, node: NodeRecord) -> int:
        """Return where a node listens: lists for clients leave it out, so it is asked itself, through a path.

        Of its answer only its own port counts; its address and key are those of our list.  Raises RemoteError.
        """
        if node.omq_port:
            return node.omq_port
        (result,) = await self._home.request(node, [GetSwarm(account=self._keys.id.raw)])
        for each in read_get_swarm(result.body).nodes:
            if each.ed25519 == node.ed25519 and each.omq_port:
                return each.omq_port
        raise ParseError("a node does not say where it can be connected to")

    def _ended(self, node: NodeRecord, _task: asyncio.Task[None]) -> None:
        del self._held[node]
        self._show(node, live=False)
        self._look.set()

    def _rest(self, node: NodeRecord, lasted: float, *, hopeless: bool) -> None:
        _, before = self._resting.pop(node.ed25519, (0.0, 0.0))
        rest = FIRST_REST if lasted > LONGEST_REST else min(max(2 * before, FIRST_REST), LONGEST_REST)
        rest = LONGEST_REST if hopeless else rest
        self._resting[node.ed25519] = asyncio.get_running_loop().time() + rest, rest
        while len(self._resting) > REMEMBERED:
            self._resting.pop(next(iter(self._resting)))

    # What the subscriptions use.

    def _ask(self) -> bytes:
        return monitor.encode_request(self._keys, self._namespaces, self._home.now() // 1000)

    def _hear(self, notice: monitor.Notice) -> None:
        """Take a notice.  Raises BadTeller."""
        if notice.account != self._keys.id.raw or notice.namespace not in self._namespaces:
            raise BadTeller("a node told of something that it was not asked about")
        self._told(notice.hash)

    def _show(self, node: NodeRecord, *, live: bool) -> None:
        if live != (node in self._live):
            if live:
                self._live[node] = None
            else:
                del self._live[node]
            self._changed(bool(self._live))


class Show(Protocol):
    """Told whether a node tells us."""

    def __call__(self, node: NodeRecord, *, live: bool) -> None:
        """Take note of it."""
        ...


class _Subscription:
    """One node that tells us, over one connection at a time."""

    def __init__(
        self,
        world: World,
        node: NodeRecord,
        port: int,
        ask: Callable[[], bytes],
        hear: Callable[[monitor.Notice], None],
        show: Show,
    ) -> None:
        self._world = world
        self._node = node
        self._address = DaemonAddress(Endpoint(node.ip, port), node.x25519)
        self._ask = ask
        self._hear = hear
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()  # the connection
        self._bad: BadTeller | None = None
        self._end: asyncio.Timeout | None = None
        self._minute, self._messages = self._loop.time(), 0

    async def run(self) -> None:
        """Subscribe, renew and reconnect until that fails.  Raises RemoteError, LocalError."""
        link = await self._world.net.dial(
            self._address,
            {monitor.NOTICE: Command(self._noticed, expects_reply=False)},
            watcher=self._connection_changed,
            heard=self._heard,
            max_message=monitor.MAX_SIZE,
        )
        try:
            async with asyncio.timeout(None) as self._end:
                await self._keep(link)
        except TimeoutError:
            raise self._bad or Unsteady("a node could not be listened to") from None
        finally:
            self._end = None
            self._show(self._node, live=False)
            await link.close()

    async def _keep(self, link: DaemonLink) -> None:
        short = 0
        while True:
            self._lost.clear()
            monitor.read_answer(await link.request(monitor.ASK, [self._ask()], timeout=PATIENCE))
            self._show(self._node, live=link.connected)
            began = self._loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEWED * self._world.entropy.uniform(1 - JITTER, 1 + JITTER)):
                    await self._lost.wait()
            short = short + 1 if self._loop.time() - began < SHORT else 0
            if short > MOST_SHORT:
                raise Unsteady("the connections to a node do not last")

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - a ConnectionWatcher
        if not connected:
            self._show(self._node, live=False)
            self._lost.set()

    def _heard(self) -> None:
        now = self._loop.time()
        if now - self._minute > MINUTE:
            self._minute, self._messages = now, 0
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            self._blame("a node says too much")

    def _noticed(self, _origin: Origin, parts: list[bytes]) -> None:
        if self._bad is None:
            try:
                self._hear(monitor.read_notice(parts))
            except (ParseError, BadTeller) as error:
                self._blame(str(error))

    def _blame(self, text: str) -> None:
        """Have `run` end, whatever it waits for."""
        if self._bad is None and self._end is not None:
            self._bad = BadTeller(text)
            self._end.reschedule(self._loop.time())

"""The `Network`: everything in this room wired together, behind one object.

    async with Network(world, MAINNET, FileCache(path)) as network:
        await network.ready()
        receipt = await network.store(account, data, ttl_ms=…)

It owns the tasks that build paths, watch them and their guards, renew the node list and save it, and every request
on its way.  It decides nothing itself.
Spec: bootstrap-and-paths.md; the interfaces are those of docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ramson.crypto.account import AccountId, AccountKeys
from ramson.errors import ParseError
from ramson.network import cache as memory
from ramson.network.attempts import Attempts
from ramson.network.builder import PathBuilder
from ramson.network.cache import Cache, Snapshot
from ramson.network.clock import ClockOffset
from ramson.network.countries import country_of
from ramson.network.directory import Directory
from ramson.network.entry import DirectEntry, Entry
from ramson.network.errors import Closed, NoPath, NotRunning
from ramson.network.guard_watch import GuardWatch
from ramson.network.hop_policy import ANY_NODE, Crowd, HopPolicy, crowd
from ramson.network.mailbox import Item, Mailbox
from ramson.network.path_watch import PathWatch
from ramson.network.paths import Path
from ramson.network.profile import NetworkProfile
from ramson.network.receipts import DeleteReceipt, ExpireReceipt, Polled, Retrieved, StoreReceipt
from ramson.network.refresher import Refresher
from ramson.network.requests import ATTEMPTS, SERVER_TIMEOUT, OnionRequests, as_it_is
from ramson.network.routing import Routing
from ramson.network.status import Light, PathStatus, StatusBoard, status_of
from ramson.network.swarm_requests import SwarmRequests
from ramson.network.swarms import Swarms
from ramson.network.trace import Event, ListAdopted, PathBuilt, PathDropped, PoolLoaded, Source, Trace, no_trace
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.onion import ServerDestination
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.protocol.storage import Request, Result
from ramson.world import World

log = logging.getLogger(__name__)

PATH_LOOKS = 10  # times a request looks for a path before it gives up
PATH_LOOK_PAUSE = 1.0  # seconds
SAVE_PAUSE = 10.0  # seconds between two savings of the cache
STALE_LIST = "The list of nodes in use is more than a month old, and nothing newer was found yet"


class Network:
    """A client's way through the network; an async context manager, to be entered once.

    `entry` is the way out, the straight one unless given; its owner closes it afterwards.  `policy` says which nodes
    paths are made of, and `pinned` (Ed25519 keys of three nodes) is a path that is used while it works.  `trace` is
    told everything that happens (see `ramson.network.trace`).
    """

    def __init__(
        self,
        world: World,
        profile: NetworkProfile,
        cache: Cache,
        *,
        entry: Entry | None = None,
        policy: HopPolicy = ANY_NODE,
        pinned: Sequence[bytes] = (),
        trace: Trace = no_trace,
    ) -> None:
        self._clock = world.clock
        self._profile = profile
        self._cache = cache
        self._disk = world.disk()
        self._listener = trace
        self._offset = ClockOffset()
        self._board = StatusBoard()
        self._trouble = self._caution = ""
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = False
        self._running: dict[asyncio.Task[Any], None] = {}
        self._changed = asyncio.Event()
        self._unsaved = asyncio.Event()

        entry = entry or DirectEntry(world.net, world.entropy)
        self._policy = policy
        self._routing = Routing(
            diversity=profile.diversity,
            min_pool=profile.min_pool,
            entropy=world.entropy,
            trace=self._on_event,
            may_be_hop=lambda node: policy.allows(node.ip, country_of),
            pinned=pinned,
        )
        self._directory = Directory(entry, profile, self._routing, self._on_event, world.clock.now)
        self._builder = PathBuilder(
            entry, self._directory, self._routing, trouble=self._on_trouble, trace=self._on_event
        )
        attempts = Attempts(world, entry, self._routing, self._on_event, self._spawn)
        self._guard_watch = GuardWatch(entry, self._routing, self._on_event)
        self._path_watch = PathWatch(attempts, self._routing, world.entropy, self._on_event)
        self._requests = OnionRequests(attempts, self._routing, self._offset, self._find_path)
        self._refresher = Refresher(self._directory, self._requests)
        self._swarms = Swarms(self._requests, self._routing, world.entropy, self._refresher.hurry)
        swarm_requests = SwarmRequests(self._requests, self._swarms, self._routing, self._offset)
        self._mailbox = Mailbox(self._requests, swarm_requests, self._swarms, self._routing, self.now)
        self._entry = entry
        entry.watch(self._on_other_way, self._show_status)

    # Life.

    async def __aenter__(self) -> Self:
        await self._remember()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for work, name in (
            (self._builder.run(), "path builder"),
            (self._guard_watch.run(), "guard watch"),
            (self._path_watch.run(), "path watch"),
            (self._refresher.run(), "node list refresher"),
            (self._save_changes(), "node list cache"),
        ):
            self._spawn(work, name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks, self._closing = self._tasks, True
        if tasks is None:
            return
        for task in list(self._running):
            task.cancel()
        try:
            # A cancellation may come from the group itself, because one of our tasks failed; only the group can tell.
            # Any other error is the caller's own and passes as it is.
            cancelled = isinstance(error, asyncio.CancelledError)
            await tasks.__aexit__(*(kind, error, traceback) if cancelled else (None, None, None))
        finally:
            self._tasks = None
            await self._save()
            await self._disk.close()

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that ends when the network does, at the latest.  Raises Closed."""
        if self._tasks is None:
            work.close()
            raise Closed
        task = self._tasks.create_task(work, name=name)
        if self._closing:
            # One of our own tasks, about to be cancelled itself, got so far as to ask for another.
            task.cancel()
        self._running[task] = None
        task.add_done_callback(lambda done: self._running.pop(done, None))
        return task

    async def ready(self) -> PathStatus:
        """Wait until there is a path, however long that takes; `asyncio.timeout` bounds it."""
        status = self._board.status
        while status.light is Light.RED:
            self._check_running()
            status = await self._board.change(status)
        return status

    # State.

    @property
    def status(self) -> PathStatus:
        """The path light with its reason and paths."""
        return self._board.status

    def watch(self) -> AsyncIterator[PathStatus]:
        """Iterate over the present status and all that follow."""
        return self._board.watch()

    @property
    def crowd(self) -> Crowd:
        """How many nodes the policy leaves for paths, with a warning where they are few."""
        return crowd(self._policy, self.nodes, country_of)

    @property
    def pinned(self) -> Path | None:
        """The pinned path, while it is in use."""
        return self._routing.pinned

    def reroll(self, *, guards: bool = False) -> None:
        """Make paths of other nodes, and forget the pinned one; other guards only if asked for.

        To change guards often is to show this device's address to more nodes.
        """
        self._check_running()
        self._routing.reroll(guards=guards)
        self._builder.wake()
        self._show_status()

    def now(self) -> int:
        """Return network time in Unix ms: local time less its offset from what nodes say."""
        return self._clock.now() - self._offset.offset_ms

    @property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """All nodes in use."""
        return tuple(self._routing.pool.values())

    # Requests.

    async def request(self, node: NodeRecord, requests: Sequence[Request]) -> list[Result]:
        """Send up to 20 storage requests to a node in one batch, by a path that does not hold it.

        A result may be a refusal of the node: look at its `code`.  Raises RequestFailed, NoPath, TooManyRequests.
        """
        self._check_running()
        return list((await self._requests.to_node(node, requests, as_it_is)).results)

    async def call_server(
        self,
        server: ServerDestination,
        request: ServerRequest,
        *,
        seconds: float = SERVER_TIMEOUT,
        attempts: int = ATTEMPTS,
        repeatable: bool = False,
    ) -> ServerResponse:
        """Send a request to a server outside through the network and return its answer, whatever its code.

        `seconds` is for each of up to `attempts` attempts; files want 30.  A request that is `repeatable` is sent by a
        second path when the first is silent, and may so reach the server twice.  Raises RequestFailed, NoPath.
        """
        self._check_running()
        return await self._requests.to_server(
            server, request, seconds=seconds, attempts=attempts, repeatable=repeatable
        )

    async def swarm(self, account: AccountId) -> tuple[NodeRecord, ...]:
        """Return the known good members of an account's swarm, in random order.  Raises SwarmUnavailable, NoPath."""
        await self._way_in()
        return await self._swarms.members(account.raw)

    async def store(
        self,
        account: AccountId,
        data: bytes,
        *,
        ttl_ms: int,
        namespace: int = 0,
        keys: AccountKeys | None = None,
        timestamp: int | None = None,
    ) -> StoreReceipt:
        """Store a message; see `Mailbox.store`."""
        await self._way_in()
        return await self._mailbox.store(
            account, data, ttl_ms=ttl_ms, namespace=namespace, keys=keys, timestamp=timestamp
        )

    async def retrieve(
        self,
        keys: AccountKeys,
        namespaces: Sequence[int],
        last: Mapping[bytes, Mapping[int, str]],
        *,
        node: NodeRecord | None = None,
        extend: Sequence[str] = (),
    ) -> Retrieved:
        """Fetch messages from one member of our own swarm; see `Mailbox.retrieve`."""
        await self._way_in()
        return await self._mailbox.retrieve(keys, namespaces, last, node=node, extend=extend)

    async def poll(
        self,
        keys: AccountKeys,
        namespaces: Sequence[int],
        last: Mapping[bytes, Mapping[int, str]],
        *,
        extend: Sequence[str] = (),
    ) -> Polled:
        """Fetch messages from two members at once; see `Mailbox.poll`."""
        await self._way_in()
        return await self._mailbox.poll(keys, namespaces, last, extend=extend)

    async def replace(self, keys: AccountKeys, items: Sequence[Item], obsolete: Sequence[str]) -> tuple[str, ...]:
        """Store messages of our own and then delete older ones; see `Mailbox.replace`."""
        await self._way_in()
        return await self._mailbox.replace(keys, items, obsolete)

    async def delete_all(self, keys: AccountKeys, *, only: NodeRecord | None = None) -> DeleteReceipt:
        """Delete everything of our own; see `Mailbox.delete_all`."""
        await self._way_in()
        return await self._mailbox.delete_all(keys, only=only)

    async def delete(self, keys: AccountKeys, hashes: Sequence[str]) -> DeleteReceipt:
        """Delete messages of our own; see `Mailbox.delete`."""
        await self._way_in()
        return await self._mailbox.delete(keys, hashes)

    async def expire(
        self, keys: AccountKeys, hashes: Sequence[str], expiry: int, *, shorten: bool = False, extend: bool = False
    ) -> ExpireReceipt:
        """Change expiries of our own messages; see `Mailbox.expire`."""
        await self._way_in()
        return await self._mailbox.expire(keys, hashes, expiry, shorten=shorten, extend=extend)

    async def get_expiries(self, keys: AccountKeys, hashes: Sequence[str]) -> dict[str, int]:
        """Return expiries of our own messages; see `Mailbox.get_expiries`."""
        await self._way_in()
        return await self._mailbox.get_expiries(keys, hashes)

    # Inside.

    def _check_running(self) -> None:
        if self._tasks is None or self._closing:
            raise NotRunning("the network is not running", remedy="Use it inside `async with`.")

    async def _way_in(self) -> None:
        """Wait for a path, and with it for the list of nodes from which a swarm is asked for.  Raises NoPath."""
        self._check_running()
        await self._find_path(None, None)

    async def _find_path(self, avoid: bytes | None, after: Path | None) -> Path:
        for _ in range(PATH_LOOKS):
            path = self._routing.choose(avoid, after=after)
            if path is not None:
                return path
            await self._path_changed(PATH_LOOK_PAUSE)
        raise NoPath(self._board.status.reason)

    async def _path_changed(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PoolLoaded) and event.source is Source.LIST:
            self._refresher.hurry()  # it was made days ago, or is a part
        if isinstance(event, ListAdopted):
            self._caution = STALE_LIST if event.stale else ""
        elif isinstance(event, PoolLoaded) and event.source is Source.NODES:
            self._caution = ""
        if isinstance(event, PathBuilt | PathDropped | PoolLoaded):
            self._unsaved.set()
            self._changed.set()
            self._changed = asyncio.Event()
            if not isinstance(event, PathBuilt):
                self._builder.wake()
        if self._routing.doubtful_guards:
            self._guard_watch.wake()
        if self._routing.suspects:
            self._path_watch.wake()
        self._show_status()
        try:
            self._listener(event)
        except Exception:
            log.exception("a trace failed")

    def _on_other_way(self) -> None:
        """Look anew at what is known of guards and paths: it was learned by another way out."""
        self._routing.doubt_all()
        self._guard_watch.wake()
        self._builder.wake()
        self._show_status()

    def _on_trouble(self, trouble: str) -> None:
        self._trouble = trouble
        self._show_status()

    def _show_status(self) -> None:
        working = self._routing.working
        broken = len(self._routing.paths) - len(working)
        self._board.show(
            status_of(working, broken=broken, trouble=self._trouble, way=self._entry.notice, caution=self._caution)
        )

    # Memory.

    async def _remember(self) -> None:
        data = await self._disk.run(self._cache.load)
        if data is None:
            return
        try:
            snapshot = memory.decode(data, self._profile.fingerprint, now_ms=self._clock.now())
        except ParseError as error:
            log.info("%s", error)
            return
        self._directory.remember(snapshot.known)
        self._routing.remember_guards(snapshot.guards)
        self._unsaved.clear()

    async def _save_changes(self) -> None:
        while True:
            await self._unsaved.wait()
            await self._save()
            await asyncio.sleep(SAVE_PAUSE)

    async def _save(self) -> None:
        if not self._unsaved.is_set() or not self._routing.pool:
            return
        self._unsaved.clear()
        known = self._directory.known
        snapshot = Snapshot(
            # All nodes of the list, also those that failed today: it is what other lists are held against.
            known.nodes if known else tuple(self._routing.pool.values()),
            self._routing.guards,
            self._clock.now(),
            *((known.standing, known.voice, known.time_ms) if known else ()),
        )
        data = memory.encode(snapshot, self._profile.fingerprint)
        try:
            await self._disk.run(lambda: self._cache.save(data))
        except OSError as error:
            log.warning("the node list could not be saved: %s", type(error).__name__)

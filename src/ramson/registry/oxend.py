"""The registry of a node that lives beside a real oxend: its node list, its blocks, its judgement of this node.

It never keeps anything on disk, and never gives up: when the daemon is away, the last list stays in use.
Spec: oxend-interface.md §3–4, swarms.md §4, testing-and-uptime.md §1, §4.

Theory of operation
-------------------
One connection lasts as long as the registry.  Two chores run beside each other.

*Attend*: every 30 s, and at once when the connection has come back, renew the subscription to blocks and ping the
daemon, which would otherwise think the storage server dead and stop vouching for the node.

*Follow*: fetch the node list whenever something says that it may be stale, one fetch at a time.  What says so: a
block; the connection coming back; a renewal answered with `OK` instead of `ALREADY`, because then the daemon had
forgotten the subscription and blocks may have passed unheard; and five minutes without word, in which two
blocks were due.  The fetch names the last block known, and a daemon without a newer one answers so in a few bytes.

Entering waits for the first list: a daemon that is still syncing knows only the nodes of some time ago, so a
short or addressless list is not used before it is as high as the network's seeds say the chain is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError, RemoteError
from ramson.protocol.nodes import NodeList
from ramson.registry.oxend_connect import SEED_TIMEOUT, Retry, ask_heights
from ramson.registry.oxend_lists import BlockHashes, Syncing, Verdict, inherit_addresses
from ramson.registry.oxend_rpc import OK, Announcement, Oxend
from ramson.registry.registry import RegistryError
from ramson.world import Command, DaemonAddress, Origin, World

logger = logging.getLogger(__name__)

MAX_REORG: Final = 60  # blocks; a list that is older by more comes from a daemon that is syncing anew
MAX_CALLS: Final = 16  # of clients at one time: each reply may have megabytes
RECENT_HASHES: Final = 6  # fetched if they were not heard of
_ENDPOINTS: Final = frozenset({"get_service_nodes", "ons_resolve"})


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.  `spacing` lies at least between two fetches of the list; `silence` without word prompts one."""

    renew: float = 30.0
    request: float = 15.0
    seed: float = SEED_TIMEOUT
    first_retry: float = 0.5
    longest_retry: float = 5.0
    spacing: float = 0.5
    silence: float = 300.0


class Chore(StrEnum):
    """What is regularly done with the daemon, as it is called in logs and in `Health.problems`."""

    LIST = "node list"
    SUBSCRIPTION = "block subscription"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Health:
    """How things stand between this node and its daemon.  Times are wall time in ms; None means never.

    `ping_reply` is the daemon's verdict on this storage server: `OK`, or why it will not vouch for it.
    `sync_target` is the height that is waited for before the first list is used.
    """

    connected: bool = False
    block: int | None = None
    block_ms: int | None = None
    list_height: int | None = None
    list_nodes: int = 0
    list_confirmed_ms: int | None = None
    ping_reply: str = ""
    ping_ms: int | None = None
    sync_target: int | None = None
    problems: tuple[str, ...] = ()


class OxendRegistry:
    """A Registry over the daemon at `address`, in use between entering and leaving it as a context manager.

    `seeds` are asked when the daemon's first list is too short or too empty; `identity` is shown to a daemon
    that wants CURVE.  Entering returns when there is a list, however long that takes, and raises LocalError for an
    address that can never be connected to.
    """

    def __init__(
        self,
        world: World,
        address: DaemonAddress,
        announcement: Announcement,
        *,
        testnet: bool = False,
        seeds: Sequence[DaemonAddress] = (),
        identity: X25519KeyPair | None = None,
        timing: Timing = Timing(),
    ) -> None:
        self._world = world
        self._address = address
        self._announcement = announcement
        self._seeds = seeds
        self._identity = identity
        self._timing = timing
        self._stack = AsyncExitStack()
        self._oxend: Oxend | None = None
        self._syncing = Syncing(testnet)
        self._newest: NodeList | None = None  # what the daemon sent last
        self._list: NodeList | None = None  # what is in use
        self._changed = asyncio.Event()
        self._stale = asyncio.Event()
        self._attend_now = asyncio.Event()
        self._hashes = BlockHashes()
        self._notified: int | None = None
        self._heard_at = self._warned_at = world.clock.monotonic()
        self._own_fault = ""
        self._calls = 0
        self._health = Health()
        self._problems: dict[Chore, str] = {}

    # ---- Registry

    def current(self) -> NodeList:
        """Return the newest list.  Raises LocalError before there is one: while it is still being entered."""
        if self._list is None:
            raise LocalError("the daemon has sent no node list yet", remedy="use the registry once it is entered")
        return self._list

    async def wait_change(self, after: NodeList) -> NodeList:
        """Return the newest list as soon as it differs from `after`."""
        while self.current() == after:
            await self._changed.wait()
        return self.current()

    async def call(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        """Pass a client's `get_service_nodes` or `ons_resolve` on; the reply is JSON as Python values.

        Raises RegistryError with the daemon's text, or when it does not answer; ParseError when the answer is not JSON.
        """
        if endpoint not in _ENDPOINTS:
            raise RegistryError(f"Unknown endpoint {endpoint}")
        if not self._health.connected:
            raise RegistryError("the daemon is away")
        if self._calls >= MAX_CALLS:
            raise RegistryError("the daemon is busy")
        self._calls += 1
        try:
            return await self._daemon().call(f"rpc.{endpoint}", params)
        finally:
            self._calls -= 1

    # ---- what only a daemon can do

    @property
    def health(self) -> Health:
        """How things stand."""
        return replace(self._health, problems=tuple(f"{chore}: {text}" for chore, text in self._problems.items()))

    def block_hash(self, height: int) -> str | None:
        """Return the hash (hex) of one of the last blocks."""
        return self._hashes.get(height)

    async def report_peer_status(self, legacy: bytes, *, passed: bool) -> bool:
        """Tell the daemon how a test of the node with this legacy key went; False when it did not take the report.

        A lost report is no reason to stop: the next test makes a new one.
        """
        if not self._health.connected:
            return False
        try:
            verdict = await self._daemon().report_peer_status(legacy, passed=passed)
        except RemoteError as error:
            verdict = str(error)
        if verdict != OK:
            logger.info("the daemon did not take a test's result: %s", verdict)
        return verdict == OK

    def declare_unwell(self, error: str) -> None:
        """Let the daemon know, now and with every ping, what is wrong with this node; nothing when it is well again."""
        if error != self._own_fault:
            self._own_fault = error
            self._attend_now.set()

    # ---- its life

    async def run(self) -> None:
        """Be in use until cancelled."""
        async with self:
            await asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            link = await self._world.net.dial(
                self._address,
                {"notify.block": Command(self._block_found, expects_reply=False)},
                identity=self._identity,
                watcher=self._connection_changed,
            )
            stack.push_async_callback(link.close)
            self._oxend = Oxend(link, self._timing.request)
            self._stale.set()
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for name, chore in ("attend the daemon", self._attend()), ("follow the node list", self._follow()):
                stack.callback(tasks.create_task(chore, name=name).cancel)
            logger.info("waiting for the node list of the daemon at %s", self._address)
            while self._list is None:
                await self._changed.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _daemon(self) -> Oxend:
        if self._oxend is None:
            raise LocalError("the registry has not been entered")
        return self._oxend

    # ---- what the daemon says unasked

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - a ConnectionWatcher
        self._health = replace(self._health, connected=connected)
        self._notified = None
        if connected:
            logger.info("connected to the daemon")
            self._attend_now.set()
            self._stale.set()
        elif self._list is None:
            logger.warning("lost the daemon before it sent a node list")
        else:
            logger.warning("lost the daemon: the node list of block %d stays in use", self._list.height)

    def _block_found(self, _origin: Origin, parts: list[bytes]) -> None:
        if len(parts) != 2 or not parts[0].isdigit() or len(parts[0]) > 18 or len(parts[1]) != 32:
            logger.warning("the daemon told of a block in a form that is not known")
            return
        height = int(parts[0])
        if self._notified is not None and height > self._notified + 1:
            logger.warning("missed %d blocks before block %d", height - self._notified - 1, height)
        self._notified = height
        self._note_block(height, parts[1].hex())
        self._stale.set()

    def _note_block(self, height: int, block_hash: str) -> None:
        self._hashes.add(height, block_hash)
        if height != self._health.block:
            self._health = replace(self._health, block=height, block_ms=self._world.clock.now())

    # ---- attending

    async def _attend(self) -> None:
        retry = self._retry()
        pause = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._attend_now.wait()
            self._attend_now.clear()
            pause = self._timing.renew
            if self._health.connected:
                subscribed = await self._do(Chore.SUBSCRIPTION, self._subscribe)
                pinged = await self._do(Chore.PING, self._ping)
                if subscribed and pinged:
                    retry.succeeded()
                else:
                    pause = retry.pause()
            self._mind_the_age()

    def _mind_the_age(self) -> None:
        """Ask for the list when it has not been confirmed for long; warn that it is stale when that does not help."""
        now, silence = self._world.clock.monotonic(), self._timing.silence
        age = now - self._heard_at
        if self._list is None or age >= silence:
            self._stale.set()
        if self._list is not None and age >= 2 * silence and now - self._warned_at >= silence:
            self._warned_at = now
            logger.warning("the node list is stale: the daemon has not confirmed it for %d s", round(age))

    async def _subscribe(self) -> str:
        if await self._daemon().subscribe():
            self._stale.set()  # until now blocks may have passed unheard
        return ""

    async def _ping(self) -> str:
        verdict = await self._daemon().ping(self._announcement, self._own_fault)
        self._health = replace(self._health, ping_reply=verdict, ping_ms=self._world.clock.now())
        return "" if verdict == OK else f"the daemon does not vouch for this storage server: {verdict}"

    # ---- following

    async def _follow(self) -> None:
        retry = self._retry()
        while True:
            await self._stale.wait()
            self._stale.clear()
            if await self._do(Chore.LIST, self._fetch):
                retry.succeeded()
                await self._fetch_hashes()
                await asyncio.sleep(self._timing.spacing)
            else:
                self._stale.set()
                await asyncio.sleep(retry.pause())

    async def _fetch(self) -> str:
        known = self._newest
        nodes = await self._daemon().service_nodes("" if known is None else known.block_hash)
        self._heard_at = self._world.clock.monotonic()
        if nodes is None:
            nodes = known
        elif not nodes.nodes:
            return "the daemon lists no usable node"
        elif known is not None and nodes.height < known.height - MAX_REORG and self._list is not None:
            return f"the daemon is syncing anew: the list of block {known.height} stays in use"
        if nodes is None:
            raise RegistryError("the daemon confirmed a list it never sent")
        self._health = replace(self._health, list_confirmed_ms=self._world.clock.now())
        if nodes is not known:
            nodes = self._newest = inherit_addresses(nodes, known)
            self._note_block(nodes.height, nodes.block_hash)
        if self._list is None:
            return await self._begin(nodes)
        if nodes is not self._list:
            self._use(nodes)
        return ""

    async def _begin(self, nodes: NodeList) -> str:
        """Use the first list if it is good enough; otherwise say what is waited for."""
        syncing, clock = self._syncing, self._world.clock
        verdict = syncing.judge(nodes, clock.monotonic())
        if verdict is Verdict.ASK_SEEDS:
            heights = await ask_heights(self._world, self._seeds, reply_seconds=self._timing.seed)
            syncing.seeds_answered(heights, clock.monotonic())
            if not heights:
                logger.warning("the daemon knows few nodes, and there is no seed to compare with: its list is used")
            verdict = syncing.judge(nodes, clock.monotonic())
        if verdict is Verdict.USE:
            self._health = replace(self._health, sync_target=None)
            self._use(nodes)
            return ""
        self._health = replace(self._health, sync_target=syncing.target)
        return f"the daemon is still syncing: waiting for block {syncing.target}"

    def _use(self, nodes: NodeList) -> None:
        self._list = nodes
        self._health = replace(self._health, list_height=nodes.height, list_nodes=len(nodes.nodes))
        logger.info("node list: block=%d nodes=%d swarms=%d", nodes.height, len(nodes.nodes), len(nodes.swarm_ids))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _fetch_hashes(self) -> None:
        """Fetch the hashes of recent blocks that passed unheard; they matter only to storage tests."""
        if self._newest is None:
            return
        try:
            for height in self._hashes.missing(self._newest.height, RECENT_HASHES):
                self._hashes.add(height, await self._daemon().block_hash(height))
        except RemoteError as error:
            logger.info("recent block hashes could not be fetched: %s", error)

    # ---- both

    def _retry(self) -> Retry:
        return Retry(self._world.entropy, self._timing.first_retry, self._timing.longest_retry)

    async def _do(self, chore: Chore, work: Callable[[], Awaitable[str]]) -> bool:
        """Do a chore; False if it failed.  What is wrong, which is what `work` returns or raises, is logged once."""
        try:
            trouble, done = await work(), True
        except RemoteError as error:
            trouble, done = str(error), False
        if trouble and self._problems.get(chore) != trouble:
            logger.warning("%s: %s", chore, trouble)
            self._problems[chore] = trouble
        elif not trouble and self._problems.pop(chore, ""):
            logger.info("%s: all well again", chore)
        return done

"""A simulated host: its clock, its disk, and the life it leads between a start and a crash.

A host outlives its crashes, an `Incarnation` does not.  Everything a program can hold on to (its world,
its listeners, its tasks) belongs to one incarnation, so that what survives a crash in memory can do
nothing any more: its net and its disk refuse, its tasks are cancelled.  Files stay as the last finished
piece of disk work left them.

A crash is that of the process, not of the machine: connections are reset, and until the restart new
ones are refused.  (A machine that falls silent is a partition of one.)
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ramson.errors import LocalError
from ramson.world.http import Endpoint
from ramson.world.outlets import ProxyKind
from ramson.world.simulated.fabric import Fabric
from ramson.world.simulated.loop import owner
from ramson.world.simulated.net import SimulatedNet
from ramson.world.simulated.outlets import SimulatedOutlets
from ramson.world.simulated.ways import SimulatedBridge, SimulatedProxy
from ramson.world.world import World

if TYPE_CHECKING:
    import random

T = TypeVar("T")

Program = Callable[[World], Coroutine[Any, Any, None]]

IN_ORDER = 2e-6  # seconds between two pieces of work of one disk
PRUNE_AT = 256  # finished tasks are forgotten when this many have been adopted


class HostDown(LocalError):
    """The world in use belongs to a host that has crashed since; take its world anew after the restart."""


class SimulatedClock:
    """A host's clock: wall time with a skew and a drift, and the loop's time."""

    def __init__(self, fabric: Fabric, host: Host) -> None:
        self._fabric = fabric
        self._host = host

    def now(self) -> int:
        """Return Unix milliseconds as this host believes them."""
        return self._fabric.epoch_ms + int(self._fabric.loop.time() * self._host.pace * 1000) + self._host.skew_ms

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self._fabric.loop.time()


class SimulatedDisk:
    """Runs work inline, one piece after the other, each after a drawn delay.

    Work that was given is done even when its caller gives up; a crash loses it.
    """

    def __init__(self, life: Incarnation) -> None:
        self._life = life
        self._fabric = life.fabric
        self._free_at = 0.0
        self._closed = False
        self._pending: dict[asyncio.Future[Any], tuple[Callable[[], Any], asyncio.TimerHandle]] = {}

    async def run(self, work: Callable[[], T]) -> T:
        """Wait for the disk, run `work`, and return what it returns or raise what it raises."""
        self._life.check()
        if self._closed:
            raise LocalError("the disk was closed", remedy="give it no work after close()")
        seconds, stalled = self._fabric.model.disk_delay(self._life.chance)
        if stalled:
            self._fabric.fault("disk-stall", self._life.host.address)
        return await self._after(seconds * self._life.host.disk_factor, work)

    async def close(self) -> None:
        """Let what was given be done, then take no more."""
        self._life.check()
        if not self._closed:
            self._closed = True
            await self._after(0.0, lambda: None)
            self._life.mortals.remove(self)

    def begun(self) -> Callable[[], Any] | None:
        """Return the piece of work that the disk is doing now."""
        return next((work for work, _ in self._pending.values()), None)

    def lose(self) -> None:
        """Forget what is not done yet: the host crashed."""
        for done, (_, handle) in self._pending.items():
            handle.cancel()
            self._fabric.fault("disk-work-lost", self._life.host.address)
            done.cancel()
        self._pending.clear()

    def _after(self, seconds: float, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do `work` in so many seconds, or so long after the last piece given."""
        loop = self._fabric.loop
        self._free_at = max(self._free_at, loop.time()) + max(seconds, IN_ORDER)
        done: asyncio.Future[T] = loop.create_future()
        self._pending[done] = work, loop.call_at(self._free_at, self._perform, work, done)
        self._life.host.notice_work()
        return done

    def _perform(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        del self._pending[done]
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(result)


class Mortal(Protocol):
    """Something that ends with its incarnation."""

    def lose(self) -> None:
        """End at once, without any farewell of the program's own."""
        ...


class Incarnation:
    """One life of a host, from its start to its crash."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.fabric = host.fabric
        self.alive = True
        self.chance: random.Random = self.fabric.generator(f"chance/{host.address}/{number}")
        self.mortals: list[Mortal] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._prune_at = PRUNE_AT
        self._context = Context()
        self._context.run(owner.set, self)
        self.net = SimulatedNet(self)
        self.mortals.append(self.net)
        self.world = World(
            clock=SimulatedClock(self.fabric, host),
            entropy=self.fabric.generator(f"entropy/{host.address}/{number}"),
            net=self.net,
            disk=self._new_disk,
            outlets=SimulatedOutlets(self),
        )

    def context(self) -> Context:
        """Return a fresh context in which tasks belong to this life."""
        return self._context.copy()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Remember a task, to cancel it at the crash; after the crash it is cancelled at once."""
        if not self.alive:
            task.cancel()
        if len(self._tasks) >= self._prune_at:
            self._tasks = {each: None for each in self._tasks if not each.done()}
            self._prune_at = max(PRUNE_AT, 2 * len(self._tasks))
        self._tasks[task] = None

    def check(self) -> None:
        """Stop whoever calls after the crash: its own tasks by cancellation, others by HostDown."""
        if self.alive:
            return
        if asyncio.current_task() in self._tasks:
            raise asyncio.CancelledError
        raise HostDown(f"{self.host.address} has crashed", remedy="use the world it has after its restart")

    def crash(self) -> None:
        """End this life."""
        self.alive = False
        for mortal in self.mortals:
            mortal.lose()
        for task in self._tasks:
            task.cancel()

    def _new_disk(self) -> SimulatedDisk:
        disk = SimulatedDisk(self)
        self.mortals.append(disk)
        return disk


class Host:
    """A host of the simulation, known by its address."""

    def __init__(self, fabric: Fabric, address: str) -> None:
        self.fabric = fabric
        self.address = address
        self.region = fabric.model.region(fabric.generator(f"region/{address}"))
        self.skew_ms = 0
        self.pace = 1.0  # seconds its wall clock goes on in one second
        self.disk_factor = 1.0
        self.bandwidth = math.inf  # bytes per second of its line, for each message by itself
        self.gateway = address  # what its network is known by
        self.programs: dict[str, frozenset[str]] = {}  # transport programs it has, and their methods
        self._work_noticed: asyncio.Future[None] | None = None
        self._program: Program | None = None
        self._main: asyncio.Task[None] | None = None
        self._lives = 1
        self.life = Incarnation(self, self._lives)

    @property
    def world(self) -> World:
        """The world of the host's present life."""
        return self.life.world

    def start(self, program: Program) -> None:
        """Run `program(world)` as this host's process.

        When it raises, the whole simulation fails.  `restart` runs the same program again.
        """
        if self._main is not None and not self._main.done():
            raise LocalError(f"{self.address} already runs a program", remedy="stop or crash it first")
        self._program = program
        self.fabric.note("start", self.address)
        self._main = self.fabric.loop.create_task(
            program(self.world), name=f"host {self.address}", context=self.life.context()
        )
        self._main.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel the program in good order: it may finish its disk work and say goodbye."""
        if self._main is not None and not self._main.done():
            self._main.cancel()
            await asyncio.wait([self._main])

    def proxy(self, port: int, kind: ProxyKind = ProxyKind.SOCKS5, users: Mapping[str, str] | None = None) -> None:
        """Let a proxy listen here until the host crashes; without `users` (name to password) for everybody."""
        self.life.net.place(SimulatedProxy(self.life, kind, users or {}), Endpoint(self.address, port))

    def transport_end(
        self, port: int, method: str, target: Endpoint, arguments: Mapping[str, str] | None = None
    ) -> None:
        """Let the far end of a pluggable transport listen here: it leads to `target` whoever knows the arguments."""
        bridge = SimulatedBridge(self.life, method, arguments or {}, target)
        self.life.net.place(bridge, Endpoint(self.address, port))

    def crash(self) -> None:
        """End the process at this instant."""
        if not self.life.alive:
            raise LocalError(f"{self.address} is down already")
        self.fabric.fault("crash", self.address)
        self._main = None
        self.life.crash()

    async def busy(self) -> None:
        """Wait until a disk of this host is given work; it is in the middle of it then."""
        if self._work_noticed is None:
            self._work_noticed = self.fabric.loop.create_future()
        await asyncio.shield(self._work_noticed)

    def notice_work(self) -> None:
        """Tell who waits that a disk has been given work."""
        if self._work_noticed is not None:
            self._work_noticed.set_result(None)
            self._work_noticed = None

    def work_begun(self) -> list[Callable[[], Any]]:
        """Return what its disks are doing now: at most one piece each."""
        disks = [each for each in self.life.mortals if isinstance(each, SimulatedDisk)]
        return [work for disk in disks if (work := disk.begun()) is not None]

    def restart(self) -> None:
        """Begin a new life, with the same files and the same program, if it had one."""
        if self.life.alive:
            raise LocalError(f"{self.address} is up", remedy="crash it first")
        self.fabric.note("restart", self.address)
        self._lives += 1
        self.life = Incarnation(self, self._lives)
        if self._program is not None:
            self.start(self._program)

    def _ended(self, main: asyncio.Task[None]) -> None:
        if main.cancelled():
            self.fabric.note("ended", self.address)
        elif (error := main.exception()) is not None and main is self._main:
            self.fabric.give_up(self.address, error)

"""A whole network in one process, in virtual time, from one seed.

    sim = Simulation(7)
    sim.host("10.0.0.1").start(serve)              # `async def serve(world: World) -> None`
    answer = sim.run(ask(sim.world("10.0.0.2")))   # the run ends when this coroutine does

Theory of operation.  All programs share one event loop whose time is virtual (`loop`).  What they can
see of the outside is their `World`, and every wait in it (a delay, a disk) is a timer of that loop, its
length drawn from a generator derived from the seed.  Nothing else moves: no thread, no socket, no real
clock.  So the order of all events follows from the seed and the programs, and `log` records it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, TypeVar

from ramson.errors import LocalError
from ramson.world.simulated.censorship import Censor
from ramson.world.simulated.fabric import Fabric
from ramson.world.simulated.host import Host
from ramson.world.simulated.loop import SimulatedLoop
from ramson.world.simulated.model import CALM, Model
from ramson.world.world import World

T = TypeVar("T")

EPOCH_MS = 1_750_000_000_000  # a fixed moment: the date of a run must not depend on the day it is run
DAY = 86_400.0
FAREWELL = 7200.0  # virtual seconds left to tasks that will not end when the run is over


class HostFailed(LocalError):
    """The program of a host raised; the cause is the error it raised."""


class UnhandledError(LocalError):
    """An error was lost in a task or a callback nobody waited for; the cause is the first of them."""


class Simulation:
    """One run of a simulated network.

    `seed` decides everything that is drawn; `model` says from what.  `time_limit` is in virtual
    seconds; a run that gets there fails with `TimeLimit`.
    """

    def __init__(self, seed: int, *, model: Model = CALM, time_limit: float = DAY, epoch_ms: int = EPOCH_MS) -> None:
        self._loop = SimulatedLoop(time_limit=time_limit)
        self._loop.set_exception_handler(self._on_lost_error)
        self._fabric = Fabric(seed, model, self._loop, epoch_ms)
        self._lost_errors: list[BaseException] = []

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._loop.time()

    @property
    def log(self) -> list[str]:
        """Every delivery, loss and fault so far, one line each."""
        return self._fabric.journal

    @property
    def faults(self) -> Counter[str]:
        """How often each kind of fault has happened."""
        return self._fabric.faults

    def log_digest(self) -> str:
        """Return the hex BLAKE2b-256 digest of the log."""
        return hashlib.blake2b("\n".join(self.log).encode(), digest_size=32).hexdigest()

    def host(self, address: str) -> Host:
        """Return the host with this address; it comes into being when first named."""
        if address not in self._fabric.hosts:
            self._fabric.hosts[address] = Host(self._fabric, address)
        return self._fabric.hosts[address]

    def world(self, address: str, *, skew_ms: int | None = None) -> World:
        """Return the present world of a host; `skew_ms` sets how far its clock is ahead."""
        host = self.host(address)
        if skew_ms is not None:
            host.skew_ms = skew_ms
        return host.world

    def name(self, name: str, address: str) -> None:
        """Let a DNS name lead to an address."""
        self._fabric.names[name] = address

    def crash(self, address: str) -> None:
        """Kill the host's process at this instant; see `Host.crash`."""
        self.host(address).crash()

    def restart(self, address: str) -> None:
        """Start a crashed host anew on the same files; see `Host.restart`."""
        self.host(address).restart()

    def partition(self, groups: Sequence[Collection[str]]) -> None:
        """Cut the network: hosts reach only their own group; hosts named in none form one together.

        What is on its way across the cut is lost.  A new partition replaces the last.
        """
        self._fabric.part(groups)

    def heal(self) -> None:
        """End the partition."""
        self._fabric.heal()

    def censor(self, censor: Censor | None) -> None:
        """Put a censor between every host and what it connects to, or take it away; see `censorship`."""
        self._fabric.censor = censor

    def slow_disk(self, address: str, factor: float) -> None:
        """Make a host's disks `factor` times as slow as the model says."""
        self.host(address).disk_factor = factor

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` to its end, then stop all hosts in good order, and return what `main` returned.

        Raises what `main` raises; HostFailed when a host's program dies; Deadlock, TimeLimit;
        UnhandledError when all went well but an error got lost.  A simulation runs once.
        """
        try:
            result = self.step(main)
            self.step(self._stop_hosts())
            if self._lost_errors:
                raise UnhandledError("an error got lost in a task or callback") from self._lost_errors[0]
            return result
        finally:
            self._tear_down()

    def step(self, part: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and let the world stand still then: for a run in parts.

        It is for one thread; the last part is followed by `end`.  Raises as `run` does.
        """
        task = self._loop.create_task(part, name="main")
        self._fabric.stop = task.cancel
        try:
            result = self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            self._raise_failure()
            raise
        self._raise_failure()
        return result

    def end(self) -> None:
        """Stop all hosts in good order, and end the run."""
        try:
            self.step(self._stop_hosts())
        finally:
            self._tear_down()

    async def _stop_hosts(self) -> None:
        for host in self._fabric.hosts.values():
            await host.stop()

    def _raise_failure(self) -> None:
        if self._fabric.failure is not None:
            address, error = self._fabric.failure
            raise HostFailed(f"the program of host {address} died: {type(error).__name__}: {error}") from error

    def _on_lost_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._lost_errors.append(context.get("exception") or LocalError(str(context["message"])))

    def _tear_down(self) -> None:
        self._loop.time_limit = self._loop.time() + FAREWELL
        self._loop.run_until_complete(self._farewell())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _farewell(self) -> None:
        left = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in sorted(left, key=hash):
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=FAREWELL / 2)

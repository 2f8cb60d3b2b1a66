"""An asyncio event loop whose time is virtual.

When callbacks are ready they run; when none is, time jumps to the next timer; when there is no timer
either, nothing can ever happen again, and `Deadlock` names the tasks that still wait.  So a minute of
time limits costs no waiting, and a run depends on nothing but what the program did.

The loop never sleeps, starts no thread and opens no socket: whoever tries is told so by
`OutsideSimulation`.  Tasks and futures hash by the order in which they were made, because asyncio keeps
them in sets and the order of those sets (in which a `TaskGroup` cancels its children) would otherwise
hang on memory addresses and differ from one process to the next.

The task of a simulated host is told by the context variable `owner`: it is inherited by every task made
in it, so the loop can hand each new task to the host it belongs to.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, NoReturn, Protocol, TypeVar

from ramson.errors import LocalError

T = TypeVar("T")

NAMED_IN_DEADLOCK = 20  # tasks listed in the text of a Deadlock
RESOLUTION = 1e-6  # timers this close (seconds) run together; above zero, or the base loop waits for ever


class Deadlock(LocalError):
    """Nothing is ready and no timer is set: the tasks named here wait for each other or for nobody."""


class TimeLimit(LocalError):
    """Virtual time went past the limit of the run: something waits or repeats for ever."""


class OutsideSimulation(LocalError):
    """Code under simulation tried to use a real socket, thread or process."""


class Owner(Protocol):
    """A host, as the loop sees it: something that wants to know its tasks."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take note of a task made in this owner's context."""
        ...


owner: ContextVar[Owner | None] = ContextVar("owner", default=None)


class SimulatedTask(asyncio.Task[T]):
    """A task that hashes by its number."""

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        loop: SimulatedLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        self._number = loop.next_number()
        super().__init__(coro, loop=loop, name=name or f"task-{self._number}", context=context)

    def __hash__(self) -> int:
        return self._number


class SimulatedFuture(asyncio.Future[T]):
    """A future that hashes by its number."""

    def __init__(self, *, loop: SimulatedLoop) -> None:
        self._number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class _TimeJump:
    """Takes the place of the operating system's selector: to wait is to move the clock."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise self._loop.deadlock()
        if timeout > 0:
            self._loop.jump()
        return []


def _closed(what: str, remedy: str = "use World.net") -> Any:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise OutsideSimulation(f"{what} under simulation", remedy=remedy)

    return refuse


class SimulatedLoop(asyncio.BaseEventLoop):
    """The event loop of a simulation; `time()` starts at 0.0 and is in seconds.

    `time_limit` is the virtual time in seconds at which a run is given up with `TimeLimit`.
    """

    # Made by BaseEventLoop, and known to its subclasses only by reading it.
    _scheduled: list[asyncio.TimerHandle]
    _thread_id: int | None

    def __init__(self, *, time_limit: float) -> None:
        super().__init__()
        self._now = 0.0
        self.time_limit = time_limit
        self._made = 0
        self._selector = _TimeJump(self)
        self._clock_resolution = RESOLUTION

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def next_number(self) -> int:
        """Return a number no task or future of this loop has had."""
        self._made += 1
        return self._made

    def jump(self) -> None:
        """Move the clock to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())
        if self._now > self.time_limit:
            raise TimeLimit(
                f"virtual time passed {self.time_limit:g} s",
                remedy="end what repeats for ever, or give the simulation a larger time_limit",
            )

    def deadlock(self) -> Deadlock:
        """Describe the tasks that can never go on."""
        waiting = sorted(asyncio.all_tasks(self), key=hash)
        names = [f"{task.get_name()} ({_where(task)})" for task in waiting[:NAMED_IN_DEADLOCK]]
        if len(waiting) > NAMED_IN_DEADLOCK:
            names.append(f"{len(waiting) - NAMED_IN_DEADLOCK} more")
        return Deadlock(
            f"at {self._now:.6f} s nothing is ready and no timer is set; pending: {', '.join(names)}",
            remedy="give what waits for a peer or another task a time limit",
        )

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future whose hash does not depend on its address."""
        return SimulatedFuture(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Make a task and hand it to the host in whose context it runs."""
        task = SimulatedTask(coro, loop=self, name=None if name is None else str(name), context=context)
        host = owner.get() if context is None else context.get(owner)
        if host is not None:
            host.adopt(task)
        return task

    # What BaseEventLoop leaves to its subclasses.

    def _process_events(self, event_list: list[object]) -> None:
        """No file descriptors, no events."""

    def _write_to_self(self) -> None:
        """Wake the loop from another thread: there must be none."""
        if self._thread_id not in (None, threading.get_ident()):
            raise OutsideSimulation("a thread called into the simulated loop", remedy="use World.disk")

    # The ways out of the simulation, all closed.

    run_in_executor = _closed("work was sent to a thread", "do blocking work with World.disk")
    getaddrinfo = getnameinfo = _closed("a name was looked up")
    create_connection = create_server = create_datagram_endpoint = _closed("a socket was opened")
    create_unix_connection = create_unix_server = _closed("a socket was opened")
    sock_connect = sock_accept = sock_recv = sock_recv_into = sock_recvfrom = _closed("a socket was used")
    sock_recvfrom_into = sock_sendall = sock_sendto = sock_sendfile = _closed("a socket was used")
    connect_read_pipe = connect_write_pipe = _closed("a pipe was opened")
    add_reader = add_writer = _closed("a file descriptor was watched")
    add_signal_handler = _closed("a signal was awaited", "cancel the task instead")
    subprocess_exec = subprocess_shell = _closed("a process was started", "start hosts with Host.start")


def _where(task: asyncio.Task[Any]) -> str:
    coro = task.get_coro()
    return str(getattr(coro, "__qualname__", type(coro).__name__))

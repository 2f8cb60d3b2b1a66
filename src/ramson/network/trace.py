"""What the network tells a listener about itself while it works: frozen events, no account ids, no contents.

A trace is any callable that takes an event.  It is called in the middle of things: it must be quick and
must not raise.  Used to show a path hop by hop, and by tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ramson.network.failures import Failure
from ramson.network.judge import Standing, Why
from ramson.network.paths import Path
from ramson.protocol.nodes import NodeRecord


class Source(StrEnum):
    """Where a list of nodes came from."""

    CACHE = "cache"
    LIST = "list"
    SEEDS = "seeds"
    NODES = "nodes"
    BUNDLED = "bundled"


@dataclass(frozen=True, slots=True)
class SeedFailed:
    """A seed did not give a list."""

    host: str
    why: str


@dataclass(frozen=True, slots=True)
class ListFailed:
    """A channel for signed node lists gave none, or nothing that is one."""

    channel: str
    why: str


@dataclass(frozen=True, slots=True)
class ListRefused:
    """A list was there and is not used; `voice` is the channel or seed it came from."""

    voice: str
    why: Why


@dataclass(frozen=True, slots=True)
class ListAdopted:
    """A list from a seed or channel is used.  `stale`: it is past its soft expiry, and nothing newer was found."""

    voice: str
    standing: Standing
    stale: bool


@dataclass(frozen=True, slots=True)
class PoolLoaded:
    """There is a new list of `count` nodes."""

    source: Source
    count: int


@dataclass(frozen=True, slots=True)
class GuardTested:
    """A candidate for the first position was asked directly."""

    node: NodeRecord
    good: bool


@dataclass(frozen=True, slots=True)
class HopChosen:
    """A node was chosen for a position (1 is the guard) of a path that is being built."""

    position: int
    node: NodeRecord


@dataclass(frozen=True, slots=True)
class PathBuilt:
    """A path is ready for use."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathPatched:
    """Nodes left a path and others came into it; the guard stayed."""

    before: Path
    after: Path


@dataclass(frozen=True, slots=True)
class PathDropped:
    """A path is no longer used, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class NodeDropped:
    """A node left the pool, and why."""

    node: NodeRecord
    why: str


@dataclass(frozen=True, slots=True)
class RequestSent:
    """An onion request went out; `what` names its methods, `destination` is a node's address or a server's host.

    `repeats` is the number of the request, still unanswered, that this one repeats by another path; 0 for none.
    """

    number: int
    path: Path
    destination: str
    what: tuple[str, ...]
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class RequestWaits:
    """Request `number` has no reply after `elapsed_ms`, which is longer than usual."""

    number: int
    path: Path
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class RequestOvertaken:
    """Request `number` was silent for `elapsed_ms`; its repetition `by` got the answer.  Its own reply may yet come."""

    number: int
    path: Path
    elapsed_ms: int
    by: int


@dataclass(frozen=True, slots=True)
class PathTested:
    """A suspect path was tested with a request of its own; `good` when the reply came in time."""

    path: Path
    good: bool


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """The reply to request `number` came after `elapsed_ms`; `failure` is None when it was a proper one."""

    number: int
    path: Path
    elapsed_ms: int
    failure: Failure | None


Event = (
    SeedFailed
    | ListFailed
    | ListRefused
    | ListAdopted
    | PoolLoaded
    | GuardTested
    | HopChosen
    | PathBuilt
    | PathPatched
    | PathDropped
    | NodeDropped
    | PathTested
    | RequestSent
    | RequestWaits
    | RequestOvertaken
    | RequestAnswered
)
Trace = Callable[[Event], None]


def no_trace(_event: Event) -> None:
    """Tell nobody."""

"""In what order ways out are tried, and how long is waited before the next.  Pure.

Spec: REACH, *Choosing*.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ramson.reach.route import Route, Rung, Symptom

HEAD_START = 0.25  # seconds that what worked last here has before the straight way
LOOK = 2.0  # seconds that a hidden way in use has, so that doubts about it do not show nodes to who watches
STAGGER = 1.0  # seconds between the starts of two ways while none has failed
PATIENCE = 3.0  # seconds before somebody else's bridge is troubled while something else may still answer

_HELD_BACK = (Rung.BRIDGE, Rung.TRANSPORT)
# Where the nodes' addresses are known to be blocked or frozen, to try them first only shows that one tries.
_HIDDEN_FIRST = (Rung.BRIDGE, Rung.TRANSPORT, Rung.PROXY, Rung.SPLIT, Rung.DIRECT)
_IN_COUNTRY = dict.fromkeys(("CN", "IR", "RU", "TM"), _HIDDEN_FIRST)
# What a split hello cannot help against: an address that is blocked, and a flow that is cut off later.
_NOT_FOR_SPLIT = frozenset({Symptom.TCP, Symptom.NAME, Symptom.FROZEN})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way out that may be taken: `open` makes its route.

    `name` tells it from all others, is the same at the next start and shows nothing; `label` is for people.  `open`
    raises RamsonError or OSError when the route cannot be had.
    """

    name: str
    rung: Rung
    label: str
    open: Callable[[], Awaitable[Route]] = field(repr=False)


def first_order(candidates: Sequence[Candidate], favourites: Sequence[str], country: str = "") -> list[Candidate]:
    """Sort: favourites (names) as they are given, then what is usual in the country, or by rungs."""
    rank = {name: place for place, name in reversed(list(enumerate(favourites)))}
    rungs = _IN_COUNTRY.get(country, tuple(Rung))
    return sorted(candidates, key=lambda candidate: (rank.get(candidate.name, len(rank)), rungs.index(candidate.rung)))


def after_failure(waiting: Sequence[Candidate], failed: Candidate, how: Symptom) -> list[Candidate]:
    """Sort those that wait anew, after one has failed: what would fail in the same way goes last."""
    if failed.rung is not Rung.DIRECT or how not in _NOT_FOR_SPLIT:
        return list(waiting)
    return sorted(waiting, key=lambda candidate: candidate.rung is Rung.SPLIT)


def pause_before(
    following: Candidate, last_started: Candidate, favourites: Sequence[str], *, doubted: bool = False
) -> float:
    """Return the seconds to wait before a way is tried beside one that has not answered yet.

    That one may be in use and only `doubted`.
    """
    if following.rung is Rung.DIRECT:
        return LOOK if doubted and last_started.rung in _HELD_BACK else HEAD_START
    return PATIENCE if must_wait(following, [last_started], favourites) else STAGGER


def must_wait(following: Candidate, running: Iterable[Candidate], favourites: Sequence[str]) -> bool:
    """Whether a way that troubles somebody else leaves those that run time to answer, even when one has failed."""
    if following.rung not in _HELD_BACK or following.name in favourites:
        return False
    return any(candidate.rung not in _HELD_BACK for candidate in running)

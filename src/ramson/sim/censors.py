"""Censors for simulated networks: what an ISP does to traffic that it does not like, as values.

The catalogue is that of `tests/netns/censors.py`, where the same is done to real packets.  A `Blocking` says what is
done, and two are joined with `|`; a `Censor` does it to the hosts of one region from some moment on, and counts what it
did it to.  It sees what `ramson.world.simulated.censorship` shows: the first leg of each connection.
Spec: REACH, *How it is proved*.

Nothing in the simulated world sends UDP, so a censor that drops it has nothing to see here (`Blocking.unseen`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from ramson.world import Clock
from ramson.world.simulated.censorship import Flow, Verdict

FREEZE_AFTER = 16_384  # bytes over a connection, both ways together
NOWHERE = "10.66.6.6"  # what a poisoned name leads to: no host has it


class Deed(StrEnum):
    """What a censor does to a packet or a question."""

    DROPPED = "dropped"
    RESET = "reset"
    FROZEN = "frozen"
    POISONED = "poisoned"


@dataclass(frozen=True, slots=True)
class Blocking:
    """What is done.

    - `addresses`: packets to these hosts are dropped
    - `hellos`: connections whose hello names one of these hosts, where it can be read in one piece, are reset
    - `freeze_after`: bytes of a connection, both ways together, after which all that comes is dropped
    - `poisoned`: names to which a false address is given
    - `udp`: UDP is dropped, which is not to be seen in this world
    """

    name: str
    addresses: frozenset[str] = frozenset()
    hellos: frozenset[str] = frozenset()
    freeze_after: int | None = None
    poisoned: frozenset[str] = frozenset()
    udp: bool = False

    def __or__(self, other: Blocking) -> Blocking:
        """Do both; of two limits the lower one counts."""
        limits = [limit for limit in (self.freeze_after, other.freeze_after) if limit is not None]
        return Blocking(
            f"{self.name}, {other.name}",
            self.addresses | other.addresses,
            self.hellos | other.hellos,
            min(limits, default=None),
            self.poisoned | other.poisoned,
            self.udp or other.udp,
        )

    @property
    def unseen(self) -> bool:
        """Whether nothing of it can be met in this world, so that a run with it proves nothing."""
        return not (self.addresses or self.hellos or self.poisoned or self.freeze_after is not None)


UDP = Blocking("UDP dropped", udp=True)
FREEZE = Blocking("frozen after 16 KiB", freeze_after=FREEZE_AFTER)


def dropped(name: str, addresses: Collection[str]) -> Blocking:
    """Drop what goes to some hosts, such as the seeds, or all nodes of the public list."""
    return Blocking(f"{name} dropped", addresses=frozenset(addresses))


def reset(*hosts: str) -> Blocking:
    """Reset connections by the name in their hello."""
    return Blocking("reset by name", hellos=frozenset(hosts))


def poison(*names: str) -> Blocking:
    """Answer questions for names falsely."""
    return Blocking("names poisoned", poisoned=frozenset(names))


@dataclass(slots=True)
class Censor:
    """Does `blocking` to what leaves `origins` (addresses) from the moment `since` (seconds of `clock`) on.

    Give it to `Simulation.censor`.  `met` counts packets and questions by what was done to them.
    """

    blocking: Blocking
    origins: frozenset[str]
    clock: Clock
    since: float = 0.0
    met: Counter[Deed] = field(default_factory=Counter)

    def look_up(self, origin: str, name: str) -> str | None:
        """See `censorship.Censor`."""
        if not self._works(origin) or name not in self.blocking.poisoned:
            return None
        self.met[Deed.POISONED] += 1
        return NOWHERE

    def judge(self, flow: Flow) -> Verdict:
        """See `censorship.Censor`."""
        deed = self._deed(flow) if self._works(flow.origin) else None
        if deed is None:
            return Verdict.PASS
        self.met[deed] += 1
        return Verdict.RESET if deed is Deed.RESET else Verdict.DROP

    def _works(self, origin: str) -> bool:
        return origin in self.origins and self.clock.monotonic() >= self.since

    def _deed(self, flow: Flow) -> Deed | None:
        blocking = self.blocking
        if flow.target.host in blocking.addresses:
            return Deed.DROPPED
        if flow.hello and not flow.split and flow.server_name in blocking.hellos:
            return Deed.RESET
        if blocking.freeze_after is not None and flow.sent + flow.received > blocking.freeze_after:
            return Deed.FROZEN
        return None

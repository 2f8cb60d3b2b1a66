"""What all hosts of a simulation share: the loop, the model, the journal, and who can reach whom.

Every delivery, loss and fault becomes one line of the journal: virtual time, kind, origin, target, size
in bytes, and a digest of the content.  Two runs with one seed write the same journal, byte for byte;
when they do not, the first line that differs is where something outside the seed came in.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ramson.errors import LocalError
from ramson.world.simulated.censorship import Censor, Flow, Verdict
from ramson.world.simulated.loop import SimulatedLoop
from ramson.world.simulated.model import Model

if TYPE_CHECKING:
    from ramson.world.simulated.host import Host

NOTHING = "-"
DIGEST_BYTES = 6
SEGMENT = 1400  # bytes; a censor that counts stops a flow to within one


class Fabric:
    """The space between the hosts of one simulation."""

    def __init__(self, seed: int, model: Model, loop: SimulatedLoop, epoch_ms: int) -> None:
        self.seed = seed
        self.model = model
        self.loop = loop
        self.epoch_ms = epoch_ms
        self.journal: list[str] = []
        self.faults: Counter[str] = Counter()
        self.hosts: dict[str, Host] = {}
        self.names: dict[str, str] = {}
        self.censor: Censor | None = None
        self.failure: tuple[str, BaseException] | None = None
        self.stop: Callable[[], object] = lambda: None
        self._entropy = self.generator("fabric")
        self._groups: dict[str, int] = {}
        self._parted = False
        self._nowhere = Context()

    def generator(self, purpose: str) -> random.Random:
        """Derive a generator from the seed; one purpose's draws never move another's."""
        return random.Random(f"{self.seed}/{purpose}")  # noqa: S311 - a simulation must be repeatable

    def note(self, kind: str, origin: str = NOTHING, target: str = NOTHING, *content: bytes) -> None:
        """Write one line of the journal."""
        size = sum(map(len, content))
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for part in content:
            digest.update(len(part).to_bytes(4, "little"))
            digest.update(part)
        self.journal.append(f"{self.loop.time():.6f} {kind} {origin} {target} {size} {digest.hexdigest()}")

    def fault(self, kind: str, origin: str = NOTHING, target: str = NOTHING, *content: bytes) -> None:
        """Count a fault and write it down."""
        self.faults[kind] += 1
        self.note(kind, origin, target, *content)

    def give_up(self, address: str, error: BaseException) -> None:
        """End the run because the program of a host died; the first death counts."""
        self.note("died", address)
        if self.failure is None:
            self.failure = (address, error)
            self.stop()

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back at a virtual time, on nobody's behalf."""
        self.loop.call_at(when, callback, *args, context=self._nowhere)

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back after `seconds`, on nobody's behalf: what is on its way outlives its sender."""
        self.loop.call_later(seconds, callback, *args, context=self._nowhere)

    def delay(self, origin: str, target: str, size: int = 0) -> float:
        """Draw how many seconds `size` bytes take from one address to another."""
        here, there = self.hosts[origin], self.hosts[target]
        seconds = self.model.delay(self._entropy, here.region, there.region, size)
        return seconds + size / min(here.bandwidth, there.bandwidth)

    def draw(self, probability: float) -> bool:
        """Decide whether something of this probability happens; impossible things draw nothing."""
        return probability > 0 and self._entropy.random() < probability

    def carry(self, flow: Flow, *, sent: int = 0, received: int = 0) -> Verdict:
        """Let bytes pass the censor, segment by segment, and count those that did."""
        while self.censor is not None:
            up, down = min(sent, SEGMENT), min(received, SEGMENT)
            flow.sent, flow.received = flow.sent + up, flow.received + down
            verdict = self.censor.judge(flow)
            if verdict is not Verdict.PASS:
                flow.sent, flow.received = flow.sent - up, flow.received - down
                self.fault("censored", flow.origin, flow.target.host)
                return verdict
            sent, received = sent - up, received - down
            if not sent + received:
                return verdict
        flow.sent, flow.received = flow.sent + sent, flow.received + received
        return Verdict.PASS

    def part(self, groups: Sequence[Collection[str]]) -> None:
        """Let hosts reach only those of their own group; hosts in no group form one more."""
        self._groups.clear()
        for number, group in enumerate(groups, start=1):
            for address in sorted(group):
                if address in self._groups:
                    raise LocalError(f"{address} is in two groups of the partition")
                self._groups[address] = number
        self._parted = True
        self.note("partition", NOTHING, NOTHING, *[",".join(sorted(group)).encode() for group in groups])

    def heal(self) -> None:
        """End the partition."""
        self._parted = False
        self._groups.clear()
        self.note("heal")

    def parted(self, one: str, other: str) -> bool:
        """Whether a partition lies between two addresses."""
        return self._parted and self._groups.get(one, 0) != self._groups.get(other, 0)

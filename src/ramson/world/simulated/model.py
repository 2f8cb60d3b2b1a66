"""How the simulated world behaves: distances, jitter, bandwidth, loss, disks.

A `Model` holds only numbers; what it draws, it draws from the generator it is handed, so that one seed
decides everything.  The numbers are of the right order for hosts rented in three parts of the world;
they are not measurements of any network.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

# One way, milliseconds, between the places where hosts stand; a pair is named in alphabetical order.
DISTANCES_MS: Mapping[tuple[str, str], float] = {
    ("america", "america"): 18.0,
    ("america", "asia"): 85.0,
    ("america", "europe"): 45.0,
    ("asia", "asia"): 25.0,
    ("asia", "europe"): 80.0,
    ("europe", "europe"): 10.0,
}


@dataclass(frozen=True, slots=True)
class Model:
    """The numbers of a simulated world.

    - `distances_ms`: one-way delay for each pair of regions, in ms; the regions are those it names
    - `jitter`: sigma of the log-normal factor on every delay; 0 makes delays exact
    - `bandwidth`: bytes per second of one message on its way
    - `http_loss`, `peer_loss`: probability that one HTTP leg (request or reply) or one OxenMQ message is lost
    - `disk_ms`, `disk_jitter`: median duration of one piece of disk work, and the sigma of its factor
    - `stall`, `stall_ms`: probability that a piece of disk work stalls, and how long it then takes more
    """

    distances_ms: Mapping[tuple[str, str], float] = field(default_factory=lambda: DISTANCES_MS)
    jitter: float = 0.25
    bandwidth: float = 12_500_000.0
    http_loss: float = 0.0
    peer_loss: float = 0.0
    disk_ms: float = 2.0
    disk_jitter: float = 0.5
    stall: float = 0.0
    stall_ms: float = 400.0

    def region(self, entropy: random.Random) -> str:
        """Draw where a host stands."""
        regions = sorted({region for pair in self.distances_ms for region in pair})
        return entropy.choice(regions)

    def delay(self, entropy: random.Random, origin: str, target: str, size: int) -> float:
        """Draw the seconds that `size` bytes take from region `origin` to region `target`."""
        base = self.distances_ms[(origin, target) if origin <= target else (target, origin)] / 1000
        return base * entropy.lognormvariate(0.0, self.jitter) + size / self.bandwidth

    def disk_delay(self, entropy: random.Random) -> tuple[float, bool]:
        """Draw the seconds that one piece of disk work takes, and whether it stalled."""
        seconds = self.disk_ms / 1000 * entropy.lognormvariate(0.0, self.disk_jitter)
        stalled = entropy.random() < self.stall
        return seconds + (self.stall_ms / 1000 if stalled else 0.0), stalled


CALM = Model()
ROUGH = Model(jitter=0.6, http_loss=0.01, peer_loss=0.01, stall=0.01)

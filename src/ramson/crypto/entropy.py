"""Where randomness comes from: whoever calls hands it in.

The crypto and protocol rooms never draw from the operating system.  `World.entropy`, any
`random.SystemRandom`, and the simulator's seeded `random.Random` all have this shape.
"""

from __future__ import annotations

from typing import Protocol


class Entropy(Protocol):
    """A source of random bytes, such as a `random.Random`."""

    def randbytes(self, n: int, /) -> bytes:
        """Return `n` random bytes."""
        ...

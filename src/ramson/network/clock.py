"""How far the local clock is from the network's, learned from the times in replies.

Pure.  Every reply of a node carries `t`, its time when it answered; the offset is the middle between sending and
receiving, less `t`.  Protocol time is local time less the offset.  Spec: bootstrap-and-paths.md §2.5 *Clock offset*.

The spec takes the mean of the last ten replies.  Here every node has one voice, its latest, and the median of the
last ten nodes counts: one node with a wrong clock, or one that lies, cannot move ours.
"""

from __future__ import annotations

import math
from statistics import median

WINDOW = 10  # nodes
EARLIEST_MS = 1_609_459_200_000  # 1 January 2021: a node that says less has no clock
LATEST_MS = 2**53  # beyond that no JSON number is exact


class ClockOffset:
    """The offset in ms to take from local time; 0 until a node has told its time."""

    def __init__(self) -> None:
        self._samples: dict[bytes, int] = {}

    def observe(self, node: bytes, *, sent_ms: int, received_ms: int, t: object) -> None:
        """Take note of the time `t` that a node (its Ed25519 key) gave; anything but a sane integer is ignored."""
        if not isinstance(t, int) or isinstance(t, bool) or not EARLIEST_MS < t < LATEST_MS:
            return
        self._samples.pop(node, None)
        self._samples[node] = (sent_ms + received_ms) // 2 - t
        while len(self._samples) > WINDOW:
            self._samples.pop(next(iter(self._samples)))

    @property
    def offset_ms(self) -> int:
        """The offset: positive when the local clock is ahead."""
        return math.floor(median(self._samples.values())) if self._samples else 0

    @property
    def voices(self) -> int:
        """How many nodes the offset rests on."""
        return len(self._samples)

    def forget(self) -> None:
        """Start anew, as after the local clock was set."""
        self._samples.clear()

"""What a bridge counts, and how it is shown: numbers of what was done, rounded, and nothing about who asked.

A small number that changes by one at a known moment would tell when somebody came; so counts are shown in eights,
rounded up, and bytes in MiB.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

STEP: Final = 8
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_MIB: Final = 1024 * 1024


class Outcome(StrEnum):
    """What became of a request that had a ticket."""

    FORWARDED = "forwarded"
    PIECE = "piece"
    REST = "rest"
    LIST = "list"
    REFUSED_GUARD = "refused_guard"
    GUARD_FAILED = "guard_failed"
    BUSY = "busy"
    LOST = "lost"
    USED_AGAIN = "used_again"  # a ticket, by somebody who had seen it
    UNREADABLE = "unreadable"


@dataclass(slots=True)
class Counters:
    """Plain numbers since the start."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    received: int = 0  # bytes of bodies
    sent: int = 0


def write(counters: Counters, *, guards: int) -> str:
    """Return the numbers in Prometheus' text format."""
    lines = [
        "# HELP ramson_bridge_requests_total Requests with a ticket by outcome, rounded up to eights.",
        "# TYPE ramson_bridge_requests_total counter",
        *(
            f'ramson_bridge_requests_total{{outcome="{outcome}"}} {_rounded(counters.outcomes[outcome], STEP)}'
            for outcome in Outcome
        ),
        "# HELP ramson_bridge_bytes_total Bytes of bodies, rounded up to MiB.",
        "# TYPE ramson_bridge_bytes_total counter",
        f'ramson_bridge_bytes_total{{direction="in"}} {_rounded(counters.received, _MIB)}',
        f'ramson_bridge_bytes_total{{direction="out"}} {_rounded(counters.sent, _MIB)}',
        "# HELP ramson_bridge_guards Nodes that can be reached through the bridge.",
        "# TYPE ramson_bridge_guards gauge",
        f"ramson_bridge_guards {guards}",
    ]
    return "\n".join(lines) + "\n"


def _rounded(number: int, step: int) -> int:
    return -(-number // step) * step

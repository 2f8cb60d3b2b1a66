"""What of a month is published: counts that ten reporters stand behind, rounded down to tens.  Pure.

Totals over countries or providers are left out on purpose: a total less its published parts would show the others.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

ENOUGH: Final = 10  # reporters who say the same


@dataclass(frozen=True, slots=True)
class Count:
    """How many reporters of a month, country and provider said of a kind of way out that it works or not."""

    month: str
    country: str
    provider: str
    rung: str
    status: str
    reporters: int


def published(counts: Iterable[Count]) -> list[Count]:
    """Return what may be published of what was counted."""
    return [
        Count(each.month, each.country, each.provider, each.rung, each.status, each.reporters // ENOUGH * ENOUGH)
        for each in counts
        if each.reporters >= ENOUGH
    ]


def as_json(counts: Sequence[Count]) -> bytes:
    """Write what was published for programs."""
    return json.dumps({"enough": ENOUGH, "counts": [asdict(each) for each in counts]}, indent=1).encode()


def as_page(counts: Sequence[Count]) -> bytes:
    """Write what was published as a plain page, without scripts or anything from elsewhere."""
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(str(cell))}</td>"
            for cell in (each.month, each.country, each.provider, each.rung, each.status, f"{each.reporters}+")
        )
        + "</tr>"
        for each in counts
    )
    return (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Reaching the network</title>"
        "<h1>Where the network can be reached, and how</h1>"
        f"<p>Only what at least {ENOUGH} reporters said alike, rounded down to tens. Nobody checked who they are."
        ' As <a href="reports.json">JSON</a>.</p>'
        "<table><tr><th>month<th>country<th>provider<th>way out<th>outcome<th>reporters</tr>"
        f"{rows}</table></html>"
    ).encode()

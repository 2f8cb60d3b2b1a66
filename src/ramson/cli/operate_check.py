"""`ramson node check`: whether this machine and this configuration are fit for a node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import typer

from ramson.cli.operate_options import (
    ConfigOption,
    DirOption,
    NameOption,
    NetworkFileOption,
    OxendOption,
    SetOption,
)
from ramson.cli.operate_settings import find_place, load, node_config
from ramson.cli.terminal import JsonOption, progress, result_json, run
from ramson.node.checkup import Check, Checkup, Verdict
from ramson.world import DaemonAddress, real

_COLOURS: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red", Verdict.SKIPPED: "dim"}


def check(
    config_file: ConfigOption = None,
    directory: DirOption = None,
    network: NetworkFileOption = None,
    name: NameOption = None,
    *,
    oxend: OxendOption = None,
    assignments: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Check ports, disk, clock, keys, certificate and oxend, and say what to do; exit code 1 if anything fails."""
    chosen = load(
        config_file,
        {"data_dir": directory, "network.file": network, "network.name": name, "network.oxend": oxend},
        assignments,
    )
    place = find_place(chosen)
    checkup = Checkup(
        real.world(),
        node_config(chosen, place),
        oxend=DaemonAddress.parse(chosen.network_oxend) if place is None else None,
        listed=None if place is None else place.entry.record,
        nodes=None if place is None else place.network.node_list(),
    )
    with progress("Looking…"):
        checks = run(_all(checkup))
    if json:
        result_json([asdict(each) for each in checks])
    else:
        _print(checks)
    if any(each.verdict is Verdict.FAIL for each in checks):
        raise typer.Exit(1)


async def _all(checkup: Checkup) -> list[Check]:
    return [each async for each in checkup.run()]


def _print(checks: list[Check]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a node that runs has no use for it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False, width=None if Console().is_terminal else 120)
    table = Table("check", "", "found, and what to do", box=None, padding=(0, 2, 0, 0))
    for each in checks:
        colour = _COLOURS[each.verdict]
        told = escape(each.found) + (f"\n[bold]{escape(each.remedy)}[/]" if each.remedy else "")
        table.add_row(each.name, f"[{colour}]{each.verdict.value}[/]", told)
    console.print(table)

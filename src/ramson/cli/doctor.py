"""`ramson doctor`: what of the network can be reached from here, what is wrong, and what helps."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from ramson.cli.options import JsonOption, NetworkOption, confirm, data_directory, resolve_network
from ramson.cli.terminal import progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.errors import LocalError, RemoteError
from ramson.network import FileCache
from ramson.reach.doctor import Findings, Plan, Subject, Trial, diagnose, examine, known_nodes, make_plan
from ramson.reach.doctor.diagnosis import ADVICE, WHAT, Diagnosis
from ramson.reach.doctor.findings import STAGES
from ramson.world import World, real


class NoWayIn(RemoteError):
    """Nothing of what was tried leads into the network."""


ResolverOption = Annotated[
    str,
    typer.Option(
        "--compare-names",
        metavar="URL",
        help="Ask this resolver over HTTPS too for the seeds' names, such as https://9.9.9.9/dns-query, to find out"
        " whether they are answered falsely here.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before contacting anybody.")]
SecondsOption = Annotated[float, typer.Option("--timeout", min=5, max=300, help="Seconds for everything.")]


def doctor(
    network: NetworkOption = "mainnet",
    *,
    resolver: ResolverOption = "",
    seconds: SecondsOption = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would be contacted, and contact nobody.")] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Find out why the network cannot be reached, and what helps.

    It says whom it will contact before it does.  No account is used, and no address of a proxy or bridge is shown.
    """
    found = run(examined(network, resolver, seconds, dry_run=dry_run, yes=yes, json=json))
    if found is None:
        return
    diagnosis = diagnose(found)
    if json:
        result_json(_fields(found, diagnosis))
    else:
        result(_text(found, diagnosis))
    if not diagnosis.well:
        raise NoWayIn("there is no way into the network from here")


async def examined(
    network: str, resolver: str, seconds: float, *, dry_run: bool, yes: bool, json: bool
) -> Findings | None:
    """Say whom an examination contacts, ask, and make it; None where nobody is to be contacted.  Raises LocalError."""
    world = real.world()
    try:
        plan = await _plan(world, network, resolver)
        if not plan.ways:
            raise LocalError("there is no way out to try")
        if dry_run and json:
            result_json({"contacts": plan.contacts})
        elif dry_run or not json:
            result("\n".join(["This contacts:", *(f"  {line}" for line in plan.contacts)]))
        else:
            typer.echo("\n".join(["This contacts:", *plan.contacts]), err=True)
        if dry_run or not (yes or _agreed()):
            return None
        with progress("Starting…") as show:
            return await examine(world, plan, show=show, seconds=seconds)
    finally:
        await world.net.close()


async def _plan(world: World, network: str, resolver: str) -> Plan:
    profile, directory = resolve_network(network), data_directory()
    cache = FileCache(directory / f"nodes-{profile.fingerprint[:16]}.json")
    disk = world.disk()
    try:
        cached = await disk.run(cache.load)
    finally:
        await disk.close()
    nodes = await known_nodes(world, profile, cached)
    return make_plan(world, profile, reach_settings(), nodes=nodes, state=directory / "transports", resolver=resolver)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise LocalError("nobody is there to be asked", remedy="Say --yes to contact them, or --dry-run.")
    return confirm("Contact them now?")


def _text(findings: Findings, diagnosis: Diagnosis) -> str:
    lines = [""]
    lines.extend(_row(trial) for trial in findings.of(Subject.SEED))
    lines.extend(_nodes(findings.of(Subject.NODE)))
    lines.extend(_row(trial) for trial in findings.of(Subject.ROUTE))
    if findings.long_tried:
        well = findings.long_tried - findings.long_frozen
        lines.append(f"  long requests: {well} of {findings.long_tried} nodes answered")
    lines.extend(
        f"  name {check.name}: {'both resolvers agree' if check.agrees else 'the resolvers tell different addresses'}"
        for check in findings.names
        if check.agrees is not None
    )
    if not findings.complete:
        lines.append("  The time was over before everything was tried.")
    lines += ["", diagnosis.verdict, *(f"- {line}" for line in diagnosis.advice)]
    return "\n".join(lines)


def _row(trial: Trial) -> str:
    stages = STAGES[trial.subject]
    marks = " ".join(f"{stage} {'ok' if stage in trial.passed else '-'}" for stage in stages)
    outcome = f"ok, {trial.seconds:.1f} s" if trial.failed is None else _how(trial)
    return f"  {trial.subject.value} {trial.label}: {marks}: {outcome}"


def _how(trial: Trial) -> str:
    return "not there" if trial.optional and trial.failed else str(trial.failed.value if trial.failed else "")


def _nodes(trials: Sequence[Trial]) -> list[str]:
    """Sum nodes up: which ones were drawn is of no use to anybody."""
    if not trials:
        return []
    well = sum(trial.failed is None for trial in trials)
    failures = Counter(trial.failed for trial in trials if trial.failed)
    return [
        f"  nodes: {well} of {len(trials)} answered",
        *(f"    {count}: {how.value}" for how, count in failures.most_common()),
    ]


def _fields(findings: Findings, diagnosis: Diagnosis) -> dict[str, object]:
    return {
        "well": diagnosis.well,
        "verdict": diagnosis.verdict,
        "ways": diagnosis.ways,
        "problems": [
            {"problem": problem.value, "what": WHAT[problem], "advice": ADVICE[problem]}
            for problem in diagnosis.problems
        ],
        "trials": [
            {
                "subject": trial.subject.value,
                "label": trial.label,
                "passed": trial.passed,
                "failed": trial.failed.name.lower() if trial.failed else None,
                "seconds": trial.seconds,
                "optional": trial.optional,
            }
            for trial in findings.trials
        ],
        "long_requests": {"tried": findings.long_tried, "frozen": findings.long_frozen},
        "names": {check.name: check.agrees for check in findings.names},
        "clock_ahead_ms": findings.clock_ahead_ms,
        "complete": findings.complete,
    }

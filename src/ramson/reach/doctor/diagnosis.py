"""From what was found to what is wrong, and what a person can do about it.  Pure.

Outcomes rarely have one cause only, so what is said is what they show, with the likeliest reading first, and
where two readings cannot be told apart both are said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ramson.reach.doctor.findings import Findings, Subject, Trial
from ramson.reach.route import Rung, Symptom

CLOCK_MS: Final = 2 * 60 * 1000  # a clock that is wrong by more troubles bridges and the times of messages
FEW: Final = 0.5  # less than so much of the nodes asked is worth a word


class Problem(StrEnum):
    """What can be wrong."""

    NOTHING_TRIED = "nothing tried"
    DENIED = "denied"
    UNREACHABLE = "unreachable"
    IMPOSTOR = "impostor"
    NODES_BLOCKED = "nodes blocked"
    SOME_NODES_BLOCKED = "some nodes blocked"
    HELLO_CUT = "hello cut"
    TLS_BROKEN = "tls broken"
    SILENCE = "silence"
    FREEZING = "freezing"
    NAMES_POISONED = "names poisoned"
    NAMES_FAIL = "names fail"
    SEEDS_BLOCKED = "seeds blocked"
    PROXY_FAILS = "proxy fails"
    BRIDGE_FAILS = "bridge fails"
    TRANSPORT_FAILS = "transport fails"
    CLOCK = "clock"


WHAT: Final = {
    Problem.NOTHING_TRIED: "No node of the network is known here, so nothing could be tried.",
    Problem.DENIED: "This device itself forbids ramson to connect.",
    Problem.UNREACHABLE: "Nothing answers: this device is offline, or everything that was tried is blocked.",
    Problem.IMPOSTOR: "Somebody else answers in place of the network: the login page of a Wi-Fi, or a filter.",
    Problem.NODES_BLOCKED: "The addresses of the network's nodes are blocked here.",
    Problem.SOME_NODES_BLOCKED: "Many nodes of the network do not answer from here; others do.",
    Problem.HELLO_CUT: "Connections are cut off at their first words: a filter looks into them.",
    Problem.TLS_BROKEN: "Somebody on the way interferes with encrypted connections.",
    Problem.SILENCE: "Nodes can be connected to, but no answer comes back.",
    Problem.FREEZING: "Connections freeze after some kilobytes: a filter slows what it does not know.",
    Problem.NAMES_POISONED: "The names of the seeds are answered falsely here.",
    Problem.NAMES_FAIL: "The names of the seeds cannot be looked up here.",
    Problem.SEEDS_BLOCKED: "The seeds, which give the list of nodes, cannot be reached.",
    Problem.PROXY_FAILS: "The proxy does not bring requests to the network.",
    Problem.BRIDGE_FAILS: "A bridge does not work.",
    Problem.TRANSPORT_FAILS: "A pluggable transport does not work.",
    Problem.CLOCK: "The clock of this device is wrong.",
}
ADVICE: Final = {
    Problem.NOTHING_TRIED: "Import a list of nodes from a friend (`ramson nodes import`), or get a bridge.",
    Problem.DENIED: "Allow it in the firewall, or give the app its permission to use the network.",
    Problem.UNREACHABLE: (
        "Check that the device is online and that no firewall or missing app permission stops ramson."
        " If other things work, get a bridge from a friend (`ramson bridge add`), use Tor or a VPN, or another network."
    ),
    Problem.IMPOSTOR: (
        "Open any web page and log in, if the Wi-Fi wants that. Otherwise use another network, a bridge, or a VPN."
    ),
    Problem.NODES_BLOCKED: "Get a bridge from a friend (`ramson bridge add`), or use Tor, a proxy, or a VPN.",
    Problem.SOME_NODES_BLOCKED: "Nothing need be done: ramson looks for nodes that answer. A bridge is quicker.",
    Problem.HELLO_CUT: "A split hello may help (`--route split`), or a bridge or a VPN.",
    Problem.TLS_BROKEN: "Do not trust this network with anything. Use another network, a bridge or a VPN.",
    Problem.SILENCE: "Try again in a minute. If it stays so, get a bridge, or use a VPN or another network.",
    Problem.FREEZING: "Get a bridge, which keeps its connections short. Text may get through, files hardly.",
    Problem.NAMES_POISONED: "Nodes once known do without. Import a list from a friend (`ramson nodes import`).",
    Problem.NAMES_FAIL: "Check the device's DNS setting, or import a list from a friend (`ramson nodes import`).",
    Problem.SEEDS_BLOCKED: "Nodes once known do without. A bridge or a friend can give a list of them.",
    Problem.PROXY_FAILS: "Check that it runs, its address and its password.",
    Problem.BRIDGE_FAILS: "Check the clock of this device. Then ask whoever gave you the link for a new one.",
    Problem.TRANSPORT_FAILS: "Check that its program is installed; its bridge may be gone.",
    Problem.CLOCK: "Set it, or have it set by the network. Bridges refuse a clock that is wrong by ten minutes.",
}
_OF_NODES: Final = {
    Symptom.NAME: Problem.NODES_BLOCKED,
    Symptom.TCP: Problem.NODES_BLOCKED,
    Symptom.HELLO: Problem.HELLO_CUT,
    Symptom.TLS: Problem.TLS_BROKEN,
    Symptom.FROZEN: Problem.FREEZING,
    Symptom.HTTP: Problem.SILENCE,
    Symptom.ONION: Problem.IMPOSTOR,
}
_UNCONNECTED: Final = frozenset({Symptom.NAME, Symptom.TCP})
_OF_WAYS: Final = {
    Rung.PROXY: Problem.PROXY_FAILS,
    Rung.BRIDGE: Problem.BRIDGE_FAILS,
    Rung.TRANSPORT: Problem.TRANSPORT_FAILS,
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, the worst first, and the labels of the ways out that work, the plainest first."""

    problems: tuple[Problem, ...]
    ways: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether there is a way into the network."""
        return bool(self.ways)

    @property
    def verdict(self) -> str:
        """One sentence about the whole."""
        if not self.ways:
            return "There is no way into the network from here."
        if not self.problems:
            return "The network can be reached; nothing is wrong."
        return f"The network can be reached, by {self.ways[0]}; messages get through."

    @property
    def advice(self) -> tuple[str, ...]:
        """What is wrong and what to do, a line each."""
        return tuple(f"{WHAT[problem]} {ADVICE[problem]}" for problem in self.problems)


def diagnose(findings: Findings) -> Diagnosis:
    """Tell what the outcomes mean."""
    routes = sorted(findings.of(Subject.ROUTE), key=lambda trial: trial.rung or 0)
    ways = tuple(trial.label for trial in routes if trial.failed is None)
    worst = _of_nodes(findings, way_out=bool(ways)) if findings.straight else _of_straight(routes)
    seeds = _of_seeds(findings) if findings.straight else []
    problems = [
        *worst,
        *(each for each in seeds if Problem.UNREACHABLE not in worst or each is not Problem.NAMES_FAIL),
        *(_OF_WAYS[each.rung] for each in routes if each.rung in _OF_WAYS and each.failed and not each.optional),
    ]
    if findings.clock_ahead_ms is not None and abs(findings.clock_ahead_ms) > CLOCK_MS:
        problems.append(Problem.CLOCK)
    return Diagnosis(tuple(dict.fromkeys(problems)), ways)


def _of_nodes(findings: Findings, *, way_out: bool) -> list[Problem]:
    nodes, seeds = findings.of(Subject.NODE), findings.of(Subject.SEED)
    failed = [trial for trial in nodes if trial.failed]
    if any(trial.denied for trial in (*nodes, *seeds)) and len(failed) == len(nodes):
        return [Problem.DENIED]
    if not nodes:
        if seeds and all(_unconnected(trial) for trial in seeds):
            return [Problem.UNREACHABLE]
        return [] if way_out or findings.of(Subject.ROUTE) else [Problem.NOTHING_TRIED]
    if len(failed) < len(nodes):
        found = [Problem.FREEZING] if findings.long_tried and findings.long_frozen == findings.long_tried else []
        return [*found, Problem.SOME_NODES_BLOCKED] if len(nodes) - len(failed) < FEW * len(nodes) else found
    if not way_out and all(_unconnected(trial) for trial in (*nodes, *seeds)):
        return [Problem.UNREACHABLE]
    how = Counter(trial.failed for trial in failed if trial.failed).most_common(1)[0][0]
    if how is Symptom.TLS and any(trial.failed is Symptom.TLS for trial in seeds):
        return [Problem.IMPOSTOR]
    return [_OF_NODES[how]] if how in _OF_NODES else []


def _of_straight(routes: Sequence[Trial]) -> list[Problem]:
    """Tell what the straight way met where it was one of several and the others were asked first."""
    failed = next((trial.failed for trial in routes if trial.rung is Rung.DIRECT), None)
    if failed is None:
        return []
    if all(_unconnected(trial) for trial in routes if not trial.optional):
        return [Problem.UNREACHABLE]
    return [_OF_NODES[failed]] if failed in _OF_NODES else []


def _of_seeds(findings: Findings) -> list[Problem]:
    seeds = findings.of(Subject.SEED)
    answered = any(trial.failed is None for trial in seeds)
    if any(check.agrees is False for check in findings.names) and not answered:
        return [Problem.NAMES_POISONED]
    if not seeds or answered:
        return []
    if not any(trial.failed is None for trial in findings.of(Subject.NODE)) and all(map(_unconnected, seeds)):
        # where nodes cannot be reached either, only a name that fails says something of its own
        return [Problem.NAMES_FAIL] if all(trial.failed is Symptom.NAME for trial in seeds) else []
    if all(trial.failed is Symptom.NAME for trial in seeds):
        return [Problem.NAMES_FAIL]
    return [] if any(trial.failed is Symptom.PROXY for trial in seeds) else [Problem.SEEDS_BLOCKED]


def _unconnected(trial: Trial) -> bool:
    return trial.failed in _UNCONNECTED

"""What an examination found: values, with no address in them but the public ones of seeds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ramson.reach.route import Rung, Symptom


class Subject(StrEnum):
    """What was tried."""

    SEED = "seed"
    NODE = "node"
    ROUTE = "route"


STAGES: Final = {
    Subject.SEED: ("name", "TCP", "TLS", "HTTP"),
    Subject.NODE: ("TCP", "TLS", "HTTP", "onion"),
    Subject.ROUTE: ("way", "onion"),
}
_FAILED_AT: Final = {
    Symptom.NAME: "name",
    Symptom.TCP: "TCP",
    Symptom.PROXY: "way",
    Symptom.HELLO: "TLS",
    Symptom.TLS: "TLS",
    Symptom.FROZEN: "HTTP",
    Symptom.HTTP: "HTTP",
    Symptom.ONION: "onion",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried, and how it failed (None: it did not).

    `seconds` it took, to the tenth.  `rung` is a route's.  `denied` tells that this machine forbade the connection, and
    `optional` that nobody said it would be there, as with a Tor that is only looked for.
    """

    subject: Subject
    label: str
    failed: Symptom | None = None
    seconds: float = 0.0
    rung: Rung | None = None
    denied: bool = False
    optional: bool = False

    @property
    def passed(self) -> tuple[str, ...]:
        """The stages that were passed."""
        stages = STAGES[self.subject]
        if self.failed is None:
            return stages
        at = _FAILED_AT[self.failed]
        return stages[: stages.index(at)] if at in stages else ()


@dataclass(frozen=True, slots=True)
class NameCheck:
    """Whether this machine's resolver and one asked over HTTPS agree about a name; None if one gave no answer."""

    name: str
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found.

    `long_tried` and `long_frozen` count nodes that were asked for more than a filter lets pass that freezes connections
    after some kilobytes.  `straight` tells that seeds and nodes were asked straight, so that their silence is about
    them and not about something between.  `clock_ahead_ms` is how far this machine's clock is ahead of what nodes say,
    None if none said.  Not `complete` is what ran out of time.
    """

    trials: tuple[Trial, ...] = ()
    names: tuple[NameCheck, ...] = ()
    long_tried: int = 0
    long_frozen: int = 0
    clock_ahead_ms: int | None = None
    complete: bool = True
    straight: bool = True

    def of(self, subject: Subject) -> tuple[Trial, ...]:
        """Return the trials of one kind."""
        return tuple(trial for trial in self.trials if trial.subject is subject)

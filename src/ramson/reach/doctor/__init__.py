"""The doctor: what of the network can be reached from here, what is wrong where it cannot, and what helps.

`make_plan` says what would be contacted, `examine` contacts it, and `diagnose`, which is pure, tells what the outcomes
mean.  Nothing here shows the address of a proxy or a bridge.  Spec: REACH, *What the person sees*.
"""

from ramson.reach.doctor.diagnosis import Diagnosis, Problem, diagnose
from ramson.reach.doctor.examination import examine
from ramson.reach.doctor.findings import Findings, NameCheck, Subject, Trial
from ramson.reach.doctor.known import known_nodes
from ramson.reach.doctor.plan import Plan, make_plan

__all__ = [
    "Diagnosis",
    "Findings",
    "NameCheck",
    "Plan",
    "Problem",
    "Subject",
    "Trial",
    "diagnose",
    "examine",
    "known_nodes",
    "make_plan",
]

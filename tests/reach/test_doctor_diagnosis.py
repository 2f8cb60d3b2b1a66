"""What outcomes are read as: the pure half of the doctor."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.reach import Rung, Symptom
from ramson.reach.doctor import Findings, NameCheck, Problem, Subject, Trial, diagnose
from ramson.reach.doctor.diagnosis import ADVICE, WHAT

STRAIGHT = Trial(Subject.ROUTE, "the straight way", rung=Rung.DIRECT)
BRIDGE = Trial(Subject.ROUTE, "bridge 1", rung=Rung.BRIDGE)


def seeds(*how):
    return tuple(Trial(Subject.SEED, f"seed{i}.example", each) for i, each in enumerate(how))


def nodes(*how):
    return tuple(Trial(Subject.NODE, f"node {i}", each) for i, each in enumerate(how))


def problems(*trials, **more):
    return diagnose(Findings(trials, **more)).problems


def straight(how):
    return replace(STRAIGHT, failed=how)


def test_all_is_well():
    said = diagnose(Findings((*seeds(None), *nodes(None, None), STRAIGHT)))
    assert (said.problems, said.well, said.ways) == ((), True, ("the straight way",))
    assert "nothing is wrong" in said.verdict


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        (Symptom.TCP, Problem.NODES_BLOCKED),
        (Symptom.HELLO, Problem.HELLO_CUT),
        (Symptom.TLS, Problem.TLS_BROKEN),
        (Symptom.HTTP, Problem.SILENCE),
        (Symptom.FROZEN, Problem.FREEZING),
        (Symptom.ONION, Problem.IMPOSTOR),
    ],
)
def test_the_way_in_which_nodes_fail_tells_what_is_wrong(how, problem):
    assert problems(
        *seeds(None), *nodes(how, how, Symptom.HTTP if how is not Symptom.HTTP else how), straight(how)
    ) == (problem,)


def test_nothing_at_all_answers():
    """Being offline looks like a censor that drops everything, and the advice says so."""
    found = (*seeds(Symptom.NAME), *nodes(Symptom.TCP, Symptom.TCP), straight(Symptom.TCP))
    assert problems(*found) == (Problem.UNREACHABLE,)
    assert "firewall" in ADVICE[Problem.UNREACHABLE]
    assert problems(*found, BRIDGE)[0] is Problem.NODES_BLOCKED


def test_this_machine_forbids_it():
    denied = tuple(replace(trial, denied=True) for trial in nodes(Symptom.TCP, Symptom.TCP))
    assert problems(*denied, straight(Symptom.TCP)) == (Problem.DENIED,)
    assert "permission" in ADVICE[Problem.DENIED]


def test_a_login_page_answers_for_everybody():
    tls = Symptom.TLS
    assert problems(*seeds(tls), *nodes(tls), straight(tls))[0] is Problem.IMPOSTOR


def test_only_some_nodes_answer():
    some = nodes(None, Symptom.TCP, Symptom.TCP)
    assert problems(*seeds(None), *some, STRAIGHT) == (Problem.SOME_NODES_BLOCKED,)
    assert problems(*seeds(None), *nodes(None, None, Symptom.TCP), STRAIGHT) == ()


def test_long_answers_freeze():
    well = (*seeds(None), *nodes(None, None), STRAIGHT)
    assert problems(*well, long_tried=2, long_frozen=2) == (Problem.FREEZING,)
    assert problems(*well, long_tried=2, long_frozen=1) == ()


def test_seeds_that_fail_alone():
    rest = (*nodes(None, None), STRAIGHT)
    assert problems(*seeds(Symptom.TCP, Symptom.HELLO), *rest) == (Problem.SEEDS_BLOCKED,)
    assert problems(*seeds(Symptom.NAME, Symptom.NAME), *rest) == (Problem.NAMES_FAIL,)
    lied = (NameCheck("seed0.example", agrees=False),)
    assert problems(*seeds(Symptom.TLS), *rest, names=lied) == (Problem.NAMES_POISONED,)
    assert problems(*seeds(None), *rest, names=lied) == ()  # a name may stand for several addresses


def test_what_was_asked_by_way_of_something_says_nothing_of_the_nodes():
    """Where a proxy or bridge stands between, silence is its own; of the straight way its own trial speaks."""
    bridge = replace(BRIDGE, failed=Symptom.HTTP)
    asked = (*nodes(Symptom.HTTP, Symptom.HTTP), bridge)
    assert problems(*asked, straight=False) == (Problem.BRIDGE_FAILS,)
    assert problems(*asked, straight(Symptom.TCP), straight=False) == (Problem.NODES_BLOCKED, Problem.BRIDGE_FAILS)
    assert problems(*nodes(None), BRIDGE, straight(None), straight=False) == ()
    assert problems(straight(Symptom.TCP), straight=False) == (Problem.UNREACHABLE,)


def test_what_a_person_set_up_and_what_is_only_looked_for():
    well = (*nodes(None), STRAIGHT)
    proxy = Trial(Subject.ROUTE, "proxy 1", Symptom.PROXY, rung=Rung.PROXY)
    assert problems(*well, proxy) == (Problem.PROXY_FAILS,)
    assert problems(*well, replace(proxy, optional=True)) == ()
    assert problems(*well, replace(BRIDGE, failed=Symptom.HTTP)) == (Problem.BRIDGE_FAILS,)
    transport = Trial(Subject.ROUTE, "transport 1", Symptom.PROXY, rung=Rung.TRANSPORT)
    assert problems(*well, transport) == (Problem.TRANSPORT_FAILS,)


@pytest.mark.parametrize(("ahead", "wrong"), [(0, False), (119_000, False), (121_000, True), (-3_600_000, True)])
def test_the_clock(ahead, wrong):
    assert (Problem.CLOCK in problems(*nodes(None), STRAIGHT, clock_ahead_ms=ahead)) is wrong


def test_nothing_was_tried():
    assert problems() == (Problem.NOTHING_TRIED,)
    assert problems(*seeds(Symptom.TCP)) == (Problem.UNREACHABLE,)


TRIALS = st.builds(
    Trial,
    st.sampled_from(Subject),
    st.sampled_from(["a", "b", "Tor"]),
    st.none() | st.sampled_from(Symptom),
    st.just(0.1),
    st.none() | st.sampled_from(Rung),
    st.booleans(),
    st.booleans(),
)


@given(
    st.builds(
        Findings,
        st.lists(TRIALS, max_size=12).map(tuple),
        st.just((NameCheck("x", agrees=False),)) | st.just(()),
        st.integers(0, 2),
        st.integers(0, 2),
        st.none() | st.integers(),
        st.booleans(),
    )
)
def test_anything_gets_a_verdict_and_advice(findings):
    said = diagnose(findings)
    assert said.verdict
    assert len(said.advice) == len(said.problems)
    assert said.problems or said.well or findings.of(Subject.NODE) or findings.of(Subject.ROUTE)
    for trial in findings.trials:
        assert trial.failed is None or len(trial.passed) < 4


def test_every_problem_has_words():
    assert set(WHAT) == set(ADVICE) == set(Problem)

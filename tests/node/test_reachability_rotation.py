"""Who is tested when: the random rotation and the retests of failing nodes."""

import random
import statistics
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.node.rotation import LONGEST_RETEST, RETESTS_AT_ONCE, Rotation

KEYS = frozenset(bytes([i]) * 32 for i in range(10))


def rotation(keys=KEYS, seed=1, now=0.0):
    made = Rotation(random.Random(seed), now)
    made.follow(keys)
    return made


def run(made, until, passes=lambda key: True, start=0.0):
    """Let time pass as a node does; returns (moment, key) of each test, whose result is known at once."""
    now, tests = start, []
    while now < until:
        for key in made.due(now):
            tests.append((now, key))
            made.tested(key, now, passed=passes(key))
        now = max(now + 0.2, made.next_at())
    return tests


def test_a_test_comes_every_ten_seconds_on_average_with_a_deviation_of_three():
    times = [now for now, _ in run(rotation(), 100_000)]
    gaps = [b - a for a, b in pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(10, abs=0.2)
    assert statistics.stdev(gaps) == pytest.approx(3, abs=0.2)


def test_all_have_their_turn_before_anyone_has_a_second():
    keys = [key for _, key in run(rotation(), 2_000)]
    for start in range(0, len(keys) - 10, 10):
        assert set(keys[start : start + 10]) == KEYS
    assert keys[:10] != keys[10:20]


def test_nobody_to_test_and_one_to_test():
    assert run(rotation(frozenset()), 100) == []
    assert {key for _, key in run(rotation(frozenset([b"x"])), 100)} == {b"x"}


def test_a_failing_node_is_retested_ever_more_rarely_and_not_at_random():
    made = rotation()
    bad = min(KEYS)
    times = [now for now, key in run(made, 5_000, passes=lambda key: key != bad) if key == bad]
    gaps = [b - a for a, b in pairwise(times)]
    for failures, gap in enumerate(gaps):
        assert abs(gap - min(10 * failures + 10, LONGEST_RETEST)) < 13, (failures, gap)
        assert gap <= LONGEST_RETEST + 0.3
    assert gaps[15:] == pytest.approx([LONGEST_RETEST] * len(gaps[15:]), abs=0.3)
    assert made.failing == 1
    assert made.failures(bad) == len(times)


def test_a_node_that_passes_again_goes_back_to_the_rotation():
    made = rotation()
    bad = min(KEYS)
    run(made, 500, passes=lambda key: key != bad)
    tests = run(made, 3_000, start=500)
    assert made.failing == 0
    assert made.failures(bad) == 0
    counts = Counter(key for _, key in tests)
    assert counts[bad] == pytest.approx(counts[max(KEYS)], abs=2)


def test_at_most_four_retests_at_once_and_none_twice():
    made = rotation()
    for key in KEYS:
        made.tested(key, 0.0, passed=False)
    seen = []
    for tick in range(3):
        due = made.due(100.0 + tick * 0.2)
        assert len(due) <= RETESTS_AT_ONCE + 1
        seen += due
    assert len(seen) == len(set(seen)) == 10
    assert made.due(101.0) == []  # all of them are under test


def test_a_new_node_enters_the_rotation_at_once():
    places = []
    for seed in range(300):
        made = rotation(seed=seed)
        run(made, 35)  # three or so of ten have been tested
        made.follow(KEYS | {b"new"})
        order = [key for _, key in run(made, 200, start=35)]
        places.append(order.index(b"new"))
    assert min(places) == 0
    assert max(places) <= 10
    assert statistics.mean(places) < 6


def test_who_vanishes_is_neither_tested_nor_remembered():
    made = rotation()
    bad = min(KEYS)
    made.tested(bad, 0.0, passed=False)
    made.follow(KEYS - {bad})
    assert made.failing == 0
    assert bad not in {key for _, key in run(made, 500)}
    made.tested(bad, 500.0, passed=False)  # the result of a test that was under way
    assert made.failing == 0


@given(st.integers(), st.lists(st.tuples(st.sets(st.sampled_from(sorted(KEYS))), st.floats(0, 300), st.booleans())))
def test_only_known_nodes_are_tested_and_none_twice_at_a_time(seed, steps):
    made, now, running = Rotation(random.Random(seed), 0.0), 0.0, set()
    for keys, pause, passed in steps:
        now += pause
        made.follow(frozenset(keys))
        running &= keys
        due = made.due(now)
        failing_under_test = {key for key in running if made.failures(key)}
        assert set(due) <= keys
        assert len(due) == len(set(due))
        assert not failing_under_test & set(due)
        running |= set(due)
        for key in sorted(running)[:2]:
            made.tested(key, now, passed=passed)
            running.discard(key)
        assert made.next_at() >= now or made.failing  # a normal distribution has no shortest draw

"""The choice of nodes for paths: three hops, no node and no subnet twice."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.network.paths import Path, complete, draw, subnet, subnets

# Crowded networks: few subnets, some of them large.
addresses = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 254)), min_size=1, max_size=40, unique=True)
entropies = st.integers(0, 2**32).map(random.Random)


@pytest.fixture(scope="session")
def crowd(node):
    return lambda places: [node(i, f"10.0.{net}.{host}") for i, (net, host) in enumerate(places)]


def test_a_subnet_is_the_first_bits_of_an_address(node):
    assert subnet(node(1, "10.1.2.3"), 24) == subnet(node(2, "10.1.2.250"), 24)
    assert subnet(node(1, "10.1.2.3"), 24) != subnet(node(2, "10.1.3.3"), 24)
    assert subnet(node(1, "10.1.2.3"), 32) != subnet(node(2, "10.1.2.4"), 32)


def test_without_a_rule_every_node_is_a_subnet_of_its_own(node):
    assert subnet(node(1, "127.0.0.1"), None) != subnet(node(2, "127.0.0.1"), None)


@given(addresses, st.integers(1, 6), entropies)
def test_a_draw_takes_each_subnet_once_and_as_many_as_there_are(crowd, places, count, entropy):
    candidates = crowd(places)
    drawn = draw(candidates, count, diversity=24, entropy=entropy)
    assert len(subnets(drawn, 24)) == len(drawn) == min(count, len(subnets(candidates, 24)))
    assert set(drawn) <= set(candidates)


@given(addresses, entropies)
def test_a_completed_path_never_repeats_a_subnet(crowd, places, entropy):
    guard, *others = crowd(places)
    drawn = complete([guard], others, diversity=24, entropy=entropy)
    possible = len(subnets([guard, *others], 24)) >= 3
    assert (drawn is not None) == possible
    if drawn is not None:
        assert len(subnets([guard, *drawn], 24)) == 3


@given(addresses, entropies)
def test_subnets_of_other_paths_are_avoided_when_they_can_be(crowd, places, entropy):
    guard, *others = crowd(places)
    elsewhere, candidates = others[:3], others[3:]
    drawn = complete([guard], candidates, elsewhere=elsewhere, diversity=24, entropy=entropy)
    free = subnets(candidates, 24) - subnets([guard, *elsewhere], 24)
    if len(free) >= 2:
        assert drawn is not None
        assert subnets(drawn, 24) <= free


def test_a_subnet_is_drawn_in_proportion_to_its_size(node):
    large = [node(i, f"10.0.1.{i}") for i in range(1, 31)]
    small = [node(i, f"10.0.{i}.1") for i in range(100, 110)]
    entropy = random.Random(1)
    hits = sum(draw(large + small, 1, diversity=24, entropy=entropy)[0] in large for _ in range(2000))
    assert 0.70 < hits / 2000 < 0.80


def test_a_patched_path_keeps_its_guard_and_appends_the_new_node(node):
    guard, middle, last, fresh = (node(i) for i in range(4))
    path = Path(guard, middle, last)
    assert path.patched(middle.ed25519, fresh) == Path(guard, last, fresh)
    assert path.patched(last.ed25519, fresh) == Path(guard, middle, fresh)
    assert path.holds(middle.ed25519)
    assert not path.holds(fresh.ed25519)

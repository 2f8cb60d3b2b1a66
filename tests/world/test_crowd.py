"""Who has to go when too many are connected."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ramson.world.real.crowd import MOVING, WAITING, WORKING, leavers, places


@dataclass(eq=False)
class One:
    name: str
    since: int = 0
    worth: int = WAITING


def names(chosen):
    return [one.name for one in chosen]


def test_who_holds_most_loses_first():
    held = {"few": [One("old", 1)], "many": [One("a", 5), One("b", 6), One("c", 7)]}
    assert names(leavers(held, 1)) == ["a"]
    assert names(leavers(held, 3)) == ["a", "b", "old"]  # with one each, the first in order


def test_the_longest_without_anything_whole_goes():
    assert names(leavers({"x": [One("b", 2), One("a", 1), One("c", 3)]}, 2)) == ["a", "b"]
    # of those made in one tick, the first that was made
    assert names(leavers({"x": [One("a"), One("b"), One("c")]}, 1)) == ["a"]


def test_a_request_in_progress_is_spared():
    held = {"many": [One("w", 1, WORKING), One("m", 2, MOVING), One("n", 3, MOVING)], "few": [One("idle", 9)]}
    assert names(leavers(held, 5)) == ["idle"]
    held["few"] = []
    assert names(leavers(held, 5)) == ["m", "n"]
    held["many"] = [One("w", 1, WORKING)]
    assert leavers(held, 5) == []


def test_places_are_made_in_advance_but_few():
    assert [places(limit) for limit in (1, 64, 1000, 10_000)] == [1, 1, 15, 156]


one = st.builds(One, st.just(""), st.integers(0, 9), st.sampled_from([WAITING, MOVING, WORKING]))


@given(st.dictionaries(st.integers(), st.lists(one, min_size=1, max_size=9), max_size=9), st.integers(1, 20))
def test_a_small_holder_loses_nothing_to_a_greater_one(held, wanted):
    chosen = leavers(held, wanted)
    assert len(set(map(id, chosen))) == len(chosen) <= wanted
    worths = {member.worth for member in chosen}
    assert worths <= {WAITING} or worths <= {MOVING}
    left = {
        key: sum(1 for member in mine if member not in chosen and worths <= {member.worth})
        for key, mine in held.items()
    }
    sizes = {key: sum(1 for member in mine if member not in chosen) for key, mine in held.items()}
    for mine in held.values():
        if any(member in chosen for member in mine):
            before = sum(1 for member in mine if member not in chosen) + 1
            assert all(sizes[key] <= before for key in held if left[key])

"""What a change of swarms entails: who is owed what."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.node.mailbox import Debt
from ramson.node.swarm.changes import Neighbourhood, Swarms, debts, heirs
from ramson.protocol.swarms import nearest, position

A, B, C, D = 100, 2**62, 2**63, 3 * 2**62


def node(name):
    return name.encode().ljust(32, b"-")


def swarms(**members):
    ids = {"a": A, "b": B, "c": C, "d": D}
    return Swarms({ids[swarm]: frozenset(map(node, names.split())) for swarm, names in members.items()})


def owed(before, after, own="me"):
    names = {A: "a", B: "b", C: "c", D: "d"}
    return {
        (names[debt.swarm], debt.peer.rstrip(b"-").decode()) + (("missed",) if debt.only_missed else ())
        for debt in debts(before, after, node(own))
    }


def test_nothing_changed_and_nothing_is_owed():
    same = swarms(a="me x", b="y")
    assert owed(same, same) == set()


def test_new_members_get_everything_and_old_ones_nothing():
    assert owed(swarms(a="me x", b="y"), swarms(a="me x y z")) == {("a", "y"), ("a", "z")}


def test_members_that_leave_and_changes_elsewhere_are_no_business_of_ours():
    assert owed(swarms(a="me x", b="y", c="z"), swarms(a="me", b="y z x", c="w")) == set()


def test_all_members_of_new_swarms_get_what_is_theirs():
    assert owed(swarms(a="me x y", b="z"), swarms(a="me", b="z", c="x y")) == {("c", "x"), ("c", "y")}


def test_moved_and_the_old_swarm_is_still_there():
    before, after = swarms(a="me x y", b="z"), swarms(a="x y new", b="z me")
    assert owed(before, after) == {("a", "x", "missed"), ("a", "y", "missed"), ("a", "new")}


def test_moved_and_the_old_swarm_is_gone():
    before, after = swarms(a="me x", b="y", c="z", d="w"), swarms(b="y me", c="z", d="w x")
    assert owed(before, after) == {("b", "y"), ("d", "w"), ("d", "x")}


def test_without_a_swarm_before_or_after_nothing_is_owed():
    assert owed(swarms(a="x"), swarms(a="x me")) == set()
    assert owed(swarms(a="x me"), swarms(a="x")) == set()


def test_several_changes_at_once():
    before, after = swarms(a="me x", b="y", c="z"), swarms(b="y me", c="z x", d="n")
    assert owed(before, after) == {("b", "y"), ("d", "n")}  # nothing of a comes to c


ids = st.sets(st.integers(0, 2**64 - 2), min_size=1, max_size=8).map(lambda s: tuple(sorted(s)))


@given(ids, ids, st.randoms())
def test_heirs_are_exactly_the_swarms_that_get_accounts_of_the_old_one(before, after, chance):
    swarm = chance.choice(before)
    found = heirs(before, swarm, after)
    points = [chance.randrange(2**64) for _ in range(60)]
    # Also where two neighbours, and two owners, meet.
    points += [(one + (other - one) % 2**64 // 2 + d) % 2**64 for one in before for other in before for d in (0, 1)]
    points += [(one + (other - one) % 2**64 // 2 + d) % 2**64 for one in after for other in after for d in (0, 1)]
    points += list(before + after)
    got = {nearest(after, point) for point in points if nearest(before, point) == swarm}
    assert got <= found
    assert found <= set(after)


@given(ids, st.randoms())
def test_a_neighbourhood_owns_what_the_swarm_owns(ids, chance):
    own = chance.choice(ids)
    owns = Neighbourhood.of(ids, own).owns()
    for _ in range(50):
        account = chance.randbytes(33)
        assert owns(account) == (nearest(ids, position(account)) == own)


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.frozensets(st.binary(min_size=32, max_size=32), min_size=1)))
def test_swarms_are_read_as_they_were_written(members):
    assert Swarms.decode(Swarms(members).encode()).members == members


@pytest.mark.parametrize("data", [b"", b"le", b"d1:xi1ee", b"d8:aaaaaaaa3:abce"])
def test_what_is_no_list_of_swarms_is_refused(data):
    with pytest.raises(ParseError):
        Swarms.decode(data)


def test_debts_are_in_a_fixed_order():
    before, after = swarms(a="me x", b="y"), swarms(a="me x y z w v")
    assert debts(before, after, node("me")) == sorted(debts(before, after, node("me")))
    assert debts(before, after, node("me"))[0] == Debt(node("v"), A, False)


def test_random_changes_never_owe_to_oneself():
    chance = random.Random(1)
    names = [f"n{i}" for i in range(6)]
    for _ in range(200):
        lists = []
        for _ in range(2):
            chosen = {letter: [] for letter in "abcd"}
            for name in names:
                chosen[chance.choice("abcd")].append(name)
            lists.append(swarms(**{letter: " ".join(found) for letter, found in chosen.items() if found}))
        assert not any(debt.peer == node("n0") for debt in debts(*lists, node("n0")))

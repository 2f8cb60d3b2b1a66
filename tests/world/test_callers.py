"""Whom an address stands for when somebody is counted, and how many connections it may make."""

import pytest

from ramson.world.callers import MOST_REMEMBERED, Paces, caller


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_a_network_of_ipv6_is_one_caller(address, counted):
    assert caller(address) == counted


def test_a_caller_may_make_some_at_once_and_then_a_few_each_second():
    paces = Paces(burst=3, pace=2.0)
    assert [paces.allows("a", 10.0) for _ in range(4)] == [True, True, True, False]
    assert [paces.allows("a", now) for now in (10.5, 11.0, 11.1)] == [True, True, False]
    assert paces.allows("b", 11.1), "each caller is counted alone"
    assert [paces.allows("a", 1000.0) for _ in range(4)] == [True, True, True, False], "nobody saves up more"


def test_who_goes_on_making_too_many_gets_none_until_it_slows_down():
    paces = Paces(burst=1, pace=1.0)
    assert paces.allows("a", 0.0)
    assert not any(paces.allows("a", tenths / 10) for tenths in range(1, 50, 6))
    assert paces.allows("a", 6.0)


def test_only_so_many_callers_are_remembered():
    paces = Paces(burst=1, pace=0.0)
    assert all(paces.allows(str(number), 0.0) for number in range(MOST_REMEMBERED + 1))
    assert not paces.allows("1", 0.0)
    assert paces.allows("0", 0.0), "it was counted least lately"

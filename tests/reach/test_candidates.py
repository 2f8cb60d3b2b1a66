"""Which ways out the settings allow."""

from pathlib import Path

from ramson.protocol.bridge.link import make as make_link
from ramson.reach import Rung
from ramson.reach.candidates import bridge_lists, candidates
from ramson.reach.settings import ReachSettings
from ramson.world import ProxyAddress
from ramson.world.simulated import Simulation

LINKS = tuple(make_link(f"https://flowers{i}.example/", bytes([i]) * 32, "mainnet") for i in (1, 2))
PROXY = ProxyAddress.parse("socks5://somebody:secret@192.0.2.1:1080")


def rungs(settings: ReachSettings) -> list[Rung]:
    return [each.rung for each in candidates(Simulation(1).world("10.0.0.1"), settings, Path("state"))]


def test_without_wishes_the_straight_ways_and_tor_may_be_taken():
    assert rungs(ReachSettings()) == [Rung.DIRECT, Rung.SPLIT, Rung.PROXY, Rung.PROXY]


def test_bridges_are_added():
    assert rungs(ReachSettings(bridges=LINKS))[-2:] == [Rung.BRIDGE, Rung.BRIDGE]


def test_who_names_a_proxy_is_never_seen_without_it():
    assert rungs(ReachSettings(proxies=(PROXY,), bridges=LINKS)) == [Rung.PROXY]


def test_a_pinned_rung_is_the_only_one():
    for rung in (Rung.DIRECT, Rung.SPLIT):
        assert rungs(ReachSettings(pinned=rung, proxies=(PROXY,), bridges=LINKS)) == [rung]
    assert rungs(ReachSettings(pinned=Rung.BRIDGE, proxies=(PROXY,), bridges=LINKS)) == [Rung.BRIDGE] * 2
    assert rungs(ReachSettings(pinned=Rung.PROXY, proxies=(PROXY, PROXY), bridges=LINKS)) == [Rung.PROXY] * 2


def test_not_everybody_with_the_same_links_begins_with_the_same_bridge():
    """Or the first of a list that goes round would get all of a country at the moment a censor switches on."""
    settings = ReachSettings(bridges=LINKS)
    firsts = [
        next(
            each.label
            for each in candidates(Simulation(seed).world("10.0.0.1"), settings, Path("state"))
            if each.rung is Rung.BRIDGE
        )
        for seed in range(20)
    ]
    assert set(firsts) == {"bridge 1", "bridge 2"}


def test_names_are_distinct_lasting_and_show_nothing():
    world = Simulation(1).world("10.0.0.1")
    settings = ReachSettings(bridges=LINKS)
    first, again = (candidates(world, each, Path("state")) for each in (settings, ReachSettings(bridges=LINKS[::-1])))
    assert {each.name for each in first} == {each.name for each in again}
    assert len({each.name for each in first}) == len(first)
    shown = " ".join(f"{each!r} {each.name} {each.label}" for each in first)
    assert "flowers" not in shown
    assert "secret" not in repr(candidates(world, ReachSettings(proxies=(PROXY,)), Path("state")))


def test_only_bridges_that_may_be_used_are_asked_for_lists():
    world = Simulation(1).world("10.0.0.1")
    names = [each.name for each in bridge_lists(world, ReachSettings(bridges=LINKS))]
    assert names == ["bridges"]  # one voice, however many links somebody was given
    assert bridge_lists(world, ReachSettings()) == ()
    assert bridge_lists(world, ReachSettings(bridges=LINKS, proxies=(PROXY,))) == ()
    assert bridge_lists(world, ReachSettings(bridges=LINKS, pinned=Rung.SPLIT)) == ()
    assert len(bridge_lists(world, ReachSettings(bridges=LINKS, proxies=(PROXY,), pinned=Rung.BRIDGE))) == 1

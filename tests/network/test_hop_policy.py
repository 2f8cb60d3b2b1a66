"""Which nodes may be hops, what the choice costs, and that paths keep to it."""

import random
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.network.countries import country_of
from ramson.network.hop_policy import ANY_NODE, BadHopPolicy, Crowd, HopPolicy, crowd
from ramson.network.routing import Routing
from ramson.network.trace import Source

COUNTRIES = {"1": "DE", "2": "FR", "3": "RU", "4": None}
WORDS = st.sampled_from(["de", "FR", "RU", "US", "10.1.0.0/16", "10.3.0.0/16"])


def country(address: str) -> str | None:
    return COUNTRIES[address.split(".")[1]]


@pytest.fixture
def nodes(node):
    """Ten nodes in each of three countries, and ten nowhere."""
    return [replace(node(10 * c + i), ip=f"10.{c + 1}.{i}.1") for c in range(4) for i in range(10)]


def allowed(policy: HopPolicy, nodes) -> set[str]:
    return {str(country(node.ip)) for node in nodes if policy.allows(node.ip, country)}


def test_without_rules_every_node_is_good(nodes):
    assert allowed(ANY_NODE, nodes) == {"DE", "FR", "RU", "None"}
    assert ANY_NODE.empty


def test_countries_are_avoided_or_alone_good_and_the_unknown_is_never_trusted(nodes):
    assert allowed(HopPolicy.parse(avoid=["ru"]), nodes) == {"DE", "FR"}
    assert allowed(HopPolicy.parse(only=["DE"]), nodes) == {"DE"}
    assert allowed(HopPolicy.parse(only=["DE", "FR"], avoid=["US"]), nodes) == {"DE", "FR"}


def test_networks_are_avoided_or_alone_good(nodes):
    assert allowed(HopPolicy.parse(avoid=["10.3.0.0/16"]), nodes) == {"DE", "FR", "None"}
    assert allowed(HopPolicy.parse(only=["10.1.0.0/16", "10.4.0.0/16"]), nodes) == {"DE", "None"}
    assert not HopPolicy(avoid_networks=(IPv4Network("10.0.0.0/8"),)).allows("2001:db8::1", country)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_what_is_avoided_is_never_a_hop(avoid, only):
    try:
        policy = HopPolicy.parse(avoid=avoid, only=only)
    except BadHopPolicy:
        assert {word.upper() for word in avoid} & {word.upper() for word in only}
        return
    for address in ("10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1"):
        if policy.allows(address, country):
            assert str(country(address)) not in {word.upper() for word in avoid}


@pytest.mark.parametrize("word", ["Germany", "D1", "10.0.0.1/8", "", "::/0", "10.0.0.0/33"])
def test_what_is_neither_a_country_nor_a_network_is_refused_with_a_remedy(word):
    with pytest.raises(BadHopPolicy) as caught:
        HopPolicy.parse(avoid=[word])
    assert "DE" in caught.value.remedy


def test_the_crowd_is_counted_and_warned_of_where_it_is_small(nodes):
    assert crowd(ANY_NODE, nodes, country) == Crowd(40, 40, 3)
    assert crowd(ANY_NODE, nodes, country).warning == ""
    small = crowd(HopPolicy.parse(only=["DE"]), nodes, country)
    assert small == Crowd(40, 10, 1)
    assert "10 of 40 nodes (25 %) in 1 country" in small.warning
    assert Crowd(2000, 1500, 30).warning == ""
    assert Crowd(2000, 1500, 3).warning
    assert Crowd(0, 0, 0).warning == ""


def test_countries_come_from_the_registries():
    assert country_of("8.8.8.8") == "US"
    assert country_of("127.1.1.1") is None
    assert country_of("no address") is None


def routing(nodes, policy=ANY_NODE, pinned=(), seed=1) -> Routing:
    made = Routing(
        diversity=24,
        min_pool=6,
        entropy=random.Random(seed),
        may_be_hop=lambda node: policy.allows(node.ip, country),
        pinned=pinned,
    )
    made.load(nodes, Source.SEEDS)
    return made


def build_all(made: Routing) -> None:
    while made.missing:
        for guard in [*made.idle_guards, *made.guard_candidates(2)]:
            if made.missing:
                made.build(guard)


@pytest.mark.parametrize("seed", range(10))
def test_paths_keep_to_the_policy_whatever_happens_to_them(nodes, seed):
    made = routing(nodes, HopPolicy.parse(avoid=["RU"]), seed=seed)
    build_all(made)
    for _ in range(5):
        made.drop_node(made.paths[0].middle.ed25519, "it went away")
        build_all(made)
        made.reroll(guards=False)
        hops = [hop for path in made.paths for hop in path.hops]
        assert {country(hop.ip) for hop in hops} <= {"DE", "FR"}
        destination = next(hop for hop in hops)
        spare = made.choose(avoid=destination.ed25519)
        assert spare is None or {country(hop.ip) for hop in spare.hops} <= {"DE", "FR"}
    assert len(made.pool) == 35  # any node may still be a destination


def test_remembered_guards_that_are_no_longer_wanted_are_forgotten(nodes):
    made = routing(nodes, HopPolicy.parse(only=["DE"]))
    made.remember_guards([node.ed25519 for node in nodes])
    assert set(made.guards) == {node.ed25519 for node in nodes[:10]}


def test_a_policy_that_leaves_too_few_builds_nothing(nodes):
    made = routing(nodes[:15], HopPolicy.parse(only=["FR"]))
    assert not made.usable


def test_a_reroll_keeps_guards_unless_told_otherwise(nodes):
    made = routing(nodes)
    build_all(made)
    before = made.paths
    made.reroll(guards=False)
    assert [path.guard for path in made.paths] == [path.guard for path in before]
    assert not {hop.ed25519 for path in before for hop in path.hops[1:]} & {
        hop.ed25519 for path in made.paths[:1] for hop in path.hops[1:]
    }
    made.reroll(guards=True)
    assert made.paths == ()
    assert made.guards == ()


def test_the_pinned_path_is_built_and_taken_while_it_can_be(nodes):
    wanted = [nodes[0], nodes[11], nodes[22]]
    made = routing(nodes, pinned=[node.ed25519 for node in wanted])
    build_all(made)
    assert made.pinned is not None
    assert list(made.pinned.hops) == wanted
    assert all(made.choose() == made.pinned for _ in range(20))
    assert made.choose(avoid=nodes[11].ed25519) != made.pinned  # a destination is never its own hop
    assert made.choose(after=made.pinned) != made.pinned
    made.drop_node(nodes[11].ed25519, "it went away")
    assert made.pinned is None
    assert made.choose() is not None
    made.reroll(guards=False)
    assert made.pinned is None

"""Which network to join."""

import pytest

from ramson.network.profile import MAINNET, TESTNET, BadSeedUrl, NetworkProfile, SeedUrl
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.world import Endpoint, Tls


def test_the_public_seeds_are_three_and_pinned():
    assert [str(seed.endpoint) for seed in MAINNET.seeds] == [f"seed{i}.getsession.org:4443" for i in (1, 2, 3)]
    assert all(seed.target == "/json_rpc" for seed in MAINNET.seeds)
    assert [pin.hex()[:8] for seed in MAINNET.seeds for pin in seed.pins] == ["9a56135e", "66e5317b", "e317bef2"]
    assert all(seed.tls == Tls(pins=seed.pins) for seed in MAINNET.seeds)
    assert (MAINNET.diversity, MAINNET.min_pool, MAINNET.testnet) == (24, 9, False)


def test_the_test_networks_seed_is_plain_http():
    (seed,) = TESTNET.seeds
    assert (seed.endpoint, seed.tls, TESTNET.testnet) == (Endpoint("seed2.getsession.org", 38157), None, True)


@pytest.mark.parametrize("url", ["", "seed:1/x", "ftp://seed/x", "https://", "https://seed:99999/", "https://u@seed/"])
def test_what_is_no_seeds_url_is_refused_with_a_remedy(url):
    with pytest.raises(BadSeedUrl) as caught:
        SeedUrl(url)
    assert "https://" in caught.value.remedy


def test_a_file_with_seeds_leaves_the_list_to_them(node):
    file = NetworkFile(
        nodes=(NetworkNode("n0", NodeState.ACTIVE, node(0)),),
        seeds=(Seed("https://127.7.0.1:4443/json_rpc", b"p" * 32),),
        testnet=True,
        diversity=24,
    )
    profile = NetworkProfile.from_file(file)
    assert profile.seeds == (SeedUrl("https://127.7.0.1:4443/json_rpc", frozenset([b"p" * 32])),)
    assert (profile.bundled, profile.diversity, profile.testnet) == ((), 24, True)


def test_a_file_without_seeds_is_itself_the_list_of_active_nodes(node):
    states = (NodeState.ACTIVE, NodeState.DEAD, NodeState.UNASSIGNED, NodeState.PHANTOM)
    file = NetworkFile(nodes=tuple(NetworkNode(f"n{i}", state, node(i)) for i, state in enumerate(states)))
    assert NetworkProfile.from_file(file).bundled == (node(0),)


def test_a_diversity_of_0_switches_the_rule_off():
    assert NetworkProfile.from_file(NetworkFile(nodes=(), diversity=0)).diversity is None


def test_networks_have_distinct_fingerprints():
    assert MAINNET.fingerprint != TESTNET.fingerprint

"""Where a node stands in the list, and the settings it starts with."""

import random
from pathlib import Path

import pytest

from ramson.errors import LocalError
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.replication import SwarmForwarder
from ramson.node.standing import Standing, peer_address
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry
from ramson.world import Endpoint, PeerAddress, PeerTimeout

OURS, THEIRS = b"\x05" + bytes(32), b"\x05" + b"\x80" + bytes(31)
KEYS = [NodeKeys.generate(random.Random(i)) for i in range(4)]


def network(*swarms, hardfork=(19, 4), ip="10.0.0.1"):
    nodes = (
        NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, ip, 1, 2, s) for k, s in zip(KEYS, swarms, strict=False)
    )
    return NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, node) for node in nodes), hardfork=hardfork)


@pytest.fixture
def registry():
    return FileRegistry(network(0, 0, 1 << 63, UNASSIGNED))


@pytest.fixture
def standing(registry):
    return Standing(registry, KEYS[0].ed25519.public)


def test_own_swarm_and_its_accounts(standing):
    assert standing.swarm_id == 0
    assert [node.ed25519 for node in standing.others] == [KEYS[1].ed25519.public]
    assert standing.owns(OURS)
    assert not standing.owns(THEIRS)


def test_active_nodes_are_those_of_a_swarm(standing):
    assert [standing.is_active(k.x25519.public) for k in KEYS] == [True, True, True, False]
    assert not standing.is_active(bytes(32))


def test_readiness_follows_the_list(standing, registry):
    assert standing.unready() == ()
    registry.replace(network(UNASSIGNED, 0))
    assert standing.unready() == ("not in any swarm",)
    assert standing.others == ()
    assert not standing.owns(OURS)
    registry.replace(NetworkFile(()))
    assert standing.unready() == ("not in any swarm",)
    registry.replace(network(0, hardfork=(19, 2)))
    assert len(standing.unready()) == 1
    assert "hardfork" in standing.unready()[0]


def test_addresses(standing):
    node = standing.nodes.nodes[0]
    assert peer_address(node) == PeerAddress(Endpoint("10.0.0.1", 2), KEYS[0].x25519.public)
    assert peer_address(NodeRecord(b"", b"", b"", "0.0.0.0", 1, 2, 0)) is None
    assert peer_address(NodeRecord(b"", b"", b"", "10.0.0.1", 1, 0, 0)) is None


class Link:
    def __init__(self):
        self.sent = []

    async def request(self, *what, **options):
        self.sent.append((*what, options))
        return [b"reply"]


async def test_forwarding_to_the_swarm(standing, registry):
    link = Link()
    forwarder = SwarmForwarder(standing, lambda: link)
    (peer,) = forwarder.peers(OURS)
    assert forwarder.peers(THEIRS) == ()
    assert await forwarder.forward(peer, "store", b"body", 5.0) == [b"reply"]
    assert link.sent == [(peer_address(peer), "sn.storage_cc", [b"store", b"body"], {"timeout": 5.0})]
    registry.replace(network(0, 0, ip="0.0.0.0"))
    (peer,) = forwarder.peers(OURS)
    with pytest.raises(PeerTimeout):
        await forwarder.forward(peer, "store", b"body", 5.0)


@pytest.mark.parametrize(
    "settings", [{"max_database_bytes": 1000}, {"max_connections": 0}, {"max_connections_per_address": 0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(LocalError):
        NodeConfig(https=Endpoint("", 1), omq=Endpoint("", 2), data_dir=Path("x"), **settings)

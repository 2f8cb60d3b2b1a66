"""The OxenMQ side of a node: who may use which command, and what its replies look like."""

import random
from types import SimpleNamespace

import pytest

from ramson.node.keys import NodeKeys
from ramson.node.omq_routes import commands
from ramson.node.relay import Relayed
from ramson.node.standing import Standing
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry
from ramson.world import Origin

STRANGER = Origin(b"\x01" * 32, "route", "192.0.2.1")


def network(*swarms):
    nodes = []
    for i, swarm_id in enumerate(swarms):
        keys = NodeKeys.generate(random.Random(i))
        record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, "10.0.0.1", 1, 2, swarm_id)
        nodes.append(NetworkNode("n", NodeState.ACTIVE, record))
    return NetworkFile(tuple(nodes))


def node(i):
    return Origin(NodeKeys.generate(random.Random(i)).x25519.public, "route", "192.0.2.2")


async def receive(parts):
    return [b"got", *parts]


@pytest.fixture
def registry():
    return FileRegistry(network(7, 7, UNASSIGNED))


@pytest.fixture
def limited():
    return set()


@pytest.fixture
def table(registry, limited):
    return commands(
        standing=Standing(registry, NodeKeys.generate(random.Random(0)).ed25519.public),
        service=SimpleNamespace(
            handle_omq=lambda name, parts: [name.encode(), *parts],
            handle_forwarded=lambda parts: None,
        ),
        relay=SimpleNamespace(hop=lambda parts: Relayed(421, b"body", {"a": "b"})),
        handoff=SimpleNamespace(receive=receive),
        repair=SimpleNamespace(answer=lambda origin, parts: receive([origin.key])),
        tests=SimpleNamespace(answer=lambda origin, parts: receive([origin.key])),
        monitor=SimpleNamespace(subscribe=lambda origin, parts: 1 / 0, refuse=lambda text: [text.encode()]),
        limiter=SimpleNamespace(allow=lambda address: address not in limited),
    )


async def call(table, name, origin, *parts):
    refusal = table[name].refuse(origin)
    if refusal is not None:
        return refusal
    reply = table[name].handle(origin, list(parts))
    return reply if reply is None or isinstance(reply, list) else await reply


NODE_COMMANDS = ["sn.ping", "sn.data", "sn.ramson", "sn.storage_cc", "sn.onion_request", "sn.storage_test"]


@pytest.mark.parametrize("name", NODE_COMMANDS)
async def test_node_commands_are_for_nodes_of_a_swarm(table, name):
    assert await call(table, name, STRANGER) == b"FORBIDDEN_SN"
    assert await call(table, name, node(2)) == b"FORBIDDEN_SN"
    assert table[name].refuse(node(1)) is None


async def test_who_is_a_node_is_asked_at_every_message(table, registry):
    assert await call(table, "sn.ping", node(1)) == [b"pong"]
    registry.replace(network(7, UNASSIGNED, 7))
    assert await call(table, "sn.ping", node(1)) == b"FORBIDDEN_SN"
    assert await call(table, "sn.ping", node(2)) == [b"pong"]


async def test_replies(table):
    assert await call(table, "sn.data", node(1), b"x") == [b"got", b"x"]
    assert await call(table, "sn.storage_cc", node(1), b"x") is None
    assert await call(table, "sn.onion_request", node(1), b"x") == [b"421", b"body"]
    assert await call(table, "sn.storage_test", node(1), b"x") == [b"got", node(1).key]


@pytest.mark.parametrize("name", ["info", "store", "get_swarm", "get_snodes_for_pubkey", "batch"])
async def test_storage_commands_are_for_everybody(table, name):
    assert await call(table, f"storage.{name}", STRANGER, b"{}") == [name.encode(), b"{}"]


async def test_storage_commands_are_limited_by_address(table, limited):
    limited.add(STRANGER.address)
    assert await call(table, "storage.info", STRANGER) == [b"429", b"Too Many Requests\n"]
    assert await call(table, "storage.info", node(1)) == [b"info"]
    assert await call(table, "storage.info", Origin(b"\x01" * 32, "route")) == [b"info"]


@pytest.mark.parametrize("name", ["service.get_stats", "notify.block"])
async def test_a_daemons_commands_are_nobodys(table, name):
    assert await call(table, name, STRANGER) == await call(table, name, node(1)) == b"FORBIDDEN"


async def test_no_defect_shows(table):
    assert await call(table, "monitor.messages", STRANGER) == [b"500", b"request failed"]


async def test_subscriptions_count_for_the_rate(table, limited):
    limited.add(STRANGER.address)
    assert await call(table, "monitor.messages", STRANGER) == [b"Too Many Requests"]


def test_there_is_nothing_else(table):
    assert {name.partition(".")[0] for name in table} == {"sn", "storage", "monitor", "service", "notify"}
    assert [name for name in table if name.startswith("sn.")] == [
        "sn.ping",
        "sn.data",
        "sn.ramson",
        "sn.storage_cc",
        "sn.onion_request",
        "sn.storage_test",
    ]

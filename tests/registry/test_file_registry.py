"""The registry over a network file: the list, its changes, and the daemon's two calls."""

import asyncio
import random

import pytest

from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry, RegistryError

NAME = "ab" * 32
ANSWER = {"encrypted_value": "cd" * 49, "nonce": "ef" * 24}


def node(number, swarm_id=7):
    key = bytes([number]) * 32
    record = NodeRecord(key, key[::-1], bytes([number + 100]) * 32, f"127.0.0.{number}", 22021, 22020, swarm_id)
    return NetworkNode(f"n{number}", NodeState.ACTIVE, record)


def network(count=4, **kw):
    nodes = [*(node(i) for i in range(1, count)), node(count, UNASSIGNED)]
    return NetworkFile(tuple(nodes), ons={"name_hash": NAME, "result": ANSWER}, **kw)


@pytest.fixture
def registry():
    return FileRegistry(network(height=50, block_hash="aa" * 32))


def test_the_list_is_the_files(registry):
    assert registry.current().height == 50
    assert len(registry.current().nodes) == 4
    assert registry.current().swarm_ids == (7,)


async def test_whoever_waits_learns_of_a_change(registry):
    old = registry.current()
    waiting = [asyncio.ensure_future(registry.wait_change(old)) for _ in range(2)]
    await asyncio.sleep(0)
    registry.replace(network(height=50, block_hash="aa" * 32))  # nothing new
    await asyncio.sleep(0.01)
    assert not any(w.done() for w in waiting)
    registry.replace(network(5))
    assert [len(new.nodes) for new in await asyncio.gather(*waiting)] == [5, 5]
    assert await registry.wait_change(old) == registry.current()


async def test_all_nodes_with_all_fields(registry):
    reply = await registry.call("get_service_nodes", {})
    assert reply["status"] == "OK"
    assert (reply["height"], reply["hardfork"], reply["snode_revision"]) == (50, 19, 4)
    first, *_, last = reply["service_node_states"]
    assert first == {
        "service_node_pubkey": "65" * 32,
        "pubkey_ed25519": "01" * 32,
        "pubkey_x25519": "01" * 32,
        "active": True,
        "funded": True,
        "requested_unlock_height": 0,
        "swarm_id": 7,
        "swarm": "7",
        "public_ip": "127.0.0.1",
        "storage_port": 22021,
        "storage_lmq_port": 22020,
    }
    assert (last["active"], last["swarm_id"], last["swarm"]) == (False, UNASSIGNED, "ffffffffffffffff")


@pytest.mark.parametrize(
    "fields",
    [["pubkey_ed25519", "height"], {"pubkey_ed25519": True, "height": True, "swarm_id": False}],
)
async def test_fields_choose_at_both_levels(registry, fields):
    reply = await registry.call("get_service_nodes", {"fields": fields})
    assert set(reply) == {"height", "service_node_states", "status"}
    assert all(set(state) == {"pubkey_ed25519"} for state in reply["service_node_states"])


async def test_all_fields_but_some(registry):
    reply = await registry.call("get_service_nodes", {"fields": ["all", "-swarm", "-height"]})
    assert "height" not in reply
    assert "swarm" not in reply["service_node_states"][0]
    assert "swarm_id" in reply["service_node_states"][0]


async def test_only_active_ones_some_and_named_ones(registry):
    async def keys(**params):
        reply = await registry.call("get_service_nodes", {"fields": ["pubkey_ed25519"], **params})
        return [int(state["pubkey_ed25519"][:2], 16) for state in reply["service_node_states"]]

    assert await keys(active_only=True) == [1, 2, 3]
    assert len(await keys(limit=2)) == 2
    assert await keys(service_node_pubkeys=["66" * 32]) == [2]


async def test_a_limit_is_random_with_entropy():
    registry = FileRegistry(network(150), entropy=random.Random(1))
    reply = await registry.call("get_service_nodes", {"limit": 10, "fields": ["pubkey_ed25519"]})
    keys = [state["pubkey_ed25519"] for state in reply["service_node_states"]]
    assert len(set(keys)) == 10
    assert keys != sorted(keys)
    reply = await registry.call("get_service_nodes", {"limit": -1})
    assert len(reply["service_node_states"]) == 150


async def test_polling_for_the_same_block(registry):
    reply = await registry.call("get_service_nodes", {"poll_block_hash": "aa" * 32})
    assert reply["unchanged"] is True
    assert "service_node_states" not in reply
    reply = await registry.call("get_service_nodes", {"poll_block_hash": "bb" * 32})
    assert "service_node_states" in reply


@pytest.mark.parametrize(
    "params",
    [{"fields": 5}, {"fields": [5]}, {"limit": "x"}, {"active_only": 1}, {"service_node_pubkeys": "x"}],
)
async def test_wrong_parameters_are_refused(registry, params):
    with pytest.raises(RegistryError, match=r"^Invalid "):
        await registry.call("get_service_nodes", params)


async def test_names(registry):
    assert await registry.call("ons_resolve", {"type": 0, "name_hash": NAME}) == ANSWER
    assert await registry.call("ons_resolve", {"type": 0, "name_hash": "00" * 32}) == {}
    with pytest.raises(RegistryError, match="name_hash"):
        await registry.call("ons_resolve", {"type": 0})
    with pytest.raises(RegistryError):
        await registry.call("lns_resolve", {})

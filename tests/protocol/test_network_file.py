"""`network.json`, as the conformance suite's generator writes it and as we do."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol import network_file
from ramson.protocol.file_server import FileServer
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED

GENERATOR = Path(__file__).parents[1] / "conformance" / "tools" / "gen_network.py"


def node(number: int, state: NodeState = NodeState.ACTIVE, **changes) -> NetworkNode:
    fields = {"ip": f"127.0.7.{number}", "https_port": 27101, "omq_port": 27201, "swarm_id": 4096} | changes
    record = NodeRecord(bytes([number]) * 32, bytes([number + 1]) * 32, bytes([number + 2]) * 32, **fields)
    return NetworkNode(f"n{number}", state, record)


NETWORK = NetworkFile(
    nodes=(
        node(1),
        node(2, NodeState.UNASSIGNED, swarm_id=UNASSIGNED, requested_unlock_height=7),
        NetworkNode("n3", NodeState.PHANTOM, node(3, ip="0.0.0.0", https_port=0, omq_port=0).record, b"\x09" * 32),
    ),
    testnet=False,
    hardfork=(19, 3),
    seeds=(Seed("https://127.0.7.200:4443/json_rpc", bytes(range(32))), Seed("http://127.0.7.201:80/json_rpc")),
    diversity=32,
    height=77,
    block_hash="ab" * 32,
    ons={"name_hash": "cd" * 32, "result": {"nonce": "00"}},
    file_server=FileServer("http://127.0.7.202:8080", bytes(range(32)), ranges=True, resumable=True),
)
DOCUMENT = json.loads(network_file.encode(NETWORK))


def test_round_trip():
    assert network_file.parse(network_file.encode(NETWORK)) == NETWORK


def test_our_form_is_the_suites_form():
    assert DOCUMENT["nodes"][0] == {
        "name": "n1",
        "ip": "127.0.7.1",
        "https_port": 27101,
        "omq_port": 27201,
        "pubkey_ed25519": "01" * 32,
        "pubkey_x25519": "02" * 32,
        "pubkey_legacy": "03" * 32,
        "swarm_id": 4096,
        "state": "active",
    }
    assert DOCUMENT["seeds"][0] == {
        "url": "https://127.0.7.200:4443/json_rpc",
        "pin": base64.b64encode(bytes(range(32))).decode(),
    }
    assert (DOCUMENT["testnet"], DOCUMENT["hardfork"], DOCUMENT["diversity"]) == (False, [19, 3], 32)


def test_what_the_suites_generator_writes(tmp_path):
    subprocess.run([sys.executable, GENERATOR, tmp_path], check=True, timeout=60)
    data = (tmp_path / "network.json").read_bytes()
    network = network_file.parse(data)
    assert [node.state for node in network.nodes[-3:]] == [NodeState.DEAD, NodeState.UNASSIGNED, NodeState.PHANTOM]
    assert network.node_list().swarm_ids == (0x1000, 0x5555555555556000, 0xAAAAAAAAAAAAB000, 0xD555555555556000)
    assert network.diversity == 24
    again = json.loads(network_file.encode(network))
    original = json.loads(data)
    assert again["nodes"] == original["nodes"]
    assert {name: again[name] for name in original} == original


def test_the_node_list():
    nodes = NETWORK.node_list()
    assert nodes.nodes == tuple(node.record for node in NETWORK.nodes)
    assert (nodes.height, nodes.block_hash, nodes.hardfork) == (77, "ab" * 32, (19, 3))
    assert not nodes.nodes[2].contactable


def test_swarm_ids_may_be_hexadecimal():
    document = {"nodes": [DOCUMENT["nodes"][0] | {"swarm_id": "ffffffffffffffff"}]}
    assert network_file.parse(json.dumps(document).encode()).nodes[0].record.swarm_id == UNASSIGNED


def test_secrets_do_not_show():
    assert "x25519_secret" not in repr(NETWORK.nodes[2])
    assert "\\t" not in repr(NETWORK.nodes[2])  # nine is a tab


def changed(**changes) -> bytes:
    return json.dumps(DOCUMENT | changes).encode()


def with_node(**changes) -> bytes:
    return changed(nodes=[DOCUMENT["nodes"][0] | changes])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        changed(nodes=None),
        changed(nodes={}),
        changed(nodes=[1]),
        changed(testnet="yes"),
        changed(testnet=1),
        changed(hardfork=[19]),
        changed(hardfork=[19, "4"]),
        changed(hardfork=[19, True]),
        changed(diversity=33),
        changed(diversity=24.0),
        changed(height=-1),
        changed(seeds=["https://x"]),
        changed(seeds=[{}]),
        changed(seeds=[{"url": "ftp://x"}]),
        changed(seeds=[{"url": "https://x", "pin": "abc"}]),
        changed(seeds=[{"url": "https://x", "pin": "AAAA"}]),
        changed(ons=[]),
        with_node(state="asleep"),
        with_node(state=None),
        with_node(name=None),
        with_node(ip="example.org"),
        with_node(ip="::1"),
        with_node(ip=5),
        with_node(https_port=65536),
        with_node(https_port="1"),
        with_node(https_port=True),
        with_node(omq_port=-1),
        with_node(pubkey_ed25519="01" * 31),
        with_node(pubkey_x25519="zz" * 32),
        with_node(pubkey_legacy=None),
        with_node(swarm_id=2**64),
        with_node(swarm_id=-1),
        with_node(swarm_id=True),
        with_node(swarm_id="0x10"),
        with_node(swarm_id="+1"),
        with_node(swarm_id="١"),
        with_node(swarm_id=""),
        with_node(swarm_id="1" * 17),
        with_node(x25519_privkey="ab"),
        b" " * (network_file.MAX_SIZE + 1),
    ],
)
def test_refused(data):
    with pytest.raises(ParseError):
        network_file.parse(data)


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none())


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(DOCUMENT)), st.sampled_from(sorted(DOCUMENT["nodes"][2])), anything, anything)
def test_fuzz(name, node_name, value, node_value):
    for data in (changed(**{name: value}), with_node(**{node_name: node_value})):
        try:
            network = network_file.parse(data)
        except ParseError:
            continue
        assert network_file.parse(network_file.encode(network)) == network


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {},
        {"url": "http://host"},
        {"pubkey": "00" * 32},
        {"url": "ftp://host", "pubkey": "00" * 32},
        {"url": "http://host/path", "pubkey": "00" * 32},
        {"url": "http://host", "pubkey": "00" * 31},
        {"url": "http://host", "pubkey": "00" * 32, "ranges": 1},
        {"url": "http://host", "pubkey": "00" * 32, "resumable": "yes"},
    ],
)
def test_a_file_server_that_cannot_be_used_is_refused(entry):
    with pytest.raises(ParseError):
        network_file.parse(json.dumps(DOCUMENT | {"file_server": entry}).encode())

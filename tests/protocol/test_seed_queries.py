"""Node lists over JSON-RPC (registry-and-rewards §4, oxend-interface §4, bootstrap-and-paths §2.1)."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.errors import ParseError
from ramson.protocol import seed
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.swarms import UNASSIGNED


def node(number: int, **changes) -> NodeRecord:
    fields = {"ip": f"10.0.0.{number}", "https_port": 22021, "omq_port": 22020, "swarm_id": 2**63 + number} | changes
    return NodeRecord(bytes([number]) * 32, bytes([number + 100]) * 32, bytes([number + 200]) * 32, **fields)


NODES = NodeList(
    (node(1), node(2, requested_unlock_height=9), node(3, swarm_id=UNASSIGNED), node(4, ip="0.0.0.0", https_port=0)),
    1_500_000,
    "ab" * 32,
    (19, 4),
)
ENTROPY = random.Random(1)


def ask(params=None, **changes) -> bytes:
    document = {"jsonrpc": "2.0", "id": "0", "method": "get_n_service_nodes", "params": params or {}} | changes
    return json.dumps(document).encode()


def answer(params=None) -> dict:
    return json.loads(seed.encode_service_nodes(NODES, seed.parse_query(ask(params)), ENTROPY))["result"]


# ---- the client


def test_the_query_is_that_of_other_clients():
    assert seed.service_nodes_query() == (
        b'{"jsonrpc":"2.0","method":"get_n_service_nodes","params":{"active_only":true,"fields":{'
        b'"public_ip":true,"storage_port":true,"pubkey_x25519":true,"pubkey_ed25519":true,'
        b'"requested_unlock_height":true,"height":true}}}'
    )


def test_a_client_reads_what_a_seed_answers():
    query = seed.parse_query(seed.service_nodes_query())
    nodes = seed.parse_service_nodes(seed.encode_service_nodes(NODES, query, ENTROPY))
    # Neither the unassigned node nor the one without an address.
    assert [node.ed25519[0] for node in nodes.nodes] == [1, 2]
    assert nodes.height == 1_500_000
    first, second = nodes.nodes
    assert (first.ip, first.https_port, first.x25519) == ("10.0.0.1", 22021, bytes([101]) * 32)
    assert second.requested_unlock_height == 9
    # What was not asked for is unknown.
    assert (first.legacy, first.omq_port, first.swarm_id, nodes.block_hash) == (b"", 0, UNASSIGNED, "")


def test_everything_survives_when_everything_is_asked_for():
    result = seed.service_nodes_result(NODES, seed.Query(), ENTROPY)
    assert seed.parse_result(result, keep_unreachable=True) == NODES


def listing(*states, **top) -> bytes:
    return json.dumps({"result": {"service_node_states": list(states), "status": "OK", **top}}).encode()


GOOD = {"pubkey_ed25519": "01" * 32, "pubkey_x25519": "02" * 32, "public_ip": "10.0.0.1", "storage_port": 22021}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        {},
        GOOD | {"public_ip": "0.0.0.0"},
        GOOD | {"public_ip": None},
        GOOD | {"public_ip": "example.org"},
        GOOD | {"public_ip": "::1"},
        GOOD | {"public_ip": 5},
        GOOD | {"storage_port": 0},
        GOOD | {"storage_port": "22021"},
        GOOD | {"storage_port": 65536},
        GOOD | {"storage_port": True},
        GOOD | {"pubkey_ed25519": "zz" * 32},
        GOOD | {"pubkey_ed25519": ""},
        GOOD | {"pubkey_x25519": None},
        GOOD | {"funded": False},
        {name: value for name, value in GOOD.items() if name != "public_ip"},
    ],
)
def test_one_bad_entry_does_not_spoil_the_list(bad):
    other = GOOD | {"pubkey_ed25519": "03" * 32}
    nodes = seed.parse_service_nodes(listing(bad, other))
    assert [node.ed25519[0] for node in nodes.nodes] == [3]


def test_of_two_entries_with_one_key_the_first_counts():
    nodes = seed.parse_service_nodes(listing(GOOD, GOOD | {"public_ip": "10.0.0.2"}))
    assert [node.ip for node in nodes.nodes] == ["10.0.0.1"]


def test_swarm_ids_keep_all_64_bits():
    [found] = seed.parse_service_nodes(listing(GOOD | {"swarm_id": 2**64 - 2})).nodes
    assert found.swarm_id == 2**64 - 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"error":{"code":-32601,"message":"Method not found"}}',
        b'{"result":[]}',
        b'{"result":{}}',
        b'{"result":{"service_node_states":{}}}',
        listing(),
        listing({}),
        b'{"result":{"service_node_states":[%b]}}' % b",".join([b"0"] * (seed.MAX_NODES + 1)),
        b" " * (seed.MAX_REPLY + 1),
    ],
)
def test_replies_without_a_list(body):
    with pytest.raises(ParseError):
        seed.parse_service_nodes(body)


# ---- the server


def test_all_fields_of_all_nodes():
    result = answer()
    assert {name: value for name, value in result.items() if name != "service_node_states"} == {
        "height": 1_500_000,
        "target_height": 1_500_000,
        "block_hash": "ab" * 32,
        "hardfork": 19,
        "snode_revision": 4,
        "status": "OK",
    }
    assert result["service_node_states"][2] == {
        "service_node_pubkey": "cb" * 32,
        "pubkey_ed25519": "03" * 32,
        "pubkey_x25519": "67" * 32,
        "public_ip": "10.0.0.3",
        "storage_port": 22021,
        "storage_lmq_port": 22020,
        "swarm_id": UNASSIGNED,
        "swarm": "ffffffffffffffff",
        "requested_unlock_height": 0,
        "active": False,
        "funded": True,
    }
    assert len(result["service_node_states"]) == 4


def test_active_only():
    assert [state["active"] for state in answer({"active_only": True})["service_node_states"]] == [True] * 3


@pytest.mark.parametrize(
    "fields",
    [["public_ip", "height", "no_such"], {"public_ip": True, "height": True, "storage_port": False}],
)
def test_chosen_fields(fields):
    result = answer({"fields": fields})
    assert set(result) == {"height", "status", "service_node_states"}
    assert result["service_node_states"][0] == {"public_ip": "10.0.0.1"}


def test_all_fields_but_some():
    result = answer({"fields": ["all", "-public_ip", "-height"]})
    assert "height" not in result
    assert "public_ip" not in result["service_node_states"][0]
    assert "swarm_id" in result["service_node_states"][0]
    assert answer({"fields": ["all"]}) == answer({"fields": []}) == answer()


def test_limits():
    seen = set()
    for _ in range(30):
        [state] = answer({"limit": 1})["service_node_states"]
        seen.add(state["public_ip"])
    assert len(seen) > 1
    assert len(answer({"limit": 99})["service_node_states"]) == 4
    everyone = [answer({"limit": -1})["service_node_states"] for _ in range(30)]
    assert {len(states) for states in everyone} == {4}
    assert len({str(states) for states in everyone}) > 1


def test_chosen_nodes():
    [state] = answer({"service_node_pubkeys": ["ca" * 32]})["service_node_states"]
    assert state["pubkey_ed25519"] == "02" * 32


def test_polling():
    assert answer({"poll_block_hash": "ab" * 32})["unchanged"] is True
    assert "service_node_states" not in answer({"poll_block_hash": "ab" * 32})
    assert answer({"poll_block_hash": "cd" * 32})["unchanged"] is False
    assert len(answer({"poll_block_hash": "cd" * 32})["service_node_states"]) == 4


@pytest.mark.parametrize("method", sorted(seed.METHODS))
def test_methods(method):
    assert seed.parse_query(ask(method=method)).method == method


@pytest.mark.parametrize("rpc_id", ["0", 7, None, "é"])
def test_the_id_comes_back(rpc_id):
    query = seed.parse_query(ask(id=rpc_id))
    assert json.loads(seed.encode_service_nodes(NODES, query, ENTROPY))["id"] == rpc_id


def test_params_may_be_missing():
    assert seed.parse_query(b'{"method":"get_service_nodes"}') == seed.Query()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b"{}", -32600),
        (ask(method=5), -32600),
        (ask(params=[1]), -32600),
        (ask(id=[]), -32600),
        (ask(id=True), -32600),
        (b" " * (seed.MAX_QUERY + 1), -32600),
        (ask(method="get_info"), -32601),
        (ask(method=""), -32601),
        (ask({"active_only": 1}), -32602),
        (ask({"limit": "5"}), -32602),
        (ask({"limit": True}), -32602),
        (ask({"fields": "all"}), -32602),
        (ask({"fields": [1]}), -32602),
        (ask({"service_node_pubkeys": "x"}), -32602),
        (ask({"poll_block_hash": 5}), -32602),
    ],
)
def test_errors(body, code):
    with pytest.raises(seed.RpcError) as refused:
        seed.parse_query(body)
    error = json.loads(seed.encode_error(refused.value))
    assert error["error"]["code"] == code
    assert error["error"]["message"]
    assert not isinstance(refused.value, seed.AdminMethod)


@pytest.mark.parametrize("method", ["get_service_node_privkey", "storage_server_ping", "admin.anything"])
def test_admin_methods_are_for_nobody(method):
    with pytest.raises(seed.AdminMethod):
        seed.parse_query(ask(method=method))


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3))
names = st.sampled_from(["jsonrpc", "id", "method", "params", "result"])
states = st.dictionaries(st.sampled_from(sorted([*GOOD, "swarm_id", "service_node_pubkey"])), anything, max_size=5)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(names, anything, max_size=4), states)
def test_fuzz(document, state):
    data = json.dumps(document).encode()
    for read in (seed.parse_query, seed.parse_service_nodes):
        try:
            read(data)
        except ParseError:
            continue
    nodes = seed.parse_result({"service_node_states": [GOOD | state, state]}, keep_unreachable=True)
    assert len(nodes.nodes) <= 2

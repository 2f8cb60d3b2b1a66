"""The seed: one path, one method, JSON-RPC's errors."""

import json
import random

import pytest

from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.seed import parse_service_nodes, service_nodes_query
from ramson.registry import FileRegistry, SeedService
from ramson.world import Certificate, Endpoint, HttpRequest, World

ENDPOINT = Endpoint("127.0.0.1", 4443)


class FakeListener:
    def __init__(self, endpoint, handler):
        self.endpoint, self.handler, self.closed = endpoint, handler, False

    async def close(self):
        self.closed = True


class FakeNet:
    async def listen(self, endpoint, handler, *, certificate, limits):
        self.certificate, self.limits = certificate, limits
        self.listener = FakeListener(Endpoint(endpoint.host, 5555), handler)
        return self.listener


def network(count):
    nodes = (
        NodeRecord(bytes([i]) * 32, bytes([i + 50]) * 32, bytes([i + 100]) * 32, f"10.0.0.{i}", 22021, 22020, 7)
        for i in range(1, count + 1)
    )
    return NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, node) for node in nodes), height=9)


@pytest.fixture
def registry():
    return FileRegistry(network(3))


@pytest.fixture
def seed(registry):
    return SeedService(
        World(None, random.Random(1), FakeNet(), None, None), registry, ENDPOINT, Certificate(b"c", b"k")
    )


def ask(seed, body, path="/json_rpc", method="POST"):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return seed.handle(HttpRequest(method, path, {}, body))


def test_a_client_gets_the_list(seed):
    reply = ask(seed, service_nodes_query())
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    nodes = parse_service_nodes(reply.body)
    assert nodes.height == 9
    assert [node.ip for node in nodes.nodes] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_every_client_gets_its_own_id_back(seed):
    for rpc_id in (0, "x", None):
        document = {"jsonrpc": "2.0", "id": rpc_id, "method": "get_n_service_nodes"}
        assert json.loads(ask(seed, document).body)["id"] == rpc_id


def test_a_new_list_is_told_at_once(seed, registry):
    assert len(parse_service_nodes(ask(seed, service_nodes_query()).body).nodes) == 3
    registry.replace(network(5))
    assert len(parse_service_nodes(ask(seed, service_nodes_query()).body).nodes) == 5


def test_a_limit_is_drawn_anew(seed):
    document = {"method": "get_n_service_nodes", "params": {"limit": 1}}
    assert len({ask(seed, document).body for _ in range(50)}) == 3


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", -32700, 200),
        ([], -32600, 200),
        ({"id": 1}, -32600, 200),
        ({"id": 1, "method": "get_info"}, -32601, 200),
        ({"id": 1, "method": "get_service_node_privkey"}, -32601, 403),
    ],
)
def test_errors(seed, body, code, status):
    reply = ask(seed, body)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("method", "path"), [("GET", "/json_rpc"), ("POST", "/"), ("POST", "/json_rpc/x")])
def test_there_is_nothing_else(seed, method, path):
    assert ask(seed, service_nodes_query(), path, method).status == 404


async def test_it_listens_while_entered(seed):
    async with seed:
        net = seed._world.net
        assert seed.endpoint == Endpoint("127.0.0.1", 5555)
        assert net.certificate == Certificate(b"c", b"k")
        assert net.limits.max_body <= 64 * 1024
    assert net.listener.closed

"""batch, sequence, ifelse: storage-rpc.md §4 and its corrections."""

import json

import pytest

from ramson.protocol import bt
from ramson.protocol.storage import Delete, Info, Retrieve, to_json

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFO = {"method": "info", "params": {}}


def codes(document):
    return [result["code"] for result in document["results"]]


async def test_results_stand_in_the_order_of_the_requests(network, alice):
    stores = [to_json(network.message(alice, b"%d" % i)) for i in range(3)]
    mixed = [INFO, stores[0], {"method": "retrieve", "params": {"pubkey": alice.id}}, stores[1], INFO, stores[2]]
    status, document = await network.post("batch", {"requests": mixed})
    assert status == 200
    assert codes(document) == [200, 200, 401, 200, 200, 200]
    assert document["results"][2]["body"] == "retrieve: request signature required"
    assert "swarm" in document["results"][1]["body"]
    assert len(await network.hashes(alice)) == 3


async def test_a_sequence_sees_its_own_effects_and_ends_with_the_first_failure(network, alice):
    request = network.message(alice)
    name = (await network.ok(network.message(alice, b"other"))).hash
    read = alice.sign(Retrieve(account=alice.raw, timestamp=network.now))
    sequence = [
        INFO,
        to_json(request),
        to_json(alice.sign(Delete(account=alice.raw, messages=(name,)))),
        to_json(read),
        {"method": "retrieve", "params": {"pubkey": alice.id}},
        to_json(network.message(alice, b"never")),
    ]
    status, document = await network.post("sequence", {"requests": sequence})
    assert status == 200
    assert codes(document) == [200, 200, 200, 200, 401]
    assert len(document["results"][3]["body"]["messages"]) == 1
    _, document = await network.post("sequence", {"requests": [sequence[4], INFO]})
    assert codes(document) == [401]


@pytest.mark.parametrize("method", ["batch", "sequence"])
@pytest.mark.parametrize(
    "requests",
    [
        None,
        [],
        INFO,
        "x",
        5,
        [5],
        [{"method": "info"}],
        [{"params": {}}],
        [{"method": 5, "params": {}}],
        [{"method": "info", "params": None}],
        [INFO] * 21,
        [INFO, {"method": "zz", "params": {}}],
        [INFO, {"method": "store", "params": {}}],
        [{"method": "batch", "params": {"requests": [INFO]}}],
        [{"method": "sequence", "params": {"requests": [INFO]}}],
        [{"method": "ifelse", "params": {"if": {"hf_at_least": 1}, "then": INFO}}],
    ],
)
async def test_malformed_batches_are_refused_whole(network, alice, method, requests):
    store = to_json(network.message(alice))
    if isinstance(requests, list) and requests:
        requests = [store, *requests]
    status, text = await network.post(method, {"requests": requests})
    assert status == 400
    assert text.startswith("invalid request: ")
    assert await network.hashes(alice) == []


async def test_no_requests(network):
    assert await network.post("batch", {}) == (
        400,
        'invalid request: Invalid batch request: no valid "requests" field',
    )


async def test_a_refusal_names_the_unknown_method(network):
    assert "no method zz" in (await network.post("batch", {"requests": [{"method": "zz", "params": {}}]}))[1]


async def test_wrong_swarm_stays_an_object(network, alice):
    read = to_json(alice.sign(Retrieve(account=alice.raw, timestamp=network.now)))
    _, document = await network.post("batch", {"requests": [read]}, member=3)
    assert document["results"][0]["code"] == 421
    assert document["results"][0]["body"]["swarm"] == "1000"


async def test_batches_in_bencode(network, alice):
    store = {"method": "store", "params": {**network.message(alice).to_bt()}}
    refused = {"method": "retrieve", "params": {"pubkey": alice.raw}}
    [reply] = await network.omq("batch", bt.encode({"requests": [INFO, store, refused]}))
    results = bt.decode(reply)[b"results"]
    assert [result[b"code"] for result in results] == [200, 200, 401]
    assert results[0][b"body"][b"version"] == [2, 8, 0]
    assert results[2][b"body"] == b"retrieve: request signature required"


# ---- ifelse

YES, NO = {"hf_at_least": [1]}, {"hf_at_least": [1000]}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"hf_at_least": [19, 4]}, True),
        ({"hf_at_least": [19, 5]}, False),
        ({"hf_at_least": 19}, True),
        ({"hf_at_least": [19, 4, 0]}, True),
        ({"hf_at_least": [19, 4, 1]}, False),
        ({"hf_before": [19, 4]}, False),
        ({"hf_before": [19, 5]}, True),
        ({"hf_before": [20]}, True),
        ({"v_at_least": [2, 8]}, True),
        ({"v_at_least": [2, 8, 1]}, False),
        ({"v_before": [2, 8, 0]}, False),
        ({"v_before": 3}, True),
        ({"height_at_least": 100}, True),
        ({"height_at_least": 101}, False),
        ({"height_before": 100}, False),
        ({"height_before": 101}, True),
        ({"hf_at_least": [1], "height_before": 5}, False),
        ({"hf_at_least": [1], "zz": 5, "v_before": None}, True),
    ],
)
async def test_conditions(network, condition, holds):
    swarm = {"method": "get_swarm", "params": {"pubkey": "05" + "0" * 64}}
    status, document = await network.post("ifelse", {"if": condition, "then": INFO, "else": swarm})
    assert status == 200
    assert set(document) == {"hf", "v", "height", "condition", "result"}
    assert (document["hf"], document["v"], document["height"]) == ([19, 4], [2, 8, 0], 100)
    assert document["condition"] is holds
    assert ("version" if holds else "snodes") in document["result"]["body"]


async def test_a_missing_branch_has_no_result(network):
    for params in ({"if": NO, "then": INFO}, {"if": YES, "else": INFO}):
        status, document = await network.post("ifelse", params)
        assert status == 200
        assert set(document) == {"hf", "v", "height", "condition"}
    [reply] = await network.omq("ifelse", bt.encode({"if": NO, "then": INFO}))
    assert bt.decode(reply) == {b"condition": 0, b"height": 100, b"hf": [19, 4], b"v": [2, 8, 0]}


async def test_nested(network, alice):
    store = to_json(network.message(alice))
    inner = {
        "method": "ifelse",
        "params": {"if": NO, "then": INFO, "else": {"method": "batch", "params": {"requests": [store, INFO]}}},
    }
    _, document = await network.post("ifelse", {"if": YES, "then": inner})
    assert document["result"]["body"]["condition"] is False
    assert codes(document["result"]["body"]["result"]["body"]) == [200, 200]
    [reply] = await network.omq(
        "ifelse", bt.encode({"if": YES, "then": {"method": "sequence", "params": {"requests": [INFO]}}})
    )
    assert bt.decode(reply)[b"result"][b"body"][b"results"][0][b"code"] == 200


async def test_deep_nesting_is_bounded(network):
    def nested(depth):
        begin = '{"method":"ifelse","params":{"if":{"hf_at_least":1},"then":'
        return (begin * depth + json.dumps(INFO) + "}}" * depth).encode()

    assert (await network.raw(nested(51))).status == 200
    for depth in (52, 300, 5000):
        outcome = await network.raw(nested(depth))
        assert outcome.status == 400
        assert outcome.body.startswith(b"invalid request: ")


@pytest.mark.parametrize(
    "params",
    [
        {"then": INFO},
        {"if": {}, "then": INFO},
        {"if": None, "then": INFO},
        {"if": 5, "then": INFO},
        {"if": {"zz": 1}, "then": INFO},
        {"if": YES},
        {"if": {"hf_at_least": ["x"]}, "then": INFO},
        {"if": {"hf_at_least": []}, "then": INFO},
        {"if": {"hf_at_least": [1, 2, 3, 4]}, "then": INFO},
        {"if": {"height_before": [5]}, "then": INFO},
        {"if": {"height_before": True}, "then": INFO},
        {"if": {"v_before": 1.5}, "then": INFO},
        {"if": YES, "then": 5},
        {"if": YES, "then": INFO, "else": {"method": "zz", "params": {}}},
        {"if": YES, "then": INFO, "else": {"method": "store", "params": {}}},
    ],
)
async def test_malformed_ifelse(network, params):
    status, text = await network.post("ifelse", params)
    assert status == 400
    assert text.startswith("invalid request: ")


async def test_requests_know_their_parameters():
    assert to_json(Info()) == INFO

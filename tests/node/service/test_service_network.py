"""info, get_swarm, oxend_request, and what is no request at all: storage-rpc.md §1, §4–5 and their corrections."""

import json

import pytest

from ramson.errors import ParseError
from ramson.node.mailbox import MailboxError
from ramson.protocol import bt
from ramson.protocol.nodes import NodeList
from ramson.protocol.storage import GetSwarm, Retrieve, read_reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

INFO = b'{"method":"info","params":{}}'


async def test_info(network):
    assert await network.post("info", {"ignored": [1]}) == (
        200,
        {"version": [2, 8, 0], "timestamp": network.now, "t": network.now, "hf": [19, 4]},
    )


async def test_get_swarm_describes_the_members(network, alice):
    for method, name in (("get_swarm", "pubkey"), ("get_snodes_for_pubkey", "pubKey")):
        status, document = await network.post(method, {name: alice.id}, member=3)
        assert status == 200
        assert (document["swarm"], document["t"], document["hf"]) == ("1000", network.now, [19, 4])
        first = document["snodes"][0]
        record = network.home[0].record
        assert first == {
            "address": record.snode_address,
            "pubkey_legacy": record.legacy.hex(),
            "pubkey_x25519": record.x25519.hex(),
            "pubkey_ed25519": record.ed25519.hex(),
            "port": "22021",
            "port_https": 22021,
            "port_omq": 22020,
            "port_quic": 22020,
            "ip": "192.0.2.1",
        }
    reply = read_reply(GetSwarm(account=alice.raw), document)
    assert reply.nodes == tuple(member.record for member in network.home)


async def test_get_swarm_in_bencode_follows_a_changed_list(network, alice):
    [reply] = await network.omq("get_swarm", bt.encode({"pubkey": alice.raw}))
    assert bt.decode(reply)[b"swarm"] == b"1000"
    network.daemon.nodes = NodeList((), 101, "cd" * 32, (19, 3))
    [reply] = await network.omq("get_swarm", bt.encode({"pubkey": alice.raw}))
    document = bt.decode(reply)
    assert (document[b"snodes"], document[b"swarm"], document[b"hf"]) == ([], b"f" * 16, [19, 3])
    assert (await network.ask(network.message(alice)))[0] == 421


# ---- the daemon


async def test_the_daemons_answer(network):
    status, document = await network.post("oxend_request", {"endpoint": "get_service_nodes"})
    assert (status, document) == (200, {"result": {"fine": True}, "t": network.now, "hf": [19, 4]})
    params = {"endpoint": "ons_resolve", "params": {"refuse": 1}}
    assert await network.post("oxend_request", params) == (400, "the daemon says no")
    network.daemon.answer = ParseError("not JSON")
    assert (await network.post("oxend_request", {"endpoint": "ons_resolve"}))[0] == 502


async def test_the_daemons_answer_in_bencode(network):
    network.daemon.answer = {"a": None, "b": [None, 1.5, True], "c": {"d": "é"}, "e": 2**70}
    request = bt.encode({"endpoint": "ons_resolve", "params": b'{"type":0}'})
    [reply] = await network.omq("oxend_request", request)
    result = bt.decode(reply)[b"result"]
    assert result == {b"b": [b"", b"1.5", 1], b"c": {b"d": "é".encode()}, b"e": str(2**70).encode()}


@pytest.mark.parametrize("endpoint", ["lns_resolve", "get_block_hash", ""])
async def test_other_endpoints(network, endpoint):
    assert await network.post("oxend_request", {"endpoint": endpoint}) == (
        400,
        f"invalid request: Invalid oxend endpoint '{endpoint}'",
    )


@pytest.mark.parametrize("params", [{}, {"endpoint": 5}, {"endpoint": "ons_resolve", "params": []}])
async def test_malformed_daemon_requests(network, params):
    status, text = await network.post("oxend_request", params)
    assert status == 400
    assert text.startswith("invalid request: ")


async def test_too_deep_parameters_do_not_reach_the_daemon(network):
    deep = "[" * 100_000 + "]" * 100_000
    body = f'{{"method":"oxend_request","params":{{"endpoint":"ons_resolve","params":{{"x":{deep}}}}}}}'
    assert (await network.raw(body.encode())).status == 400


# ---- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"nonsense",
        b'{"method":"info","params":{},}',
        b"{'method':'info','params':{}}",
        INFO + b"{}",
        INFO + b" // no",
        b'{"method":"info","params":{"a":01}}',
        b'{"method":"info","params":{"a":NaN}}',
        b'{"method":"info","params":{"a":Infinity}}',
        b'{"method":"info","params":{"a":"\t"}}',
        b'{"method":"info","params":{"a":"\xff"}}',
        b'{"method":"info","params":{"a":"\\ud800"}}',
        b'{"method":"info","params":{"a":/**/1}}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"method":"info","params":{}}',
        b"d6:method4:infoe",
        INFO.decode().encode("utf-16"),
        b'{"method":"info","params":{"a":' + b"[" * 100_000 + b"]" * 99_999 + b"}}",
    ],
)
async def test_invalid_json(network, body):
    outcome = await network.raw(body)
    assert (outcome.status, outcome.body, outcome.is_json) == (400, b"invalid json", False)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'"info"', b"null", b'{"method":1,"params":{}}', b'{"method":null,"params":{}}']
)
async def test_no_method(network, body):
    assert (await network.raw(body)).body == b"invalid json: no `method` field"


@pytest.mark.parametrize("params", [b"null", b"[]", b'"x"', b"5"])
async def test_no_params(network, params):
    want = b"invalid json: no `params` field"
    assert (await network.raw(b'{"method":"info","params":%b}' % params)).body == want
    assert (await network.raw(b'{"method":"info"}')).body == want


@pytest.mark.parametrize(
    "body",
    [
        b' \r\n{"m\\u0065thod" : "in\\u0066o", "params" : { } }\n ',
        b"\xef\xbb\xbf" + INFO,
        b'{"method":"nope","method":"info","params":5,"params":{}}',
        b'{"method":"info","params":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"method":"info","params":{"a":' + b'{"b":' * 100_000 + b"1" + b"}" * 100_000 + b"}}",
        b'{"method":"info","params":{"a":"\\ud83d\\ude00","b":1e300,"c":' + b"9" * 300 + b"}}",
    ],
)
async def test_json_freedoms(network, body):
    assert (await network.raw(body)).status == 200


@pytest.mark.parametrize("name", ["nope", "", "Info", "storage.info"])
async def test_unknown_methods(network, name):
    assert await network.post(name, {}) == (400, f"no method {name}")


# ---- OxenMQ


@pytest.mark.parametrize("parts", [[], [b""], [b"{}"], [b"[]"], [b"5"], [b"null"]])
async def test_no_parameters_over_omq(network, parts):
    [reply] = await network.omq("info", *parts)
    assert json.loads(reply)["version"] == [2, 8, 0]


async def test_bencode_is_answered_in_bencode(network):
    for body in (b"de", b"de and more"):
        [reply] = await network.omq("info", body)
        assert bt.decode(reply)[b"hf"] == [19, 4]


@pytest.mark.parametrize("body", [b"{", b"xx", b"le", b"\x00", b"i5e"])
async def test_neither_json_nor_dict(network, body):
    assert await network.omq("info", body) == [b"400", b"invalid body: expected json or bt_dict"]


async def test_broken_dicts(network):
    assert await network.omq("info", b"d") == [b"500", b"request failed"]
    code, text = await network.omq("info", b"d1:bi1e1:ai1ee")
    assert code == b"400"
    assert b"ascending" in text


async def test_too_many_parts(network):
    want = [b"400", b"Invalid request: expected 1 message parts, received 2"]
    assert await network.omq("info", b"{}", b"{}") == want


async def test_bencoded_store_and_retrieve(network, alice):
    data = bytes(range(256))
    for pubkey in (alice.raw, alice.id.encode()):
        store = {**network.message(alice, data).to_bt(), "pubkey": pubkey}
        [reply] = await network.omq("store", bt.encode(store))
        assert set(bt.decode(reply)[b"swarm"]) == {member.name.encode() for member in network.home}
    read = alice.sign(Retrieve(account=alice.raw, timestamp=network.now))
    [reply] = await network.omq("retrieve", bt.encode(read.to_bt()))
    document = bt.decode(reply)
    assert document[b"more"] == 0
    assert [message[b"data"] for message in document[b"messages"]] == [data]


# ---- defects stay inside


async def test_a_database_that_cannot_be_read_is_500(network, alice, caplog):
    def broken(*_, **__):
        raise MailboxError("the disk failed")

    network.home[0].mailbox.retrieve = broken
    assert await network.ask(alice.sign(Retrieve(account=alice.raw, timestamp=network.now))) == (500, "request failed")
    assert alice.id not in caplog.text


async def test_an_unexpected_error_is_500(network, alice):
    async def broken(_message):
        raise ZeroDivisionError

    network.home[0].mailbox.store = broken
    assert await network.ask(network.message(alice)) == (500, "request failed")
    assert await network.forwarded(b"store", bt.encode(network.message(alice).to_bt())) == [b"500", b"request failed"]

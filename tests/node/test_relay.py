"""The onion relay: what is under a layer, and every error of onion.md §6 in its words."""

import asyncio
import json
import random
import struct
from base64 import b64decode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, client_cipher
from ramson.node import relay as relay_module
from ramson.node.addresses import is_public
from ramson.node.keys import NodeKeys
from ramson.node.outcome import Outcome
from ramson.node.relay import MAX_WAITING, OnionRelay, Relayed
from ramson.node.standing import Standing
from ramson.protocol import bt, onion
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import FileRegistry
from ramson.world import (
    AddressRefused,
    Endpoint,
    HttpResponse,
    NetError,
    PeerAddress,
    PeerRefused,
    PeerTimeout,
    Stage,
)

NOWHERE = b"\xab" * 32


def record(keys, number, swarm_id=7, ip=None):
    return NodeRecord(
        keys.ed25519.public, keys.x25519.public, keys.legacy, ip or f"127.0.0.{number}", 22021, 22020, swarm_id
    )


class Network:
    """Three nodes joined by a fake link, and a fake way to servers."""

    def __init__(self, **options):
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(3)]
        self.records = [record(keys, i + 1) for i, keys in enumerate(self.keys)]
        self.registry = FileRegistry(NetworkFile(()))
        self.publish()
        self.asked, self.served, self.hops = [], [], []
        self.answer = Outcome(200, b'{"version":[2,8,0]}', is_json=True)
        self.server = HttpResponse(200, {"content-type": "x/y", "server": "z", "content-length": "1"}, b"served")
        self.relays = [self.relay(i, **options) for i in range(3)]

    def publish(self):
        self.registry.replace(NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, r) for r in self.records)))

    def relay(self, i, allow_private=True):
        return OnionRelay(
            identity=self.keys[i].x25519,
            standing=Standing(self.registry, self.keys[i].ed25519.public),
            service=self,
            link=lambda: self,
            net=Servers(self),
            entropy=random.Random(99),
            allow_private=allow_private,
        )

    def handle_json(self, body):
        self.asked.append(body)
        return self.answer

    async def request(self, peer, name, parts, *, timeout):  # noqa: ASYNC109 - PeerLink's
        assert (name, timeout) == ("sn.onion_request", 30.0)
        self.hops.append(parts[0])
        i = next(i for i, keys in enumerate(self.keys) if keys.x25519.public == peer.x25519)
        reply = await finished(self.relays[i].hop(parts))
        return [b"%d" % reply.status, reply.body]

    def hop_keys(self, *path):
        return [onion.NodeHop(self.keys[i].ed25519.public, self.keys[i].x25519.public) for i in path]


class Servers:
    def __init__(self, network):
        self.network = network

    async def request(self, endpoint, request, *, tls, timeout, max_reply, allow):  # noqa: ASYNC109 - Net's
        self.network.served.append((endpoint, request, tls, timeout, allow))
        if isinstance(self.network.server, Exception):
            raise self.network.server
        return self.network.server


async def finished(answer):
    return answer if isinstance(answer, Relayed) else await answer


@pytest.fixture
def network():
    return Network()


def layer(network, plaintext, node=0, enc_type=EncType.XCHACHA20, **outer):
    """A POST body for a node whose only layer has this plaintext, and the cipher of that layer."""
    chance = random.Random(5)
    key = X25519KeyPair.generate(chance)
    cipher = client_cipher(enc_type, key, network.keys[node].x25519.public)
    sealed = cipher.encrypt(plaintext, chance.randbytes(cipher.nonce_size))
    return onion.encode_frame(sealed, {"ephemeral_key": key.public.hex(), "enc_type": str(enc_type), **outer}), cipher


def opened(reply, cipher):
    assert reply.status == 200
    return json.loads(cipher.decrypt(b64decode(reply.body, validate=True)))


FINAL = {"headers": ""}
INFO = b'{"method":"info","params":{}}'


# ---- the way of a request


@pytest.mark.parametrize("enc_type", EncType)
@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_request_through_one_two_and_three_nodes(network, length, enc_type):
    *path, last = network.hop_keys(*range(length))
    request = onion.build(path, last, INFO, entropy=random.Random(1), enc_type=enc_type)
    reply = await finished(network.relays[0].enter(request.body))
    assert reply.status == 200
    assert onion.open_node_reply(request.reply, reply.body) == onion.NodeReply(200, b'{"version":[2,8,0]}')
    assert network.asked == [INFO]
    assert [bt.decode(hop)[b"hop_no"] for hop in network.hops] == list(range(1, length))


async def test_a_slow_answer_is_awaited(network):
    async def slowly():
        await asyncio.sleep(0)
        return Outcome(401, b"no", is_json=False)

    network.answer = slowly()
    body, cipher = layer(network, onion.encode_frame(INFO, FINAL))
    assert opened(await network.relays[0].enter(body), cipher) == {"status": 401, "body": "no"}


async def test_a_quick_answer_needs_no_task(network):
    body, cipher = layer(network, onion.encode_frame(INFO, {"headers": "", "json": True}))
    assert opened(network.relays[0].enter(body), cipher) == {"status": 200, "body": {"version": [2, 8, 0]}}


async def test_base64_can_be_turned_off(network):
    body, cipher = layer(network, onion.encode_frame(INFO, {"headers": "", "base64": False}))
    assert json.loads(cipher.decrypt(network.relays[0].enter(body).body))["status"] == 200


async def test_a_path_through_the_same_node_twice_needs_no_call(network):
    path = network.hop_keys(0, 0)
    request = onion.build(path, path[0], INFO, entropy=random.Random(1))
    reply = await finished(network.relays[0].enter(request.body))
    assert onion.open_node_reply(request.reply, reply.body).status == 200
    assert network.hops == []


# ---- errors


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01\x00",
        struct.pack("<I", 2**32 - 1) + b"x",
        onion.encode_frame(b"x", {}),
        onion.encode_frame(b"x", {"ephemeral_key": "zz" * 32}),
        onion.encode_frame(b"x", {"ephemeral_key": "00" * 32, "enc_type": "rot13"}),
    ],
)
def test_a_malformed_entry(network, body):
    reply = network.relays[0].enter(body)
    assert reply.status == 400
    assert reply.body.startswith(b"Error parsing onion request: ")


@pytest.mark.parametrize("ephemeral", ["00" * 32, "11" * 32])
def test_what_cannot_be_decrypted(network, ephemeral):
    body = onion.encode_frame(b"x" * 60, {"ephemeral_key": ephemeral, "enc_type": "xchacha20"})
    assert network.relays[0].enter(body) == Relayed(400, b"Invalid ciphertext")


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"\x00", onion.encode_frame(INFO, {}), onion.encode_frame(INFO, {"headers": "", "json": "yes"})],
)
def test_bad_inner_json_is_told_in_secret(network, plaintext):
    body, cipher = layer(network, plaintext)
    assert opened(network.relays[0].enter(body), cipher) == {"status": 400, "body": "Invalid json"}


def to_node(destination):
    return onion.encode_frame(b"x" * 60, {"destination": destination.hex(), "ephemeral_key": "11" * 32})


def test_an_unknown_next_node_is_named(network):
    body, _ = layer(network, to_node(NOWHERE))
    assert network.relays[0].enter(body) == Relayed(502, b"Next node not found: " + b"ab" * 32)


async def test_an_error_further_on_comes_back_unchanged(network):
    body, _ = layer(network, to_node(network.keys[1].ed25519.public))
    assert await network.relays[0].enter(body) == Relayed(400, b"Invalid ciphertext")


@pytest.mark.parametrize("error", [PeerTimeout("late"), PeerRefused(b"FORBIDDEN_SN")])
async def test_silence_and_refusal_of_the_next_node(network, error):
    async def fail(*args, **kw):
        raise error

    network.request = fail
    body, _ = layer(network, to_node(network.keys[1].ed25519.public))
    assert await network.relays[0].enter(body) == Relayed(504, b"Request time out")


async def test_a_next_node_without_an_address_is_left_to_the_link(network):
    network.records[1] = record(network.keys[1], 0, ip="0.0.0.0")
    network.publish()
    asked = []

    async def fail(peer, *args, **kw):
        asked.append(peer)
        raise PeerTimeout("it has no connection to us")

    network.request = fail
    body, _ = layer(network, to_node(network.keys[1].ed25519.public))
    assert await finished(network.relays[0].enter(body)) == Relayed(504, b"Request time out")
    assert asked == [PeerAddress(Endpoint("0.0.0.0", 0), network.keys[1].x25519.public)]


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        ([b"200", b"ok", b"more"], Relayed(200, b"ok")),
        ([b"421", b"there"], Relayed(421, b"there")),
        ([b"302", b"x"], Relayed(500, b"x")),
        ([b"+200", b"x"], Relayed(500, b"x")),
        ([b"200"], Relayed(500, b"Invalid response from snode")),
        ([], Relayed(500, b"Invalid response from snode")),
    ],
)
async def test_what_the_next_node_may_say(network, parts, want):
    async def say(*args, **kw):
        return parts

    network.request = say
    body, _ = layer(network, to_node(network.keys[1].ed25519.public))
    assert await network.relays[0].enter(body) == want


@pytest.mark.parametrize(("hop_no", "ok"), [(13, True), (14, False), (2**70, False)])
async def test_the_length_of_a_path_is_limited_by_the_receiver(network, hop_no, ok):
    request = onion.build(network.hop_keys(0, 1), network.hop_keys(2)[0], INFO, entropy=random.Random(1))
    frame = onion.decode_frame(request.body)
    reply = await network.relays[0].enter(onion.encode_frame(frame.blob, {**frame.options, "hop_no": hop_no}))
    assert (reply.status == 200) is ok
    if not ok:
        assert reply == Relayed(400, b"onion request max path length exceeded")


def loop(network, nodes, innermost):
    """A POST body whose layers are for `nodes` in turn, one within the other: no builder of ours makes it."""
    chance, inner, options = random.Random(7), innermost, FINAL
    for place in range(len(nodes) - 1, -1, -1):
        key = X25519KeyPair.generate(chance)
        cipher = client_cipher(EncType.XCHACHA20, key, network.keys[nodes[place]].x25519.public)
        sealed = cipher.encrypt(onion.encode_frame(inner, options), chance.randbytes(cipher.nonce_size))
        outer = {"ephemeral_key": key.public.hex(), "enc_type": "xchacha20"}
        inner = sealed
        options = {**outer, "destination": network.keys[nodes[place]].ed25519.public.hex()}
    return onion.encode_frame(inner, outer)


@pytest.mark.parametrize("turns", [[0], [0, 1], [0, 1, 2]], ids=["itself", "two nodes", "three nodes"])
async def test_a_loop_ends_after_sixteen_nodes(network, turns):
    ring = [turns[i % len(turns)] for i in range(16)]
    assert (await finished(network.relays[0].enter(loop(network, ring, INFO)))).status == 200
    assert len(network.asked) == 1
    ring.append(turns[16 % len(turns)])
    reply = await finished(network.relays[0].enter(loop(network, ring, INFO)))
    assert reply == Relayed(400, b"onion request max path length exceeded")
    assert len(network.asked) == 1
    assert network.relays[0]._waiting == network.relays[0]._waiting_bytes == 0


@pytest.mark.parametrize("hop_no", [-1, -(10**9), -0.5])
async def test_no_count_below_zero_lengthens_a_loop(network, hop_no):
    frame = onion.decode_frame(loop(network, [0] * 17, INFO))
    reply = await finished(network.relays[0].enter(onion.encode_frame(frame.blob, {**frame.options, "hop_no": hop_no})))
    assert reply == Relayed(400, b"onion request max path length exceeded")


async def test_loops_hold_bounded_memory(network, monkeypatch):
    monkeypatch.setattr(relay_module, "MAX_WAITING_BYTES", 10_000)
    gate = asyncio.Event()

    async def wait(*_args, **_kw):
        await gate.wait()
        return [b"200", b"ok"]

    network.request = wait
    body = loop(network, [0, 1, 0, 1], bytes(2_000))
    waiting = [asyncio.ensure_future(finished(network.relays[0].enter(body))) for _ in range(20)]
    await asyncio.sleep(0)
    assert network.relays[0]._waiting_bytes <= 10_000
    gate.set()
    replies = await asyncio.gather(*waiting)
    assert {reply.status for reply in replies} == {200, 503}
    assert network.relays[0]._waiting_bytes == 0


@pytest.mark.parametrize(
    "parts", [[], [b"d"], [b"", b""], [bt.encode({"data": b"", "enc_type": "rot13", "ephemeral_key": bytes(32)})]]
)
def test_a_malformed_hop(network, parts):
    reply = network.relays[0].hop(parts)
    assert reply.status == 400
    assert reply.body.startswith(b"Invalid internal onion request: ")


def test_a_node_without_a_swarm_says_who_it_is(network):
    network.records[0] = record(network.keys[0], 1, UNASSIGNED)
    network.publish()
    want = Relayed(503, b"Snode not ready: " + network.keys[0].ed25519.public.hex().encode())
    assert network.relays[0].hop([b"anything"]) == want


async def test_too_many_that_wait_are_turned_away(network):
    gate = asyncio.Event()

    async def wait(*args, **kw):
        await gate.wait()
        return [b"200", b"ok"]

    network.request = wait
    body, _ = layer(network, to_node(network.keys[1].ed25519.public))
    waiting = [asyncio.ensure_future(network.relays[0].enter(body)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    assert await network.relays[0].enter(body) == Relayed(503, b"Server busy, try again later")
    gate.set()
    assert set(await asyncio.gather(*waiting)) == {Relayed(200, b"ok")}
    assert await network.relays[0].enter(body) == Relayed(200, b"ok")


# ---- relay to servers


def to_server(**changes):
    options = {"host": "example.org", "target": "/oxen/v4/lsrpc", **changes}
    return onion.encode_frame(b"\x00 for the server \xff", options)


@pytest.mark.parametrize("target", ["/loki/v3/lsrpc", "/oxen/v4/lsrpc", "/loki/lsrpc"])
async def test_a_server_gets_the_whole_frame(network, target):
    plaintext = to_server(target=target)
    body, _ = layer(network, plaintext)
    reply = await network.relays[0].enter(body)
    assert reply == Relayed(200, b"served", {"content-type": "x/y"})
    ((endpoint, request, tls, timeout, _),) = network.served
    assert (endpoint.host, endpoint.port) == ("example.org", 443)
    assert (request.method, request.target, request.body) == ("POST", target, plaintext)
    assert request.headers == {"Content-Type": "application/octet-stream"}
    assert tls.verify
    assert timeout == 25.0


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "/x/v3/lsrpc"},
        {"target": "/loki/v3/lsrpc?x=1"},
        {"target": ""},
        {"protocol": "ftp"},
        {"protocol": "HTTPS"},
        {"host": "user@example.org"},
        {"host": "example.org/x"},
    ],
)
def test_forbidden_urls_are_told_in_secret(network, changes):
    body, cipher = layer(network, to_server(**changes))
    assert opened(network.relays[0].enter(body), cipher) == {"status": 400, "body": "Invalid url"}
    assert network.served == []


async def test_plain_http_without_tls(network):
    body, _ = layer(network, to_server(protocol="http", port=8080, host="[2001:db8::1]"))
    await network.relays[0].enter(body)
    endpoint, _, tls, _, _ = network.served[0]
    assert (endpoint.host, endpoint.port, tls) == ("2001:db8::1", 8080, None)


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (NetError(Stage.CONNECT, "connection refused"), Relayed(502, b"connection refused")),
        (NetError(Stage.TIMEOUT, "late"), Relayed(504, b"Request time out")),
    ],
)
async def test_a_server_that_is_not_there(network, error, want):
    network.server = error
    body, _ = layer(network, to_server())
    assert await network.relays[0].enter(body) == want


async def test_a_server_at_a_private_address_is_refused():
    network = Network(allow_private=False)
    network.server = AddressRefused()
    body, cipher = layer(network, to_server(host="localhost"))
    assert opened(await network.relays[0].enter(body), cipher) == {"status": 400, "body": "Invalid url"}
    assert network.served[0][-1] is is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "example.org",
        "",
    ],
)
def test_addresses_nobody_is_let_through_to(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


# ---- whatever strangers send


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=st.binary(max_size=300), parts=st.lists(st.binary(max_size=100), max_size=3))
def test_noise_is_refused_in_words(network, body, parts):
    assert network.relays[0].enter(body).status == 400
    assert network.relays[0].hop(parts).status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["headers", "json", "base64", "host", "target", "port", "protocol", "destination", "ephemeral_key", "enc_type"]
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(blob=st.binary(max_size=50), options=st.dictionaries(names, json_values, max_size=6))
def test_whatever_is_under_a_layer_there_is_an_answer(network, blob, options):
    body, _ = layer(network, onion.encode_frame(blob, options))
    reply = asyncio.run(finished(network.relays[0].enter(body)))
    assert reply.status in {200, 502, 504}

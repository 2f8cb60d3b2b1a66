"""Onion requests as clients build them: every hop can open its layer and nothing else (onion.md §1)."""

import random

import pytest

from ramson.crypto.keys import Ed25519KeyPair, X25519KeyPair
from ramson.crypto.onion import EncType, node_cipher
from ramson.errors import LocalError, ParseError
from ramson.protocol import onion, server_v4

NODES = [Ed25519KeyPair.from_seed(bytes([n]) * 32) for n in range(1, 20)]
HOPS = [onion.NodeHop(node.public, node.to_x25519().public) for node in NODES]
SERVER_KEYS = X25519KeyPair.from_secret(b"\x77" * 32)
SERVER = onion.ServerDestination("community.example", SERVER_KEYS.public)
PAYLOAD = b'{"method":"info","params":{}}'


def build(path, destination, **changes):
    return onion.build(path, destination, PAYLOAD, entropy=random.Random(1), **changes)


def open_layer(layer: onion.Layer, node: Ed25519KeyPair) -> bytes:
    return node_cipher(layer.enc_type, node.to_x25519(), layer.ephemeral).decrypt(layer.ciphertext)


@pytest.mark.parametrize("enc_type", list(EncType))
@pytest.mark.parametrize("hops", [0, 1, 2, 3, 15])
def test_a_request_passes_every_hop_to_the_destination(hops, enc_type):
    request = build(HOPS[:hops], HOPS[hops], enc_type=enc_type)
    layer = onion.parse_entry(request.body)
    for number in range(hops):
        inner = onion.parse_inner(open_layer(layer, NODES[number]))
        assert isinstance(inner, onion.ToNode)
        assert inner.destination == NODES[number + 1].public
        layer = onion.decode_hop(onion.encode_hop(inner, layer.hop_no + 1))
        assert layer.hop_no == number + 1
    final = node_cipher(layer.enc_type, NODES[hops].to_x25519(), layer.ephemeral)
    inner = onion.parse_inner(final.decrypt(layer.ciphertext))
    assert inner == onion.ForMe(PAYLOAD)

    plaintext = onion.encode_node_reply(421, b"elsewhere", False, inner)
    sealed = onion.seal_reply(final, plaintext, bytes(final.nonce_size))
    assert onion.open_node_reply(request.reply, sealed) == onion.NodeReply(421, b"elsewhere")


def test_a_request_to_a_server():
    request = build(HOPS[:1], SERVER)
    plaintext = open_layer(onion.parse_entry(request.body), NODES[0])
    inner = onion.parse_inner(plaintext)
    assert isinstance(inner, onion.ToServer)
    assert (inner.host, inner.port, inner.protocol, inner.target) == (
        "community.example",
        443,
        "https",
        "/oxen/v4/lsrpc",
    )
    frame = onion.decode_frame(inner.frame)
    cipher = node_cipher(EncType(frame.options["enc_type"]), SERVER_KEYS, bytes.fromhex(frame.options["ephemeral_key"]))
    assert cipher.decrypt(frame.blob) == PAYLOAD

    answer = server_v4.encode_response(server_v4.ServerResponse(200, {"Content-Type": "text/plain"}, b"hi"))
    response = server_v4.open_response(request.reply, cipher.encrypt(answer, bytes(24)))
    assert response == server_v4.ServerResponse(200, {"content-type": "text/plain"}, b"hi")


@pytest.mark.parametrize(
    ("destination", "port"),
    [
        (onion.ServerDestination("h", SERVER_KEYS.public, protocol="http"), 80),
        (onion.ServerDestination("h", SERVER_KEYS.public, protocol="http", port=8080), 8080),
        (onion.ServerDestination("h", SERVER_KEYS.public, protocol="https://"), 443),
    ],
)
def test_ports_and_spellings_of_servers(destination, port):
    inner = onion.parse_inner(open_layer(onion.parse_entry(build(HOPS[:1], destination).body), NODES[0]))
    assert inner.port == port
    assert inner.protocol in {"http", "https"}


def test_each_layer_has_a_key_of_its_own_and_the_same_entropy_gives_the_same_request():
    first, second = build(HOPS[:2], HOPS[2]), build(HOPS[:2], HOPS[2])
    assert first.body == second.body
    assert first.body != onion.build(HOPS[:2], HOPS[2], PAYLOAD, entropy=random.Random(2)).body
    layer = onion.parse_entry(first.body)
    inner = onion.parse_inner(open_layer(layer, NODES[0]))
    assert layer.ephemeral != inner.ephemeral


def test_no_other_node_can_open_a_layer():
    with pytest.raises(ParseError):
        open_layer(onion.parse_entry(build(HOPS[:2], HOPS[2]).body), NODES[1])


def test_hop_no_hides_the_entry():
    assert onion.parse_entry(build(HOPS[:2], HOPS[2], hop_no=5).body).hop_no == 5
    assert b"hop_no" not in build(HOPS[:2], HOPS[2]).body


@pytest.mark.parametrize(("hops", "hop_no"), [(16, 0), (3, 13), (0, 16), (1, -1)])
def test_paths_no_node_would_pass_on(hops, hop_no):
    with pytest.raises(LocalError):
        build(HOPS[:hops], HOPS[hops], hop_no=hop_no)


def test_the_callers_mistakes():
    with pytest.raises(LocalError):
        build([], SERVER)
    with pytest.raises(LocalError):
        build(HOPS[:1], onion.ServerDestination("h", SERVER_KEYS.public, protocol="ftp"))


def test_a_node_with_an_impossible_key_is_a_parse_error():
    with pytest.raises(ParseError):
        build(HOPS[:1], onion.NodeHop(bytes(32), bytes(32)))


def test_no_keys_or_payloads_in_representations():
    request = build(HOPS[:1], HOPS[1])
    layer = onion.parse_entry(request.body)
    texts = repr(request) + repr(layer) + repr(onion.parse_inner(open_layer(layer, NODES[0]))) + repr(FOR_ME)
    assert "info" not in texts
    assert "body" not in texts


FOR_ME = onion.ForMe(PAYLOAD)

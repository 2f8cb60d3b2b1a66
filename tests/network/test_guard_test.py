"""The question to a node that may become a guard: what it looks like, and whose answer counts."""

import base64
import random

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.crypto.onion import node_cipher
from ramson.network import guard_test
from ramson.protocol import onion
from ramson.protocol import storage as r
from ramson.protocol.nodes import NodeRecord
from ramson.world import HttpResponse, NetError, Stage

KEYS = Ed25519KeyPair.from_seed(bytes(32))
STRANGER = Ed25519KeyPair.from_seed(b"s" * 32)
NODE = NodeRecord(KEYS.public, KEYS.to_x25519().public, b"", "10.0.0.1", 1, 2, 0)


def opened(body, keys=KEYS):
    """The request as the node sees it, and what seals its answer."""
    layer = onion.parse_entry(body)
    cipher = node_cipher(layer.enc_type, keys.to_x25519(), layer.ephemeral)
    return onion.parse_inner(cipher.decrypt(layer.ciphertext)), cipher


def answer(body, status=200):
    inner, cipher = opened(body)
    plaintext = onion.encode_node_reply(status, b'{"results":[]}', is_json=True, options=inner)
    return HttpResponse(200, {}, base64.b64encode(cipher.encrypt(plaintext, bytes(cipher.nonce_size))))


async def run(reply):
    async def send(guard, sealed, *, timeout):  # noqa: ASYNC109 - as in Entry
        assert (guard, timeout) == (NODE, guard_test.TIMEOUT)
        return reply(sealed)

    return await guard_test.run(NODE, send, random.Random(1))


async def test_the_node_itself_passes():
    assert await run(answer)


@pytest.mark.parametrize(
    "reply",
    [
        lambda _: HttpResponse(200, {}, b"<html>Welcome to this hotel"),
        lambda _: HttpResponse(200, {}, b""),
        lambda _: HttpResponse(503, {}, b"Service node is not ready"),
        lambda body: HttpResponse(500, {}, answer(body).body),
        lambda body: answer(body, status=503),
        lambda _: answer(guard_test.question(NODE, random.Random(2)).body),  # an answer to somebody else
    ],
)
async def test_nobody_and_nothing_else_does(reply):
    assert not await run(reply)


async def test_silence_and_a_node_without_a_key_do_not_pass():
    def fail(_body):
        raise NetError(Stage.TIMEOUT, "late")

    assert not await run(fail)
    broken = NodeRecord(NODE.ed25519, bytes(32), b"", "10.0.0.1", 1, 2, 0)
    assert not await guard_test.run(broken, None, random.Random(1))


def test_it_is_a_request_like_others():
    entropy = random.Random(1)
    questions = [guard_test.question(NODE, entropy).body for _ in range(40)]
    inner, _ = opened(questions[0])
    assert isinstance(inner, onion.ForMe)
    assert isinstance(r.parse_rpc_json(inner.payload, testnet=False), r.Batch)
    hops = [onion.NodeHop(NODE.ed25519, NODE.x25519)] * 3
    through = onion.build(hops, hops[0], inner.payload.strip(), entropy=entropy)
    sizes = [len(body) for body in questions]
    assert min(sizes) < len(through.body) < max(sizes)
    assert len(set(sizes)) > 30

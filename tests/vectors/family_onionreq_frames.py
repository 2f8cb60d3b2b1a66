"""Vectors of family `onionreq` that are whole requests and replies: layers, frames, server payloads."""

from __future__ import annotations

import json
from typing import Any

from vector_ops import Json, operation

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import EncType, LayerCipher, client_cipher, node_cipher
from ramson.protocol import bt, onion, server_v4

H = bytes.fromhex


class Listed:
    """Randomness that hands out the strings a vector lists, and nothing else."""

    def __init__(self, drawn: list[str]) -> None:
        self._drawn = [H(text) for text in drawn]

    def randbytes(self, n: int, /) -> bytes:
        drawn = self._drawn.pop(0)
        assert len(drawn) == n
        return drawn


def server_request(destination: Json, body: str | None) -> server_v4.ServerRequest:
    headers = destination.get("headers") or {}
    return server_v4.ServerRequest(
        destination["method"], destination["endpoint"], headers, None if body is None else H(body)
    )


@operation("onionreq", "build")
def build(given: Json, expected: Json) -> Json:
    destination, enc_type = given["destination"], EncType.parse(given["enc_type"])
    path = [onion.NodeHop(H(hop["ed25519_pk"]), H(hop["x25519_pk"])) for hop in given["hops"]]
    key = H(destination["x25519_pk"])
    target: onion.NodeHop | onion.ServerDestination
    if destination["kind"] == "snode":
        target, payload = onion.NodeHop(H(destination["ed25519_pk"]), key), H(given["body"])
    else:
        target = onion.ServerDestination(
            destination["host"], key, protocol=destination["protocol"], port=destination["port"]
        )
        payload = server_v4.encode_request(server_request(destination, given["body"]))
    entropy: Any = Listed(given["rng"])
    request = onion.build(path, target, payload, entropy=entropy, enc_type=enc_type)

    result: dict[str, Any] = {"request": request.body.hex()}
    result["layers"], last, innermost = _peel(request.body, given["hops"])
    destination_plaintext = _decrypt(innermost, destination).hex()
    result["destination_plaintext"] = destination_plaintext
    result["final_ephemeral_x25519_pk"] = last["ephemeral_key"]
    result["final_ephemeral_x25519_sk"] = given["rng"][0]
    if destination["kind"] == "snode":
        inner = onion.decode_frame(H(destination_plaintext))
        result["destination_payload"], result["destination_control"] = inner.blob.hex(), inner.options
    else:
        read = server_v4.decode_request(H(destination_plaintext))
        parts: Any = bt.decode(H(destination_plaintext))
        result["server_request_info"] = json.loads(parts[0])
        result["server_request_body"] = None if read.body is None else read.body.hex()
    return result


def _decrypt(layer: onion.Layer, node: Json) -> bytes:
    return node_cipher(layer.enc_type, X25519KeyPair.from_secret(H(node["x25519_sk"])), layer.ephemeral).decrypt(
        layer.ciphertext
    )


def _peel(body: bytes, hops: list[Json]) -> tuple[list[Json], Json, onion.Layer]:
    """Do what the hops do; return their views, the routing of the last, and the layer for the destination."""
    layer, layers = onion.parse_entry(body), []
    routing: Json = onion.decode_frame(body).options
    for hop in hops:
        plaintext = _decrypt(layer, hop)
        frame, inner = onion.decode_frame(plaintext), onion.parse_inner(plaintext)
        layers.append({"blob": frame.blob.hex(), "routing": frame.options, "decrypted": plaintext.hex()})
        routing = frame.options
        if isinstance(inner, onion.ToNode):
            layer = onion.decode_hop(onion.encode_hop(inner, layer.hop_no + 1))
        else:
            assert isinstance(inner, onion.ToServer)
            assert inner.frame == plaintext
            layer = onion.Layer(
                frame.blob, EncType.parse(routing["enc_type"]), H(routing["ephemeral_key"]), layer.hop_no
            )
    return layers, routing, layer


@operation("onionreq", "server_payload")
def server_payload(given: Json, _expected: Json) -> Json:
    destination = given.get("destination", given)
    return {"payload": server_v4.encode_request(server_request(destination, given.get("body"))).hex()}


def _reply_cipher(given: Json) -> LayerCipher:
    ephemeral = X25519KeyPair.from_secret(H(given["ephemeral_x25519_sk"]))
    return client_cipher(EncType.parse(given["enc_type"]), ephemeral, H(given["destination_x25519_pk"]))


@operation("onionreq", "response_v3")
def response_v3(given: Json, _expected: Json) -> Json:
    reply = onion.open_node_reply(_reply_cipher(given), given["response_utf8"].encode())
    return {"status_code": reply.status, "headers": dict(reply.headers), "body_utf8": reply.body.decode()}


@operation("onionreq", "response_v4")
def response_v4(given: Json, _expected: Json) -> Json:
    response = server_v4.open_response(_reply_cipher(given), H(given["response"]))
    body = None if response.body is None else response.body.hex()
    return {"code": response.code, "headers": dict(response.headers), "body": body}

"""Vectors of the families `protos` (envelopes, padding, wrapped configs) and `content` (the schema)."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from vector_ops import Json, operation

from ramson.crypto.account import AccountId, AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.crypto.sealing import seal, seal_deterministic
from ramson.protocol import envelope, group_envelope, protobuf, session_pb2

H = bytes.fromhex


# ---- messages as JSON: bytes are hex, enums numbers, absent fields absent


def fill(message: Message, fields: Json) -> None:
    """Set the fields of a message."""
    for name, value in fields.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None:
            if field.is_repeated:
                for item in value:
                    fill(getattr(message, name).add(), item)
            else:
                getattr(message, name).SetInParent()
                fill(getattr(message, name), value)
        elif field.is_repeated:
            getattr(message, name).extend(value)
        else:
            setattr(message, name, H(value) if field.type == FieldDescriptor.TYPE_BYTES else value)


def fields_of(message: Message) -> Json:
    """Return the fields that are present."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return [fields_of(item) for item in value] if field.is_repeated else fields_of(value)
    if field.is_repeated:
        return list(value)
    return value.hex() if field.type == FieldDescriptor.TYPE_BYTES else value


@operation("content", "encode")
def encode(given: Json, expected: Json) -> Json:
    kind = getattr(session_pb2, given["message"])
    message = kind()
    fill(message, given["fields"])
    written = protobuf.write(message)
    assert fields_of(protobuf.read(kind, H(expected["bytes"]))) == given["fields"]
    return {"bytes": written.hex()}


# ---- padding and framing


@operation("protos", "pad")
def pad(given: Json, expected: Json) -> Json:
    padded = envelope.pad(H(given["message"]))
    assert envelope.unpad(padded).hex() == given["message"]
    # Of the two forms the newest client's is ours; the vector says when they differ.
    extra = bytes(envelope.BLOCK) if (len(given["message"]) // 2 + 1) % envelope.BLOCK == 0 else b""
    assert padded == H(expected["padded"]) + extra
    return expected


@operation("protos", "unpad")
def unpad(given: Json, _expected: Json) -> Json:
    return {"message": envelope.unpad(H(given["padded"])).hex()}


@operation("protos", "websocket")
def websocket(given: Json, expected: Json) -> Json:
    letter = session_pb2.Envelope()
    fill(letter, given["envelope"])
    message = session_pb2.WebSocketMessage(type=session_pb2.WebSocketMessage.REQUEST)
    body = protobuf.write(letter)
    request = {"verb": given["verb"], "path": given["path"], "id": given["requestId"], "headers": given["headers"]}
    fill(message.request, request | {"body": body.hex()})
    read = protobuf.read(session_pb2.WebSocketMessage, H(expected["websocket_bytes"]))
    assert fields_of(protobuf.read(session_pb2.Envelope, read.request.body)) == given["envelope"]
    return {"envelope_bytes": body.hex(), "websocket_bytes": protobuf.write(message).hex()}


# ---- config messages


@operation("protos", "wrap_config")
def wrap_config(given: Json, expected: Json) -> Json:
    keys = Ed25519KeyPair.from_seed(H(given["seed"]))
    data, namespace = H(given["data"]), given["namespace"]
    wrapped = envelope.wrap_config(data, keys, given["seqno"], namespace)
    assert envelope.unwrap_config(wrapped, keys, namespace) == data
    stages = expected.get("stages", {})
    own = keys.to_x25519().public
    assert seal_deterministic(keys, own, H(stages["content_padded"])).hex() == stages["encrypted"]
    assert protobuf.read(session_pb2.WebSocketMessage, wrapped).request.body.hex() == stages["envelope"]
    return expected | {"wrapped": wrapped.hex()}


@operation("protos", "unwrap_config")
def unwrap_config(given: Json, _expected: Json) -> Json:
    keys = Ed25519KeyPair.from_seed(H(given["seed"]))
    return {"data": envelope.unwrap_config(H(given["wrapped"]), keys, given["namespace"]).hex()}


# ---- messages


def _opened(websocket: bytes, given: Json, content: bytes) -> envelope.Incoming:
    incoming = envelope.unwrap_direct(websocket, AccountKeys.from_seed(H(given["recipient_seed"])).x25519)
    assert incoming.content == content
    return incoming


@operation("protos", "dm_2025")
def dm_2025(given: Json, expected: Json) -> Json:
    sender, content = Ed25519KeyPair.from_seed(H(given["sender_seed"])), H(given["content"])
    recipient = AccountId.parse(given["recipient_session_id"])
    padded = envelope.pad(content)
    sealed = seal(sender, recipient.key, padded, H(given["rng"][0]))
    websocket = envelope.direct_message(sealed, given["timestamp"], H(given["pro_sig"]))
    incoming = _opened(H(expected["websocket"]), given, content)
    assert incoming.sent_ms == given["timestamp"]
    return {
        "padded": padded.hex(),
        "encrypted": sealed.hex(),
        "envelope": protobuf.read(session_pb2.WebSocketMessage, websocket).request.body.hex(),
        "websocket": websocket.hex(),
        "sender_session_id": incoming.sender.hex,
    }


@operation("protos", "dm")
def dm(given: Json, expected: Json) -> Json:
    """A message of an older client: fields and framing this one no longer writes, but reads."""
    data = dict(given["dataMessage"])
    data["attachments"] = [
        {"deprecated_id" if name == "id" else name: value for name, value in attachment.items()}
        for attachment in data.get("attachments", [])
    ]
    message = session_pb2.Content()
    fill(message.dataMessage, data)
    content = protobuf.write(message)
    padded = H(expected["padded"])
    assert envelope.pad(content).startswith(padded)
    sender = Ed25519KeyPair.from_seed(H(given["sender_seed"]))
    sealed = seal_deterministic(sender, AccountId.parse(given["recipient_session_id"]).key, padded)
    letter = session_pb2.Envelope(
        type=session_pb2.Envelope.SESSION_MESSAGE, timestamp=data["timestamp"], content=sealed
    )
    wrapped = session_pb2.WebSocketMessage(type=session_pb2.WebSocketMessage.REQUEST)
    request = {"verb": "PUT", "path": "/api/v1/message", "id": 0, "body": protobuf.write(letter).hex()}
    fill(wrapped.request, request)
    incoming = _opened(H(expected["websocket"]), given, content)
    return {
        "content": content.hex(),
        "padded": padded.hex(),
        "encrypted": sealed.hex(),
        "envelope": request["body"],
        "websocket": protobuf.write(wrapped).hex(),
        "sender_session_id": incoming.sender.hex,
        "timestamp": incoming.sent_ms,
    }


@operation("protos", "group_2025")
def group_2025(given: Json, expected: Json) -> Json:
    author, content = Ed25519KeyPair.from_seed(H(given["user_seed"])), H(given["content"])
    group, key = AccountId(0x03, H(given["group_ed25519_pk"])), H(given["group_enc_key"])
    letter = group_envelope.group_message(content, given["timestamp"], H(given["pro_sig"]))
    ciphertext = group_envelope.encrypt(letter, author, group.key, key, H(given["rng"][0]))
    incoming = group_envelope.unwrap_group(H(expected["ciphertext"]), group, [bytes(32), key])
    assert (incoming.content, incoming.sent_ms) == (content, given["timestamp"])
    return {
        "envelope": letter.hex(),
        "ciphertext": ciphertext.hex(),
        "sender_session_id": incoming.sender.hex,
    }

"""Vectors of family `config_message`: messages with any data, chains of them, merges, signatures."""

from __future__ import annotations

import contextlib
from typing import Any

from vector_ops import Json, operation

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol.config import message as messages
from ramson.protocol.config.diff import NOTHING, difference
from ramson.protocol.config.merging import Adopted, merge, remembered
from ramson.protocol.config.message import ConfigMessage
from ramson.protocol.config.values import EMPTY, Data, Value, normal, sorted_set

H = bytes.fromhex


def _value(notation: Any) -> Value:
    if "d" in notation:
        return {H(key): _value(item) for key, item in notation["d"].items()}
    if "l" in notation:
        return frozenset(_value(item) for item in notation["l"])
    return notation["i"] if "i" in notation else H(notation["s"])


def _data(notation: Any) -> Data:
    return normal(_value(notation)) or EMPTY


def _notation(value: Value) -> Any:
    if isinstance(value, dict):
        return {"d": {key.hex(): _notation(item) for key, item in value.items()}}
    if isinstance(value, frozenset):
        return {"l": [_notation(item) for item in sorted_set(value)]}
    return {"i": value} if isinstance(value, int) else {"s": value.hex()}


def _written(message: ConfigMessage) -> Json:
    return {
        "seqno": message.seqno,
        "serialized": message.serialized.hex(),
        "hash": message.hash.hex(),
        "data": _notation(message.data),
    }


@operation("config_message", "chain")
def chain(given: Json, _expected: Json) -> Json:
    message, results = messages.FIRST, []
    for step in given["steps"]:
        data, seqno = _data(step["data"]), message.seqno + 1
        lagged = remembered(message.history(), seqno, given["lag"])
        message = messages.write(seqno, data, difference(message.data, data), lagged)
        assert messages.read(message.serialized) == message
        results.append(_written(message))
    return {"results": results}


@operation("config_message", "merge")
def merge_messages(given: Json, _expected: Json) -> Json:
    received: dict[int, ConfigMessage] = {}
    for at, serialized in enumerate(given["messages"]):
        with contextlib.suppress(ParseError):  # what is no message is passed over, if there are others
            received[at] = messages.read(H(serialized))
    if not received:
        raise ParseError("no message among those to be merged")
    outcome = merge(list(received.values()), given["lag"])
    if isinstance(outcome, Adopted):
        at, adopted = list(received.items())[outcome.position]
        return {**_written(adopted), "unmerged_index": at}
    merged = messages.write(outcome.seqno, outcome.data, NOTHING, outcome.lagged, unknown=outcome.unknown)
    return {**_written(merged), "unmerged_index": None}


@operation("config_message", "signed_chain")
def signed_chain(given: Json, _expected: Json) -> Json:
    data = _data(given["data"])
    signer = Ed25519KeyPair.from_seed(H(given["seed"]))
    message = messages.write(given["seqno"], data, difference(EMPTY, data), {}, signer=signer)
    again = messages.read(message.serialized)
    return {"serialized": message.serialized.hex(), "valid": again.verify(H(given["ed25519_pk"]))}


@operation("config_message", "parse")
def parse(given: Json, _expected: Json) -> Json:
    message = messages.read(H(given["serialized"]))
    if given["require_signature"] and not message.verify(H(given["ed25519_pk"])):
        raise ParseError("not signed by the key that was asked for")
    return _written(message)

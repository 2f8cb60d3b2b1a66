"""Writing replies: the same documents in JSON and in bencode.

JSON has base64 where bencode has raw bytes, and true where bencode has 1.  Results of batches are put together from
finished bodies, which are not decoded again.  Spec: storage-rpc.md §1, §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ramson.node.mailbox import Page
from ramson.node.outcome import Outcome
from ramson.protocol import bt
from ramson.protocol.storage import Encoding

_encode_json = msgspec.json.Encoder().encode


def encode(document: Mapping[str, Any], encoding: Encoding) -> bytes:
    """Write a document of texts, integers, flags, bytes, lists and dicts with text keys."""
    return _encode_json(document) if encoding is Encoding.JSON else bt.encode(document)


def success(document: Mapping[str, Any], encoding: Encoding) -> Outcome:
    """Make the outcome 200 with a document."""
    return Outcome(200, encode(document, encoding), is_json=True)


class _SentMessage(msgspec.Struct, frozen=True, gc=False):
    hash: str
    timestamp: int
    expiration: int
    data: bytes


class _SentPage(msgspec.Struct, frozen=True):
    messages: list[_SentMessage]
    more: bool
    hf: tuple[int, int]
    t: int


def page(found: Page, hardfork: tuple[int, int], now: int, encoding: Encoding) -> Outcome:
    """Make the reply of `retrieve`."""
    messages = [
        _SentMessage(message.hash, message.timestamp, message.expiry, message.data) for message in found.messages
    ]
    if encoding is Encoding.JSON:
        return Outcome(200, _encode_json(_SentPage(messages, found.more, hardfork, now)), is_json=True)
    listed = [msgspec.structs.asdict(message) for message in messages]
    return success({"messages": listed, "more": found.more, "t": now, "hf": hardfork}, encoding)


def results(outcomes: Iterable[Outcome], encoding: Encoding) -> Outcome:
    """Make the reply of `batch` and `sequence`."""
    items = [result(outcome, encoding) for outcome in outcomes]
    if encoding is Encoding.JSON:
        return Outcome(200, b'{"results":[' + b",".join(items) + b"]}", is_json=True)
    return Outcome(200, b"d7:resultsl" + b"".join(items) + b"ee", is_json=True)


def result(outcome: Outcome, encoding: Encoding) -> bytes:
    """Write one outcome as {"code", "body"}, with a structured body as it is and a text as a string."""
    if encoding is Encoding.JSON:
        body = outcome.body if outcome.is_json else _encode_json(outcome.body.decode())
        return b'{"code":%d,"body":%b}' % (outcome.status, body)
    body = outcome.body if outcome.is_json else bt.encode(outcome.body)
    return b"d4:body%b4:codei%dee" % (body, outcome.status)


def branch(
    taken: Outcome | None,
    encoding: Encoding,
    *,
    condition: bool,
    hardfork: tuple[int, int],
    version: tuple[int, int, int],
    height: int,
) -> Outcome:
    """Make the reply of `ifelse`; without a result when the branch to be taken was not given."""
    # In bencode's order of keys `result` comes last but for `v`.
    begin = encode({"condition": condition, "height": height, "hf": hardfork}, encoding)[:-1]
    end = encode({"v": version}, encoding)[1:]
    if encoding is Encoding.JSON:
        middle = b"," if taken is None else b',"result":%b,' % result(taken, encoding)
    else:
        middle = b"" if taken is None else b"6:result" + result(taken, encoding)
    return Outcome(200, begin + middle + end, is_json=True)


def bencodable(value: Any) -> Any:
    """Turn decoded JSON into what bencode can hold.

    spec gap: bencode has neither null nor fractions; members that are null are left out, in lists null is the empty
    string, and fractions are written as text.
    """
    if value is None:
        return ""
    if isinstance(value, float) or (isinstance(value, int) and not bt.MIN_INT <= value <= bt.MAX_INT):
        return str(value)
    if isinstance(value, dict):
        return {key: bencodable(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [bencodable(member) for member in value]
    return value

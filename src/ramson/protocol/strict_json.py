"""JSON of every format but the storage RPC's own parameters: read strictly, written compactly.

Reading is `storage.json_document`'s: NaN, comments, trailing text, control characters, lone surrogates and
invalid UTF-8 are refused, of repeated keys the last counts.  Spec: storage-rpc.md §1 and its corrections.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ramson.errors import ParseError
from ramson.protocol.storage.json_document import decode_json as decode

__all__ = ["decode", "decode_object", "encode", "encode_in_order"]

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the document's object.  Raises ParseError if it is anything else."""
    value = decode(data)
    if not isinstance(value, dict):
        raise ParseError("JSON that is not an object")
    return value


def encode(value: Any) -> bytes:
    """Write JSON without blanks and with sorted keys, as both ends write it."""
    return _encode_sorted(value)


def encode_in_order(value: Any) -> bytes:
    """Write JSON without blanks, with keys in the order given."""
    return msgspec.json.encode(value)

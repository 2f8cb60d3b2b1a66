"""Reading and writing session.proto's messages without surprises.

`read` is the only way bytes of strangers become messages here: a wrong wire format and a missing required
field are the same ParseError.  Fields and enum values that are not known stay in the message as unknown fields.
Spec: messaging.md §3.1.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from ramson.errors import ParseError

M = TypeVar("M", bound=Message)


def read(kind: type[M], data: bytes) -> M:
    """Parse `data` as a `kind`.  Raises ParseError.

    Text fields are not looked at: reading one that is not UTF-8 raises UnicodeDecodeError.
    """
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise ParseError(f"not a valid {kind.__name__}") from None
    if not message.IsInitialized():
        raise ParseError(f"a required field of {kind.__name__} is missing")
    return message


def write(message: Message) -> bytes:
    """Serialize with fields in number order, as all official runtimes do."""
    return message.SerializeToString(deterministic=True)

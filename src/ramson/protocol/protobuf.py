"""Reading and writing session.proto's messages without surprises.

`read` is the only way bytes of strangers become messages here: a wrong wire format, a missing required field
and a text that is not UTF-8 are all ParseErrors.  Fields and enum values that are not known stay in the
message as unknown fields.  Spec: messaging.md §3.1.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from ramson.errors import LocalError, ParseError

M = TypeVar("M", bound=Message)


def read(kind: type[M], data: bytes) -> M:
    """Parse `data` as a `kind`.  Raises ParseError."""
    message = kind()
    try:
        message.ParseFromString(data)
        valid = message.IsInitialized() and _texts_are_utf8(message)
    except (DecodeError, UnicodeDecodeError):
        valid = False
    if not valid:
        raise ParseError(f"not a valid {kind.__name__}")
    return message


def make(kind: type[M], /, **fields: Any) -> M:
    """Make a `kind` of these fields.  Raises LocalError for a number that does not fit its field."""
    try:
        return kind(**fields)
    except ValueError:
        raise LocalError(f"a number is out of range for a {kind.__name__}") from None


def write(message: Message) -> bytes:
    """Serialize with fields in number order, as all official runtimes do."""
    return message.SerializeToString(deterministic=True)


def _texts_are_utf8(message: Message) -> bool:
    # proto2 does not check on the wire: the runtime hands out a broken text as bytes when its field is read.
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if not all(isinstance(text, str) for text in (value if field.is_repeated else (value,))):
                return False
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not all(
            _texts_are_utf8(part) for part in (value if field.is_repeated else (value,))
        ):
            return False
    return True

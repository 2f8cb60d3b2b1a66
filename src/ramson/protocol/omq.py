"""OxenMQ's message framing: the parts of commands, requests, replies and refusals.

Parts in, values out, and back; sockets, keys and who may call what belong to the peer link.
Spec: oxend-interface.md §1.

Theory of operation.  Either end of a connection may send any message.  A *command* is `category.name` and
data; a *request* is the same with an opaque tag before the data; a *reply* is `REPLY`, the tag and data.
Whether a name expects a tag is fixed where the name is registered, so the reader is told by a predicate.
What is left is control: `HI` is answered with `HELLO`; `BYE` closes; a refusal is
`[code, REPLY, tag]` for a request that reached a known name, `[code, command]` otherwise.
`UNKNOWNCOMMAND` never carries a tag, because whoever does not know the name cannot know that it expects one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

import msgspec

from ramson.errors import LocalError, ParseError

MAX_CATEGORY = 50
MAX_COMMAND = 200
TAG_SIZE = 15  # what OxenMQ draws; a peer's tag may have any length up to MAX_TAG
MAX_TAG = 255  # spec gap: no limit is given; it only has to fit what is echoed
MAX_PARTS = 64  # spec gap: the widest message in use has four

REPLY = b"REPLY"


class Control(Enum):
    """Messages about the connection itself; the value is their only part."""

    HI = b"HI"
    HELLO = b"HELLO"
    BYE = b"BYE"


class RefusalCode(Enum):
    """Why a message was not handled."""

    FORBIDDEN = b"FORBIDDEN"
    FORBIDDEN_SN = b"FORBIDDEN_SN"
    NOT_A_SERVICE_NODE = b"NOT_A_SERVICE_NODE"
    NO_REPLY_TAG = b"NO_REPLY_TAG"
    UNKNOWN_COMMAND = b"UNKNOWNCOMMAND"


class Call(msgspec.Struct, frozen=True, gc=False):
    """A command (`tag` None) or a request.

    A request that came without its tag also has None: answer it with `no_reply_tag`.
    """

    name: str
    tag: bytes | None
    parts: tuple[bytes, ...]


class ReplyMessage(msgspec.Struct, frozen=True, gc=False):
    """The reply to the request that carried `tag`."""

    tag: bytes
    parts: tuple[bytes, ...]


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A peer's refusal of the request with this `tag`, or of a message known by its `name` only."""

    code: RefusalCode
    tag: bytes | None = None
    name: str | None = None


Message: TypeAlias = Call | ReplyMessage | Refusal | Control

_CONTROLS = {control.value: control for control in Control}
_REFUSALS = {code.value: code for code in RefusalCode}


def parse(parts: Sequence[bytes], expects_reply: Callable[[str], bool] = lambda _name: True) -> Message:
    """Read one message, without the routing id.

    A call's name may lack its dot or be too long: nothing is registered under it, and the caller wants to hear that.
    `expects_reply` tells whether the part after a command's name is a tag.  Raises ParseError.
    """
    if not parts:
        raise ParseError("omq: a message without parts")
    if len(parts) > MAX_PARTS:
        raise ParseError("omq: too many parts")
    head = parts[0]
    if len(head) > MAX_CATEGORY + 1 + MAX_COMMAND:
        raise ParseError("omq: not a `category.name` of acceptable length")
    rest = tuple(parts[1:])

    if head == REPLY:
        if not rest:
            raise ParseError("omq: a reply without a tag")
        return ReplyMessage(_tag(rest[0]), rest[1:])
    control = _CONTROLS.get(head)
    if control is not None:
        return control
    code = _REFUSALS.get(head)
    if code is not None:
        return _refusal(code, rest)

    name = _visible(head)
    if not expects_reply(name):
        return Call(name, None, rest)
    if not rest:
        return Call(name, None, ())
    return Call(name, _tag(rest[0]), rest[1:])


def command(name: str, parts: Sequence[bytes] = ()) -> list[bytes]:
    """Write a command.  Raises LocalError for a name that is not `category.name`."""
    return [_own_name(name), *parts]


def request(name: str, tag: bytes, parts: Sequence[bytes] = ()) -> list[bytes]:
    """Write a request; `tag` is normally `TAG_SIZE` random bytes.  Raises LocalError."""
    if len(tag) > MAX_TAG:
        raise LocalError(f"omq: a tag has at most {MAX_TAG} bytes")
    return [_own_name(name), tag, *parts]


def reply(tag: bytes, parts: Sequence[bytes] = ()) -> list[bytes]:
    """Write the reply to the request that carried `tag`."""
    return [REPLY, tag, *parts]


def control(kind: Control) -> list[bytes]:
    """Write a control message."""
    return [kind.value]


def refuse(call: Call, code: bytes) -> list[bytes]:
    """Write a refusal of `call`: by its tag if it has one, otherwise by its name."""
    return [code, call.name.encode()] if call.tag is None else [code, REPLY, call.tag]


def unknown_command(call: Call) -> list[bytes]:
    """Write that the name is not registered here; never with a tag."""
    return [RefusalCode.UNKNOWN_COMMAND.value, call.name.encode()]


def no_reply_tag(call: Call) -> list[bytes]:
    """Write that the name expects a tag and none came."""
    return [RefusalCode.NO_REPLY_TAG.value, call.name.encode()]


def _refusal(code: RefusalCode, rest: tuple[bytes, ...]) -> Refusal:
    if len(rest) == 2 and rest[0] == REPLY:
        return Refusal(code, tag=_tag(rest[1]))
    if len(rest) == 1:
        return Refusal(code, name=_name(rest[0]))
    raise ParseError("omq: a refusal names neither a tag nor a command")


def _tag(tag: bytes) -> bytes:
    if len(tag) > MAX_TAG:
        raise ParseError("omq: the tag is too long")
    return tag


def _name(raw: bytes) -> str:
    category, dot, method = raw.partition(b".")
    if not (category and dot and method) or len(category) > MAX_CATEGORY or len(method) > MAX_COMMAND:
        raise ParseError("omq: not a `category.name` of acceptable length")
    return _visible(raw)


@lru_cache(256)
def _visible(raw: bytes) -> str:
    if not raw or not raw.isascii() or not raw.decode("ascii").isprintable() or b" " in raw:
        raise ParseError("omq: the command's name has characters other than visible ASCII")
    return raw.decode("ascii")


def _own_name(name: str) -> bytes:
    try:
        raw = name.encode("ascii")
        _name(raw)
    except (UnicodeEncodeError, ParseError):
        raise LocalError("omq: a command is called `category.name`, in visible ASCII") from None
    return raw

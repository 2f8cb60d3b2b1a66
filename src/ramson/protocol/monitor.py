"""Subscriptions to new messages, as a client writes and reads them: `monitor.messages` and `notify.message`.

Bytes in, values out, and back.  What a node keeps of it is `ramson.node.monitor`.  Spec: storage-rpc.md §6.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ramson.crypto.account import AccountKeys
from ramson.errors import ParseError, RemoteError
from ramson.protocol import bt

ASK: Final = "monitor.messages"
NOTICE: Final = "notify.message"
LIFETIME: Final = 65 * 60.0  # seconds a node remembers a subscription, unless it is asked again
MAX_SIZE: Final = 4096  # bytes of a notice without data, or of an answer, which are far shorter

_DEPTH: Final = 4
_MAX_REASON: Final = 200  # characters
_HASH: Final = re.compile(r"[A-Za-z0-9+/]{43}")


class SubscriptionDenied(RemoteError):
    """A node does not take a subscription; `errcode` is its word for why, 0 if it gave none."""

    def __init__(self, errcode: int, reason: str) -> None:
        super().__init__(f"the node does not take the subscription: {reason}")
        self.errcode = errcode


@dataclass(frozen=True, slots=True)
class Notice:
    """What a node says of a new message; nothing of it is proven."""

    account: bytes  # 33 bytes
    namespace: int
    hash: str


def signed_message(account: bytes, namespaces: Sequence[int], signed_at: int, *, data: bool) -> bytes:
    """Return what is signed; `signed_at` in Unix seconds."""
    return f"MONITOR{account.hex()}{signed_at}{int(data)}{','.join(map(str, namespaces))}".encode()


def encode_request(keys: AccountKeys, namespaces: Collection[int], signed_at: int) -> bytes:
    """Ask to be told of messages of our own account in these namespaces, without what is in them."""
    wanted = sorted(set(namespaces))
    signature = keys.ed25519.sign(signed_message(keys.id.raw, wanted, signed_at, data=False))
    return bt.encode({"P": keys.ed25519.public, "n": wanted, "s": signature, "t": signed_at})


def read_answer(parts: Sequence[bytes]) -> None:
    """Read what a node answers.  Raises SubscriptionDenied, ParseError."""
    document = _document(parts)
    if document.get(b"success") == 1:
        return
    errcode, error = document.get(b"errcode"), document.get(b"error", b"")
    if not isinstance(errcode, int) or not isinstance(error, bytes):
        raise ParseError("an answer to a subscription says neither yes nor no")
    reason = error.decode("utf-8", "replace")[:_MAX_REASON]
    raise SubscriptionDenied(errcode, "".join(each if each.isprintable() else "�" for each in reason))


def read_notice(parts: Sequence[bytes]) -> Notice:
    """Read a notice.  Raises ParseError."""
    document = _document(parts)
    account, name, namespace = (document.get(key) for key in (b"@", b"h", b"n"))
    if not isinstance(account, bytes) or not isinstance(name, bytes) or not isinstance(namespace, int):
        raise ParseError("a notice lacks account, hash or namespace")
    text = name.decode("ascii", "replace")
    if not _HASH.fullmatch(text):
        raise ParseError("a notice names no message hash")
    return Notice(account, namespace, text)


def _document(parts: Sequence[bytes]) -> dict[bytes, Any]:
    """Return the only part, a dict.  Raises ParseError."""
    if len(parts) != 1 or len(parts[0]) > MAX_SIZE:
        raise ParseError("expected one short part")
    document = bt.decode(parts[0], max_depth=_DEPTH)
    if not isinstance(document, dict):
        raise ParseError("expected a dict")
    return document

"""Links between nodes: OxenMQ's commands, requests and replies over authenticated connections.

Framing and refusals are those of oxend-interface.md §1.  Both ends of a connection may send commands
and requests.  The far end of every connection is known by its X25519 key; whether that key may use a
command is decided by the command's `refuse`, asked anew for every message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ramson.errors import RemoteError
from ramson.world.http import Endpoint


class PeerAddress(msgspec.Struct, frozen=True):  # a key of look-ups made for every message: structs hash quickly
    """Where a node's OxenMQ listener is, and the X25519 key it must have."""

    endpoint: Endpoint
    x25519: bytes


class Origin(msgspec.Struct, frozen=True):
    """Who sent a message: its X25519 key (32 bytes), its address if known, and the way back to it."""

    key: bytes
    route: Hashable
    address: str = ""


# The data parts of a reply; None sends no reply at all (the caller will time out).
Reply = Sequence[bytes] | None


def open_to_all(_origin: Origin) -> bytes | None:
    """Refuse nobody."""
    return None


@dataclass(frozen=True, slots=True)
class Command:
    """One registered `category.name`.

    `handle` gets the data parts and returns the reply's parts, now or later; for a command without
    `expects_reply` its result is ignored.  `refuse` returns the refusal code (such as `FORBIDDEN_SN`)
    or None.
    """

    handle: Callable[[Origin, list[bytes]], Reply | Awaitable[Reply]]
    expects_reply: bool = True
    refuse: Callable[[Origin], bytes | None] = open_to_all


class PeerTimeout(RemoteError):
    """No reply came in time, or the peer could not be reached."""


class PeerRefused(RemoteError):
    """The peer's OxenMQ layer refused the request; `code` is its word for it."""

    def __init__(self, code: bytes) -> None:
        super().__init__(f"the peer refused the request: {code.decode('ascii', 'replace')}")
        self.code = code


class PeerLink(Protocol):
    """One OxenMQ endpoint: it listens, and it dials peers when asked to."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, with the port that was really bound; None if it only dials."""
        ...

    def request(
        self, peer: PeerAddress, name: str, parts: Sequence[bytes], *, timeout: float
    ) -> Awaitable[list[bytes]]:
        """Send a request and return the reply's data parts.

        A peer without a port is asked along its own connection to us, if there is one.  Awaiting it raises
        PeerTimeout after `timeout` seconds and PeerRefused when the peer's OxenMQ layer says no.
        An `async def` will do; a future that is already on its way costs the caller no task.
        """
        ...

    def push(self, origin: Origin, name: str, parts: Sequence[bytes]) -> bool:
        """Send a command back along an existing connection; False when that connection is gone."""
        ...

    async def close(self) -> None:
        """Drop every connection and fail every request that still waits."""
        ...

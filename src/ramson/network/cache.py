"""What a client remembers from one run to the next: its nodes and its guards.

A `Cache` keeps bytes; `Snapshot` is what the bytes say.  Nothing that tells who the user is or whom they know is
ever put here.  Spec: bootstrap-and-paths.md §2.2 *Persisted*, §2.3 *Guard test*.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from ramson.errors import ParseError
from ramson.network.judge import Known, Standing
from ramson.protocol.nodes import NodeRecord

MAX_SIZE = 8 * 1024 * 1024  # bytes
MAX_NODES = 20_000
MAX_GUARDS = 16
MAX_AGE_MS = 180 * 24 * 3600 * 1000
VERSION = 1


class Cache(Protocol):
    """Somewhere to keep one value.  Both calls may block; whoever cannot afford that uses `World.disk`."""

    def load(self) -> bytes | None:
        """Return what was saved last; None when there is nothing, or nothing readable."""
        ...

    def save(self, data: bytes) -> None:
        """Keep `data` in place of what was there.  Raises OSError."""
        ...


class MemoryCache:
    """A cache that lasts as long as the process."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data

    def load(self) -> bytes | None:
        """Return what was saved last."""
        return self.data

    def save(self, data: bytes) -> None:
        """Keep `data`."""
        self.data = data


class FileCache:
    """A file only its owner can read, replaced whole: a crash leaves the old or the new content."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def load(self) -> bytes | None:
        """Return the file's content; None when it is missing, unreadable or too large."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except OSError:
            return None
        return data if len(data) <= MAX_SIZE else None

    def save(self, data: bytes) -> None:
        """Write a new file beside the old one and put it in its place.  Raises OSError."""
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Nodes and guards (Ed25519 keys) of one network, as they were at `saved_ms`.

    `standing` is what the list of nodes was worth when it was last vouched for, at `vouched_ms`; `voice` whose it was.
    """

    nodes: tuple[NodeRecord, ...]
    guards: tuple[bytes, ...]
    saved_ms: int
    standing: Standing = Standing.PROVISIONAL
    voice: str = ""
    vouched_ms: int = 0

    @property
    def known(self) -> Known:
        """The list as something to judge others by."""
        return Known(self.nodes, self.standing, self.voice, self.vouched_ms)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    network: str
    saved_ms: int
    guards: list[bytes]
    nodes: list[tuple[bytes, bytes, bytes, str, int, int, int, int]]
    standing: Standing = Standing.PROVISIONAL  # what was saved without was one voice's word
    voice: str = ""
    vouched_ms: int = 0


_decode = msgspec.json.Decoder(_Document).decode


def encode(snapshot: Snapshot, network: str) -> bytes:
    """Write a snapshot of the network with this fingerprint."""
    nodes = [
        (
            node.ed25519,
            node.x25519,
            node.legacy,
            node.ip,
            node.https_port,
            node.omq_port,
            node.swarm_id,
            node.requested_unlock_height,
        )
        for node in snapshot.nodes[:MAX_NODES]
    ]
    document = _Document(
        VERSION,
        network,
        snapshot.saved_ms,
        list(snapshot.guards[:MAX_GUARDS]),
        nodes,
        snapshot.standing,
        snapshot.voice,
        snapshot.vouched_ms,
    )
    return msgspec.json.encode(document)


def decode(data: bytes, network: str, *, now_ms: int) -> Snapshot:
    """Read a snapshot.  Raises ParseError if it is damaged, of another network, or older than 180 days."""
    if len(data) > MAX_SIZE:
        raise ParseError("node cache: too large")
    try:
        document = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ParseError("node cache: not what was written") from None
    if document.version != VERSION or document.network != network:
        raise ParseError("node cache: of another version or network")
    if now_ms - document.saved_ms > MAX_AGE_MS:
        raise ParseError("node cache: too old")
    if len(document.nodes) > MAX_NODES or len(document.guards) > MAX_GUARDS:
        raise ParseError("node cache: too many nodes")
    nodes = tuple(NodeRecord(*fields) for fields in document.nodes)
    sound = all(len(node.ed25519) == len(node.x25519) == 32 and 0 <= node.https_port < 2**16 for node in nodes)
    if not sound or any(len(guard) != 32 for guard in document.guards):
        raise ParseError("node cache: a key or port out of range")
    return Snapshot(
        nodes, tuple(document.guards), document.saved_ms, document.standing, document.voice, document.vouched_ms
    )

"""The nodes that a bridge forwards to, and no others.

From the seeds, asked again after an hour when somebody needs a guard, and kept in a file for the time when no seed
answers; or from a network's own file.  There is no task: whoever comes first after the hour waits for the answer.
Spec: bootstrap-and-paths.md §2.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from ramson.errors import ParseError
from ramson.node.private_files import write_private
from ramson.protocol import seed
from ramson.protocol.network_file import NetworkFile, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.world import Disk, Endpoint, HttpRequest, NetError, Tls, World

SEED_TIMEOUT: Final = 5.0  # seconds
FRESH: Final = 3600.0
RETRY: Final = 60.0  # seconds after a failure
PATH: Final = "/json_rpc"

_HEADERS: Final = {"User-Agent": "WhatsApp", "Accept-Language": "en-us"}
_PORTS: Final = {"https": 443, "http": 80}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """The nodes of one list: by Ed25519 key, at this height, as they were known at `as_of_ms`."""

    nodes: Mapping[bytes, NodeRecord] = field(default_factory=dict)
    height: int = 0
    as_of_ms: int = 0


class Guards(Protocol):
    """Looks guards up."""

    async def find(self, ed25519: bytes) -> NodeRecord | None:
        """Return the node with this key, if a client may be brought to it."""
        ...

    async def refresh(self) -> None:
        """See that the list is not old."""
        ...

    @property
    def listed(self) -> Listed:
        """All there are."""
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...


class FixedGuards:
    """The active nodes of a network's file, read at `as_of_ms`."""

    def __init__(self, network: NetworkFile, as_of_ms: int = 0) -> None:
        active = (node.record for node in network.nodes if node.state is NodeState.ACTIVE)
        self._listed = Listed({node.ed25519: node for node in active if node.contactable}, network.height, as_of_ms)

    async def find(self, ed25519: bytes) -> NodeRecord | None:
        """See `Guards`."""
        return self._listed.nodes.get(ed25519)

    async def refresh(self) -> None:
        """See `Guards`."""

    @property
    def listed(self) -> Listed:
        """See `Guards`."""
        return self._listed

    async def close(self) -> None:
        """See `Guards`."""


class SeedGuards:
    """The nodes that the seeds list; `path` is where the last list is kept."""

    def __init__(self, world: World, seeds: Sequence[Seed], path: Path | None) -> None:
        self._net = world.net
        self._clock = world.clock
        self._disk: Disk = world.disk()
        self._seeds = seeds
        self._path = path
        self._listed = Listed()
        self._again = float("-inf")  # when to ask, in monotonic seconds
        self._asking = asyncio.Lock()

    async def find(self, ed25519: bytes) -> NodeRecord | None:
        """See `Guards`."""
        await self.refresh()
        return self._listed.nodes.get(ed25519)

    @property
    def listed(self) -> Listed:
        """See `Guards`."""
        return self._listed

    async def refresh(self) -> None:
        """Ask the seeds if it is time; who comes while that is done is given the old list, if there is one."""
        if self._clock.monotonic() < self._again or (self._asking.locked() and self._listed.nodes):
            return
        async with self._asking:
            if self._clock.monotonic() < self._again:
                return
            body = await self._ask()
            self._again = self._clock.monotonic() + (RETRY if body is None else FRESH)
            if body is not None:
                await self._save(body)
            elif not self._listed.nodes:
                await self._load()
            log.info("guards: %d", len(self._listed.nodes))

    async def close(self) -> None:
        """See `Guards`."""
        await self._disk.close()

    async def _ask(self) -> bytes | None:
        """Return the first list that makes sense, after putting it in use."""
        for each in self._seeds:
            parts = urlsplit(each.url)
            tls = Tls(pins=frozenset([each.pin] if each.pin else [])) if parts.scheme == "https" else None
            endpoint = Endpoint(parts.hostname or "", parts.port or _PORTS[parts.scheme])
            query = HttpRequest("POST", parts.path or PATH, _HEADERS, seed.service_nodes_query())
            try:
                reply = await self._net.request(endpoint, query, tls=tls, timeout=SEED_TIMEOUT)
                self._use(reply.body, self._clock.now())
            except (NetError, ParseError) as error:
                log.warning("a seed gave no list of nodes: %s", error)
            else:
                return reply.body
        return None

    def _use(self, body: bytes, as_of_ms: int) -> None:
        listed = seed.parse_service_nodes(body)
        nodes = {node.ed25519: node for node in listed.nodes if node.contactable}
        if not nodes:
            raise ParseError("seed: a list without nodes")
        self._listed = Listed(nodes, listed.height, as_of_ms)

    async def _save(self, body: bytes) -> None:
        path = self._path
        if path is not None:
            try:
                await self._disk.run(lambda: write_private(path, body))
            except OSError as error:
                log.warning("the list of nodes could not be kept: %s", type(error).__name__)

    async def _load(self) -> None:
        path = self._path
        if path is not None:
            with contextlib.suppress(OSError, ParseError):
                written = await self._disk.run(path.stat)
                self._use(await self._disk.run(path.read_bytes), round(written.st_mtime * 1000))

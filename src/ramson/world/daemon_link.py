"""The conversation over a lasting connection: a `DaemonLink` over any transport that keeps one connection up.

Both worlds use it; it opens nothing itself.  Spec: oxend-interface.md §1.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

from ramson.world.daemon import ConnectionWatcher
from ramson.world.omq_engine import FrameTransport, OmqEngine
from ramson.world.peers import Command, PeerAddress, PeerTimeout


class LastingLink:
    """A DaemonLink to `peer` over the transport that `make` makes; `make` is given what to tell of connections."""

    def __init__(
        self,
        make: Callable[[ConnectionWatcher], FrameTransport],
        peer: PeerAddress,
        commands: Mapping[str, Command],
        *,
        watcher: ConnectionWatcher | None,
        entropy: random.Random,
    ) -> None:
        self._connected = asyncio.Event()
        self._watcher = watcher
        self._peer = peer
        self._engine = OmqEngine(make(self._connection_changed), commands, entropy)

    @property
    def connected(self) -> bool:
        """Whether the connection is there now."""
        return self._connected.is_set()

    async def request(
        self,
        name: str,
        parts: Sequence[bytes] = (),
        *,
        timeout: float,  # noqa: ASYNC109 - the promise of DaemonLink.request
    ) -> list[bytes]:
        """See DaemonLink."""
        try:
            async with asyncio.timeout(timeout):
                await self._connected.wait()
                return await self._engine.request(self._peer, name, parts, timeout=timeout)
        except TimeoutError:
            what = "the daemon does not answer" if self.connected else "there is no connection to the daemon"
            raise PeerTimeout(what) from None

    async def close(self) -> None:
        """Drop the connection and fail every request that still waits."""
        await self._engine.close()

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - a ConnectionWatcher
        if connected:
            self._connected.set()
        else:
            self._connected.clear()
        if self._watcher is not None:
            self._watcher(connected)

"""Asking other nodes, and knowing which of them speak our additions: version `02` of batches, and `sn.ramson`.

A node that refuses the command, or is silent to it while it answers pings, is taken for one of another make for an
hour.  Nothing is assumed of a node that is silent altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ramson.node.standing import peer_address
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.omq import RefusalCode
from ramson.world import Clock, PeerLink, PeerRefused, PeerTimeout

COMMAND: Final = "sn.ramson"
HELLO: Final = b"hello"
GREETING: Final = b"ramson 2"

REQUEST_SECONDS: Final = 15.0
HELLO_SECONDS: Final = 5.0
REMEMBERED_SECONDS: Final = 3600.0


class Peers:
    """The other nodes, by way of the node's link."""

    def __init__(self, link: Callable[[], PeerLink], clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._known: dict[bytes, tuple[bool, float]] = {}  # Ed25519 key → one of ours, and until when we think so

    async def ask(
        self, peer: NodeRecord, name: str, parts: Sequence[bytes], *, seconds: float = REQUEST_SECONDS
    ) -> list[bytes]:
        """Send a request and return the data parts of the reply.  Raises PeerTimeout, PeerRefused."""
        address = peer_address(peer)
        if address is None:
            raise PeerTimeout("the node's address is unknown")
        return await self._link().request(address, name, parts, timeout=seconds)

    async def is_ours(self, peer: NodeRecord) -> bool:
        """Tell whether a peer speaks our additions.

        Raises PeerTimeout when it is not there, and PeerRefused when it does not know us yet.
        """
        ours, until = self._known.get(peer.ed25519, (False, 0.0))
        if until > self._clock.monotonic():
            return ours
        try:
            ours = await self._greets(peer)
        except PeerTimeout:
            await self.ask(peer, "sn.ping", [], seconds=HELLO_SECONDS)
            try:
                ours = await self._greets(peer)  # it is there, and may have been away before
            except PeerTimeout:
                ours = False
        self._remember(peer, ours=ours)
        return ours

    async def _greets(self, peer: NodeRecord) -> bool:
        try:
            return await self.ask(peer, COMMAND, [HELLO], seconds=HELLO_SECONDS) == [GREETING]
        except PeerRefused as refused:
            if refused.code == RefusalCode.UNKNOWN_COMMAND.value:
                return False
            raise

    def mark_foreign(self, peer: NodeRecord) -> None:
        """Learn that a peer does not understand us after all."""
        self._remember(peer, ours=False)

    def _remember(self, peer: NodeRecord, *, ours: bool) -> None:
        now = self._clock.monotonic()
        self._known = {key: known for key, known in self._known.items() if known[1] > now}
        self._known[peer.ed25519] = (ours, now + REMEMBERED_SECONDS)

"""How a node reaches the other members of its swarm: requests forwarded over `sn.storage_cc`.

There is no quorum, no retry and no read repair (swarms.md §6): the service decides what an answer, or its
absence, means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ramson.node.standing import Standing, peer_address
from ramson.protocol.nodes import NodeRecord
from ramson.world import PeerLink, PeerTimeout


class SwarmForwarder:
    """The `Forwarder` of a node.  `link` returns the node's link to its peers, which is made later."""

    def __init__(self, standing: Standing, link: Callable[[], PeerLink]) -> None:
        self._standing = standing
        self._link = link

    def peers(self, account: bytes) -> tuple[NodeRecord, ...]:
        """Return the other members of this node's swarm; none for an account that it does not own."""
        return self._standing.others if self._standing.owns(account) else ()

    def forward(self, peer: NodeRecord, method: str, body: bytes, timeout: float) -> Awaitable[list[bytes]]:
        """Send `sn.storage_cc` and return the reply's parts; `timeout` in seconds.  Raises PeerTimeout, PeerRefused."""
        address = peer_address(peer)
        if address is None:
            return _unreachable()
        return self._link().request(address, "sn.storage_cc", [method.encode(), body], timeout=timeout)


async def _unreachable() -> list[bytes]:
    raise PeerTimeout("the node's address is unknown")

"""How a recursive request reaches the other members of the swarm (swarms.md §6): the interface only.

The service builds the forwarded form once, hands it to a `Forwarder` for every other member, runs the request on
its own mailbox meanwhile, and merges the answers.  The forwarder knows addresses and links; it never looks into the
request and never retries.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from ramson.protocol.nodes import NodeRecord


class Forwarder(Protocol):
    """The way to the other members of this node's swarm."""

    def peers(self, account: bytes) -> tuple[NodeRecord, ...]:
        """Return the other members of this node's swarm, for an account (33 bytes) that the swarm owns.

        Members that cannot be reached now, or that have no address, are among them: every member has an entry in
        the reply.
        """
        ...

    def forward(self, peer: NodeRecord, method: str, body: bytes, timeout: float) -> Awaitable[list[bytes]]:
        """Send `sn.storage_cc` with the parts [method, body] and return the data parts of the reply.

        `timeout` is in seconds.  Raises PeerTimeout (also when the peer cannot be dialled) or PeerRefused, and
        nothing else.  An `async def` will do; a future that is already on its way costs the service no task.
        """
        ...

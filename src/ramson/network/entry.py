"""The one place that dials a guard.

Everything else in the client reaches the network through onion requests that are handed to `Entry`; a proxy, a
bridge or a transport goes in here and nowhere else.  A guard sees this client's address, so nothing that tells who
the client is may be in what it can read.  Spec: bootstrap-and-paths.md §2.3 *Guard test*, §2.4, REACH.
"""

from __future__ import annotations

import random

from ramson.protocol import strict_json
from ramson.protocol.nodes import NodeRecord
from ramson.world import Endpoint, HttpRequest, HttpResponse, Net, NetError, Tls

GUARD_TEST_TIMEOUT = 10.0  # seconds
_ANY_CERTIFICATE = Tls()  # who the node is, the onion layer proves


class Entry:
    """Carries sealed requests to the first node of a path."""

    def __init__(self, net: Net, entropy: random.Random) -> None:
        self._net = net
        self._entropy = entropy

    async def send(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - Net's
        """POST an onion request and return the reply, whatever its status.  Raises NetError."""
        return await self._post(guard, "/onion_req/v2", sealed, timeout)

    async def test(self, node: NodeRecord) -> bool:
        """Ask a node something directly to learn whether it can be a guard."""
        # spec gap: desktop asks for the swarm of its own account, which shows the account id beside its address to
        # a node it may never use.  A node cannot tell a random account from a real one.
        account = b"\x05" + self._entropy.randbytes(32)
        question = strict_json.encode(
            {"id": "0", "jsonrpc": "2.0", "method": "get_swarm", "params": {"pubkey": account.hex()}}
        )
        try:
            reply = await self._post(node, "/storage_rpc/v1", question, GUARD_TEST_TIMEOUT)
        except NetError:
            return False
        return reply.status == 200

    async def _post(self, node: NodeRecord, target: str, body: bytes, seconds: float) -> HttpResponse:
        return await self._net.request(
            Endpoint(node.ip, node.https_port),
            HttpRequest("POST", target, body=body),
            tls=_ANY_CERTIFICATE,
            timeout=seconds,
        )

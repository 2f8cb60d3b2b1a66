"""The question that tells whether a node can be a guard: an onion request with no hops, sealed to the node itself.

Theory of operation.  What is asked (`info`, in a batch, as in tests of paths) and how long it is are those of an
ordinary short request, so whoever carries it, an observer of the connection or a bridge, cannot tell a test from use.
Only the node asked learns that it is the destination.  Nobody else can answer, for the answer is sealed for us by
whoever could open the question: a captive portal or an interceptor that says 200 to everything passes for no guard.

# spec gap: desktop clients POST `get_swarm` for their own account to /storage_rpc/v1, which shows the account beside
# the address to a node that may never be used, looks like no other request, and cannot be carried by a bridge.
Spec: bootstrap-and-paths.md §2.3 *Guard test*; onion.md, zero hops.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import Protocol

from ramson.errors import ParseError
from ramson.protocol import onion, storage, strict_json
from ramson.protocol.nodes import NodeRecord
from ramson.world import HttpResponse, NetError

TIMEOUT = 10.0  # seconds
SIZE = (600, 1400)  # bytes of the question: what three more layers and the shortest requests come to

_QUESTION = strict_json.encode({"jsonrpc": "2.0", **storage.to_json(storage.Batch(requests=(storage.Info(),)))})


class Send(Protocol):
    """Brings an onion request to a node; `Entry.send`."""

    def __call__(self, guard: NodeRecord, sealed: bytes, *, timeout: float) -> Awaitable[HttpResponse]:
        """See Entry.send."""
        ...


def question(node: NodeRecord, entropy: random.Random) -> onion.OnionRequest:
    """Return the sealed question.  Raises ParseError for a node whose key is none."""
    padded = _QUESTION.ljust(entropy.randint(*SIZE))  # blanks after a JSON document mean nothing
    return onion.build((), onion.NodeHop(node.ed25519, node.x25519), padded, entropy=entropy)


def passed(asked: onion.OnionRequest, reply: HttpResponse) -> bool:
    """Whether the reply is the node's own and says that it serves."""
    if reply.status != 200:
        return False
    try:
        return onion.open_node_reply(asked.reply, reply.body).status == 200
    except ParseError:
        return False


async def run(node: NodeRecord, send: Send, entropy: random.Random) -> bool:
    """Ask a node; silence, refusals and wrong answers are all a no."""
    try:
        asked = question(node, entropy)
        return passed(asked, await send(node, asked.body, timeout=TIMEOUT))
    except (ParseError, NetError):
        return False

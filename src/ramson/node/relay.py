"""Onion requests at a node: peeling one layer and doing what is under it.

Theory of operation.  A layer comes from a client (the entry, over HTTPS) or from another node (a hop, over
OxenMQ); its JSON has told how to open it.  Under it is one of three things (`protocol.onion`): a request for
this node, whose answer is sealed with this layer's key; a layer for another node, whose answer goes back
unread; or a frame for a server, whose answer goes back unread too.  Only "bad inner JSON" and "bad URL" are
sealed; all other errors are clear text, as clients expect them (onion.md §6).

The relay keeps nothing of what passes and logs no address.  What waits for others is bounded in number and bytes;
beyond that callers are told that the node is busy.  Spec: onion.md with its corrections.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from ramson.crypto.keys import X25519KeyPair
from ramson.crypto.onion import LayerCipher, node_cipher
from ramson.errors import ParseError
from ramson.node.addresses import is_public
from ramson.node.counters import Counters, OnionOutcome
from ramson.node.outcome import Outcome
from ramson.node.standing import Standing, peer_address
from ramson.protocol import onion
from ramson.world import (
    AddressRefused,
    Endpoint,
    HttpRequest,
    Net,
    NetError,
    PeerAddress,
    PeerLink,
    PeerRefused,
    PeerTimeout,
    Stage,
    Tls,
)

HOP_SECONDS: Final = 30.0
SERVER_SECONDS: Final = 25.0
MAX_SERVER_REPLY: Final = 10 * 1024 * 1024  # bytes: what fits into the reply of a hop; the largest file does too
MAX_WAITING: Final = 4_000
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024

# What a hop's reply may say; any other code becomes 500.
HOP_STATUSES: Final = {
    b"%d" % status: status for status in (200, 400, 401, 403, 404, 406, 410, 413, 421, 429, 500, 502, 503, 504)
}
# A server's headers that are about its own connection, or that every reply of a node has.
_NOT_PASSED: Final = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class Relayed:
    """What goes back towards the client.  `headers` are a server's, and only an entry node passes them on."""

    status: int
    body: bytes
    headers: Mapping[str, str] | None = None


Answer: TypeAlias = Relayed | Awaitable[Relayed]

# Looking a member up in its enumeration takes twice as long as counting it.
_ANSWERED: Final = OnionOutcome.ANSWERED
_PASSED_ON: Final = OnionOutcome.PASSED_ON
_RELAYED: Final = OnionOutcome.RELAYED

_TIMED_OUT: Final = Relayed(504, b"Request time out")
_BUSY: Final = Relayed(503, b"Server busy, try again later")


class RpcHandler(Protocol):
    """The part of the storage service that onion requests reach."""

    def handle_json(self, body: bytes) -> Outcome | Awaitable[Outcome]:
        """Answer one request; never raises."""
        ...


class OnionRelay:
    """Peels and passes on the layers meant for the node with key pair `identity`.

    `link` returns the node's link to its peers, which is made after the relay.  With `allow_private` servers may
    be anywhere; otherwise only at public addresses.
    """

    def __init__(
        self,
        *,
        identity: X25519KeyPair,
        standing: Standing,
        service: RpcHandler,
        link: Callable[[], PeerLink],
        net: Net,
        entropy: random.Random,
        allow_private: bool = False,
        counters: Counters | None = None,
    ) -> None:
        self._identity = identity
        self._standing = standing
        self._service = service
        self._link = link
        self._net = net
        self._entropy = entropy
        self._allow = None if allow_private else is_public
        self._outcomes = (counters or Counters()).onions
        self._waiting = 0
        self._waiting_bytes = 0

    def enter(self, body: bytes) -> Answer:
        """Handle the POST body of a client; the caller has checked that the node is ready."""
        try:
            layer = onion.parse_entry(body)
        except ParseError as error:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return Relayed(400, f"Error parsing onion request: {error}".encode())
        return self._peel(layer)

    def hop(self, parts: Sequence[bytes]) -> Answer:
        """Handle the parts of another node's `sn.onion_request`."""
        if self._standing.unready():
            self._outcomes[OnionOutcome.NOT_READY] += 1
            return Relayed(503, f"Snode not ready: {self._standing.ed25519.hex()}".encode())
        if len(parts) != 1:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return Relayed(400, b"Invalid internal onion request: expected 1 part, received %d" % len(parts))
        try:
            layer = onion.decode_hop(parts[0])
        except onion.PathTooLong:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return Relayed(400, onion.PATH_TOO_LONG)
        except ParseError as error:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return Relayed(400, f"Invalid internal onion request: {error}".encode())
        return self._peel(layer)

    def _peel(self, layer: onion.Layer) -> Answer:
        try:
            cipher = node_cipher(layer.enc_type, self._identity, layer.ephemeral)
            plaintext = cipher.decrypt(layer.ciphertext)
        except ParseError:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return Relayed(400, onion.INVALID_CIPHERTEXT)
        try:
            inner = onion.parse_inner(plaintext)
        except onion.ForbiddenTarget:
            self._outcomes[OnionOutcome.REFUSED] += 1
            return self._seal(cipher, _INVALID_URL, _FOR_ANYONE)
        except ParseError:
            self._outcomes[OnionOutcome.UNREADABLE] += 1
            return self._seal(cipher, _INVALID_JSON, _FOR_ANYONE)
        match inner:
            case onion.ForMe():
                self._outcomes[_ANSWERED] += 1
                outcome = self._service.handle_json(inner.payload)
                if isinstance(outcome, Outcome):
                    return self._seal(cipher, outcome, inner)
                return self._answer_later(outcome, cipher, inner)
            case onion.ToNode():
                return self._pass_on(inner, layer.hop_no + 1)
            case onion.ToServer():
                return self._to_server(inner, cipher)

    async def _answer_later(self, outcome: Awaitable[Outcome], cipher: LayerCipher, options: onion.ForMe) -> Relayed:
        return self._seal(cipher, await outcome, options)

    def _seal(self, cipher: LayerCipher, outcome: Outcome, options: onion.ForMe) -> Relayed:
        plaintext = onion.encode_node_reply(outcome.status, outcome.body, outcome.is_json, options)
        nonce = self._entropy.randbytes(cipher.nonce_size)
        return Relayed(200, onion.seal_reply(cipher, plaintext, nonce, base64=options.base64))

    def _pass_on(self, inner: onion.ToNode, hop_no: int) -> Answer:
        node = self._standing.nodes.by_ed25519.get(inner.destination)
        if node is None:
            self._outcomes[OnionOutcome.UNKNOWN_NODE] += 1
            return Relayed(502, b"Next node not found: " + inner.destination.hex().encode())
        if inner.destination == self._standing.ed25519:
            # A node does not call itself: it peels the next layer at once.
            return self.hop([onion.encode_hop(inner, hop_no)])
        # spec gap: a listed node without an address; it is reached if it keeps a connection to us
        peer = peer_address(node) or PeerAddress(Endpoint(node.ip, 0), node.x25519)
        return self._to_node(peer, onion.encode_hop(inner, hop_no))

    async def _to_node(self, peer: PeerAddress, request: bytes) -> Relayed:
        if self._is_full(len(request)):
            self._outcomes[OnionOutcome.BUSY] += 1
            return _BUSY
        with self._wait(len(request)):
            try:
                parts = await self._link().request(peer, "sn.onion_request", [request], timeout=HOP_SECONDS)
            except (PeerTimeout, PeerRefused):
                self._outcomes[OnionOutcome.NODE_FAILED] += 1
                return _TIMED_OUT
        if len(parts) < 2:
            self._outcomes[OnionOutcome.NODE_FAILED] += 1
            return Relayed(500, b"Invalid response from snode")
        self._outcomes[_PASSED_ON] += 1
        return Relayed(HOP_STATUSES.get(parts[0], 500), parts[1])

    async def _to_server(self, inner: onion.ToServer, cipher: LayerCipher) -> Relayed:
        if self._is_full(len(inner.frame)):
            self._outcomes[OnionOutcome.BUSY] += 1
            return _BUSY
        endpoint = Endpoint(inner.host.strip("[]"), inner.port)
        request = HttpRequest("POST", inner.target, {"Content-Type": "application/octet-stream"}, inner.frame)
        with self._wait(len(inner.frame)):
            try:
                reply = await self._net.request(
                    endpoint,
                    request,
                    tls=Tls(verify=True) if inner.protocol == "https" else None,
                    timeout=SERVER_SECONDS,
                    max_reply=MAX_SERVER_REPLY,
                    allow=self._allow,
                )
            except AddressRefused:
                self._outcomes[OnionOutcome.REFUSED] += 1
                return self._seal(cipher, _INVALID_URL, _FOR_ANYONE)
            except NetError as error:
                self._outcomes[OnionOutcome.SERVER_FAILED] += 1
                return _TIMED_OUT if error.stage is Stage.TIMEOUT else Relayed(502, str(error).encode())
        self._outcomes[_RELAYED] += 1
        headers = {name: value for name, value in reply.headers.items() if name.lower() not in _NOT_PASSED}
        return Relayed(reply.status, reply.body, headers)

    def _is_full(self, size: int) -> bool:
        return self._waiting >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES

    @contextmanager
    def _wait(self, size: int) -> Iterator[None]:
        """Count a request of `size` bytes among those that wait for others."""
        self._waiting += 1
        self._waiting_bytes += size
        try:
            yield
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size


_FOR_ANYONE: Final = onion.ForMe(b"")
_INVALID_URL: Final = Outcome(400, onion.INVALID_URL, is_json=False)
_INVALID_JSON: Final = Outcome(400, onion.INVALID_JSON, is_json=False)

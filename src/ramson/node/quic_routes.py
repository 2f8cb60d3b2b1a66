"""The node's QUIC side: which endpoint does what, and how its answers are written.

It decides nothing: storage methods and subscriptions are answered by the very commands of the OxenMQ side, with their
rate limits, and onion requests by the relay.  Nobody sees a traceback.  Spec: storage-rpc.md §1 and §6, onion.md §1.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

from ramson.node.http_routes import nobody_asks
from ramson.node.relay import OnionRelay, Relayed
from ramson.node.standing import Standing
from ramson.protocol.storage import BY_NAME
from ramson.world import Command, Origin, QuicAnswer, QuicLimits, Reply

HARDFORK: Final = (19, 4)  # from here on nodes ping one another over QUIC
PING: Final = "snode_ping"
PUSHED: Final = "notify"  # what the OxenMQ side calls `notify.message`
MAX_BODY: Final = 9_900_000  # bytes of an answer: a little less than a frame may have

Endpoint = Callable[[Origin, bytes], QuicAnswer | Awaitable[QuicAnswer]]

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class QuicRoutes:
    """The handler of a node's QUIC listener; `commands` are those of its link, and `pinged` is told of pings."""

    def __init__(
        self,
        *,
        commands: Mapping[str, Command],
        relay: OnionRelay,
        standing: Standing,
        pinged: Callable[[], None] = nobody_asks,
    ) -> None:
        self._relay = relay
        self._standing = standing
        self._pinged = pinged
        self._endpoints: dict[str, Endpoint] = {
            PING: self._ping,
            "onion_req": self._onion,
            "monitor": partial(_ask, commands["monitor.messages"], _as_it_is),
            **{name: partial(_ask, commands[f"storage.{name}"], _written) for name in BY_NAME},
        }

    def handle(self, origin: Origin, name: str, body: bytes) -> QuicAnswer | Awaitable[QuicAnswer]:
        """Answer one request, at once where nothing has to be waited for."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return _error(404, b"no such endpoint")  # spec gap: no text is given
        try:
            return endpoint(origin, body)
        except Exception:
            log.exception("request failed: endpoint=%s", name)
            return _error(500, b"request failed")

    def _ping(self, _origin: Origin, _body: bytes) -> QuicAnswer:
        self._pinged()
        return QuicAnswer(b"pong")

    def _onion(self, _origin: Origin, body: bytes) -> QuicAnswer | Awaitable[QuicAnswer]:
        reasons = self._standing.unready()
        if reasons:
            return _error(503, f"Service node is not ready: {'; '.join(reasons)}\n".encode())
        answer = self._relay.enter(body)
        return _passed_back(answer) if isinstance(answer, Relayed) else _later(answer, _passed_back)


def limits() -> QuicLimits:
    """Return what the listener of a node tolerates."""
    return QuicLimits(busy=_error(503, b"Server busy, try again later").body)


def _ask(
    command: Command, write: Callable[[bytes, Reply], QuicAnswer], origin: Origin, body: bytes
) -> QuicAnswer | Awaitable[QuicAnswer]:
    reply = command.handle(origin, [body])
    return _later(reply, partial(write, body)) if isinstance(reply, Awaitable) else write(body, reply)


def _as_it_is(_asked: bytes, reply: Reply) -> QuicAnswer:
    return QuicAnswer((reply or [b""])[0])


def _written(asked: bytes, reply: Reply) -> QuicAnswer:
    """Write an OxenMQ answer: a list of 200 and the body, in the request's encoding, or an error.

    spec gap: whether the body stands in that list as it is or as a string; it stands as it is.
    """
    parts = reply or [b"500", b"request failed"]
    if len(parts) > 1:
        return _error(int(parts[0]), parts[1])
    body = parts[0]
    if len(body) > MAX_BODY:
        return _error(500, b"the answer is too large")
    return QuicAnswer(b"li200e%be" % body if asked[:1] == b"d" else b"[200,%b]" % body)


def _passed_back(relayed: Relayed) -> QuicAnswer:
    """Write an onion answer.  spec gap: it is opaque bytes, which fit no list in JSON, and so it stands alone."""
    if relayed.status != 200:
        return _error(relayed.status, relayed.body)
    if len(relayed.body) > MAX_BODY:
        return _error(500, b"the answer is too large")
    return QuicAnswer(relayed.body)


def _error(status: int, text: bytes) -> QuicAnswer:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    return QuicAnswer(b"%d %b\n\n%b" % (status, reason.encode(), text[:MAX_BODY]), failed=True)


async def _later(answer: Awaitable[_T], write: Callable[[_T], QuicAnswer]) -> QuicAnswer:
    try:
        return write(await answer)
    except Exception:
        log.exception("request failed")
        return _error(500, b"request failed")

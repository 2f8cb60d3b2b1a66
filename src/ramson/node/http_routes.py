"""The node's HTTPS side: which path does what, and how an outcome is written as an HTTP reply.

Nothing is decided here about messages or onions, and nobody sees a traceback: whatever goes wrong inside is 500
`request failed` and a line in the log.  Spec: storage-rpc.md §1 and §5 with their corrections.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from ramson.node.counters import Counters
from ramson.node.outcome import Outcome
from ramson.node.ratelimit import RateLimiter
from ramson.node.relay import OnionRelay, Relayed, RpcHandler
from ramson.node.standing import Standing
from ramson.world import HttpLimits, HttpRequest, HttpResponse

SERVER: Final = "Oxen Storage Server/2.8.0"
MAX_BODY: Final = 10 * 1024 * 1024
RPC_PATH, ONION_PATH, PING_PATH, STATS_PATH = "/storage_rpc/v1", "/onion_req/v2", "/ping_test/v1", "/get_stats/v1"

TEXT: Final[Mapping[str, str]] = {"Content-Type": "text/plain"}
JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}

_FAILED: Final = HttpResponse(500, TEXT, b"request failed")
_TOO_MANY: Final = HttpResponse(429, TEXT, b"Too Many Requests\n")
_LONG_POLL: Final = HttpResponse(410, TEXT, b"long polling is no longer supported, client upgrade required")
_STATS: Final = HttpResponse(200, JSON, b'{"version":"2.8.0"}')

_T = TypeVar("_T")

Reply: TypeAlias = HttpResponse | Awaitable[HttpResponse]

log = logging.getLogger(__name__)


def limits(max_connections: int, max_connections_per_address: int) -> HttpLimits:
    """Return what the listener of a node tolerates.  A ping's body is never read, so it is never too large."""
    return HttpLimits(
        max_body=MAX_BODY,
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        bodyless=frozenset({PING_PATH}),
        server=SERVER,
    )


def nobody_asks() -> None:
    """Do nothing with the news of a ping."""


class HttpRoutes:
    """The handler of a node's HTTPS listener.

    `legacy` is the node's 32-byte legacy key, shown to those who ping, of whom `pinged` is told.
    """

    def __init__(
        self,
        *,
        service: RpcHandler,
        relay: OnionRelay,
        standing: Standing,
        limiter: RateLimiter,
        legacy: bytes,
        pinged: Callable[[], None] = nobody_asks,
        counters: Counters | None = None,
    ) -> None:
        self._service = service
        self._relay = relay
        self._standing = standing
        self._limiter = limiter
        self._pinged = pinged
        self._counters = counters or Counters()
        ping_headers = {**TEXT, "X-Oxen-Snode-Pubkey": b64encode(legacy).decode()}
        self._pong = HttpResponse(200, ping_headers, b"")
        self._routes: dict[tuple[str, str], Callable[[HttpRequest], Reply]] = {
            ("POST", RPC_PATH): self._rpc,
            ("POST", ONION_PATH): self._onion,
            ("POST", PING_PATH): self._ping,
            ("GET", STATS_PATH): lambda _: _STATS,
        }

    def handle(self, request: HttpRequest) -> Reply:
        """Answer one request, at once where nothing has to be waited for."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            text = f"{request.method.lower()} {request.path} Not Found"
            return HttpResponse(404, TEXT, text.encode("utf-8", "replace"))
        try:
            return route(request)
        except Exception:
            log.exception("request failed: path=%s", request.path)
            return _FAILED

    def _ping(self, _request: HttpRequest) -> HttpResponse:
        self._pinged()
        return self._pong

    def _rpc(self, request: HttpRequest) -> Reply:
        if not self._limiter.allow(request.peer):
            self._counters.rate_limited += 1
            return _TOO_MANY
        reasons = self._standing.unready()
        if reasons:
            return _not_ready(reasons)
        if request.headers.get("x-loki-long-poll"):
            return _LONG_POLL
        outcome = self._service.handle_json(request.body)
        return _written(outcome) if isinstance(outcome, Outcome) else _later(outcome, _written)

    def _onion(self, request: HttpRequest) -> Reply:
        reasons = self._standing.unready()
        if reasons:
            return _not_ready(reasons)
        answer = self._relay.enter(request.body)
        return _passed_back(answer) if isinstance(answer, Relayed) else _later(answer, _passed_back)


def _not_ready(reasons: tuple[str, ...]) -> HttpResponse:
    return HttpResponse(503, TEXT, f"Service node is not ready: {'; '.join(reasons)}\n".encode())


def _written(outcome: Outcome) -> HttpResponse:
    return HttpResponse(outcome.status, JSON if outcome.is_json else TEXT, outcome.body)


def _passed_back(relayed: Relayed) -> HttpResponse:
    return HttpResponse(relayed.status, TEXT if relayed.headers is None else relayed.headers, relayed.body)


async def _later(result: Awaitable[_T], write: Callable[[_T], HttpResponse]) -> HttpResponse:
    try:
        return write(await result)
    except Exception:
        log.exception("request failed")
        return _FAILED

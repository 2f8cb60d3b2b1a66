"""A seed: what a client without any node asks first, over HTTPS with a pinned certificate.

It answers one method, the node list, at one path, and keeps nothing about who asked.
Spec: registry-and-rewards.md §4 *Client view*; the queries and replies themselves are `protocol.seed`.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import msgspec

from ramson.protocol import strict_json
from ramson.protocol.seed import (
    MAX_QUERY,
    AdminMethod,
    Query,
    RpcError,
    encode_error,
    encode_result,
    parse_query,
    service_nodes_result,
)
from ramson.registry.registry import Registry
from ramson.world import Certificate, Endpoint, HttpLimits, HttpRequest, HttpResponse, Listener, World

PATH: Final = "/json_rpc"
LIMITS: Final = HttpLimits(max_body=MAX_QUERY, max_connections=2000, head_timeout=10.0, body_timeout=10.0)
MAX_WRITTEN: Final = 16  # replies kept until the list changes; each may have a megabyte

_JSON: Final = {"Content-Type": "application/json"}
_TEXT: Final = {"Content-Type": "text/plain"}


class SeedService:
    """Answers `get_n_service_nodes` at `endpoint` while it is entered.

    Without a `certificate` it speaks plain HTTP, as the seed of the test network does.
    """

    def __init__(self, world: World, registry: Registry, endpoint: Endpoint, certificate: Certificate | None) -> None:
        self._world = world
        self._registry = registry
        self._wanted = endpoint
        self._certificate = certificate
        self._listener: Listener | None = None
        self._written: dict[Query, msgspec.Raw] = {}
        self._written_of = registry.current()

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._wanted if self._listener is None else self._listener.endpoint

    async def __aenter__(self) -> Self:
        self._listener = await self._world.net.listen(
            self._wanted, self.handle, certificate=self._certificate, limits=LIMITS
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.path != PATH or request.method != "POST":
            return HttpResponse(404, _TEXT, b"Not found")
        try:
            query = parse_query(request.body)
        except AdminMethod as error:
            return HttpResponse(403, _JSON, encode_error(error))
        except RpcError as error:
            return HttpResponse(200, _JSON, encode_error(error))
        return HttpResponse(200, _JSON, self._reply(query))

    def _reply(self, query: Query) -> bytes:
        """Write the reply; the list itself is taken from those already written, as nearly all clients ask the same."""
        nodes = self._registry.current()
        if nodes is not self._written_of:
            self._written.clear()
            self._written_of = nodes
        same = replace(query, id=None)
        result = self._written.get(same)
        if result is None:
            result = msgspec.Raw(strict_json.encode(service_nodes_result(nodes, query, self._world.entropy)))
            if not query.limit and len(self._written) < MAX_WRITTEN:
                self._written[same] = result
        return encode_result(result, query.id)

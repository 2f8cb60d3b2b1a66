"""The bridge in front of a web site that is an `HttpHandler`: the form for a `World`'s own listeners."""

from __future__ import annotations

from typing import Final

from ramson.servers.bridge.bridge import REPLY_HEADERS, Bridge
from ramson.world import HttpHandler, HttpRequest, HttpResponse

ON_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", ""})  # "": a socket in the file system


class BridgeHandler:
    """Answers the bridge's requests and hands all others to `cover`, as they came."""

    def __init__(self, bridge: Bridge, cover: HttpHandler, *, forwarded_hops: int = 1) -> None:
        self._bridge = bridge
        self._cover = cover
        self._forwarded_hops = forwarded_hops

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        length = content_length(request.headers.get("content-length"))
        admission = await self._bridge.admit(request.method, request.target, length)
        if admission is not None:
            peer = caller(request.peer, request.headers.get("x-forwarded-for", ""), self._forwarded_hops)
            sealed = await self._bridge.answer(admission, request.body, peer)
            if sealed is not None:
                return HttpResponse(200, REPLY_HEADERS, sealed)
        response = self._cover(request)
        return response if isinstance(response, HttpResponse) else await response


def content_length(text: str | None) -> int | None:
    """Read a Content-Length; None if there is none that is a bridge's."""
    return int(text) if text is not None and len(text) <= 7 and text.isascii() and text.isdigit() else None


def caller(peer: str, forwarded: str, hops: int) -> str:
    """Return whom to count a request for: `peer`, or whom a proxy on this machine says it got the request from.

    `hops` is the number of one's own proxies that put an address to the header, each at its end.
    """
    if peer not in ON_THIS_MACHINE or not hops:
        return peer
    named = [part.strip() for part in forwarded.split(",")]
    return named[-hops][:64] if len(named) >= hops else peer

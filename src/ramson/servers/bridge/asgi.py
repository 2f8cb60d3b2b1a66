"""The bridge in front of an ASGI web site: one application, for uvicorn, hypercorn, daphne and their like.

    # bridge_site.py, served with `uvicorn bridge_site:app`
    from ramson.servers.bridge import asgi
    app = asgi.application()                # set up by RAMSON_BRIDGE_…, see docs/bridge.md
    app = asgi.application(my_own_app)      # or in front of a site there is

A request is either the bridge's, which is known before anything of its body is read, or the site gets it untouched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any, Final

from ramson.servers.bridge.bridge import REPLY_HEADERS, Admission, Bridge
from ramson.servers.bridge.building import build
from ramson.servers.bridge.config import BridgeConfig, from_environment
from ramson.servers.bridge.cover import asgi_site, site_directory
from ramson.servers.bridge.handler import caller, content_length
from ramson.world import real

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS: Final = 60.0

_HEADERS: Final = [(name.encode(), value.encode()) for name, value in REPLY_HEADERS.items()]

log = logging.getLogger(__name__)


class BridgeApp:
    """An ASGI application of a bridge and a site."""

    def __init__(self, bridge: Bridge, cover: App, *, forwarded_hops: int = 1) -> None:
        self._bridge = bridge
        self._cover = cover
        self._forwarded_hops = forwarded_hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        admission = await self._admit(scope) if scope["type"] == "http" else None
        if admission is None:
            await self._cover(scope, receive, send)
            return
        body = _Body(receive)
        sealed = None
        if await body.read(_length(scope) or 0):
            client = scope.get("client")
            forwarded = _header(scope, b"x-forwarded-for") or ""
            peer = caller(client[0] if client else "", forwarded, self._forwarded_hops)
            sealed = await self._bridge.answer(admission, body.data, peer)
        if sealed is None:
            await self._cover(scope, body.again, send)
            return
        headers = [*_HEADERS, (b"content-length", str(len(sealed)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": sealed})

    async def _admit(self, scope: Scope) -> Admission | None:
        if scope["query_string"]:
            return None
        return await self._bridge.admit(scope["method"], scope["path"], _length(scope))


class _Body:
    """A request's body that can be read and then given to the site as if it had not been."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self.data = b""

    async def read(self, length: int) -> bool:
        """Read the body; False if it is not of this length or does not come in time."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await self._receive()
                    self._messages.append(message)
                    if message["type"] != "http.request":
                        return False
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > length:  # not every server keeps a body to the length it announced
                        return False
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return False
        self.data = b"".join(parts)
        return len(self.data) == length

    async def again(self) -> Message:
        """Return what was received, and then what is received."""
        return self._messages.pop(0) if self._messages else await self._receive()


class _Starting:
    """Builds the bridge when the server's loop runs: at its startup, or with the first request."""

    def __init__(self, config: BridgeConfig, cover: App) -> None:
        self._config = config
        self._cover = cover
        self._app: App | None = None
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await (await self._started())(scope, receive, send)

    async def _started(self) -> App:
        async with self._lock:
            if self._app is None:
                world = real.world()
                bridge = build(world, self._config, processes=True)
                await self._stack.enter_async_context(bridge)
                self._stack.push_async_callback(world.net.close)
                self._app = BridgeApp(bridge, self._cover, forwarded_hops=self._config.forwarded_hops)
        return self._app

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        # The site, if it has a lifespan of its own, is not told: a framework's site starts without, too.
        await receive()
        try:
            await self._started()
        except Exception as error:
            log.exception("the bridge does not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def application(own: App | None = None, /, **settings: Any) -> App:
    """Return the application; `settings` count more than the environment.  Raises BadBridgeConfig.

    Without a site of one's `own` the configured directory is served, or a plain page.
    """
    config = from_environment(**settings)
    cover = own
    if cover is None:
        config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        cover = asgi_site(site_directory(config.cover, config.directory, _host(config.site)))
    return _Starting(config, cover)


def _host(site: str) -> str:
    return site.partition("//")[2].partition("/")[0]


def _header(scope: Scope, name: bytes) -> str | None:
    values = [value for key, value in scope["headers"] if key.lower() == name]
    return values[-1].decode("latin-1") if values else None


def _length(scope: Scope) -> int | None:
    return content_length(_header(scope, b"content-length"))

"""`ramson bridge run`: the bridge and its site under uvicorn, with numbers for the volunteer on loopback.

Why uvicorn, and not the listener that nodes have: whoever probes the site must find nothing that other sites do not
have, and how a server words its errors and orders its headers is as good as a name.  uvicorn with a Starlette
site is one of very many.  It is the one thing besides `World.net` that opens a listening socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

import uvicorn

from ramson.errors import LocalError
from ramson.servers.bridge.asgi import BridgeApp
from ramson.servers.bridge.building import build
from ramson.servers.bridge.config import BridgeConfig
from ramson.servers.bridge.counters import CONTENT_TYPE, write
from ramson.servers.bridge.cover import asgi_site, site_directory
from ramson.servers.bridge.transport import LINE_FILE, Door
from ramson.world import CannotListen, Endpoint, HttpLimits, HttpRequest, HttpResponse, Listener, World

STOP_SECONDS: Final = 10

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with a way to wait until it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()
        self.port = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.port = self.servers[0].sockets[0].getsockname()[1]
            self.serving.set()


class BridgeService:
    """Serves a bridge as `config` says while it is entered."""

    def __init__(self, world: World, config: BridgeConfig) -> None:
        self._world = world
        self._config = config
        if config.certificate is None and not config.listen.host.startswith("127.") and config.listen.host != "::1":
            raise LocalError(
                "without a certificate a bridge listens on this machine only, behind a web server",
                remedy="Set `certificate` and `private_key`, or listen at 127.0.0.1.",
            )
        self._bridge = build(world, config, processes=False)
        self._server: _Server | None = None
        self._metrics: Listener | None = None
        self._tasks = asyncio.TaskGroup()
        self._stack = contextlib.AsyncExitStack()
        self.transport_line = ""  # for clients, when there is an obfs4 door

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return Endpoint(self._config.listen.host, self._server.port if self._server else self._config.listen.port)

    @property
    def metrics(self) -> Endpoint | None:
        """Where the numbers are shown."""
        return None if self._metrics is None else self._metrics.endpoint

    async def __aenter__(self) -> Self:
        try:
            await self._stack.enter_async_context(self._bridge)
            await self._bridge.refresh()
            if self._config.metrics is not None:
                self._metrics = await self._world.net.listen(
                    self._config.metrics, self._show, certificate=None, limits=HttpLimits(max_connections=16)
                )
                self._stack.push_async_callback(self._metrics.close)
            await self._serve()
            await self._open_door()
        except BaseException:
            await self._stack.aclose()
            raise
        log.info("bridge serves at=%s guards=%d", self.endpoint, self._bridge.guards)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cancelled = isinstance(error, asyncio.CancelledError)  # only the task group knows whether by itself
        await self._stack.__aexit__(*(kind, error, trace) if cancelled else (None, None, None))

    async def _serve(self) -> None:
        config = self._config
        host = config.site.partition("//")[2].partition("/")[0]
        site = asgi_site(site_directory(config.cover, config.directory, host))
        settings = server_settings(
            BridgeApp(self._bridge, site, forwarded_hops=config.forwarded_hops),
            config.listen,
            max_connections=config.limits.max_connections,
            certificate=None if config.certificate is None else str(config.certificate),
            private_key=None if config.private_key is None else str(config.private_key),
        )
        try:
            settings.load()
        except OSError:  # an SSLError is one
            raise LocalError(
                "the certificate and its key cannot be loaded", remedy="Both must be PEM and belong together."
            ) from None
        server = self._server = _Server(settings)
        await self._stack.enter_async_context(self._tasks)
        serving = self._tasks.create_task(_life(server), name="web server")
        started = self._tasks.create_task(server.serving.wait(), name="web server's start")

        def stop() -> None:
            server.should_exit = True
            started.cancel()

        self._stack.callback(stop)
        await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
        if not server.started:
            raise CannotListen(
                f"cannot listen at {config.listen}", remedy="Choose an address of this machine and a free port."
            )

    async def _open_door(self) -> None:
        config = self._config
        if config.obfs4 is None:
            return
        door = Door(config.obfs4_program, config.obfs4, self.endpoint, config.directory)
        running = self._tasks.create_task(door.run(), name="obfs4 door")
        self._stack.callback(running.cancel)
        self.transport_line = await door.line()
        log.info("obfs4 serves; its line is in %s", LINE_FILE)

    def _show(self, request: HttpRequest) -> HttpResponse:
        if request.path != "/metrics":
            return HttpResponse(404)
        text = write(self._bridge.counters, guards=self._bridge.guards)
        return HttpResponse(200, {"content-type": CONTENT_TYPE}, text.encode())


async def _life(server: _Server) -> None:
    with contextlib.suppress(SystemExit):  # how uvicorn says that it cannot listen
        await server.serve()


def server_settings(
    app: Any,
    listen: Endpoint,
    *,
    max_connections: int = 1000,
    certificate: str | None = None,
    private_key: str | None = None,
) -> uvicorn.Config:
    """Return uvicorn's settings: its own in all that a visitor can see, and no log of visitors."""
    return uvicorn.Config(
        app,
        host=listen.host,
        port=listen.port,
        http="h11",  # bounds the size of a request's head, which the faster parser does not
        ws="none",
        lifespan="off",
        loop="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        limit_concurrency=max_connections,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )

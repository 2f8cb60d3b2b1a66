"""A running file server: its listener, its limits and its sweeper around the endpoints.

    async with FileService(world, keys, config) as service:
        await asyncio.Event().wait()

It keeps no record of who asked, and logs no address and no id.  Bodies are held in memory while they are read, opened
and written, because an onion request is sealed as a whole; how much that can be is bounded by the limits.
Spec: files-and-push.md §7.2; bootstrap-and-paths.md §2.6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from types import TracebackType
from typing import Final, Self

from ramson.node.private_files import make_private_directory
from ramson.node.ratelimit import SWEEP_SECONDS as FORGET_SECONDS
from ramson.node.ratelimit import RateLimiter
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.servers.files.config import FileServerConfig
from ramson.servers.files.directory import DirectoryBlobs
from ramson.servers.files.postgres import PostgresCatalogue
from ramson.servers.files.routes import FileRoutes
from ramson.servers.files.s3 import S3Blobs
from ramson.servers.files.sqlite import SqliteCatalogue
from ramson.servers.files.store import FileStore
from ramson.servers.files.storing import Blobs, Catalogue, StorageFailed
from ramson.servers.files.unfinished import UnfinishedUploads
from ramson.servers.files.upload_table import UploadTable
from ramson.servers.keys import ServerKeys
from ramson.servers.onion_endpoint import PATH, OnionEndpoint
from ramson.servers.serving import Serving
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, World
from ramson.world.callers import caller

SWEEP_SECONDS: Final = 60.0
STRAYS_EVERY: Final = 24 * 60  # sweeps
ANSWER_SECONDS: Final = 20.0  # less than the 25 s a node waits
ENVELOPE_BYTES: Final = 64 * 1024  # of an onion request, around its body

_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
_BUSY: Final = HttpResponse(503, _TEXT, b"busy, try again later")
_NOT_FOUND: Final = HttpResponse(404, _TEXT, b"not found")
_TOO_OFTEN: Final = ServerResponse(429, {"content-type": "text/plain"}, b"too many requests from there")
_TOO_LATE: Final = ServerResponse(503, {"content-type": "text/plain"}, b"busy, try again later")

log = logging.getLogger(__name__)


class FileService:
    """Serves files as `config` says, with `keys`, while it is entered."""

    def __init__(self, world: World, keys: ServerKeys, config: FileServerConfig) -> None:
        self._world = world
        self._config = config
        limits = config.limits
        self._requests = RateLimiter(world.clock, depth=limits.request_burst, rate=limits.requests_per_second)
        self._uploads = RateLimiter(world.clock, depth=limits.upload_burst_bytes, rate=limits.upload_bytes_per_second)
        catalogue, blobs = _catalogue(world, config), _blobs(world, config)
        self._store = FileStore(catalogue, blobs, world.clock, world.entropy, limits)
        self._unfinished = UnfinishedUploads(
            UploadTable(catalogue), blobs, self._store, world.clock, world.entropy, limits
        )
        self._routes = FileRoutes(
            self._store,
            self._unfinished,
            world.clock,
            ids=config.ids,
            uploads=self._uploads,
            versions=config.versions,
        )
        self._keys = keys
        self._places = asyncio.Semaphore(limits.max_transfers)
        self._waiting_bytes = 0
        self._serving = Serving(
            world,
            config.listen,
            self.handle,
            limits=self._http_limits(),
            store=self._store,
            chores={"file sweeper": self._sweep, "forgetting of callers": self._forget},
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._serving.endpoint

    async def __aenter__(self) -> Self:
        make_private_directory(self._config.directory)
        await self._serving.__aenter__()
        log.info(
            "file server key x25519=%s ed25519=%s", self._keys.x25519.public.hex(), self._keys.ed25519.public.hex()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._serving.__aexit__(kind, error, trace)

    def _http_limits(self) -> HttpLimits:
        limits = self._config.limits
        return HttpLimits(
            max_body=limits.max_file * 4 // 3 + ENVELOPE_BYTES,  # the old endpoints take base64
            max_held=limits.max_waiting_bytes,
            max_connections=limits.max_connections,
        )

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Answer one HTTP request: an onion request, or a direct one."""
        if request.path == PATH:
            if request.method != "POST":
                return HttpResponse(405, _TEXT, b"not with this method")
            return self._counted(request, self._onion)
        return self._counted(request, self._direct) if self._config.direct else _NOT_FOUND

    async def _counted(
        self, request: HttpRequest, answer: Callable[[HttpRequest], Awaitable[HttpResponse]]
    ) -> HttpResponse:
        """Answer a request unless those that are being answered hold too many bytes."""
        size = len(request.body)
        if self._waiting_bytes + size > self._config.limits.max_waiting_bytes:
            return _BUSY
        self._waiting_bytes += size
        try:
            return await answer(request)
        finally:
            self._waiting_bytes -= size

    async def _onion(self, request: HttpRequest) -> HttpResponse:
        handler = partial(self._answer, peer=caller(request.peer))
        return await OnionEndpoint(self._keys.x25519, handler, self._world.entropy).answer(request.body)

    async def _direct(self, request: HttpRequest) -> HttpResponse:
        inner = ServerRequest(request.method, request.target, request.headers, request.body or None)
        reply = await self._answer(inner, peer=caller(request.peer))
        return HttpResponse(reply.code, reply.headers, reply.body or b"")

    async def _answer(self, request: ServerRequest, *, peer: str) -> ServerResponse:
        if not self._requests.allow(peer):
            return _TOO_OFTEN
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._places:
                return await self._routes.answer(request, peer)
        except TimeoutError:
            return _TOO_LATE

    async def _sweep(self) -> None:
        for turn in count():
            try:
                expired = await self._store.sweep()
                abandoned = await self._unfinished.sweep()
                strays = await self._store.clear_strays() if turn % STRAYS_EVERY == 0 else 0
                if expired or abandoned or strays:
                    log.info("swept: expired=%d uploads=%d strays=%d", expired, abandoned, strays)
            except StorageFailed as error:
                log.error("sweeping failed: %s", error)  # noqa: TRY400 - a traceback says no more
            await asyncio.sleep(SWEEP_SECONDS)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            self._requests.sweep()
            self._uploads.sweep()


def _catalogue(world: World, config: FileServerConfig) -> Catalogue:
    if config.postgres:
        return PostgresCatalogue(config.postgres, world.disk())
    return SqliteCatalogue(config.directory / "catalogue.sqlite", world.disk())


def _blobs(world: World, config: FileServerConfig) -> Blobs:
    if config.bucket is not None:
        return S3Blobs(config.bucket, world.net, world.clock)
    return DirectoryBlobs(config.directory / "files", world.disk)

"""A running collector: reports by onion requests, publication by plain HTTP.

    async with ReportService(world, keys, Endpoint("0.0.0.0", 80), directory) as service:
        await asyncio.Event().wait()

It logs nothing of who asks or reports: what comes by onion requests comes from the last hop of somebody's path, and the
address of whoever reads the publication is looked at by nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from ramson.errors import ParseError
from ramson.node.private_files import make_private_directory
from ramson.node.ratelimit import RateLimiter
from ramson.protocol import reach_report
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.servers.keys import ServerKeys
from ramson.servers.onion_endpoint import PATH, OnionEndpoint
from ramson.servers.reports.publication import as_json, as_page
from ramson.servers.reports.store import ReportStore, Taken
from ramson.servers.serving import Serving
from ramson.world import Endpoint, HttpLimits, HttpRequest, HttpResponse, World

REPORT: Final = "/report"
MAX_BODY: Final = reach_report.MAX_SIZE * 2  # bytes of an onion request
RATE: Final = 20.0  # reports a second, of everybody together
BURST: Final = 1000.0
ANSWER_SECONDS: Final = 15.0  # less than the 25 s a node waits
LOOK_SECONDS: Final = 3600.0  # between two looks whether a month is over
GRACE_DAYS: Final = 7  # for which reports of a month are still taken in the next one
LIMITS: Final = HttpLimits(max_body=MAX_BODY, max_held=16 * 1024 * 1024, max_connections=2000)
EVERYBODY: Final = "everybody"

_TEXT: Final = {"content-type": "text/plain; charset=utf-8"}
_JSON: Final = {"content-type": "application/json"}
_PAGE: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
}
_ANSWERS: Final = {
    Taken.NEW: ServerResponse(200, _JSON, b'{"status":"taken"}'),
    Taken.KNOWN: ServerResponse(200, _JSON, b'{"status":"known"}'),
    Taken.CLOSED: ServerResponse(400, _TEXT, b"not of a month that is open"),
    Taken.FULL: ServerResponse(503, _TEXT, b"no more reports this month"),
}
_LATE: Final = ServerResponse(503, _TEXT, b"busy, try again later")

log = logging.getLogger(__name__)


class ReportService:
    """Collects at `listen` with `keys`, in `directory`, while it is entered."""

    def __init__(self, world: World, keys: ServerKeys, listen: Endpoint, directory: Path) -> None:
        self._world = world
        self._directory = directory
        self._keys = keys
        self._store = ReportStore(directory / "reports.sqlite", world.disk(), world.entropy)
        self._onion = OnionEndpoint(keys.x25519, self.answer, world.entropy)
        self._limiter = RateLimiter(world.clock, depth=BURST, rate=RATE)
        self._serving = Serving(
            world,
            listen,
            self.handle,
            limits=LIMITS,
            store=self._store,
            chores={"months of reports": self._close_months},
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._serving.endpoint

    async def __aenter__(self) -> Self:
        make_private_directory(self._directory)
        await self._serving.__aenter__()
        log.info("collector port=%d x25519=%s", self.endpoint.port, self._keys.x25519.public.hex())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._serving.__aexit__(kind, error, trace)

    def handle(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Answer one HTTP request: an onion request, or somebody who reads what was published."""
        if request.path == PATH:
            if request.method != "POST":
                return HttpResponse(405, _TEXT, b"not with this method")
            return self._onion.answer(request.body)
        if request.method == "GET" and request.path in {"/", "/reports.json"}:
            return self._show(request.path)
        return HttpResponse(404, _TEXT, b"not found")

    async def answer(self, request: ServerRequest) -> ServerResponse:
        """Answer what was inside an onion request."""
        if request.endpoint != REPORT:
            return ServerResponse(404, _TEXT, b"not found")
        if request.method != "POST":
            return ServerResponse(405, _TEXT, b"not with this method")
        try:
            report = reach_report.decode(request.body or b"")
        except ParseError as error:
            return ServerResponse(400, _TEXT, str(error).encode())
        if not report.reporter:
            return ServerResponse(400, _TEXT, b"a report needs a token")
        if not self._open(report.day):
            return _ANSWERS[Taken.CLOSED]
        if not self._limiter.allow(EVERYBODY):
            return _LATE
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return _ANSWERS[await self._store.add(report)]
        except TimeoutError:
            return _LATE
        except apsw.Error as error:
            log.error("a report could not be kept: %s", type(error).__name__)  # noqa: TRY400 - a traceback says no more
            return _LATE

    def _open(self, day: str) -> bool:
        """Whether reports of this day are taken: this month's, and for some days the last one's, to a day ahead."""
        now = self._now()
        tomorrow = f"{datetime.fromtimestamp(now.timestamp() + 86_400, UTC):%Y-%m-%d}"
        return self._oldest_open(now) <= day[:7] and day <= tomorrow

    def _oldest_open(self, now: datetime) -> str:
        if now.day > GRACE_DAYS:
            return f"{now:%Y-%m}"
        return f"{datetime.fromtimestamp(now.timestamp() - GRACE_DAYS * 86_400, UTC):%Y-%m}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._world.clock.now() / 1000, UTC)

    async def _show(self, path: str) -> HttpResponse:
        try:
            counts = await self._store.published()
        except apsw.Error:
            return HttpResponse(503, _TEXT, b"busy, try again later")
        if path == "/":
            return HttpResponse(200, _PAGE, as_page(counts))
        return HttpResponse(200, _JSON, as_json(counts))

    async def _close_months(self) -> None:
        while True:
            try:
                closed = await self._store.close_before(self._oldest_open(self._now()))
                if closed:
                    log.info("published and deleted: months=%d", len(closed))
            except apsw.Error as error:
                log.error("a month could not be closed: %s", type(error).__name__)  # noqa: TRY400 - as above
            await asyncio.sleep(LOOK_SECONDS)

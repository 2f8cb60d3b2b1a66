"""The bridge in front of a WSGI web site: for ordinary web hosting, under mod_wsgi, Passenger, gunicorn and their like.

    # passenger_wsgi.py, app.wsgi, …
    from ramson.servers.bridge import wsgi
    application = wsgi.application()                # set up by RAMSON_BRIDGE_…, see docs/bridge.md
    application = wsgi.application(my_own_app)      # or in front of a site there is

WSGI servers start processes as they like, so a bridge's event loop runs in a thread that each process starts with its
first request, and what the processes have to agree on is in files.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from io import BytesIO
from typing import Any, Final, TypeVar

from ramson.servers.bridge.bridge import FORWARD_SECONDS, REPLY_HEADERS, Bridge
from ramson.servers.bridge.building import build
from ramson.servers.bridge.config import BridgeConfig, from_environment
from ramson.servers.bridge.cover import site_directory, wsgi_site
from ramson.servers.bridge.handler import caller, content_length
from ramson.world import real

T = TypeVar("T")
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

PATIENCE: Final = FORWARD_SECONDS + 20  # seconds; the seeds may have to be asked as well


class _Running:
    """A bridge on an event loop in a thread of this process."""

    def __init__(self, config: BridgeConfig) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="bridge", daemon=True).start()
        self.bridge: Bridge = self.call(_entered(config))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work on the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


async def _entered(config: BridgeConfig) -> Bridge:
    return await build(real.world(), config, processes=True).__aenter__()  # it ends with the process


class BridgeWsgi:
    """A WSGI application of a bridge and a site."""

    def __init__(self, config: BridgeConfig, cover: App) -> None:
        self._config = config
        self._cover = cover
        self._running: dict[int, _Running] = {}
        self._starting = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environ["REQUEST_METHOD"] != "POST":
            return self._cover(environ, start_response)
        running = self._here()
        length = None if environ.get("QUERY_STRING") else content_length(environ.get("CONTENT_LENGTH"))
        admission = running.call(running.bridge.admit("POST", environ.get("PATH_INFO", ""), length))
        if admission is None:
            return self._cover(environ, start_response)
        body = environ["wsgi.input"].read(length)
        peer = caller(
            environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), self._config.forwarded_hops
        )
        sealed = running.call(running.bridge.answer(admission, body, peer))
        if sealed is None:
            return self._cover(environ | {"wsgi.input": BytesIO(body)}, start_response)
        headers = [("-".join(map(str.capitalize, name.split("-"))), value) for name, value in REPLY_HEADERS.items()]
        start_response("200 OK", [*headers, ("Content-Length", str(len(sealed)))])
        return [sealed]

    def _here(self) -> _Running:
        """Return the bridge of this process: threads do not survive a fork."""
        pid = os.getpid()
        with self._starting:
            if pid not in self._running:
                self._running[pid] = _Running(self._config)
            return self._running[pid]


def application(own: App | None = None, /, **settings: Any) -> BridgeWsgi:
    """Return the application; `settings` count more than the environment.  Raises BadBridgeConfig.

    Without a site of one's `own` the configured directory is served, or a plain page.
    """
    config = from_environment(**settings)
    cover = own
    if cover is None:
        config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = config.site.partition("//")[2].partition("/")[0]
        cover = wsgi_site(site_directory(config.cover, config.directory, host))
    return BridgeWsgi(config, cover)

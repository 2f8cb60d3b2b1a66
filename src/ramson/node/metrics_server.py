"""The port at which a node tells how it is doing: `/metrics` for Prometheus, `/status` for `ramson node status`.

It listens on loopback only, without TLS, and answers only requests that were meant for a loopback name: a web page in
a browser on the same machine could otherwise read it by pointing a name of its own at 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from ramson.node import metrics
from ramson.node.addresses import is_loopback
from ramson.node.status import Status
from ramson.protocol import strict_json
from ramson.world import HttpLimits, HttpRequest, HttpResponse

METRICS_PATH, STATUS_PATH = "/metrics", "/status"
LIMITS: Final = HttpLimits(max_body=0, max_connections=16)

_TEXT: Final = {"Content-Type": "text/plain"}


class MetricsServer:
    """Answers with what `look` returns."""

    def __init__(self, look: Callable[[], Status]) -> None:
        self._look = look

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if not is_loopback(_host(request.headers.get("host", ""))):
            return HttpResponse(403, _TEXT, b"This port is for this machine only.\n")
        match request.method, request.path:
            case "GET", "/metrics":
                return HttpResponse(200, {"Content-Type": metrics.CONTENT_TYPE}, metrics.write(self._look()).encode())
            case "GET", "/status":
                body = strict_json.encode(fields(self._look()))
                return HttpResponse(200, {"Content-Type": "application/json"}, body)
            case _:
                return HttpResponse(404, _TEXT, b"There are /metrics and /status.\n")


def fields(status: Status) -> dict[str, Any]:
    """Return a status as JSON has it."""
    return asdict(status)


def _host(header: str) -> str:
    """Take the port off a Host header."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()

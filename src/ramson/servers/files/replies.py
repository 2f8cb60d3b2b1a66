"""Answers of the endpoints, as all of them write them.

Spec: files-and-push.md §7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ramson.protocol import strict_json
from ramson.protocol.file_server import FileInfo, encode_info
from ramson.protocol.server_v4 import ServerResponse
from ramson.servers.files.storing import Entry

JSON: Final = {"content-type": "application/json"}
TEXT: Final = {"content-type": "text/plain; charset=utf-8"}


class Refused(Exception):
    """A request is answered with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def info(entry: Entry, *, with_id: bool = False, headers: Mapping[str, str] | None = None) -> ServerResponse:
    """Describe a file."""
    described = FileInfo(entry.id if with_id else "", entry.size, entry.uploaded_ms, entry.expires_ms)
    return ServerResponse(200, {**JSON, **(headers or {})}, encode_info(described))


def json(document: Mapping[str, Any]) -> ServerResponse:
    """Answer with an object."""
    return ServerResponse(200, JSON, strict_json.encode(document))


def text(status: int, words: str) -> ServerResponse:
    """Answer with a sentence."""
    return ServerResponse(status, TEXT, words.encode())

"""URLs of files, as attachment pointers and profiles carry them.

    http://host[:port]/file/ID#d&p=<server key, 64 hex digits>&sr=<stream target>&e=<key>

`d` (desktop writes `d=`) marks the deterministic form, `p` names the server's key when it is not the default
server's.  A URL without `p` is of the default server.  Such URLs come from strangers.
Spec: files-and-push.md §7.1 *URL fragment*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from ramson.errors import ParseError
from ramson.protocol.file_server import BadServerUrl, FileServer, is_file_id, is_numeric_id, server_base

MAX_LENGTH: Final = 1024  # characters

_PATH = re.compile(r"/files?/([A-Za-z0-9_-]{1,44})", re.ASCII)
_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._~:/?@!$'()*,;%+-]*", re.ASCII)  # what a fragment may hold beside & = and #


@dataclass(frozen=True, slots=True)
class FileUrl:
    """One file on one server.

    `base` is scheme, host and port; `server_key` is 32 bytes, Ed25519 or X25519, or None for the default server;
    `stream_target` and `local_key` are kept as they came.
    """

    base: str
    id: str
    deterministic: bool = False
    server_key: bytes | None = None
    stream_target: str = ""
    local_key: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> FileUrl:
        """Read a URL.  Raises ParseError; parts of the fragment that are not known are ignored."""
        if len(text) > MAX_LENGTH:
            raise ParseError("file URL: too long")
        address, _, fragment = text.partition("#")
        try:
            parts = urlsplit(address)
            base = server_base(f"{parts.scheme}://{parts.netloc}")
        except (ValueError, BadServerUrl):
            raise ParseError("file URL: no proper server") from None
        match = _PATH.fullmatch(parts.path)
        if match is None or parts.query or not is_file_id(match[1]):
            raise ParseError("file URL: no proper id")
        options = _options(fragment)
        key = options.get("p")
        if key is not None and not _KEY.fullmatch(key):
            raise ParseError("file URL: `p` is not 64 hexadecimal digits")
        return cls(
            base=base,
            id=match[1],
            deterministic="d" in options,
            server_key=None if key is None else bytes.fromhex(key),
            stream_target=options.get("sr", ""),
            local_key=options.get("e", ""),
        )

    @classmethod
    def on(cls, server: FileServer, file_id: str, *, deterministic: bool, default: FileServer) -> FileUrl:
        """Return the URL of a file on `server`; its key is named unless it is the `default` server of everybody."""
        key = None if server.is_named(server_base(default.url), default.x25519) else server.x25519
        return cls(server_base(server.url), file_id, deterministic, key)

    @property
    def numeric_id(self) -> int:
        """The id as the pointer's required number; 0 when it is none."""
        return int(self.id) if is_numeric_id(self.id) else 0

    def __str__(self) -> str:
        options = [
            *(["d"] if self.deterministic else []),
            *([f"p={self.server_key.hex()}"] if self.server_key is not None else []),
            *([f"sr={self.stream_target}"] if self.stream_target else []),
            *([f"e={self.local_key}"] if self.local_key else []),
        ]
        return f"{self.base}/file/{self.id}" + (f"#{'&'.join(options)}" if options else "")


def _options(fragment: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in fragment.split("&"):
        name, _, value = option.partition("=")
        if _PLAIN.fullmatch(value):
            options.setdefault(name, unquote(value) if name == "p" else value)
    return options

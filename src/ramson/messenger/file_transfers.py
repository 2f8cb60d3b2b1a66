"""Blobs between this client and file servers, through the network: uploading, fetching, asking, extending.

It never sees what is in a blob.  Spec: files-and-push.md §7.2, bootstrap-and-paths.md §2.6.

Theory of operation.  A request and its answer are each sealed as a whole, so an answer that breaks off leaves
nothing to go on from.  What follows for transfers:

* An upload is one request.  It cannot be continued, only repeated, and its progress is all or nothing.  Repeating is
  harmless: a server that names files by their content keeps one copy; on others the lost first copy expires.
* A download from a server that serves parts (`FileServer.ranges`) comes in pieces, each a request of its own, and goes
  on at any byte.  The official servers do not say that they serve parts, and asking would tell them which program
  asks: they are asked for the whole file, which after an interruption comes from its beginning.

Which server is asked is never a stranger's choice: the URL in a message must be of the client's own server or of one
it trusts.  Otherwise whoever sends a message could learn when it is read, and could spoil the reader's paths
with a server that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ramson.crypto.files import FileTooLarge
from ramson.errors import LocalError, ParseError, RemoteError
from ramson.messenger.message import Progress
from ramson.network import RequestFailed
from ramson.network.failures import TABLE, Retry
from ramson.protocol.file_server import MAX_FILE, FileInfo, FileServer, parse_content_range, parse_info
from ramson.protocol.file_url import FileUrl
from ramson.protocol.onion import ServerDestination
from ramson.protocol.server_v4 import ServerRequest, ServerResponse

SECONDS: Final = 30.0  # for one attempt
PIECE: Final = 1024 * 1024  # bytes asked for at a time
TRIES: Final = 3
FIRST_PAUSE: Final = 1.0  # seconds, doubled after each try

_OCTETS = "application/octet-stream"
_PASSING = frozenset({429, 500, 502, 503, 504})  # what a server may get over

Keep = Callable[[bytes], Awaitable[None]]


def no_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


class FileError(RemoteError):
    """A file server did not do what was asked; `status` is its code."""

    def __init__(self, message: str, status: int, *, remedy: str = "Try again later.") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class FileGone(FileError):
    """The file has expired or never was; asking again is of no use."""

    def __init__(self) -> None:
        super().__init__("the file is no longer on the server", 404, remedy="Ask for it to be sent again.")


class UnknownServer(LocalError):
    """The file is on a server that this client does not trust."""

    def __init__(self, url: FileUrl) -> None:
        super().__init__(
            "the file is on a server that is not trusted", remedy="Trust that server, if you know whose it is."
        )
        self.url = url


class Caller(Protocol):
    """What this module needs of a `Network`."""

    async def call_server(
        self, server: ServerDestination, request: ServerRequest, *, seconds: float = ...
    ) -> ServerResponse:
        """Send a request to a server through the network.  Raises RequestFailed, NoPath."""
        ...


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Where a blob is now, and what the server said about it."""

    url: FileUrl
    info: FileInfo


class Transfers:
    """Transfers of one client.

    Uploads go to `server`.  `default` is the server that URLs without a key mean to everybody in this network (the
    `server` itself if not given).  Files are fetched from these two and from `trusted` servers.
    """

    def __init__(
        self,
        network: Caller,
        server: FileServer,
        *,
        default: FileServer | None = None,
        trusted: Sequence[FileServer] = (),
    ) -> None:
        self._network = network
        self._server = server
        self._default = default or server
        self._trusted = [server, self._default, *trusted]

    def trust(self, server: FileServer) -> None:
        """Fetch files from this server too."""
        self._trusted.append(server)

    def server_of(self, url: FileUrl) -> FileServer:
        """Return the trusted server a URL means.  Raises UnknownServer."""
        for server in self._trusted:
            if server.is_named(url.base, url.server_key) and (url.server_key is not None or server is self._default):
                return server
        raise UnknownServer(url)

    async def upload(
        self, blob: bytes, *, deterministic: bool, ttl_s: int | None = None, progress: Progress = no_progress
    ) -> Uploaded:
        """Put an encrypted file on the server and return its URL, which marks the `deterministic` form.

        `ttl_s` asks for a lifetime; the server decides.  Raises FileTooLarge, FileError, and what `call_server` raises.
        """
        if len(blob) > MAX_FILE:
            raise FileTooLarge(len(blob), MAX_FILE)
        progress(0, len(blob))
        headers = {"Content-Type": _OCTETS} | _ttl(ttl_s)
        reply = await self._ask(self._server, ServerRequest("POST", "/file", headers, blob))
        info = parse_info(reply.body or b"", needs_id=True)
        progress(len(blob), len(blob))
        return Uploaded(FileUrl.on(self._server, info.id, deterministic=deterministic, default=self._default), info)

    async def fetch(self, url: FileUrl, *, progress: Progress = no_progress) -> bytes:
        """Return the blob of a URL, still encrypted.  Raises FileGone, FileError, UnknownServer, ParseError."""
        blob = bytearray()

        async def keep(piece: bytes) -> None:
            blob.extend(piece)

        await self.fetch_from(url, 0, keep, progress=progress)
        return bytes(blob)

    async def fetch_from(self, url: FileUrl, have: int, keep: Keep, *, progress: Progress = no_progress) -> None:
        """Give `keep` the bytes of a blob from the `have`th on, in order.  Raises as `fetch` does."""
        server = self.server_of(url)
        total = -1
        progress(have, total)
        while total < 0 or have < total:
            headers = {"Range": f"bytes={have}-{have + PIECE - 1}"} if server.ranges else {}
            try:
                reply = await self._ask(server, ServerRequest("GET", f"/file/{url.id}", headers))
            except FileError as error:
                if error.status == 416 and have and total < 0:  # we had all of it
                    return
                raise
            piece, total = _piece(reply, have, total)
            await keep(piece)
            have += len(piece)
            progress(have, total)

    async def info(self, url: FileUrl) -> FileInfo:
        """Ask how large a file is and how long it stays.  Raises as `fetch` does."""
        reply = await self._ask(self.server_of(url), ServerRequest("GET", f"/file/{url.id}/info"))
        return parse_info(reply.body or b"")

    async def extend(self, url: FileUrl, *, ttl_s: int | None = None) -> FileInfo:
        """Let a file stay longer; servers do so only for files named by their content.  Raises as `fetch` does."""
        request = ServerRequest("POST", f"/file/{url.id}/extend", _ttl(ttl_s))
        reply = await self._ask(self.server_of(url), request)
        return parse_info(reply.body or b"")

    async def _ask(self, server: FileServer, request: ServerRequest) -> ServerResponse:
        """Send a request until it succeeds, cannot succeed, or was tried often enough.

        `call_server` tries several paths each time; the pauses here give server and network time to recover.
        """
        for attempt in range(1, TRIES + 1):
            try:
                reply = await self._network.call_server(server.destination, request, seconds=SECONDS)
            except RequestFailed as error:
                if attempt == TRIES or TABLE[error.failure].retry is not Retry.ANOTHER_WAY:
                    raise
            else:
                if 200 <= reply.code < 300:
                    return reply
                if reply.code not in _PASSING or attempt == TRIES:
                    raise _refusal(reply.code)
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")


def _ttl(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"X-FS-TTL": str(seconds)}


def _refusal(code: int) -> FileError:
    match code:
        case 404:
            return FileGone()
        case 413:
            return FileError("the file is too large for the server", code, remedy="Make it smaller or split it.")
        case 507:
            return FileError("the server has no room left", code)
        case 429:
            return FileError("the server is asked too often", code)
    return FileError(f"the file server answered {code}", code)


def _piece(reply: ServerResponse, have: int, total: int) -> tuple[bytes, int]:
    """Return what a reply adds to the `have` bytes that are there, and the size of the whole.  Raises ParseError."""
    body = reply.body or b""
    if len(body) > MAX_FILE:
        raise ParseError("file server: the file is larger than any can be")
    if reply.code != 206:  # the whole file
        if len(body) <= have and have:
            raise ParseError("file server: the file is shorter than it was")
        return body[have:], len(body)
    part, size = parse_content_range(reply.headers.get("content-range", ""))
    if part.first != have or part.size != len(body) or size > MAX_FILE or total not in {-1, size}:
        raise ParseError("file server: not the part that was asked for")
    return body, size

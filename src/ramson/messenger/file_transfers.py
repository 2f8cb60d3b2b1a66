"""Blobs between this client and file servers, through the network: uploading, fetching, asking, extending.

It never sees what is in a blob.  Spec: files-and-push.md §7.2, bootstrap-and-paths.md §2.6.

Theory of operation.  A request and its answer are each sealed as a whole, so an answer that breaks off leaves
nothing to go on from.  What follows for transfers:

* An upload is one request.  It cannot be continued, only repeated, and its progress is all or nothing.  Repeating is
  harmless: a server that names files by their content keeps one copy; on others the lost first copy expires.
* To a server that takes pieces (`FileServer.resumable`) what is larger than one piece goes in `pieces`, and goes on
  where it stopped, also after a restart.
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
from ramson.errors import LocalError, ParseError
from ramson.messenger.file_errors import PASSING, FileError, refusal
from ramson.messenger.message import Progress
from ramson.messenger.pieces import Note, NotTaken, PieceSize, PieceUpload
from ramson.network import RequestFailed
from ramson.network.failures import TABLE, Retry
from ramson.protocol.file_server import (
    MAX_FILE,
    FileInfo,
    FileServer,
    parse_content_range,
    parse_info,
    server_base,
)
from ramson.protocol.file_url import FileUrl
from ramson.protocol.onion import ServerDestination
from ramson.protocol.resumable_uploads import is_place
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.world import Clock

SECONDS: Final = 30.0  # for one attempt
PIECE: Final = 1024 * 1024  # bytes asked for at a time
TRIES: Final = 5
FIRST_PAUSE: Final = 1.0  # seconds, doubled after each try

_OCTETS = "application/octet-stream"

Keep = Callable[[bytes], Awaitable[None]]


def no_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


def no_note(_place: str) -> None:
    """Keep nothing."""


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
        self, server: ServerDestination, request: ServerRequest, *, seconds: float = ..., attempts: int = ...
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
        clock: Clock,
        *,
        default: FileServer | None = None,
        trusted: Sequence[FileServer] = (),
    ) -> None:
        self._network = network
        self._server = server
        self._clock = clock
        self._piece_size = PieceSize()
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
        self,
        blob: bytes,
        *,
        deterministic: bool,
        ttl_s: int | None = None,
        progress: Progress = no_progress,
        begun: str = "",
        note: Note = no_note,
    ) -> Uploaded:
        """Put an encrypted file on the server and return its URL, which marks the `deterministic` form.

        `ttl_s` asks for a lifetime; the server decides.  `note` is told what a later call with the very same `blob` has
        to be given as `begun` in order to go on where this one stopped; empty when there is nothing to go on from.
        `progress` may raise, which ends the upload.  Raises FileTooLarge, FileError, and what `call_server` raises.
        """
        if len(blob) > MAX_FILE:
            raise FileTooLarge(len(blob), MAX_FILE)
        info = await self._upload_in_pieces(blob, ttl_s, progress, begun, note)
        if info is None:
            info = await self._upload_at_once(blob, ttl_s, progress)
        progress(len(blob), len(blob))
        return Uploaded(FileUrl.on(self._server, info.id, deterministic=deterministic, default=self._default), info)

    async def _upload_at_once(self, blob: bytes, ttl_s: int | None, progress: Progress) -> FileInfo:
        progress(0, len(blob))
        headers = {"Content-Type": _OCTETS} | _ttl(ttl_s)
        try:
            reply = await self._ask(self._server, ServerRequest("POST", "/file", headers, blob))
        except RequestFailed:
            self._piece_size.failed(len(blob))
            raise
        return parse_info(reply.body or b"", needs_id=True)

    async def _upload_in_pieces(
        self, blob: bytes, ttl_s: int | None, progress: Progress, begun: str, note: Note
    ) -> FileInfo | None:
        """Upload a file in pieces; None where it has to go, or can as well go, at once."""
        base, server = server_base(self._server.url), self._server
        place = begun.removeprefix(base)
        if not is_place(place):  # also if it is of another server
            place = ""
        if not server.resumable or (not place and len(blob) <= self._piece_size.bytes):
            return None

        def note_place(found: str) -> None:
            note(base + found if found else "")

        def ask(request: ServerRequest, attempts: int) -> Awaitable[ServerResponse]:
            return self._network.call_server(server.destination, request, seconds=SECONDS, attempts=attempts)

        upload = PieceUpload(
            ask,
            self._clock,
            self._piece_size,
            blob,
            headers={"Content-Type": _OCTETS} | _ttl(ttl_s),
            begun=place,
            note=note_place,
            progress=progress,
        )
        if not place:
            progress(0, len(blob))
        try:
            return await upload.run()
        except NotTaken:
            return None

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
                if reply.code not in PASSING or attempt == TRIES:
                    raise refusal(reply.code)
            await asyncio.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")


def _ttl(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"X-FS-TTL": str(seconds)}


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

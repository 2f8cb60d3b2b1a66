"""Brings a blob to a file server in pieces, each a request of its own, and goes on where it stopped.

Only for servers that are known to take pieces; what is said is in `protocol.resumable_uploads`.  It never sees what is
in a blob, and keeps nothing: where an upload goes on is told by `note` and given back as `begun`.

Theory of operation.  Each step is one request: begin, look how far the server is, or append.  A node waits some 25 s
for a server and a request has to be through in that time, so how large a piece may be depends on the link: it is what
went through in `AIM` seconds lately, and a quarter of what did not go through at all.  Whatever happened to an answer,
the server knows how far it is: after a failure it is asked, and a piece that had arrived is not sent again; the network
has become wary of the path by then, and what follows goes by another.  The last append is the only one whose answer
matters; the server gives it again as often as it is asked.

A step that does not bring the upload on by a smallest piece counts, and few such are made one after the other; so
nothing a server answers keeps this going for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from ramson.errors import ParseError
from ramson.messenger.file_errors import PASSING, FileError, refusal
from ramson.messenger.message import Progress
from ramson.network import RequestFailed
from ramson.network.failures import TABLE, Retry
from ramson.protocol.file_server import FileInfo, content_id, is_content_id, parse_info
from ramson.protocol.resumable_uploads import (
    MAX_PIECE,
    MIN_PIECE,
    Piece,
    creation_headers,
    is_place,
    parse_standing,
    piece_headers,
)
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.world import Clock

FIRST: Final = 256 * 1024  # bytes of the first piece: 9 s at 30 kB/s
AIM: Final = 8.0  # seconds for a piece
FAILURES: Final = 5  # without headway, before an error is raised
STEPS: Final = 8  # the same, of steps that did not fail
FIRST_PAUSE: Final = 0.5  # seconds, doubled after each failure
WAYS: Final = 3  # by which a small request is sent; a piece by one, for what did not get through should become smaller

Ask = Callable[[ServerRequest, int], Awaitable[ServerResponse]]
"""Sends a request by so many paths, one after the other, until one brings the answer."""
Note = Callable[[str], None]


class NotTaken(Exception):
    """The server does not take this file in pieces; it may take it as a whole."""


class PieceSize:
    """How many bytes to send at a time over the link as it is now; shared by all uploads of a client."""

    def __init__(self) -> None:
        self.bytes = FIRST

    def went(self, size: int, seconds: float) -> None:
        """Take note that a piece went through."""
        if 2 * size >= self.bytes:  # of a smaller one the time says little
            carried = int(size * AIM / max(seconds, 0.001))
            self.bytes = max(MIN_PIECE, min(carried, 2 * self.bytes, MAX_PIECE))

    def failed(self, size: int) -> None:
        """Take note that a piece did not go through."""
        self.bytes = max(MIN_PIECE, min(self.bytes, size) // 4)


class _Failed(Exception):
    """A step failed in a way that time may heal."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class PieceUpload:
    """One blob on its way; `begun` is where an earlier attempt with the same bytes got to, or empty.

    `headers` go with the beginning.  `note` is told the place of an upload when it was begun, and nothing when it is of
    no use any more; `progress` how many bytes the server has.
    """

    def __init__(
        self,
        ask: Ask,
        clock: Clock,
        size: PieceSize,
        blob: bytes,
        *,
        headers: Mapping[str, str],
        begun: str,
        note: Note,
        progress: Progress,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._size = size
        self._blob = blob
        self._headers = headers
        self._place = begun
        self._note = note
        self._progress = progress
        self._offset: int | None = None if begun else 0  # None: to be asked for
        self._best = 0
        self._forgotten = False

    async def run(self) -> FileInfo:
        """Upload the blob and return what the server says of the file.

        Raises NotTaken, FileError, ParseError, RequestFailed, NoPath, and what `progress` raises.
        """
        try:
            return await self._steps()
        except ParseError:
            self._note("")
            raise

    async def _steps(self) -> FileInfo:
        failures = steps = 0
        while True:
            before = self._best
            try:
                info = await self._step()
            except _Failed as failed:
                failures += 1
                if failures == FAILURES:
                    raise failed.error from None
                self._offset = None if self._place else 0
                await asyncio.sleep(FIRST_PAUSE * 2 ** (failures - 1))
                continue
            if info is not None:
                return info
            steps += 1
            if self._best >= min(before + MIN_PIECE, len(self._blob)) > before:
                failures = steps = 0
            if steps == STEPS:
                raise ParseError("resumable upload: the server makes no headway")

    async def _step(self) -> FileInfo | None:
        if not self._place:
            await self._begin()
        elif self._offset is None:
            await self._look()
        else:
            return await self._append(self._offset)
        return None

    async def _begin(self) -> None:
        piece = self._blob[: self._size.bytes]
        headers = {**self._headers, **creation_headers(len(self._blob))}
        reply = await self._send(ServerRequest("POST", "/file", headers, piece))
        if reply.code == 507 or reply.code in {404, 405, 501} or (200 <= reply.code < 300 and reply.code != 201):
            # Perhaps there is room for files still, or another program serves there than was said.
            raise NotTaken
        if reply.code != 201:
            raise self._refused(reply)
        place = reply.headers.get("location", "")
        if not is_place(place):
            raise ParseError("resumable upload: no proper location")
        self._place = place
        self._note(place)
        self._stands(reply)

    async def _look(self) -> None:
        reply = await self._send(ServerRequest("HEAD", self._place))
        if reply.code == 404:
            self._forget()
        elif reply.code == 204:
            self._stands(reply)
        else:
            raise self._refused(reply)

    async def _append(self, offset: int) -> FileInfo | None:
        content = self._blob[offset : offset + self._size.bytes]
        piece = Piece(offset, last=offset + len(content) == len(self._blob))
        reply = await self._send(ServerRequest("PATCH", self._place, piece_headers(piece), content))
        if reply.code == 404:
            self._forget()
        elif reply.code == 200 and piece.last:
            return self._info(reply)
        elif reply.code in {204, 409}:
            self._stands(reply)
        else:
            raise self._refused(reply)
        return None

    async def _send(self, request: ServerRequest) -> ServerResponse:
        size, began = len(request.body or b""), self._clock.monotonic()
        try:
            reply = await self._ask(request, 1 if size else WAYS)
        except RequestFailed as error:
            if TABLE[error.failure].retry is not Retry.ANOTHER_WAY:
                raise
            if size:
                self._size.failed(size)
            raise _Failed(error) from None
        if size and reply.code < 300:
            self._size.went(size, self._clock.monotonic() - began)
        return reply

    def _stands(self, reply: ServerResponse) -> None:
        """Take in how far the server says it is.  Raises ParseError."""
        standing = parse_standing(reply.headers)
        if standing.length != len(self._blob):
            raise ParseError("resumable upload: this is another file's")
        self._offset = standing.offset
        self._best = max(self._best, standing.offset)
        self._progress(standing.offset, standing.length)

    def _info(self, reply: ServerResponse) -> FileInfo:
        """Read the last answer, and check that the pieces became this file.  Raises ParseError."""
        info = parse_info(reply.body or b"", needs_id=True)
        if is_content_id(info.id) and info.id != content_id(self._blob):
            raise ParseError("resumable upload: the file is not the one that was sent")
        return info

    def _forget(self) -> None:
        """Begin anew, once.  Raises FileError the second time."""
        self._note("")
        if self._forgotten:
            raise FileError("the server forgets what it was sent", 404)
        self._place, self._offset, self._best, self._forgotten = "", 0, 0, True

    def _refused(self, reply: ServerResponse) -> Exception:
        error = refusal(reply.code)
        if reply.code in PASSING:
            return _Failed(error)
        if reply.code < 500:
            self._note("")
        return error

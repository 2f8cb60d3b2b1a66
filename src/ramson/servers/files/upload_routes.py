"""The endpoints for uploads in pieces.

    POST   /file         Upload-Complete: ?0, Upload-Length, X-FS-TTL; first piece   201, Location: /uploads/ID
    PATCH  /uploads/ID   Upload-Offset, Upload-Complete; next piece                  204; with the last one {id, …}
    HEAD   /uploads/ID                                                               204, Upload-Offset
    DELETE /uploads/ID                                                               204

Refused is a piece that does not begin where the upload ends (409, with the offset that would be right), one that is too
small or too large or goes too far (400, 413), and more of an upload that is complete (409).
Spec: none; formats and rules are `protocol.resumable_uploads`'.
"""

from __future__ import annotations

from typing import Final

from ramson.errors import ParseError
from ramson.protocol import strict_json
from ramson.protocol.resumable_uploads import (
    MAX_PIECE,
    MIN_PIECE,
    MISMATCHING_OFFSET,
    PLACE,
    BadPiece,
    Piece,
    Standing,
    parse_creation,
    parse_piece,
    standing_headers,
)
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.servers.files import replies
from ramson.servers.files.replies import Refused
from ramson.servers.files.unfinished import NoSuchUpload, UnfinishedUploads, WrongOffset
from ramson.servers.files.upload_table import Upload

_LIMITS: Final = f"min-append-size={MIN_PIECE}, max-append-size={MAX_PIECE}"
_PROBLEM: Final = {"content-type": "application/problem+json"}


class UploadRoutes:
    """Answers requests about the uploads in `unfinished`; with `numeric` their files get numbers as ids."""

    def __init__(self, unfinished: UnfinishedUploads, *, numeric: bool) -> None:
        self._unfinished = unfinished
        self._numeric = numeric

    async def begin(self, request: ServerRequest, ttl_s: int | None) -> ServerResponse:
        """Answer a POST that brings a file's beginning.  Raises Refused, TooLarge, StorageFailed, StorageFull."""
        try:
            upload = await self._unfinished.begin(parse_creation(request.headers), ttl_s, request.body or b"")
        except ParseError as error:
            raise _refused(error) from None
        return ServerResponse(201, _headers(upload) | {"location": PLACE + upload.id, "upload-limit": _LIMITS})

    async def go_on(self, name: str, request: ServerRequest) -> ServerResponse:
        """Answer a request about an upload.  Raises Refused, TooLarge, StorageFailed, StorageFull."""
        try:
            upload = await self._unfinished.find(name)
            match request.method:
                case "HEAD":
                    return ServerResponse(204, _headers(upload) | {"upload-limit": _LIMITS})
                case "DELETE":
                    await self._unfinished.cancel(upload)
                    return ServerResponse(204)
                case "PATCH":
                    return await self._append(upload, parse_piece(request.headers), request.body or b"")
        except NoSuchUpload as error:
            raise Refused(404, str(error)) from None
        except WrongOffset as error:
            return _wrong_offset(error.upload)
        except ParseError as error:
            raise _refused(error) from None
        raise Refused(405, "not with this method")

    async def _append(self, upload: Upload, piece: Piece, content: bytes) -> ServerResponse:
        if not upload.file:
            upload = await self._unfinished.append(upload, piece, content)
        elif not piece.last:
            return _wrong_offset(upload)
        if not piece.last:
            return ServerResponse(204, _headers(upload))
        entry = await self._unfinished.finish(upload, numeric=self._numeric)
        standing = Standing(upload.length, upload.length, complete=True)
        return replies.info(entry, with_id=True, headers=standing_headers(standing))


def _headers(upload: Upload) -> dict[str, str]:
    return standing_headers(Standing(upload.received, upload.length, complete=bool(upload.file)))


def _wrong_offset(upload: Upload) -> ServerResponse:
    problem = {"type": MISMATCHING_OFFSET, "expected-offset": upload.received}
    return ServerResponse(409, _headers(upload) | _PROBLEM, strict_json.encode(problem))


def _refused(error: ParseError) -> Refused:
    return Refused(error.status if isinstance(error, BadPiece) else 400, str(error))

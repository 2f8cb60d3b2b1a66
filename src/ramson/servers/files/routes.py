"""The endpoints of a file server: requests in, answers out, whichever way they came.

    POST /file                octet-stream, X-FS-TTL   {id, size, uploaded, expires}
    GET  /file/ID             Range                    the file, or a part of it
    GET  /file/ID/info                                 {size, uploaded, expires}
    POST /file/ID/extend      X-FS-TTL                 {size, uploaded, expires}
    /uploads/ID, POST /file   Upload-Complete          uploads in pieces: `upload_routes`
    POST /files               {file: base64}           {result: number}
    GET  /files/ID                                     {result: base64}
    GET  /session_version     platform                 {result: version}

Any of them may be signed; a wrong signature is refused.  Not served is /token_info, which needs a market.
Spec: files-and-push.md §7.2.
"""

from __future__ import annotations

import binascii
import logging
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from ramson.errors import ParseError
from ramson.node.ratelimit import RateLimiter
from ramson.protocol import strict_json
from ramson.protocol.file_server import (
    BadSignedHeaders,
    check_signed_headers,
    content_range,
    is_content_id,
    is_file_id,
    parse_range,
)
from ramson.protocol.resumable_uploads import is_creation
from ramson.protocol.server_v4 import ServerRequest, ServerResponse
from ramson.servers.files import replies
from ramson.servers.files.config import Ids
from ramson.servers.files.replies import Refused
from ramson.servers.files.store import FileStore, TooLarge
from ramson.servers.files.storing import Entry, StorageFailed, StorageFull
from ramson.servers.files.unfinished import UnfinishedUploads
from ramson.servers.files.upload_routes import UploadRoutes
from ramson.world import Clock

MAX_ENDPOINT: Final = 2048  # characters

_TTL = re.compile(r"[0-9]{1,10}", re.ASCII)

log = logging.getLogger(__name__)


class FileRoutes:
    """Answers requests from `store` and `unfinished`.  `uploads` counts uploaded bytes by caller."""

    def __init__(
        self,
        store: FileStore,
        unfinished: UnfinishedUploads,
        clock: Clock,
        *,
        ids: Ids,
        uploads: RateLimiter,
        versions: Mapping[str, str],
    ) -> None:
        self._store = store
        self._pieces = UploadRoutes(unfinished, numeric=ids is Ids.NUMERIC)
        self._clock = clock
        self._ids = ids
        self._uploads = uploads
        self._versions = versions

    async def answer(self, request: ServerRequest, peer: str) -> ServerResponse:
        """Answer one request of `peer`, whose header names are in lower case; never raises but when cancelled."""
        try:
            return await self._answer(request, peer)
        except Refused as refusal:
            return replies.text(refusal.status, str(refusal))
        except BadSignedHeaders as error:
            return replies.text(error.status, str(error))
        except TooLarge as error:
            return replies.text(413, str(error))
        except StorageFull as error:
            log.warning("upload refused: %s", error)
            return replies.text(507, "there is no room for the file")
        except StorageFailed as error:
            log.error("storage failed: %s", error)  # noqa: TRY400 - a traceback says no more
            return replies.text(503, "the storage failed, try again later")

    async def _answer(self, request: ServerRequest, peer: str) -> ServerResponse:
        if len(request.endpoint) > MAX_ENDPOINT:
            raise Refused(414, "the endpoint is too long")
        check_signed_headers(request.headers, request.method, request.endpoint, request.body, now_ms=self._clock.now())
        path, _, query = request.endpoint.partition("?")
        match request.method, path.split("/")[1:]:
            case "POST", ["file"]:
                return await self._upload(request, peer)
            case _, ["uploads", name]:
                self._count(peer, request.body)
                return await self._pieces.go_on(name, request)
            case "GET", ["file", file_id]:
                return await self._download(await self._find(file_id), request.headers.get("range", ""))
            case "GET", ["file", file_id, "info"]:
                return replies.info(await self._find(file_id))
            case "POST", ["file", file_id, "extend"]:
                return await self._extend(file_id, request)
            case "POST", ["files"]:
                return await self._upload_base64(request, peer)
            case "GET", ["files", file_id]:
                content = await self._content(await self._find(file_id))
                return replies.json({"result": b64encode(content).decode("ascii")})
            case "GET", ["session_version"]:
                return self._version(query)
            case _, ["file" | "files" | "session_version"] | ["file" | "files", _] | ["file", _, "info" | "extend"]:
                raise Refused(405, "not with this method")
        raise Refused(404, "not found")

    async def _upload(self, request: ServerRequest, peer: str) -> ServerResponse:
        ttl_s = _ttl(request.headers)
        if is_creation(request.headers):
            self._count(peer, request.body)
            return await self._pieces.begin(request, ttl_s)
        entry = await self._add(request.body or b"", ttl_s, peer, numeric=self._ids is Ids.NUMERIC)
        return replies.info(entry, with_id=True)

    async def _upload_base64(self, request: ServerRequest, peer: str) -> ServerResponse:
        try:
            document = strict_json.decode_object(request.body or b"")
            content = binascii.a2b_base64(document["file"], strict_mode=True)
        except (ParseError, KeyError, TypeError, ValueError):
            raise Refused(400, "not an object with the `file` in base64") from None
        # Who asks this way expects a number, however files are named otherwise.
        entry = await self._add(content, None, peer, numeric=True)
        return replies.json({"result": int(entry.id)})

    async def _add(self, content: bytes, ttl_s: int | None, peer: str, *, numeric: bool) -> Entry:
        if not content:
            raise Refused(400, "the file is empty")
        self._count(peer, content)
        return await self._store.add(content, ttl_s, numeric=numeric)

    def _count(self, peer: str, content: bytes | None) -> None:
        if content and not self._uploads.allow(peer, len(content)):
            raise Refused(429, "too much was uploaded from there, try again later")

    async def _find(self, file_id: str) -> Entry:
        entry = await self._store.find(file_id) if is_file_id(file_id) else None
        if entry is None:
            raise Refused(404, "no such file")
        return entry

    async def _download(self, entry: Entry, wanted: str) -> ServerResponse:
        headers = {"content-type": "application/octet-stream", "accept-ranges": "bytes"}
        try:
            part = parse_range(wanted, entry.size)
        except ParseError as error:
            return ServerResponse(416, replies.TEXT | {"content-range": f"bytes */{entry.size}"}, str(error).encode())
        if part is None:
            return ServerResponse(200, headers, await self._content(entry))
        stored = await self._store.read(entry, part)
        if stored is None:
            raise Refused(404, "no such file")
        return ServerResponse(206, headers | {"content-range": content_range(part, entry.size)}, stored.content)

    async def _content(self, entry: Entry) -> bytes:
        stored = await self._store.read(entry, None)
        if stored is None:
            raise Refused(404, "no such file")
        return stored.content

    async def _extend(self, file_id: str, request: ServerRequest) -> ServerResponse:
        ttl_s = _ttl(request.headers)
        entry = await self._store.extend(file_id, ttl_s) if is_content_id(file_id) else None
        if entry is None:
            raise Refused(404, "no such file")
        return replies.info(entry)

    def _version(self, query: str) -> ServerResponse:
        platform = dict(parse_qsl(query)).get("platform")
        if platform is None:
            raise Refused(400, "no platform")
        version = self._versions.get(platform)
        if version is None:
            raise Refused(404, "no version is known for this platform")
        return replies.json({"result": version, "updated": self._clock.now() / 1000, "prerelease": False, "assets": []})


def _ttl(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-fs-ttl")
    if text is None:
        return None
    if not _TTL.fullmatch(text) or int(text) == 0:
        raise Refused(400, "X-FS-TTL is not a number of seconds")
    return int(text)

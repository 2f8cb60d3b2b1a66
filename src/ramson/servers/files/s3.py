"""Blobs in any store that speaks S3, through the world's own HTTP: no further library, no further way out.

Objects are `PREFIX/NAME` in one bucket, addressed by path.  A store that answers 200 to a PUT has the object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Final
from urllib.parse import urlsplit

from ramson.protocol.file_server import MAX_FILE, Range
from ramson.servers.files import sigv4
from ramson.servers.files.sigv4 import Credentials
from ramson.servers.files.storing import StorageFailed, StorageFull, StorageMisconfigured
from ramson.world import Clock, Endpoint, HttpRequest, HttpResponse, Net, NetError, Tls

SECONDS: Final = 15.0
MAX_REPLY: Final = MAX_FILE + 1024 * 1024
MAX_PAGES: Final = 100_000  # of 1000 names each

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_-]+/)*")
_DEFAULT_PORT = {"http": 80, "https": 443}
# What is wanted of a listing is found without an XML parser, which strangers' XML could busy for long.
_KEY = re.compile(rb"<Key>([A-Za-z0-9_/-]{1,1024})</Key>")
_NAME = re.compile(r"[0-9a-f]{44}")
_NEXT = re.compile(rb"<NextContinuationToken>([^<]{1,2048})</NextContinuationToken>")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects are.  `endpoint` is `https://host[:port]`; `prefix` is empty or ends in a slash."""

    endpoint: str
    name: str
    credentials: Credentials
    prefix: str = ""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.endpoint)
            fine = parts.scheme in _DEFAULT_PORT and parts.hostname and parts.port != 0 and parts.path in {"", "/"}
        except ValueError:
            fine = False
        if not fine:
            raise StorageMisconfigured("the S3 endpoint is no URL", remedy="Write https://host or http://host:port.")
        if not _BUCKET.fullmatch(self.name) or not _PREFIX.fullmatch(self.prefix):
            raise StorageMisconfigured(
                "the bucket's name or the prefix is malformed",
                remedy="A prefix is of letters and digits and ends in /.",
            )


class S3Blobs:
    """`Blobs` in a bucket."""

    def __init__(self, bucket: Bucket, net: Net, clock: Clock) -> None:
        self._bucket = bucket
        self._net = net
        self._clock = clock
        parts = urlsplit(bucket.endpoint)
        default = _DEFAULT_PORT[parts.scheme]
        self._endpoint = Endpoint(parts.hostname or "", parts.port or default)
        self._host = str(self._endpoint) if self._endpoint.port != default else str(self._endpoint).rpartition(":")[0]
        self._tls = Tls(verify=True) if parts.scheme == "https" else None

    async def open(self, *, expected: bool) -> None:
        """See `Blobs`."""
        try:
            page, _ = await self._page("", limit=1)
        except StorageFailed as error:
            raise StorageMisconfigured(
                f"the bucket cannot be listed: {error}", remedy="Check endpoint, bucket, region and keys."
            ) from error
        if expected and not page:
            raise StorageMisconfigured(
                "the catalogue lists files, but the bucket holds none", remedy="Name the bucket and prefix they are in."
            )

    async def put(self, name: str, content: bytes) -> None:
        """See `Blobs`."""
        headers = {"content-type": "application/octet-stream"}
        reply = await self._request("PUT", self._path(name), headers=headers, body=content)
        if reply.status == 507:
            raise StorageFull("the object store is full")
        _expect(reply, 200, 201)

    async def get(self, name: str, part: Range | None) -> bytes | None:
        """See `Blobs`."""
        headers = {} if part is None else {"range": f"bytes={part.first}-{part.last}"}
        reply = await self._request("GET", self._path(name), headers=headers)
        if reply.status == 404:
            if b"NoSuchBucket" in reply.body[:4096]:
                raise StorageFailed("the object store has no such bucket")
            return None
        _expect(reply, 200, 206)
        if part is not None and reply.status == 200:  # a store that does not serve parts
            return reply.body[part.first : part.last + 1]
        return reply.body

    async def drop(self, names: Sequence[str]) -> None:
        """See `Blobs`."""
        for name in names:
            _expect(await self._request("DELETE", self._path(name)), 200, 204, 404)

    async def names(self) -> list[str]:
        """See `Blobs`."""
        found: list[str] = []
        token = ""
        for _ in range(MAX_PAGES):
            page, token = await self._page(token)
            found.extend(page)
            if not token:
                break
        return found

    async def close(self) -> None:
        """See `Blobs`."""

    async def _page(self, token: str, limit: int = 1000) -> tuple[list[str], str]:
        query = {"list-type": "2", "prefix": self._bucket.prefix, "max-keys": str(limit)}
        if token:
            query["continuation-token"] = token
        reply = await self._request("GET", f"/{self._bucket.name}", query=query)
        _expect(reply, 200)
        prefix = self._bucket.prefix
        keys = [key.decode("ascii") for key in _KEY.findall(reply.body)]
        names = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
        following = _NEXT.search(reply.body)
        return (
            [name for name in names if _NAME.fullmatch(name)],
            unescape(following[1].decode("utf-8", "replace")) if following else "",
        )

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise StorageFailed("not the name of a blob")
        return f"/{self._bucket.name}/{self._bucket.prefix}{name}"

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpResponse:
        query = query or {}
        given = {**(headers or {}), "host": self._host}
        now_ms = self._clock.now()
        signed = sigv4.sign(self._bucket.credentials, method, path, query, given, body, now_ms=now_ms)
        request = HttpRequest(method, sigv4.target(path, query), signed, body)
        try:
            return await self._net.request(self._endpoint, request, tls=self._tls, timeout=SECONDS, max_reply=MAX_REPLY)
        except NetError as error:
            raise StorageFailed(f"the object store did not answer: {error.stage}") from error


def _expect(reply: HttpResponse, *statuses: int) -> None:
    if reply.status not in statuses:
        raise StorageFailed(f"the object store answered {reply.status}")

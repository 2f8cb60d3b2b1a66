"""How a file server is set up, and the TOML file an operator writes.

Spec: files-and-push.md §7.2 for what the numbers mean; docs/servers.md tells operators.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec

from ramson.errors import LocalError
from ramson.protocol.file_server import MAX_FILE
from ramson.servers.files.s3 import Bucket
from ramson.servers.files.sigv4 import Credentials
from ramson.world import Endpoint

S3_SECRET_VARIABLE: Final = "RAMSON_S3_SECRET_KEY"  # noqa: S105 - the name of one
POSTGRES_VARIABLE: Final = "RAMSON_POSTGRES"
DAY_S: Final = 86_400


class BadConfig(LocalError):
    """The configuration cannot be used; the message names the setting."""


class Ids(Enum):
    """How files are named."""

    CONTENT = "content"  # by their hash: equal files are kept once
    NUMERIC = "numeric"  # at random: for clients that know nothing else


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What strangers may use.

    Requests and uploaded bytes are counted per address, which for onion requests is that of the path's last node, many
    people's.  `max_file`, `max_bytes` (of all files together) and `max_unfinished_bytes` (of all unfinished uploads
    together, beside the files) are in bytes, lifetimes in seconds; `unfinished_ttl_s` is that of an upload to which
    nothing is added.  `max_transfers` requests are worked on at a time; what waits may hold `max_waiting_bytes`.
    """

    max_file: int = MAX_FILE
    max_bytes: int = 50 * 1024**3
    default_ttl_s: int = 21 * DAY_S
    max_ttl_s: int = 30 * DAY_S
    max_unfinished_bytes: int = 2 * 1024**3
    unfinished_ttl_s: int = 3 * 3600
    requests_per_second: float = 50.0
    request_burst: float = 500.0
    upload_bytes_per_second: float = 4.0 * 1024**2
    upload_burst_bytes: float = 512.0 * 1024**2
    max_transfers: int = 16
    max_waiting_bytes: int = 256 * 1024**2
    max_connections: int = 2000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise BadConfig(f"`{name}` must be more than 0")
        if self.max_file > MAX_FILE:
            raise BadConfig(f"`max_file` is at most {MAX_FILE}: more does not fit an onion request")
        if self.default_ttl_s > self.max_ttl_s:
            raise BadConfig("`default_ttl_s` is more than `max_ttl_s`")
        if self.max_unfinished_bytes < self.max_file:
            raise BadConfig("`max_unfinished_bytes` is less than `max_file`")
        if self.upload_burst_bytes < self.max_file:
            raise BadConfig(
                "`upload_burst_bytes` is less than `max_file`, so the largest files could never be uploaded"
            )


@dataclass(frozen=True, slots=True)
class FileServerConfig:
    """The settings of one file server.

    `directory` holds the key, and unless other storage is named the catalogue and the files.  With `direct` the
    endpoints also answer plain HTTP, which shows the address of whoever asks; onion requests are answered always.
    `versions` are the newest client releases by platform, for `/session_version`.
    """

    listen: Endpoint
    directory: Path
    direct: bool = True
    ids: Ids = Ids.CONTENT
    limits: Limits = field(default_factory=Limits)
    postgres: str = field(default="", repr=False)
    bucket: Bucket | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


class _S3Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = ""
    region: str = "us-east-1"
    prefix: str = ""


class _PostgresSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dsn: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    listen: str = ""
    directory: str = ""
    direct: bool = True
    ids: Ids = Ids.CONTENT
    limits: Limits = Limits()
    postgres: _PostgresSection | None = None
    s3: _S3Section | None = None
    versions: dict[str, str] = msgspec.field(default_factory=dict)


def parse(
    text: str, *, directory: Path | None = None, listen: str = "", environment: Mapping[str, str] = os.environ
) -> FileServerConfig:
    """Read a configuration; `directory` and `listen` (HOST:PORT), if given, count more than the file.

    Secrets may come from the environment instead.  Raises BadConfig, StorageMisconfigured.
    """
    document = _document(text)
    place = directory or (Path(document.directory) if document.directory else None)
    if place is None:
        raise BadConfig("no directory", remedy="Set `directory`, or give --dir.")
    return FileServerConfig(
        listen=endpoint(listen or document.listen or "0.0.0.0:80"),
        directory=place,
        direct=document.direct,
        ids=document.ids,
        limits=document.limits,
        postgres=environment.get(POSTGRES_VARIABLE) or (document.postgres.dsn if document.postgres else ""),
        bucket=None if document.s3 is None else _bucket(document.s3, environment),
        versions=document.versions,
    )


def endpoint(text: str) -> Endpoint:
    """Read HOST:PORT.  Raises BadConfig."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port[:6]) >= 2**16:
        raise BadConfig(f"not an address to listen at: {text!r}", remedy="Write HOST:PORT, such as 0.0.0.0:80.")
    return Endpoint(host.strip("[]"), int(port))


def _document(text: str) -> _Document:
    try:
        values: Any = tomllib.loads(text)
        return msgspec.convert(values, _Document, strict=True)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadConfig(f"the configuration is wrong: {error}") from None


def _bucket(section: _S3Section, environment: Mapping[str, str]) -> Bucket:
    secret = environment.get(S3_SECRET_VARIABLE) or section.secret_key
    if not secret:
        raise BadConfig("the S3 secret key is missing", remedy=f"Set {S3_SECRET_VARIABLE}, or `secret_key` under [s3].")
    credentials = Credentials(section.access_key, secret, section.region)
    return Bucket(section.endpoint, section.bucket, credentials, section.prefix)

"""What a file server and its clients share: where one is, ids, the shape of replies, signed headers, ranges.

Formats only.  Both ends write times as seconds with a fraction; here they are milliseconds.
Spec: files-and-push.md §7.2.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from ramson.crypto.hashing import blake2b
from ramson.crypto.keys import SIGNATURE_SIZE, to_x25519_public, verify
from ramson.errors import LocalError, ParseError
from ramson.protocol import strict_json
from ramson.protocol.onion import ServerDestination

MAX_FILE: Final = 10_223_616  # bytes: the largest blob of the deterministic form
VERSION_KEY: Final = 0x07  # the prefix of the key in signed headers
SIGNATURE_WINDOW_MS: Final = 24 * 3600 * 1000

_ID_SALT = b"SessionFileSvr\x00\x00"
_ID_SIZE = 33  # bytes; 44 characters
_CONTENT_ID = re.compile(r"[A-Za-z0-9_-]{44}", re.ASCII)
_NUMERIC_ID = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_LARGEST_NUMBER = 2**53 - 1
_RANGE = re.compile(r"bytes=([0-9]{1,12})-([0-9]{0,12})", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,12})-([0-9]{1,12})/([0-9]{1,12})", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_MAX_TIME_S = 10**11
_DEFAULT_PORT = {"http": 80, "https": 443}


class BadServerUrl(LocalError):
    """The address of a file server cannot be used."""


@dataclass(frozen=True, slots=True)
class FileServer:
    """Where a file server is and which key its requests are sealed to.

    `url` has a scheme and a host, perhaps a port, and nothing after them.  `also` are other keys (X25519 or
    Ed25519) by which URLs may name this very server.  With `ranges` it serves parts of files, so that a
    download can go on where it stopped; with `resumable` it takes files in pieces (`resumable_uploads`), so that an
    upload can.  Official servers do not say that they do the first, and know nothing of the second.
    """

    url: str
    x25519: bytes
    also: tuple[bytes, ...] = ()
    ranges: bool = False
    resumable: bool = False

    def __post_init__(self) -> None:
        server_base(self.url)
        if len(self.x25519) != 32:
            raise BadServerUrl("the key of a file server has 32 bytes")

    @property
    def destination(self) -> ServerDestination:
        """How onion requests reach it."""
        parts = urlsplit(self.url)
        return ServerDestination(host=parts.hostname or "", x25519=self.x25519, protocol=parts.scheme, port=parts.port)

    def is_named(self, base: str, key: bytes | None) -> bool:
        """Whether a file's URL with this `base` and `p` key (None: none given) means this server."""
        if base != server_base(self.url):
            return False
        return key is None or key in self.also or self.x25519 in x25519_meanings(key)


def server_base(url: str) -> str:
    """Return scheme, host and port of a server's URL in their canonical form.  Raises BadServerUrl."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadServerUrl("not the URL of a file server") from None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in _DEFAULT_PORT or not parts.hostname or rest or port == 0:
        raise BadServerUrl("not the URL of a file server", remedy="Write http://host or http://host:port.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, _DEFAULT_PORT[parts.scheme]} else "")


def x25519_meanings(key: bytes) -> tuple[bytes, ...]:
    """Return what a server's key in a URL may be as X25519: itself, or the conversion of an Ed25519 key."""
    # Desktop writes Ed25519 keys, the library X25519 keys, and nothing tells which it is.
    try:
        return key, to_x25519_public(key)
    except ParseError:
        return (key,)


OFFICIAL: Final = FileServer(
    url="http://filev2.getsession.org",
    x25519=bytes.fromhex("da21e1d886c6fbaea313f75298bd64aab03a97ce985b46bb2dad9f2089c8ee59"),
    also=(
        bytes.fromhex("b8eef9821445ae16e2e97ef8aa6fe782fd11ad5253cd6723b281341dba22e371"),  # desktop's, Ed25519
        bytes.fromhex("09324794aa9c11948189762d198c618148e9136ac9582068180661208927ef34"),  # the same as X25519
    ),
)


# ---- ids


def content_id(content: bytes) -> str:
    """Return the 44-character id of a file, which depends on nothing but its content."""
    return urlsafe_b64encode(hashlib.blake2b(content, digest_size=_ID_SIZE, salt=_ID_SALT).digest()).decode("ascii")


def is_content_id(text: str) -> bool:
    """Whether `text` has the form of a content id."""
    return _CONTENT_ID.fullmatch(text) is not None


def is_numeric_id(text: str) -> bool:
    """Whether `text` is a number of at most 53 bits."""
    return _NUMERIC_ID.fullmatch(text) is not None and int(text) <= _LARGEST_NUMBER


def is_file_id(text: str) -> bool:
    """Whether `text` can be the id of a file."""
    return is_content_id(text) or is_numeric_id(text)


# ---- replies


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a server says about a file; times are Unix ms, 0 where a server did not tell.  A size of -1 is unknown."""

    id: str = ""
    size: int = -1
    uploaded_ms: int = 0
    expires_ms: int = 0


def encode_info(info: FileInfo) -> bytes:
    """Write a reply; the id is left out when it is empty."""
    document: dict[str, Any] = {
        "size": info.size,
        "uploaded": info.uploaded_ms / 1000,
        "expires": info.expires_ms / 1000,
    }
    return strict_json.encode(document | ({"id": info.id} if info.id else {}))


def parse_info(data: bytes, *, needs_id: bool = False) -> FileInfo:
    """Read a reply to an upload (`needs_id`), a question or an extension.  Raises ParseError."""
    document = strict_json.decode_object(data)
    name = document.get("id", "")
    if type(name) is int:  # the oldest servers
        name = str(name)
    if not isinstance(name, str) or (not is_file_id(name) if name or needs_id else False):
        raise ParseError("file server: no proper `id`")
    size = document.get("size", -1)
    if type(size) is not int or size < -1:
        raise ParseError("file server: `size` is no number of bytes")
    return FileInfo(name, size, _time_ms(document, "uploaded"), _time_ms(document, "expires"))


def _time_ms(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_TIME_S:
        raise ParseError(f"file server: `{name}` is no time")
    return round(value * 1000)


# ---- ranges


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a file: `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.last - self.first + 1


def parse_range(text: str, size: int) -> Range | None:
    """Read a Range header for a file of `size` bytes; None when it is not to be heeded.

    Raises ParseError when it lies outside the file.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first = int(match[1])
    last = min(size - 1, int(match[2])) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise ParseError("the range begins after the file's end")
    return Range(first, last)


def content_range(part: Range, size: int) -> str:
    """Write a Content-Range header."""
    return f"bytes {part.first}-{part.last}/{size}"


def parse_content_range(text: str) -> tuple[Range, int]:
    """Read a Content-Range header: the part, and the size of the whole.  Raises ParseError."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise ParseError("file server: no proper content-range")
    first, last, size = (int(number) for number in match.groups())
    if not first <= last < size:
        raise ParseError("file server: no proper content-range")
    return Range(first, last), size


# ---- signed headers


class BadSignedHeaders(ParseError):
    """Some of the headers that sign a request are missing or wrong.  `status` is what the server answers."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a request: the 32-byte Ed25519 key of an `07` id."""

    key: bytes = field(repr=False)


def signed_message(timestamp_s: int, method: str, endpoint: str, body: bytes | None) -> bytes:
    """Return what is signed: time, method, path with its query, and with a body its 64-byte BLAKE2b."""
    return f"{timestamp_s}{method}{endpoint}".encode() + (blake2b(body, size=64) if body else b"")


def check_signed_headers(
    headers: Mapping[str, str], method: str, endpoint: str, body: bytes | None, *, now_ms: int
) -> Signer | None:
    """Check the X-FS headers of a request (names in lower case); None for an anonymous one.

    Raises BadSignedHeaders.
    """
    values = [headers.get(f"x-fs-{name}") for name in ("pubkey", "timestamp", "signature")]
    if values == [None, None, None]:
        return None
    pubkey, timestamp, signature = values
    if pubkey is None or timestamp is None or signature is None:
        raise BadSignedHeaders("some of the signing headers are missing", 400)
    try:
        raw, signed = bytes.fromhex(pubkey), binascii.a2b_base64(signature, strict_mode=True)
    except ValueError:
        raise BadSignedHeaders("the signing headers are malformed", 400) from None
    if len(raw) != 33 or raw[0] != VERSION_KEY or len(signed) != SIGNATURE_SIZE or not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignedHeaders("the signing headers are malformed", 400)
    if abs(int(timestamp) * 1000 - now_ms) > SIGNATURE_WINDOW_MS:
        raise BadSignedHeaders("the timestamp is too far from the server's time", 425)
    if not verify(raw[1:], signed_message(int(timestamp), method, endpoint, body), signed):
        # spec gap: the code for a wrong signature
        raise BadSignedHeaders("the signature is wrong", 401)
    return Signer(raw[1:])

"""Addresses of communities: the URL people share, and the one form in which server and room are compared.

Pure functions.  Specs: communities.md (first paragraph), config-sync.md §4.8.

    https://Example.org:443/Room?public_key=<key>      shared; `/r/Room` is an older spelling
    https://example.org   room                         compared

The key is the server's X25519 key as hex, base32z or base64.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from ramson.crypto.keys import KEY_SIZE, require_size
from ramson.errors import LocalError, ParseError

MAX_URL: Final = 411  # bytes of a full URL
MAX_ROOM: Final = 64

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_BASE = re.compile(r"(https?)://([-a-z0-9]+(?:\.[-a-z0-9]+)+)(?::([0-9]{1,5}))?/?", re.ASCII | re.IGNORECASE)
_ROOM = re.compile(r"[-0-9a-z_]*", re.ASCII | re.IGNORECASE)
_KEY_PARAMETER = "?public_key="
_BASE32Z = {letter: value for value, letter in enumerate("ybndrfg8ejkmcpqxot1uwisza345h769")}
_HEX, _BASE32Z_SIZE, _BASE64 = 64, 52, (43, 44)


@dataclass(frozen=True, slots=True)
class CommunityUrl:
    """Where a community is: canonical base URL, room in the case it was written, server key if it was given.

    A URL of a server alone has an empty room.
    """

    base_url: str
    room: str
    key: bytes | None = None


def parse_full(url: str) -> CommunityUrl:
    """Read a URL that names the server's key.  Raises ParseError."""
    found = parse_partial(url)
    if found.key is None:
        raise ParseError("community URL: the public key is missing")
    return found


def parse_partial(url: str) -> CommunityUrl:
    """Read a URL with or without the server's key.  Raises ParseError."""
    if len(url.encode(errors="surrogatepass")) > MAX_URL:
        raise ParseError(f"community URL: longer than {MAX_URL} bytes")
    address, parameter, key = url.rpartition(_KEY_PARAMETER)
    if not parameter:
        address = url
    base, separator, room = address.rpartition("/r/")
    if not separator:
        base, _, room = address.rpartition("/")
    if len(room) > MAX_ROOM or not _ROOM.fullmatch(room):
        raise ParseError("community URL: not a room's name")
    return CommunityUrl(canonical_base(base), room, _parse_key(key) if parameter else None)


def canonical_base(url: str) -> str:
    """Return a server's URL with scheme and host in lower case, without default port and final slash.

    Raises ParseError for other schemes, for a path, and for hosts that are not names with a dot or IPv4 addresses.
    """
    found = _BASE.fullmatch(url)
    if found is None:
        raise ParseError("community URL: not http(s)://host[:port]")
    scheme, host = found[1].lower(), found[2].lower()
    if found[3] is None:
        return f"{scheme}://{host}"
    port = int(found[3])
    if not 1 <= port <= _MAX_PORT:
        raise ParseError("community URL: no such port")
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def canonical_room(room: str) -> str:
    """Return a room's name in lower case.  Raises ParseError unless it is 1 to 64 of `-0-9A-Za-z_`."""
    if not 1 <= len(room) <= MAX_ROOM or not _ROOM.fullmatch(room):
        raise ParseError("a room's name is 1 to 64 of letters, digits, - and _")
    return room.lower()


def full(base_url: str, room: str, key: bytes) -> str:
    """Return the URL to share.  Raises LocalError for a key that has not 32 bytes."""
    require_size("the key of a community's server", key)
    url = f"{base_url}/{room}{_KEY_PARAMETER}{key.hex()}"
    if len(url) > MAX_URL:
        raise LocalError(f"a community's URL has at most {MAX_URL} bytes")
    return url


def _parse_key(text: str) -> bytes:
    try:
        if len(text) == _HEX:
            key = bytes.fromhex(text)
        elif len(text) == _BASE32Z_SIZE:
            key = _from_base32z(text)
        elif len(text) in _BASE64:
            key = binascii.a2b_base64(text.ljust(_BASE64[-1], "="), strict_mode=True)
        else:
            raise ParseError("community URL: the public key has the wrong length")
    except (ValueError, KeyError):  # binascii.Error is a ValueError
        raise ParseError("community URL: the public key is neither hex, base32z nor base64") from None
    if len(key) != KEY_SIZE:
        raise ParseError("community URL: the public key has the wrong length")
    return key


def _from_base32z(text: str) -> bytes:
    bits = 0
    for letter in text.lower():
        bits = bits << 5 | _BASE32Z[letter]
    # 52 letters are four bits more than 32 bytes.
    return (bits >> 4).to_bytes(KEY_SIZE, "big")

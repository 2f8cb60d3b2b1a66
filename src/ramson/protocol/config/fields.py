"""How typed records read and write the keys of a config's dicts.

Reading never fails: a key that is missing or holds something else than it should reads as absent, so that one
bad entry of another client does not hide the rest.  Writing returns the changes for `Config.edit`, where None
removes a key.  Keys a record does not know are never touched.  Spec: config-sync.md §4.5 to §4.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from ramson.crypto.keys import KEY_SIZE
from ramson.errors import LocalError
from ramson.protocol.config.values import Data, Value

MAX_NAME: Final = 100  # bytes of UTF-8
MAX_PICTURE_URL: Final = 223

Changes: TypeAlias = "dict[bytes, Value | None]"


class Notify(IntEnum):
    """Which messages of a conversation make a notification."""

    DEFAULT = 0
    ALL = 1
    DISABLED = 2
    MENTIONS = 3


class ExpiryMode(IntEnum):
    """When a disappearing message starts to count down, as configs write it (Content writes it the other way)."""

    NONE = 0
    AFTER_SEND = 1
    AFTER_READ = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """A profile picture: where the file is, and the 32-byte key that opens it."""

    url: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(encoded(self.url)) <= MAX_PICTURE_URL:
            raise LocalError(f"a picture's URL has 1 to {MAX_PICTURE_URL} bytes")
        if len(self.key) != KEY_SIZE:
            raise LocalError(f"a picture's key has {KEY_SIZE} bytes")


def text(entry: Data, key: bytes) -> str:
    """Return a text, empty if there is none; what is not UTF-8 in it is replaced."""
    value = entry.get(key)
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def name(entry: Data, key: bytes) -> str:
    """Return a name, empty if there is none; one that is too long is cut, so that it can be written again."""
    return truncated(text(entry, key))


def number(entry: Data, key: bytes) -> int:
    """Return an integer, 0 if there is none."""
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def flag(entry: Data, key: bytes) -> bool:
    """Return whether a flag is set."""
    return number(entry, key) > 0


def octets(entry: Data, key: bytes, size: int) -> bytes:
    """Return a byte string of this size, empty if there is none."""
    value = entry.get(key)
    return value if isinstance(value, bytes) and len(value) == size else b""


def members(entry: Data, key: bytes, size: int) -> frozenset[bytes]:
    """Return those members of a set that are byte strings of this size."""
    value = entry.get(key)
    if not isinstance(value, frozenset):
        return frozenset()
    return frozenset(item for item in value if isinstance(item, bytes) and len(item) == size)


def notify(entry: Data) -> Notify:
    """Return how to notify."""
    value = number(entry, b"@")
    return Notify(value) if value in set(Notify) else Notify.DEFAULT


def picture(entry: Data, url_key: bytes = b"p", key_key: bytes = b"q") -> Picture | None:
    """Return a picture if there is a usable one."""
    url, key = entry.get(url_key), octets(entry, key_key, KEY_SIZE)
    if not isinstance(url, bytes) or not 1 <= len(url) <= MAX_PICTURE_URL or not key:
        return None
    try:
        return Picture(url.decode(), key)
    except UnicodeDecodeError:
        return None


def expiry(entry: Data) -> tuple[ExpiryMode, int]:
    """Return mode and timer in seconds; without either, no expiry."""
    mode, timer = number(entry, b"e"), number(entry, b"E")
    if mode not in {ExpiryMode.AFTER_SEND, ExpiryMode.AFTER_READ} or timer <= 0:
        return ExpiryMode.NONE, 0
    return ExpiryMode(mode), timer


def encoded(value: str) -> bytes:
    """Return a text as UTF-8.  Raises LocalError for lone surrogates."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise LocalError("a text has half a character", remedy="Type it anew.") from None


def put_name(value: str, what: str = "a name") -> bytes | None:
    """Return a name to write; an empty one is absent.  Raises LocalError if it is too long."""
    name = encoded(value)
    if len(name) > MAX_NAME:
        raise LocalError(f"{what} has at most {MAX_NAME} bytes of UTF-8")
    return name or None


def put_number(value: int) -> int | None:
    """Return a number to write; 0 is absent."""
    return value or None


def put_positive(value: int) -> int | None:
    """Return a number to write; 0 and less is absent."""
    return value if value > 0 else None


def put_flag(value: bool) -> int | None:  # noqa: FBT001 - it is what is written
    """Return a flag to write."""
    return 1 if value else None


def put_picture(value: Picture | None, url_key: bytes = b"p", key_key: bytes = b"q") -> Changes:
    """Return a picture's two keys to write."""
    if value is None:
        return {url_key: None, key_key: None}
    return {url_key: value.url.encode(), key_key: value.key}


def put_expiry(mode: ExpiryMode, timer_s: int) -> Changes:
    """Return mode and timer to write: both or none."""
    if mode is ExpiryMode.NONE or timer_s <= 0:
        return {b"e": None, b"E": None}
    return {b"e": int(mode), b"E": timer_s}


def truncated(value: str, size: int = MAX_NAME) -> str:
    """Return as much of a text as fits `size` bytes of UTF-8, cut between two code points."""
    return encoded(value)[:size].decode(errors="ignore")


def entries(section: Data, size: int, prefix: bytes = b"") -> list[tuple[bytes, Data]]:
    """Return the dicts in a section under keys of this size and prefix, by key."""
    return sorted(
        (key, entry)
        for key, entry in section.items()
        if len(key) == size and key.startswith(prefix) and isinstance(entry, Mapping)
    )

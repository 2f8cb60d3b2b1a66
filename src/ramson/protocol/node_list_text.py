"""A node list as text: for messages, for QR codes and for DNS.

Three spellings of the same bytes.  Nothing here looks into them, except to tell a list's forms apart.
Spec: REACH *Finding nodes without the seeds*; the spellings are ours (docs/node-lists.md).

    message   ramson-nodes:<base64url without padding>      short, for pasting; at most one message long for a starter
    QR        RAMSON-NODES:<base32 without padding>         only characters of QR's alphanumeric mode, which every
                                                            scanner takes; raw bytes many do not give back
    DNS TXT   rnl1 <index>/<total> <tag> <base64url part>   one record each; the tag tells the parts of one list from
                                                            those of its successor while a zone is being changed
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from ramson.crypto.hashing import blake2b
from ramson.errors import LocalError, ParseError
from ramson.protocol.node_list import MAX_SIZE

SCHEME: Final = "ramson-nodes:"
_QR_SCHEME: Final = SCHEME.upper()
MAX_TEXT: Final = len(SCHEME) + MAX_SIZE * 8 // 5 + 8  # characters

PART_SIZE: Final = 200  # characters of a list in one TXT record, whose strings hold 255 bytes
MAX_PARTS: Final = 40  # all records of a name come in one DNS message

_URI = re.compile(r"ramson-nodes:[A-Za-z0-9_-]+|RAMSON-NODES:[A-Z2-7]+")
_TXT = re.compile(r"rnl1 ([0-9]{1,2})/([0-9]{1,2}) ([0-9a-f]{8}) ([A-Za-z0-9_-]{1,255})")


class TooLargeForForm(LocalError):
    """The list does not fit the form it was to take."""


def to_uri(data: bytes) -> str:
    """Write a list for a message."""
    return SCHEME + base64.urlsafe_b64encode(data).decode().rstrip("=")


def to_qr_text(data: bytes) -> str:
    """Write a list for the alphanumeric mode of a QR code."""
    return _QR_SCHEME + base64.b32encode(data).decode().rstrip("=")


def from_uri(text: str) -> bytes:
    """Read either spelling, with whatever white space a mail programme put in.  Raises ParseError."""
    if len(text) > 2 * MAX_TEXT:  # room for line breaks
        raise ParseError("node list: the text is too long")
    text = "".join(text.split())
    if not _URI.fullmatch(text):
        raise ParseError(f"node list: the text does not read {SCHEME}…")
    if text.startswith(SCHEME):
        return _from_base64(text.removeprefix(SCHEME))
    digits = text.removeprefix(_QR_SCHEME)
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except binascii.Error:
        raise ParseError("node list: the text is cut short") from None
    if to_qr_text(data) != text:
        raise ParseError("node list: the text is damaged")
    return data


def find_uri(text: str) -> str | None:
    """Return the first list in a message; nothing is done with it but what a person decides."""
    found = _URI.search(text)
    return found.group() if found else None


def _from_base64(digits: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        raise ParseError("node list: the text is cut short") from None
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != digits:  # bits that are left over, and not zero
        raise ParseError("node list: the text is damaged")
    return data


def to_txt(data: bytes) -> list[str]:
    """Write a list as TXT records, each one string long.  Raises TooLargeForForm."""
    digits = base64.urlsafe_b64encode(data).decode().rstrip("=")
    parts = [digits[i : i + PART_SIZE] for i in range(0, len(digits), PART_SIZE)]
    if len(parts) > MAX_PARTS:
        raise TooLargeForForm(
            f"the list needs {len(parts)} DNS records, and {MAX_PARTS} are the most", remedy="Export a starter list."
        )
    tag = _tag(data)
    return [f"rnl1 {index}/{len(parts)} {tag} {part}" for index, part in enumerate(parts, 1)]


def from_txt(records: Iterable[str]) -> bytes:
    """Put the records of a name together; records of other kinds and lists that are not whole are passed over.

    If a zone holds two whole lists, the first found is taken.  Raises ParseError.
    """
    lists: dict[tuple[str, int], dict[int, str]] = {}
    for record in records:
        found = _TXT.fullmatch(record)
        if found is None:
            continue
        index, total = int(found[1]), int(found[2])
        if 1 <= index <= total <= MAX_PARTS:
            lists.setdefault((found[3], total), {}).setdefault(index, found[4])
    for (tag, total), parts in lists.items():
        if len(parts) == total:
            data = _from_base64("".join(parts[index] for index in range(1, total + 1)))
            if _tag(data) == tag:
                return data
    raise ParseError("node list: the DNS records hold no whole list")


def _tag(data: bytes) -> str:
    return blake2b(data).hex()[:8]

"""Pictures, as far as sending them needs it: their kind and size, and removing what tells more than they show.

A photo can say where and when it was taken, with which device, and hold a thumbnail of what was cut away.  `cleaned`
takes that out of JPEG, PNG and WebP files, byte for byte and without touching what is seen; of a JPEG the turn
(orientation) and the colour profile stay.  Other kinds are left as they are: GIF, HEIC, videos and documents keep what
they say.  Nothing is decoded, so nothing can be made smaller.
Spec: files-and-push.md §7.1 *Attachment rules*.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ramson.errors import LocalError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_TELLING: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"})
_WEBP_TELLING: Final = frozenset({b"EXIF", b"XMP "})
_WEBP_TELLING_FLAGS: Final = 0x08 | 0x04
# Of the application segments of a JPEG: JFIF, the colour profile, and Adobe's mark, without which colours are wrong.
_JPEG_KEPT: Final = frozenset({0xE0, 0xE2, 0xEE})
_JPEG_SIZES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_AFTER_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_EXIF: Final = b"Exif\x00\x00"
_ORIENTATION: Final = 0x0112


class BadPicture(LocalError):
    """A file that begins like a picture and is none, so that nobody knows what it would tell."""


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What kind of picture something is; its sides in pixels are 0 when they cannot be found."""

    content_type: str
    width: int = 0
    height: int = 0


def look_at(data: bytes) -> PictureInfo | None:
    """Return what kind of picture this is, or None for something else.  Never raises."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return PictureInfo("image/jpeg", *_jpeg_size(data))
        if data.startswith(_PNG):
            return PictureInfo("image/png", *struct.unpack(">II", data[16:24]))
        if data.startswith((b"GIF87a", b"GIF89a")):
            return PictureInfo("image/gif", *struct.unpack("<HH", data[6:10]))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return PictureInfo("image/webp", *_webp_size(data))
    except (BadPicture, struct.error, IndexError):
        return PictureInfo(_kind(data))
    return None


def cleaned(data: bytes) -> bytes:
    """Return a file without what it tells beside the picture; what is no JPEG, PNG or WebP stays as it is.

    Raises BadPicture.
    """
    match _kind(data):
        case "image/jpeg":
            return b"".join(_clean_jpeg(data))
        case "image/png":
            return _PNG + b"".join(chunk for kind, chunk in _png_chunks(data) if kind not in _PNG_TELLING)
        case "image/webp":
            return _clean_webp(data)
    return data


def _kind(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if data.startswith(b"GIF8") else ""


def _broken() -> BadPicture:
    return BadPicture("the picture is damaged", remedy="Send it as it is, with what it may tell, or repair it.")


# JPEG


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the marker, the whole bytes and the payload of each segment; picture data belongs to its segment."""
    place = 2
    while True:
        if len(data) < place + 2 or data[place] != 0xFF:
            raise _broken()
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == 0xD9:
            return
        if marker in _JPEG_BARE:
            yield marker, data[place : place + 2], b""
            place += 2
            continue
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        end = place + 2 + size
        if size < 2 or end > len(data):
            raise _broken()
        payload = data[place + 4 : end]
        if marker == 0xDA:
            following = _AFTER_SCAN.search(data, end)
            if following is None:
                raise _broken()
            end = following.start()
        yield marker, data[place:end], payload
        place = end


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, _, payload in _jpeg_segments(data):
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", payload[1:5])
            return width, height
    raise _broken()


def _clean_jpeg(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    turned = False
    for marker, whole, payload in _jpeg_segments(data):
        if marker == 0xE1 and payload.startswith(_EXIF) and not turned:
            orientation = _orientation(payload[len(_EXIF) :])
            if 1 < orientation <= 8:
                yield _only_orientation(orientation)
                turned = True
        elif marker == 0xE2 and not payload.startswith(b"ICC_PROFILE\x00"):
            continue
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in _JPEG_KEPT:
            yield whole
    yield b"\xff\xd9"


def _orientation(tiff: bytes) -> int:
    """Return how a picture is turned, by its Exif; 1 (not at all) if that cannot be read."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack(f"{order}I", tiff[4:8])
        (count,) = struct.unpack(f"{order}H", tiff[start : start + 2])
        for number in range(count):
            place = start + 2 + 12 * number
            tag, kind = struct.unpack(f"{order}HH", tiff[place : place + 4])
            if tag == _ORIENTATION and kind == 3:
                (value,) = struct.unpack(f"{order}H", tiff[place + 8 : place + 10])
                return int(value)
    except struct.error:
        pass
    return 1


def _only_orientation(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", _ORIENTATION, 3, 1, orientation, 0)
    payload = _EXIF + b"MM\x00*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


# PNG


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG)
    while True:
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            raise _broken()
        kind = data[place + 4 : place + 8]
        yield kind, data[place:end]
        if kind == b"IEND":
            return
        place = end


# WebP


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while place < end:
        kind = data[place : place + 4]
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        following = place + 8 + size
        if len(kind) < 4 or following > len(data):
            raise _broken()
        yield kind, data[place + 8 : following]
        place = following + size % 2


def _webp_size(data: bytes) -> tuple[int, int]:
    for kind, payload in _webp_chunks(data):
        if kind == b"VP8X":
            return 1 + int.from_bytes(payload[4:7], "little"), 1 + int.from_bytes(payload[7:10], "little")
        if kind == b"VP8 " and payload[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", payload[6:10])
            return width & 0x3FFF, height & 0x3FFF
        if kind == b"VP8L":
            bits = int.from_bytes(payload[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise _broken()


def _clean_webp(data: bytes) -> bytes:
    kept = b""
    for kind, found in _webp_chunks(data):
        if kind in _WEBP_TELLING:
            continue
        payload = found
        if kind == b"VP8X" and payload:
            payload = bytes([payload[0] & ~_WEBP_TELLING_FLAGS]) + payload[1:]
        kept += kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept

"""Pictures: what kind they are and how large, and that what they tell beside the picture goes."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.messenger.images import BadPicture, PictureInfo, cleaned, look_at

PLACE = b"48.8584 N 2.2945 E"


def segment(marker, payload):
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def jpeg(*telling, after=b""):
    size = segment(0xC0, b"\x08" + struct.pack(">HH", 480, 640) + b"\x03" + bytes(9))
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"pixels\xff\x00\xff\xd0more"
    return b"\xff\xd8" + segment(0xE0, b"JFIF\x00") + b"".join(telling) + size + scan + b"\xff\xd9" + after


def exif(orientation, order=">"):
    entries = [(0x010F, 2, 4, b"Cam\x00"), (0x0112, 3, 1, struct.pack(f"{order}HH", orientation, 0))]
    body = b"".join(struct.pack(f"{order}HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    head = (b"MM\x00*" if order == ">" else b"II*\x00") + struct.pack(f"{order}IH", 8, len(entries))
    return segment(0xE1, b"Exif\x00\x00" + head + body + bytes(4) + PLACE)


def chunk(kind, payload):
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(*telling):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 320, 200, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(telling) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


def riff(*chunks):
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def vp8x(flags):
    return b"VP8X", bytes([flags, 0, 0, 0]) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("data", "info"),
    [
        (jpeg(), PictureInfo("image/jpeg", 640, 480)),
        (png(), PictureInfo("image/png", 320, 200)),
        (b"GIF89a" + struct.pack("<HH", 32, 16) + bytes(9), PictureInfo("image/gif", 32, 16)),
        (riff(vp8x(0)), PictureInfo("image/webp", 640, 480)),
        (riff((b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 64, 48))), PictureInfo("image/webp", 64, 48)),
        (riff((b"VP8L", b"\x2f" + (63 | 47 << 14).to_bytes(4, "little"))), PictureInfo("image/webp", 64, 48)),
        (b"\xff\xd8\xff\xe0", PictureInfo("image/jpeg")),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_kind_and_size(data, info):
    assert look_at(data) == info


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photo_keeps_how_it_is_turned_and_nothing_else(order):
    icc = segment(0xE2, b"ICC_PROFILE\x00colours")
    other = [segment(0xE2, b"MPF\x00" + PLACE), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + PLACE)]
    photo = jpeg(exif(6, order), *other, segment(0xFE, PLACE), segment(0xED, PLACE), icc, after=b"video " + PLACE)
    clean = cleaned(photo)
    assert PLACE not in clean
    assert b"Cam" not in clean
    assert b"ICC_PROFILE\x00colours" in clean
    assert b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" in clean
    assert clean.endswith(b"pixels\xff\x00\xff\xd0more\xff\xd9")
    assert look_at(clean) == look_at(photo)
    assert cleaned(clean) == clean
    assert b"Exif" not in cleaned(jpeg(exif(1, order)))


def test_texts_go_out_of_png_and_webp():
    telling = [chunk(kind, PLACE) for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME")]
    assert cleaned(png(*telling) + PLACE) == png()
    pixels = (b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 64, 48) + b"odd")
    assert cleaned(riff(vp8x(0x1C), pixels, (b"EXIF", PLACE), (b"XMP ", PLACE))) == riff(vp8x(0x10), pixels)


def test_what_is_no_such_picture_stays_as_it_is():
    for data in (b"", b"%PDF", b"GIF89a rest", b"text"):
        assert cleaned(data) == data


@given(st.sampled_from([jpeg(exif(3)), png(chunk(b"tEXt", PLACE)), riff(vp8x(8), (b"EXIF", PLACE))]), st.data())
def test_a_damaged_picture_is_refused_and_never_sent_with_what_it_tells(picture, data):
    cut = picture[: data.draw(st.integers(12, len(picture) - 1))]
    look_at(cut)
    with contextlib.suppress(BadPicture):
        assert PLACE not in cleaned(cut)

"""Pictures of strangers: QR codes are found in them, and nothing in them does harm."""

import contextlib
import io
import struct
import warnings
import zlib

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ramson.errors import LocalError
from ramson.reach.qr_pictures import is_picture, scan


def drawn(text):
    picture = io.BytesIO()
    segno.make(text, micro=False).save(picture, kind="png", scale=4)
    return picture.getvalue()


def claiming(width, height):
    """A PNG whose head claims a size, and whose body is short."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(10))), (b"IEND", b"")]
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_what_a_code_says_is_found(kind):
    picture = io.BytesIO()
    Image.open(io.BytesIO(drawn("hello"))).convert("RGB").save(picture, kind)
    assert is_picture(picture.getvalue())
    assert scan(picture.getvalue(), instead="paste it") == ["hello"]


def test_a_picture_without_a_code_says_nothing():
    picture = io.BytesIO()
    Image.new("L", (50, 50), 255).save(picture, "PNG")
    assert scan(picture.getvalue(), instead="paste it") == []


@pytest.mark.parametrize("side", [8_000, 10_000, 14_000, 65_000, 2**31 - 1])
def test_a_picture_that_would_fill_the_memory_is_not_unpacked(side):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be lines on a person's terminal
        with pytest.raises(LocalError, match=r"too large|cannot be read"):
            scan(claiming(side, side), instead="paste it")


@given(st.binary(max_size=300), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF"]))
@settings(deadline=None)
def test_broken_pictures_are_refused_in_one_way(data, mark):
    with pytest.raises(LocalError):
        scan(mark + data, instead="paste it")


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
@settings(deadline=None)
def test_damaged_pictures_are_read_or_refused(place, damage):
    whole = bytearray(drawn("hello"))
    whole[8 + place : 8 + place + len(damage)] = damage
    with contextlib.suppress(LocalError):
        assert scan(bytes(whole), instead="paste it") in ([], ["hello"])

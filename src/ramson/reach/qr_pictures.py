"""QR codes in the pictures that people are given: of bridges' links and of node lists.

A picture may come from anybody: only five formats are looked at, and none that would unpack to more than MAX_PIXELS.
"""

from __future__ import annotations

import io
import warnings
from typing import Final

from ramson.errors import LocalError

MAX_PIXELS: Final = 50_000_000

_IMAGES: Final = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WEBP"}


def is_picture(data: bytes) -> bool:
    """Whether this begins as a picture does."""
    return data.startswith(tuple(_IMAGES))


def scan(data: bytes, *, instead: str) -> list[str]:
    """Return what the QR codes in a picture say, perhaps nothing; `instead` is what to do where none can be read.

    Raises LocalError.
    """
    try:
        import zxingcpp  # noqa: PLC0415 - an extra
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        raise LocalError(
            "reading QR codes is not installed", remedy=f"Run: pip install 'ramson[qr]', or {instead}."
        ) from None
    kind = next(kind for mark, kind in _IMAGES.items() if data.startswith(mark))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[kind]) as image:
                grey = image.convert("L") if image.width * image.height <= MAX_PIXELS else None
        codes = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        found = None if grey is None else zxingcpp.read_barcodes(grey, formats=codes)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        found = None
    except Exception as error:  # noqa: BLE001 - Pillow says in a dozen ways that a picture is broken
        raise LocalError(f"the picture cannot be read: {type(error).__name__}", remedy=f"Try to {instead}.") from None
    if found is None:
        raise LocalError("the picture is too large", remedy="Cut out the QR code.")
    return [each.text for each in found]

"""A profile picture as others are to see it: what it tells taken away, and no side longer than 600 pixels.

Only the owner's own picture is ever decoded, by Pillow (extra `pictures`), and only if it is too large.  Without Pillow
a picture that is too large is refused: a photograph in full shows more than one thinks.  This module never enlarges,
and touches no animation: one that is small enough stays as it is, a larger one is refused.
Spec: files-and-push.md §7.1 (pictures are made smaller); app-features.md, limits.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from ramson.errors import LocalError
from ramson.messenger.avatars import MAX_SIDE
from ramson.messenger.images import PictureInfo, cleaned, look_at

if TYPE_CHECKING:
    from PIL import Image as PillowImage

MAX_PICTURE: Final = 5_000_000  # bytes; spec gap: 600 pixels take far less, but an animation may take more
_QUALITY: Final = 85  # of a JPEG or WebP
_KINDS: Final = ("JPEG", "PNG", "WEBP", "GIF")


class NoPicture(LocalError):
    """A file that cannot be a profile picture."""


def made_ready(data: bytes) -> bytes:
    """Return a picture as it is to be shown.  Blocks: decoding a photograph takes some tenths of a second.

    Raises NoPicture, BadPicture.
    """
    found = look_at(data)
    if found is None:
        raise NoPicture("a profile picture is a JPEG, PNG, WebP or GIF file", remedy="Choose or convert one.")
    ready = cleaned(data)
    if max(found.width, found.height) > MAX_SIDE:
        ready = _smaller(ready, found)
    if len(ready) > MAX_PICTURE:
        raise NoPicture(f"a profile picture has at most {MAX_PICTURE // 1_000_000} MB", remedy="Make it smaller.")
    return ready


def _smaller(data: bytes, found: PictureInfo) -> bytes:
    """Return the picture so small that it fits, upright, in its own format; of a GIF that does not move, a PNG."""
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        raise NoPicture(
            f"a profile picture has at most {MAX_SIDE} pixels a side, and this one {found.width} × {found.height}",
            remedy="Make it smaller, or let it be done: pip install 'ramson[pictures]'",
        ) from None
    try:
        with Image.open(io.BytesIO(data), formats=_KINDS) as opened:
            small = None if getattr(opened, "is_animated", False) else _written(_scaled(opened), opened.format)
    except Exception:  # noqa: BLE001 - Pillow says in a dozen ways that a picture is broken
        raise NoPicture(
            "the picture cannot be read, so it cannot be made smaller", remedy="Choose another one."
        ) from None
    if small is None:
        raise NoPicture(
            f"a picture that moves is not made smaller, and this one is {found.width} × {found.height} pixels",
            remedy=f"Choose one of at most {MAX_SIDE} a side.",
        )
    return small


def _scaled(picture: PillowImage.Image) -> PillowImage.Image:
    from PIL import Image, ImageOps  # noqa: PLC0415 - an extra

    picture.draft("RGB", (MAX_SIDE, MAX_SIDE))  # a JPEG is decoded at little more than that size
    upright = ImageOps.exif_transpose(picture)
    if upright.mode not in {"L", "LA", "RGB", "RGBA"}:
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return upright


def _written(picture: PillowImage.Image, kind: str | None) -> bytes:
    output = io.BytesIO()
    colours = picture.info.get("icc_profile")
    match kind:
        case "JPEG":
            picture.save(output, "JPEG", quality=_QUALITY, icc_profile=colours)
        case "WEBP":
            picture.save(output, "WEBP", quality=_QUALITY, icc_profile=colours)
        case _:
            picture.save(output, "PNG", optimize=True, icc_profile=colours)
    return cleaned(output.getvalue())

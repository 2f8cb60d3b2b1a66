"""One's own profile picture: small, upright, and silent about everything it does not show."""

import io
import sys

import pytest
from PIL import Image

from ramson.messenger import NoPicture
from ramson.messenger.images import look_at
from ramson.messenger.own_picture import made_ready

ORIENTATION = 0x0112
HINT = "pip install 'ramson[pictures]'"


def picture(kind, size=(1200, 800), mode="RGB", **more):
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new(mode, size, "red")
    image.paste(Image.new(mode, (size[0] // 2, size[1]), "blue"), (size[0] - size[0] // 2, 0))
    output = io.BytesIO()
    image.save(output, kind, **more)
    return output.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_large_picture_becomes_small_and_keeps_its_kind_and_shape(kind):
    small = opened(made_ready(picture(kind)))
    assert (small.format, small.size) == (kind, (600, 400))
    red, _, blue = small.convert("RGB").getpixel((5, 200))
    assert red > 200
    assert blue < 50


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_that_fits_is_not_touched(kind):
    data = picture(kind, (600, 600))
    assert made_ready(data) == data


def test_a_photograph_stands_upright_and_tells_nothing():
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # lies on its side
    exif[0x010F] = "SECRET maker"
    data = picture("JPEG", exif=exif, comment=b"SECRET place")
    small = made_ready(data)
    assert b"SECRET" in data
    assert b"SECRET" not in small
    assert opened(small).size == (400, 600)
    assert not opened(small).getexif()


@pytest.mark.parametrize("mode", ["P", "L", "LA", "RGBA", "1", "I;16"])
def test_every_kind_of_colour_is_made_smaller(mode):
    output = io.BytesIO()
    Image.new(mode, (700, 700)).save(output, "PNG")
    assert opened(made_ready(output.getvalue())).size == (600, 600)


def test_colours_for_print_and_a_still_gif_are_made_smaller():
    assert opened(made_ready(picture("JPEG", mode="CMYK"))).size == (600, 400)
    small = opened(made_ready(picture("GIF")))
    assert (small.format, small.size) == ("PNG", (600, 400))


def test_a_large_picture_that_moves_is_refused_and_a_small_one_is_not():
    def moving(side):
        frames = [Image.new("RGB", (side, side), colour) for colour in ("red", "blue")]
        output = io.BytesIO()
        frames[0].save(output, "GIF", save_all=True, append_images=frames[1:])
        return output.getvalue()

    assert made_ready(moving(300)) == moving(300)
    with pytest.raises(NoPicture, match="moves"):
        made_ready(moving(700))


def test_what_is_no_picture_is_refused():
    with pytest.raises(NoPicture, match="JPEG, PNG"):
        made_ready(b"no picture")
    broken = bytearray(picture("PNG"))
    broken[60:200] = bytes(140)
    with pytest.raises(NoPicture, match="cannot be read"):
        made_ready(bytes(broken))


def test_without_pillow_a_large_picture_is_refused_with_what_to_do_and_a_small_one_goes(monkeypatch):
    large, small = picture("PNG"), picture("PNG", (600, 10))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert made_ready(small) == small
    with pytest.raises(NoPicture, match="1200 × 800") as refused:
        made_ready(large)
    assert HINT in refused.value.remedy
    assert look_at(large).width == 1200

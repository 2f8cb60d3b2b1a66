"""A node list in whatever form a person has it: a file, a picture of a QR code, a message, DNS records.

Finding a list in something is all that happens here; nobody takes it until a person says so.
"""

from __future__ import annotations

from typing import Final

from ramson.errors import LocalError, ParseError
from ramson.protocol.node_list import MAGIC, MAX_SIZE
from ramson.protocol.node_list_text import MAX_TEXT, SCHEME, find_uri, from_txt, from_uri
from ramson.reach.qr_pictures import is_picture, scan

MAX_INPUT: Final = 20 * 1024 * 1024  # bytes

_REMEDY: Final = f"It begins with {SCHEME} and must be whole."


class NoListHere(LocalError):
    """There is no node list in what was given."""


def find_list(data: bytes) -> bytes:
    """Return the list in the content of a file or message, as it travels.  Raises NoListHere, ParseError."""
    if data.startswith(MAGIC):
        return data[: MAX_SIZE + 1]  # a larger one is refused where it is read
    found = _in_text(_text(data))
    if not found.startswith(MAGIC):
        raise NoListHere("that looks like a node list, but is none", remedy=_REMEDY)
    return found


def _text(data: bytes) -> str:
    if is_picture(data):
        return _scanned(data)
    try:
        return data[: 4 * MAX_TEXT].decode()
    except UnicodeDecodeError:
        raise NoListHere("that is neither a node list nor a picture or text with one") from None


def _in_text(text: str) -> bytes:
    try:
        return from_uri(text)  # the whole of it, perhaps broken into lines
    except ParseError:
        uri = find_uri(text)
    if uri is not None:
        return from_uri(uri)
    try:
        return from_txt(_records(text))
    except ParseError:
        raise NoListHere("there is no node list in that", remedy=_REMEDY) from None


def _records(text: str) -> list[str]:
    """Return the values of lines of a zone file: what stands between quotation marks, or the whole line."""
    lines = [line.strip() for line in text.splitlines()]
    return [line[line.index('"') + 1 : line.rindex('"')] if line.count('"') > 1 else line for line in lines]


def _scanned(data: bytes) -> str:
    texts = scan(data, instead="paste the list as text")
    if not texts:
        raise NoListHere(
            "there is no QR code in the picture", remedy="Take it again: sharp, straight, all of the code."
        )
    return next((text for text in texts if find_uri(text)), texts[0])

"""Taking a bridge's link from wherever a person has it, and showing one to be handed on."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Final

from ramson.errors import LocalError
from ramson.network import FileCache
from ramson.protocol.bridge import BridgeLink
from ramson.protocol.bridge.link import MAX_LINK, SCHEME, parse
from ramson.reach.qr_pictures import is_picture, scan

MAX_INPUT: Final = 10 * 1024 * 1024

_IN_TEXT: Final = re.compile(rf"{SCHEME}[!-~]{{1,{MAX_LINK}}}")
_AFTER: Final = ".,;:!)]}>\"'"  # what may stand behind a link in a sentence, and ends no link


def take(source: str) -> BridgeLink:
    """Return the link that `source` is, or that is in it: a file, an image with a QR code, or `-`, standard input.

    A text may have more in it than the link, as a message does.  Raises LocalError, BadBridgeLink.
    """
    if source.startswith(SCHEME):
        return parse(source)
    data = sys.stdin.buffer.read(MAX_INPUT + 1) if source == "-" else _read(Path(source))
    if len(data) > MAX_INPUT:
        raise LocalError("that is too large to be a bridge's link")
    if is_picture(data):
        return _find("\n".join(scan(data, instead="paste the link as text")))
    return _find(data.decode(errors="replace"))


def write_qr(link: BridgeLink, path: Path) -> None:
    """Write the link as an image, PNG or SVG by the name's ending, for its owner only.  Raises LocalError."""
    import segno  # noqa: PLC0415 - only this needs it

    kind = path.suffix.removeprefix(".").lower()
    if kind not in {"png", "svg"}:
        raise LocalError("an image of a link is a .png or a .svg")
    drawn = io.BytesIO()
    segno.make(link.uri, micro=False, error="m").save(drawn, kind=kind, scale=6)
    try:
        FileCache(path).save(drawn.getvalue())
    except OSError as error:
        raise LocalError(f"the image cannot be written: {error.strerror}") from None


def show_qr(link: BridgeLink) -> None:
    """Draw the link on standard output."""
    import segno  # noqa: PLC0415 - as above

    segno.make(link.uri, micro=False, error="l").terminal(out=sys.stdout, compact=True)


def transport_table(line: Path, address: str, link: BridgeLink) -> str:
    """Return the lines for a friend's reach.toml: the transport's, with its address from outside, and the link.

    Raises LocalError.
    """
    try:
        method, _, *arguments = line.read_text().split()
    except (OSError, ValueError):
        raise LocalError("there is no obfs4 door", remedy="Run the bridge with --obfs4 first.") from None
    return f'[[transports]]\nline = "{" ".join([method, address, *arguments])}"\nbridge = "{link.uri}"'


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_INPUT + 1)
    except OSError as error:
        raise LocalError(
            f"that is no bridge's link, and no file that can be read: {error.strerror}",
            remedy=f"Give the link ({SCHEME}…), a file with it, a picture of its QR code, or - to paste it.",
        ) from None


def _find(text: str) -> BridgeLink:
    found = _IN_TEXT.search(text)
    if found is None:
        raise LocalError("there is no bridge's link in that", remedy=f"It begins with {SCHEME}")
    return parse(found[0].rstrip(_AFTER))

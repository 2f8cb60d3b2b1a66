"""The web site that everybody sees who has no link: static files, as ordinary web frameworks serve them."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from whitenoise import WhiteNoise

from ramson.errors import LocalError

PLAIN_DIRECTORY: Final = "site"


def site_directory(chosen: Path | None, directory: Path, host: str) -> Path:
    """Return the directory of the site: the chosen one, or one with a plain page for the volunteer to replace."""
    if chosen is not None:
        if not chosen.is_dir():
            raise LocalError(f"there is no directory {chosen}", remedy="Name the directory of your site's files.")
        return chosen
    place = directory / PLAIN_DIRECTORY
    place.mkdir(exist_ok=True)
    page = place / "index.html"
    if not page.exists():
        name = html.escape(host or "Home")
        page.write_text(f"<!DOCTYPE html>\n<title>{name}</title>\n<h1>{name}</h1>\n")
    return place


def asgi_site(directory: Path) -> Starlette:
    """Return the site as an ASGI application."""
    return Starlette(routes=[Mount("/", StaticFiles(directory=directory, html=True))])


def wsgi_site(directory: Path) -> WhiteNoise:
    """Return the site as a WSGI application; what is not in the directory is not found."""
    return WhiteNoise(_not_found, root=directory, index_file=True, autorefresh=False)


def _not_found(environ: dict[str, object], start_response: object) -> list[bytes]:
    del environ
    if not callable(start_response):
        raise TypeError
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "9")])
    return [b"Not Found"]

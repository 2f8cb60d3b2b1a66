"""The options about the way out, which stand before the command: `ramson --route split send …`.

What is secret comes from a file or the environment, never from the arguments, which every user of the machine can
read.  A settings file with secrets in it is refused while others can read it.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ramson.errors import LocalError

if TYPE_CHECKING:
    from ramson.reach import ReachSettings

PROXY_VARIABLE: Final = "RAMSON_PROXY"
BRIDGE_VARIABLE: Final = "RAMSON_BRIDGE"
LONGEST: Final = 1024 * 1024

RouteOption = Annotated[
    str,
    typer.Option(
        "--route",
        metavar="auto|direct|split|proxy|bridge|transport",
        envvar="RAMSON_ROUTE",
        help="Use this way out and no other.",
    ),
]
ProxyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--proxy-file",
        metavar="FILE",
        help="Go through the proxy whose address is in this file: socks5://, tor:// or http://, with user and password"
        f" if it needs them.  Otherwise it comes from {PROXY_VARIABLE}.",
    ),
]
ReachFileOption = Annotated[
    Path | None,
    typer.Option(
        "--reach-file",
        metavar="FILE",
        envvar="RAMSON_REACH",
        help="The settings of the way out; otherwise ~/.config/ramson/reach.toml, if there is one.",
    ),
]
CountryOption = Annotated[
    str,
    typer.Option(
        "--country",
        metavar="XX",
        envvar="RAMSON_COUNTRY",
        help="The country whose order of ways out is to be used; it is told to nobody.",
    ),
]


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options as they were given."""

    route: str = ""
    proxy_file: Path | None = None
    reach_file: Path | None = None
    country: str = ""


_given: ContextVar[Wishes] = ContextVar("_given", default=Wishes())  # noqa: B039 - a frozen value


def remember(wishes: Wishes) -> None:
    """Keep the options for the command that follows."""
    _given.set(wishes)


def reach_settings() -> ReachSettings:
    """Return what file, environment and options say, the last of them first.  Raises LocalError, ParseError."""
    from ramson.cli.bridge import bridges_file  # noqa: PLC0415 - commands without a client start the faster
    from ramson.reach import bridge_book, settings  # noqa: PLC0415 - as above

    wishes = _given.get()
    data = _file(wishes.reach_file)
    kept = tuple(each.link for each in bridge_book.load(bridges_file()))
    found = settings.parse(data or b"", bridges=kept)
    proxy = _text(wishes.proxy_file) if wishes.proxy_file is not None else os.environ.get(PROXY_VARIABLE, "")
    return found.changed(
        route=wishes.route, proxy=proxy, bridge=os.environ.get(BRIDGE_VARIABLE, ""), country=wishes.country
    )


def _file(path: Path | None) -> bytes | None:
    """Return the settings file's content; None if none was named and there is none where it usually is."""
    named = path is not None
    path = path or Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ramson" / "reach.toml"
    if not named and not path.exists():
        return None
    return _read(path)


def _text(path: Path) -> str:
    try:
        return _read(path).decode().strip()
    except UnicodeDecodeError:
        raise LocalError(f"{path} is not a text") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise LocalError(f"others can read {path}, and it may hold secrets", remedy=f"Run: chmod 600 {path}")
            return file.read(LONGEST)
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}") from None

"""The options about the way out, which stand before the command: `ramson --route split send …`.

What is secret comes from a file or the environment, never from the arguments, which every user of the machine can
read.  A settings file with secrets in it is refused while others can read it.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ramson.reach import ReachSettings


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
        " if it needs them.  Otherwise it comes from RAMSON_PROXY.",
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
    """Return what files, environment and options say, the last of them first.  Raises LocalError, ParseError."""
    from ramson.reach import kept  # noqa: PLC0415 - commands without a client start the faster

    wishes = _given.get()
    found = kept.load(os.environ, file=wishes.reach_file, proxy_file=wishes.proxy_file)
    return found.changed(route=wishes.route, country=wishes.country)

"""The root of the command line: which commands there are, and how a command ends.

The exit codes are told in `reference`, for docs/cli.md.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ramson import streams
from ramson._version import __version__
from ramson.cli.lazy import LazyGroup
from ramson.cli.report import report
from ramson.cli.way_out import CountryOption, ProxyFileOption, ReachFileOption, RouteOption, Wishes, remember
from ramson.errors import LocalError

# As `LazyGroup` has it.
COMMANDS: Final = {
    "account": ("accounts", "account_app"),
    "send": ("messages", "send"),
    "listen": ("messages", "listen"),
    "chat": ("chat", "chat"),
    "save": ("files", "save"),
    "contacts": ("people", "contacts"),
    "nickname": ("people", "nickname"),
    "requests": ("people", "requests_app"),
    "conversations": ("conversations", "conversations"),
    "history": ("conversations", "history"),
    "search": ("people", "search"),
    "profile": ("people", "profile_app"),
    "export": ("keeping", "export"),
    "import": ("keeping", "import_"),
    "path": ("path", "path"),
    "doctor": ("doctor", "doctor"),
    "report": ("reachability", "report_app"),
    "nodes": ("nodes", "nodes_app"),
    "bot": ("bots", "bot_app"),
    "demo": ("devnet", "demo"),
    "devnet": ("devnet", "devnet"),
    "node": ("operate", "node_app"),
    "seed": ("operate", "seed_app"),
    "servers": ("servers", "servers_app"),
    "bridge": ("bridge", "bridge_app"),
}


class _Commands(LazyGroup):
    table = COMMANDS


app = typer.Typer(
    name="ramson",
    cls=_Commands,
    help="The Session messenger and the network under it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show local variables, and so secrets
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ramson {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    route: RouteOption = "",
    proxy_file: ProxyFileOption = None,
    reach_file: ReachFileOption = None,
    country: CountryOption = "",
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Send and receive messages over Session's onion network; run nodes of it."""
    remember(Wishes(route, proxy_file, reach_file, country))


def main() -> None:
    """Run the command line and exit."""
    there = streams.complete()
    with streams.ending(report):
        if not there:
            raise LocalError("there is nowhere to print results", remedy="Start it with a standard output.")
        app()

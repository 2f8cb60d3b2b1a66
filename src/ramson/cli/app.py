"""The root of the command line: which commands there are, and how a command ends.

Exit codes: 0 done; 1 it did not work, and one line on standard error says why and what to do; 2 the command
line itself was wrong; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ramson._version import __version__
from ramson.cli.accounts import account_app
from ramson.cli.devnet import demo, devnet
from ramson.cli.messages import listen, send
from ramson.cli.operate import node_app, seed_app
from ramson.cli.path import path
from ramson.cli.terminal import report
from ramson.errors import RamsonError

COMMANDS = (send, listen, path, devnet, demo)
GROUPS = (account_app, node_app, seed_app)

app = typer.Typer(
    name="ramson",
    help="The Session messenger and the network under it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show local variables, and so secrets
)
for command in COMMANDS:
    app.command()(command)
for group in GROUPS:
    app.add_typer(group)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ramson {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Send and receive messages over Session's onion network; run nodes of it."""


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except RamsonError as error:
        report(error)
        sys.exit(1)

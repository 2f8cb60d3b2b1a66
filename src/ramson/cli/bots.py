"""`ramson bot`: begin to write a bot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.bot.starting import start_bot
from ramson.cli.terminal import result

bot_app = typer.Typer(name="bot", help="Bots.", no_args_is_help=True)


@bot_app.callback()
def _bots() -> None:
    """Bots."""


@bot_app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the directory that is made, and of the bot.")],
) -> None:
    """Make a directory with a bot that works, its test, and a README.  What is there already is left alone."""
    directory = start_bot(name, Path())
    result(f"{directory}: bot.py, test_bot.py and a README that says how to go on")

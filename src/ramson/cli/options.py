"""Options that the commands of clients share, and how a recovery phrase is asked for.

A recovery phrase never comes from the arguments, which every user of the machine can read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ramson import given_files
from ramson.bot.account_secret import ask, ctrl_c_at_once
from ramson.bot.unlocking import account_passphrase
from ramson.cli.passphrases import LONGEST_SECRET, PassphraseFileOption, read_passphrase
from ramson.cli.terminal import JsonOption
from ramson.errors import LocalError
from ramson.network import MAINNET, TESTNET, NetworkProfile
from ramson.reach.node_lists import with_lists

__all__ = [
    "AccountOption",
    "JsonOption",
    "NetworkOption",
    "PassphraseFileOption",
    "SubscribeOption",
    "account_passphrase",
    "confirm",
    "data_directory",
    "read_passphrase",
    "read_phrase",
    "resolve_network",
]

_PROFILES = {profile.name: profile for profile in (MAINNET, TESTNET)}


def data_directory() -> Path:
    """Return where accounts and caches live unless told otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "ramson"


def _default_account() -> Path:
    return data_directory() / "account.ramson"


AccountOption = Annotated[
    Path,
    typer.Option(
        "--account",
        metavar="FILE",
        envvar="RAMSON_ACCOUNT",
        default_factory=_default_account,
        show_default="~/.local/share/ramson/account.ramson",
        help="The account file.",
    ),
]
NetworkOption = Annotated[
    str,
    typer.Option(
        "--network",
        metavar="mainnet|testnet|FILE",
        envvar="RAMSON_NETWORK",
        help="The network to join, or the network.json of one of your own.",
    ),
]
SubscribeOption = Annotated[
    bool,
    typer.Option(
        "--subscribe",
        help="Have messages come at once; two of the nodes that keep them learn this device's address and account id.",
    ),
]


def resolve_network(text: str) -> NetworkProfile:
    """Return the profile that `--network` names, with channels for its node lists.  Raises LocalError."""
    directory = data_directory()
    if text in _PROFILES:
        return with_lists(_PROFILES[text], directory=directory)
    file = given_files.read_network(text)
    return with_lists(NetworkProfile.from_file(file), channels=file.node_lists, directory=directory)


def read_phrase() -> str:
    """Take a recovery phrase from the person, unseen, or from standard input."""
    if sys.stdin.isatty():
        return ask("Recovery phrase (it is not shown): ")
    return sys.stdin.read(LONGEST_SECRET)


def confirm(question: str) -> bool:
    """Ask a question on standard error; anything but a yes is a no.  Raises LocalError if nobody answers."""
    with ctrl_c_at_once():
        typer.echo(f"{question} [y/N] ", nl=False, err=True)  # typer.confirm would write to standard output as well
        answer = sys.stdin.readline()
    if not answer:
        typer.echo(err=True)
        raise LocalError("nobody answered", remedy="Run it at a terminal, or give the answer on standard input.")
    return answer.strip().lower() in {"y", "yes"}

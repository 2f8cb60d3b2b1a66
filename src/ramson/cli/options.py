"""Options that several commands share, and how secrets are asked for.

A passphrase or a recovery phrase never comes from the arguments, which every user of the machine can read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ramson.errors import LocalError
from ramson.network import MAINNET, TESTNET, NetworkProfile
from ramson.protocol import network_file

PASSPHRASE_VARIABLE = "RAMSON_PASSPHRASE"  # noqa: S105 - the name of one
_LONGEST_SECRET = 4096  # bytes of a passphrase file

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
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"Read the passphrase from here; otherwise it comes from {PASSPHRASE_VARIABLE}, or is asked for.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def resolve_network(text: str) -> NetworkProfile:
    """Return the profile that `--network` names.  Raises LocalError, ParseError."""
    if text in _PROFILES:
        return _PROFILES[text]
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        raise LocalError(
            f"there is no network {text!r}: {error.strerror}", remedy="Say mainnet, testnet, or a network.json file."
        ) from None
    return NetworkProfile.from_file(network_file.parse(content))


def read_passphrase(file: Path | None, *, new: bool = False) -> str:
    """Take the passphrase from a file, the environment or the person, who types a `new` one twice.

    Raises LocalError if there is nobody to ask.
    """
    if file is not None:
        return _secret_file(file)
    if passphrase := os.environ.get(PASSPHRASE_VARIABLE):
        return passphrase
    if not sys.stdin.isatty():
        raise LocalError(
            "there is no terminal to ask for the passphrase at",
            remedy=f"Set {PASSPHRASE_VARIABLE}, or name a file with --passphrase-file.",
        )
    question = "Choose a passphrase for the account file" if new else "Passphrase"
    answer: str = typer.prompt(question, hide_input=True, confirmation_prompt=new, err=True)
    return answer


def read_phrase() -> str:
    """Take a recovery phrase from the person, unseen, or from standard input."""
    if sys.stdin.isatty():
        answer: str = typer.prompt("Recovery phrase (it is not shown)", hide_input=True, err=True)
        return answer
    return sys.stdin.read(_LONGEST_SECRET)


def confirm(question: str) -> bool:
    """Ask a question on standard error; anything but a yes is a no."""
    typer.echo(f"{question} [y/N] ", nl=False, err=True)  # typer.confirm would write to standard output as well
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _secret_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        raise LocalError(f"the passphrase file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalError("the passphrase file is not UTF-8 text") from None
    if len(content) > _LONGEST_SECRET:
        raise LocalError(f"the passphrase file is longer than {_LONGEST_SECRET} bytes")
    return text.rstrip("\r\n")

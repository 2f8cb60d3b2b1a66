"""How a passphrase reaches a command: from a file, the environment, or the person.

It never comes from the arguments, which every user of the machine can read.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from ramson.errors import LocalError

PASSPHRASE_VARIABLE: Final = "RAMSON_PASSPHRASE"  # noqa: S105 - the name of one
LONGEST_SECRET: Final = 4096  # bytes of a passphrase file

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"Read the passphrase from here; otherwise it comes from {PASSPHRASE_VARIABLE}, or is asked for.",
    ),
]


def read_passphrase(
    file: Path | None,
    *,
    new: bool = False,
    what: str = "the account file",
    variable: str = PASSPHRASE_VARIABLE,
    option: str = "--passphrase-file",
) -> str:
    """Take the passphrase of `what` from a file, the environment or the person, who types a `new` one twice.

    `variable` and `option` are where a program can give it.  Raises LocalError if there is nobody to ask.
    """
    if file is not None:
        return _secret_file(file)
    if passphrase := os.environ.get(variable):
        return passphrase
    if not sys.stdin.isatty():
        raise LocalError(
            "there is no terminal to ask for the passphrase at",
            remedy=f"Set {variable}, or name a file with {option}.",
        )
    question = f"Choose a passphrase for {what}" if new else f"Passphrase of {what}"
    answer: str = typer.prompt(question, hide_input=True, confirmation_prompt=new, err=True)
    return answer


def _secret_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_SECRET + 1)
        text = content.decode()
    except OSError as error:
        raise LocalError(f"the passphrase file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LocalError("the passphrase file is not UTF-8 text") from None
    if len(content) > LONGEST_SECRET:
        raise LocalError(f"the passphrase file is longer than {LONGEST_SECRET} bytes")
    return text.rstrip("\r\n")

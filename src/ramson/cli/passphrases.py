"""The option that tells commands where a passphrase is; how it is read is the same as for bots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.bot.account_secret import LONGEST_SECRET, PASSPHRASE_VARIABLE, read_passphrase

__all__ = ["LONGEST_SECRET", "PASSPHRASE_VARIABLE", "PassphraseFileOption", "read_passphrase"]

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help=f"Read the passphrase from here; otherwise it comes from {PASSPHRASE_VARIABLE}, or is asked for.",
    ),
]

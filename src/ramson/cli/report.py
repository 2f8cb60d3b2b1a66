"""How a command says that it did not work."""

from __future__ import annotations

import sys

from ramson.cli.harmless import printable
from ramson.errors import RamsonError


def report(error: RamsonError) -> None:
    """Say in one line what went wrong and what can be done."""
    text = str(error).strip() or "Something went wrong"
    text = f"{text[0].upper()}{text[1:]}".rstrip(".") + "."
    # a peer may have had a word in it
    print(printable(f"{text} {error.remedy}".strip()), file=sys.stderr)  # noqa: T201 - this is where it is printed

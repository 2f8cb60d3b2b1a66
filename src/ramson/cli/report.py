"""How a command says that it did not work."""

from __future__ import annotations

import sys

from ramson.cli.harmless import printable
from ramson.errors import RamsonError, in_one_line


def report(error: RamsonError) -> None:
    """Say in one line what went wrong and what can be done."""
    # a peer may have had a word in it
    print(printable(in_one_line(error)), file=sys.stderr)  # noqa: T201 - this is where it is printed

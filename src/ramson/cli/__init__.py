"""The command line: what a person types, and nothing that a bot would also need."""

import sys

from ramson.streams import INTERRUPTED

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    try:
        from ramson.cli import app  # noqa: PLC0415 - the process of a node, of this package too, needs none of it
    except KeyboardInterrupt:  # it takes a moment
        sys.exit(INTERRUPTED)
    app.main()

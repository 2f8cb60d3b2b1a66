"""The command line: what a person types, and nothing that a bot would also need."""

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit."""
    from ramson.cli import app  # noqa: PLC0415 - the process of a node, which is of this package too, needs none of it

    app.main()

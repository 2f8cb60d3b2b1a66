"""The command line: what a person types, and nothing that a bot would also need."""

from ramson.cli.app import main

__all__ = ["main"]

"""Groups of commands whose modules are imported when a command is called, or listed.

A node needs no messenger: it starts the faster, takes less memory, and holds less that could go wrong.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """The commands of a table: name to module below `ramson.cli`, and the function or group in it; listed in order."""

    table: ClassVar[Mapping[str, tuple[str, str]]]

    def list_commands(self, _context: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.table)

    def get_command(self, _context: Any, name: str) -> Any:
        """Import a command; None when there is none of that name."""
        if name not in self.table:
            return None
        module, attribute = self.table[name]
        found = getattr(importlib.import_module(f"ramson.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(found)
        return typer.main.get_command(alone)

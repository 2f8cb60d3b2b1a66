"""docs/cli.md, written from the commands themselves: `python -m ramson.cli.reference > docs/cli.md`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from ramson.cli.app import app

_HEAD = """\
# The command line

Written from the commands themselves (`python -m ramson.cli.reference > docs/cli.md`); a test fails when it is stale.

Results go to standard output, progress to standard error and only to a terminal. The exit codes, of bots too:

* 0: done. Also where something that runs until it is stopped (`listen`, `chat`, `path --watch`, `node status --watch`,
  `devnet`, `demo --keep`, `node run`, `seed run`, `servers …`, `bridge run`, a bot) is stopped by Ctrl-C or SIGTERM,
  or, where it goes on printing, because nobody reads that any more;
* 1: it did not work, and one line on standard error says why and what to do;
* 2: the command line itself was wrong;
* 130: any other command was ended by Ctrl-C;
* 141: nobody reads what any other command prints any more (`| head -1`); nothing is said of it.

`--json` changes what is printed to standard output, and nothing of this.
"""


def write() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *_sections(typer.main.get_command(app), "ramson", None)])


def _sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if not names:
        yield from _section(command, name)
    elif parent is None:
        yield from _section(command, f"{name} [OPTIONS] COMMAND …")
    for each in names:
        yield from _sections(command.get_command(context, each), f"{name} {each}", context)


def _section(command: Any, name: str) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    yield f"## {' '.join([name, *map(_placeholder, arguments)])}\n"
    yield f"{_line(command.help)}\n"
    for parameter in (*arguments, *(p for p in command.params if p.param_type_name == "option")):
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        label = " ".join(parameter.opts) if parameter.param_type_name == "option" else _placeholder(parameter)
        facts = [_line(parameter.help or "")]
        if parameter.required:
            facts.append("Required.")
        if variable := parameter.envvar:
            facts.append(f"Also from `{variable}`.")
        yield f"- `{label}`: {' '.join(filter(None, facts))}"
    yield ""


def _placeholder(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _line(text: str | None) -> str:
    return re.sub(r"\s+", " ", inspect.cleandoc(text or "")).strip()


if __name__ == "__main__":
    sys.stdout.write(write())

"""Options that the commands of services share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        dir_okay=False,
        help="The node's configuration; `ramson node config` prints one to begin with.",
    ),
]
NetworkFileOption = Annotated[
    Path | None,
    typer.Option("--network", metavar="FILE", dir_okay=False, help="The network.json that lists this node."),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Which node of network.json this is.")]
OxendOption = Annotated[
    str | None,
    typer.Option(
        "--oxend",
        metavar="ADDRESS",
        help="Instead of a network file, the oxend this node lives beside, such as ipc:///var/lib/oxen/oxend.sock.",
    ),
]
DirOption = Annotated[
    Path | None, typer.Option("--dir", file_okay=False, help="Where keys, certificate and database live.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set any option of the configuration, such as limits.connections=500."
    ),
]
StopOption = Annotated[
    bool, typer.Option("--stop-with-input", help="Stop when standard input ends, as a launcher wants it.")
]

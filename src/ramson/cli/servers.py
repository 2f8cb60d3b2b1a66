"""`ramson servers`: running the servers that clients reach through the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.service import LogLevel, serve
from ramson.errors import LocalError
from ramson.servers.files import FileService, config
from ramson.servers.keys import ServerKeys
from ramson.servers.reports import ReportService
from ramson.world import real

MAX_CONFIG = 1024 * 1024

servers_app = typer.Typer(
    name="servers", help="Run a server that clients reach by onion requests.", no_args_is_help=True
)


@servers_app.callback()
def _servers() -> None:
    """Run a server that clients reach by onion requests."""


@servers_app.command("files")
def files(
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", exists=True, dir_okay=False, metavar="FILE", help="Settings, TOML; see docs/servers.md."
        ),
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", file_okay=False, help="Where key, catalogue and files live.")
    ] = None,
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer; default 0.0.0.0:80.")
    ] = "",
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much to tell on standard error.")
    ] = LogLevel.INFO,
    stop_with_input: Annotated[
        bool, typer.Option("--stop-with-input", help="Stop when standard input ends, as a launcher wants it.")
    ] = False,
) -> None:
    """Keep encrypted files for some days, until told to stop (Ctrl-C or SIGTERM)."""
    settings = config.parse(_read(config_file), directory=directory, listen=listen)
    world = real.world()
    keys = ServerKeys.load_or_create(settings.directory, world.entropy)
    serve(lambda: FileService(world, keys, settings), level=log_level, stop_with_input=stop_with_input)


@servers_app.command("reports")
def reports(
    directory: Annotated[
        Path, typer.Option("--dir", file_okay=False, metavar="DIR", help="Where key and database live.")
    ],
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer.", show_default=True)
    ] = "0.0.0.0:80",
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much to tell on standard error.")
    ] = LogLevel.INFO,
    stop_with_input: Annotated[
        bool, typer.Option("--stop-with-input", help="Stop when standard input ends, as a launcher wants it.")
    ] = False,
) -> None:
    """Collect reachability reports and publish what ten reporters say alike, until told to stop (Ctrl-C or SIGTERM)."""
    where = config.endpoint(listen)
    world = real.world()
    keys = ServerKeys.load_or_create(directory, world.entropy)
    serve(lambda: ReportService(world, keys, where, directory), level=log_level, stop_with_input=stop_with_input)


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"the configuration cannot be read: {type(error).__name__}") from None

"""`ramson seed`: telling clients who is in a network of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.operate_options import StopOption
from ramson.cli.service import LogFormat, LogLevel, serve
from ramson.errors import LocalError
from ramson.given_files import read_network
from ramson.node import certificate
from ramson.node.settings import parse_endpoint
from ramson.protocol.network_file import NetworkFile
from ramson.registry import FileRegistry, SeedService
from ramson.world import real


def run_seed(
    network: Annotated[
        Path, typer.Option("--network", exists=True, dir_okay=False, help="The network.json that lists the nodes.")
    ],
    directory: Annotated[Path, typer.Option("--dir", file_okay=False, help="Where the certificate lives.")],
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer; default: as the network file says.")
    ] = "",
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much to tell on standard error.")
    ] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="For people or for programs.")] = LogFormat.TEXT,
    stop_with_input: StopOption = False,
) -> None:
    """Answer clients that ask for the list of nodes, over HTTPS, until told to stop."""
    described = read_network(network)
    endpoint = parse_endpoint(listen or _first_seed(described), "the address to listen at")
    world = real.world()
    chain = certificate.load_or_create(directory, world.clock.now())
    serve(
        lambda: SeedService(world, FileRegistry(described), endpoint, chain),
        level=log_level,
        log_format=log_format,
        stop_with_input=stop_with_input,
    )


def _first_seed(network: NetworkFile) -> str:
    if not network.seeds:
        raise LocalError("the network file names no seed", remedy="Say where to listen with --listen HOST:PORT.")
    return network.seeds[0].url.partition("//")[2].partition("/")[0]

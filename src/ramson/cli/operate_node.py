"""`ramson node run` and `ramson node config`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ramson.cli import node_process
from ramson.cli.operate_options import (
    ConfigOption,
    DirOption,
    NameOption,
    NetworkFileOption,
    OxendOption,
    SetOption,
    StopOption,
)
from ramson.cli.operate_settings import load
from ramson.cli.service import LogFormat, LogLevel
from ramson.cli.terminal import result
from ramson.node import settings


def config() -> None:
    """Print a configuration file in which every option is explained and has its default."""
    result(settings.default_file())


def run_node(
    config_file: ConfigOption = None,
    directory: DirOption = None,
    network: NetworkFileOption = None,
    name: NameOption = None,
    *,
    oxend: OxendOption = None,
    listen: Annotated[str | None, typer.Option("--listen", help="The address of this machine to listen at.")] = None,
    https_port: Annotated[int | None, typer.Option("--https-port", help="The TCP port for clients and pings.")] = None,
    omq_port: Annotated[int | None, typer.Option("--omq-port", help="The TCP port for other nodes.")] = None,
    testnet: Annotated[
        bool | None, typer.Option("--testnet", help="With --oxend: it is one of the test network.")
    ] = None,
    seeds: Annotated[
        bool | None,
        typer.Option(
            "--seeds/--no-seeds",
            help="With --oxend: whether to ask the network's seeds how long the chain is when oxend knows few nodes.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Where on loopback to show metrics and status."),
    ] = None,
    allow_private_relay: Annotated[
        bool | None,
        typer.Option(
            "--allow-private-relay",
            help="Let onion requests reach servers at loopback and private addresses. For test networks only.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", help="How much to tell on standard error.")
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option("--log-format", help="For people or for programs.")] = None,
    assignments: SetOption = None,
    stop_with_input: StopOption = False,
) -> None:
    """Run a service node, of a network file or beside an oxend, until it is told to stop (Ctrl-C or SIGTERM)."""
    chosen = load(
        config_file,
        {
            "data_dir": directory,
            "network.file": network,
            "network.name": name,
            "network.oxend": oxend,
            "network.testnet": testnet,
            "network.seeds": seeds,
            "listen.address": listen,
            "listen.https_port": https_port,
            "listen.omq_port": omq_port,
            "metrics.listen": metrics,
            "relay.allow_private": allow_private_relay,
            "log.level": log_level and log_level.value,
            "log.format": log_format and log_format.value,
        },
        assignments,
    )
    node_process.prepare(chosen)
    become = node_process.command(chosen, stop_with_input=stop_with_input)
    os.execv(become[0], become)  # noqa: S606 - this very interpreter

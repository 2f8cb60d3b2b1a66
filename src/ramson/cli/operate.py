"""`ramson node` and `ramson seed`: running a service of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.service import LogLevel, serve
from ramson.errors import LocalError
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, NetworkNode
from ramson.registry import FileRegistry, SeedService
from ramson.world import Endpoint, real

node_app = typer.Typer(name="node", help="Run a service node.", no_args_is_help=True)
seed_app = typer.Typer(name="seed", help="Run a seed, which tells clients who is in the network.", no_args_is_help=True)

NetworkOption = Annotated[
    Path, typer.Option("--network", exists=True, dir_okay=False, help="The network.json that lists the nodes.")
]
DirOption = Annotated[Path, typer.Option("--dir", file_okay=False, help="Where keys, certificate and database live.")]
LogOption = Annotated[LogLevel, typer.Option("--log-level", help="How much to tell on standard error.")]
StopOption = Annotated[
    bool, typer.Option("--stop-with-input", help="Stop when standard input ends, as a launcher wants it.")
]


def read_network(path: Path) -> NetworkFile:
    """Read a network file.  Raises ParseError that names what is wrong."""
    return network_file.parse(path.read_bytes())


def _find(network: NetworkFile, name: str) -> NetworkNode:
    for node in network.nodes:
        if node.name == name:
            return node
    names = ", ".join(node.name for node in network.nodes)
    raise LocalError(f"the network lists no node called {name!r}", remedy=f"It lists: {names}.")


@node_app.command("run")
def run_node(
    network: NetworkOption,
    name: Annotated[str, typer.Option("--name", help="Which node of the network this is.")],
    directory: DirOption,
    *,
    allow_private_relay: Annotated[
        bool,
        typer.Option(
            "--allow-private-relay",
            help="Let onion requests reach servers at loopback and private addresses. For test networks only.",
        ),
    ] = False,
    log_level: LogOption = LogLevel.INFO,
    stop_with_input: StopOption = False,
) -> None:
    """Run one node of a network file until it is told to stop (Ctrl-C or SIGTERM)."""
    described = read_network(network)
    entry = _find(described, name)
    world = real.world()
    keys = NodeKeys.load_or_create(directory, world.entropy)
    if keys.ed25519.public != entry.record.ed25519:
        raise LocalError(
            f"the keys in {directory} are not those of {name} in {network}",
            remedy="Give the directory that belongs to this node, or list its public keys in the network file.",
        )
    config = NodeConfig(
        https=Endpoint(entry.record.ip, entry.record.https_port),
        omq=Endpoint(entry.record.ip, entry.record.omq_port),
        data_dir=directory,
        testnet=described.testnet,
        allow_private_relay=allow_private_relay,
    )
    chain = certificate.load_or_create(directory, world.clock.now())
    serve(
        lambda: Node(world, keys, chain, config, FileRegistry(described)),
        level=log_level,
        stop_with_input=stop_with_input,
    )


@seed_app.command("run")
def run_seed(
    network: NetworkOption,
    directory: DirOption,
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer; default: as the network file says.")
    ] = "",
    log_level: LogOption = LogLevel.INFO,
    stop_with_input: StopOption = False,
) -> None:
    """Answer clients that ask for the list of nodes, over HTTPS, until told to stop."""
    described = read_network(network)
    endpoint = _endpoint(listen or _first_seed(described))
    world = real.world()
    chain = certificate.load_or_create(directory, world.clock.now())
    serve(
        lambda: SeedService(world, FileRegistry(described), endpoint, chain),
        level=log_level,
        stop_with_input=stop_with_input,
    )


def _first_seed(network: NetworkFile) -> str:
    if not network.seeds:
        raise LocalError("the network file names no seed", remedy="Say where to listen with --listen HOST:PORT.")
    return network.seeds[0].url.partition("//")[2].partition("/")[0]


def _endpoint(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise LocalError(f"not an address to listen at: {text!r}", remedy="Write HOST:PORT, such as 0.0.0.0:4443.")
    return Endpoint(host.strip("[]"), int(port))

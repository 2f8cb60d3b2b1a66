"""`ramson node` and `ramson seed`: running a service of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ramson.cli.service import LogLevel, serve
from ramson.errors import LocalError
from ramson.node import certificate
from ramson.node.beside_oxend import node_beside_oxend
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol import network_file
from ramson.protocol.network_file import NetworkFile, NetworkNode
from ramson.registry import FileRegistry, SeedService
from ramson.world import DaemonAddress, Endpoint, real

node_app = typer.Typer(name="node", help="Run a service node.", no_args_is_help=True)
seed_app = typer.Typer(name="seed", help="Run a seed, which tells clients who is in the network.", no_args_is_help=True)

# HTTPS and OxenMQ; defaults.md, Ports
MAINNET_PORTS: Final = (22021, 22020)
TESTNET_PORTS: Final = (38155, 38154)

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
    directory: DirOption,
    network: Annotated[
        Path | None,
        typer.Option("--network", exists=True, dir_okay=False, help="The network.json that lists this node."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Which node of network.json this is.")] = "",
    *,
    oxend: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Instead of a network file, the oxend this node lives beside, such as ipc:///var/lib/oxen/oxend.sock.",
        ),
    ] = "",
    listen: Annotated[str, typer.Option(help="With --oxend: the address of this machine to listen at.")] = "0.0.0.0",
    https_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="With --oxend; default 22021, on the test network 38155.")
    ] = None,
    omq_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="With --oxend; default 22020, on the test network 38154.")
    ] = None,
    testnet: Annotated[bool, typer.Option("--testnet", help="With --oxend: it is of the test network.")] = False,
    ask_seeds: Annotated[
        bool,
        typer.Option(
            "--seeds/--no-seeds",
            help="With --oxend: whether to ask the network's seeds how long the chain is when oxend knows few nodes.",
        ),
    ] = True,
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
    """Run a service node, of a network file or beside an oxend, until it is told to stop (Ctrl-C or SIGTERM)."""
    if oxend:
        if network is not None or name:
            raise LocalError("a node is either of a network file or beside an oxend", remedy="Leave one of them out.")
        address = DaemonAddress.parse(oxend)
        https, omq = TESTNET_PORTS if testnet else MAINNET_PORTS
        config = NodeConfig(
            https=Endpoint(listen, https_port or https),
            omq=Endpoint(listen, omq_port or omq),
            data_dir=directory,
            testnet=testnet,
            allow_private_relay=allow_private_relay,
        )
        world = real.world()
        chain = certificate.load_or_create(directory, world.clock.now())
        serve(
            lambda: node_beside_oxend(world, address, chain, config, seeds=None if ask_seeds else ()),
            level=log_level,
            stop_with_input=stop_with_input,
        )
        return
    if network is None or not name:
        raise LocalError(
            "which node is this?", remedy="Give --network and --name, or --oxend with the address of its daemon."
        )
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

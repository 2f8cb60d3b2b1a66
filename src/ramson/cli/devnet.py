"""`ramson devnet` and `ramson demo`: a whole network on this machine, to build against and to look at."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from ramson import streams
from ramson.cli.service import stop_requested
from ramson.cli.terminal import progress, run, run_until_stopped
from ramson.devnet import Devnet
from ramson.devnet.demo import AccountsMade, Delivered, Demo, Killed, Mended, NetworkUp, Step, network_up
from ramson.devnet.layout import MAX_NODES
from ramson.world import real

MIN_DEMO_NODES = 8  # two disjoint paths, and somebody left to mend them with

NodesOption = Annotated[int, typer.Option("--nodes", min=1, max=MAX_NODES, help="How many nodes.")]
SwarmsOption = Annotated[int, typer.Option("--swarms", min=1, help="Over how many swarms they are dealt.")]


def devnet(
    directory: Annotated[Path, typer.Option("--dir", file_okay=False, help="Where network.json and the nodes live.")],
    *,
    nodes: NodesOption = 12,
    swarms: SwarmsOption = 2,
    conformance: Annotated[
        bool,
        typer.Option("--conformance", help="The shape that lets no test of the conformance suite skip."),
    ] = False,
    file_server: Annotated[
        bool,
        typer.Option("--file-server/--no-file-server", help="Run a file server too, for attachments and pictures."),
    ] = True,
    in_process: Annotated[
        bool,
        typer.Option("--in-process", help="Everything in this one process, for machines with little memory."),
    ] = False,
    block: Annotated[
        str | None,
        typer.Option(
            "--block",
            help="First two bytes of the nodes' addresses, such as 198.18, in a network namespace that has them.",
        ),
    ] = None,
) -> None:
    """Start a network of real nodes on this machine, write DIR/network.json, and stay up until Ctrl-C."""
    run_until_stopped(
        _stay_up(
            Devnet(
                real.world(),
                directory,
                nodes=nodes,
                swarms=swarms,
                conformance=conformance,
                file_server=file_server,
                in_process=in_process,
                block=block,
            )
        )
    )


async def _stay_up(network: Devnet) -> None:
    with progress("Starting the nodes…"):
        await network.__aenter__()
    try:
        async with stop_requested(with_input=False) as stop:
            streams.mention(_joining(network.network_path))
            await stop.wait()
    finally:
        await network.__aexit__(None, None, None)


def _joining(network: Path) -> str:
    return (
        f"The network is up: {network}\n"
        f"Join it from another terminal:\n"
        f"    ramson account create --account me.ramson\n"
        f"    ramson listen --account me.ramson --network {network}\n"
        f"Stop it with Ctrl-C."
    )


def demo(
    *,
    nodes: Annotated[int, typer.Option("--nodes", min=MIN_DEMO_NODES, max=MAX_NODES, help="How many nodes.")] = 12,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the network up afterwards, to join it.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", file_okay=False, help="Where to put the network; default: thrown away.")
    ] = None,
) -> None:
    """Show two people talking across a real network on this machine while two of its nodes die."""
    with ExitStack() as stack:
        home = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ramson-demo-")))
        run(_play(home, nodes, keep=keep))


async def _play(directory: Path, nodes: int, *, keep: bool) -> None:
    console = Console(highlight=False, width=None if Console().is_terminal else 120)
    world = real.world()

    def tell(step: Step) -> None:
        console.print(_render(step))
        console.print()

    began = world.clock.monotonic()
    try:
        async with Devnet(world, directory, nodes=nodes) as network:
            tell(network_up(network, world.clock.monotonic() - began))
            await Demo(world, network, tell).run()
            console.print(f"[green]All of it happened[/], in {world.clock.monotonic() - began:.0f} s.")
            if keep:
                async with stop_requested(with_input=False) as stop:
                    streams.mention(_joining(network.network_path))
                    await stop.wait()
    finally:
        await world.net.close()


def _render(step: Step) -> RenderableType:
    match step:
        case NetworkUp():
            swarms = "\n".join(f"  swarm {i}: {', '.join(names)}" for i, names in enumerate(step.swarms, 1))
            count = sum(map(len, step.swarms))
            return (
                f"[bold]The network[/]: a seed and {count} nodes, each a process with its own address,"
                f" up after {step.seconds:.1f} s.\n{swarms}"
            )
        case AccountsMade():
            return (
                f"[bold]Two people[/], who know nothing but each other's id:\n"
                f"  A is {step.a}, her mail is kept by {', '.join(step.swarm_of_a)}\n"
                f"  B is {step.b}, his mail is kept by {', '.join(step.swarm_of_b)}"
            )
        case Delivered():
            return _delivery(step)
        case Killed():
            return f"[bold red]Killed[/]: {step.node.name} ({step.node.record.ip}), {step.why}."
        case Mended():
            events = "\n".join(f"  • {text}" for text in step.events)
            return (
                f"[bold]How A's path was mended[/], in {step.seconds:.1f} s:\n{events}\n"
                f"  before: {' → '.join(node.name for node in step.before)}\n"
                f"  after:  {' → '.join(node.name for node in step.after)}"
            )


def _delivery(step: Delivered) -> RenderableType:
    one, other = step.sender, step.recipient
    sights = (
        ("guard", f"{one}'s address, the middle hop", f"{other}, the swarm, the message"),
        ("middle", "the guard, the last hop", f"{one}, {other}, the swarm, the message"),
        ("last", "the middle hop, which node is asked", f"{one}, {other}'s id, the message"),
        ("swarm", f"that {other} has mail, its size and time", f"{one}, {one}'s address, the message"),
    )
    table = Table("hop", "node", "address", "could see", "could not see", box=None, padding=(0, 2, 0, 2))
    for (place, seen, hidden), node in zip(sights, (*step.route.hops, step.route.destination), strict=True):
        table.add_row(place, node.name, node.record.ip, seen, hidden)
    return Group(
        f"[bold]{one} → {other}[/]: “{escape(step.text)}”",
        table,
        f"  stored by {step.stored} of {step.total} members of {other}'s swarm, each signed for hash {step.hash}",
        f"  on their disks after {step.stored_ms} ms, read by {other} after {step.read_ms} ms",
    )

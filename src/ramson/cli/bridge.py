"""`ramson bridge`: for volunteers, to run one and hand out links; for everybody else, to keep those they were given."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ramson.cli.harmless import printable
from ramson.cli.operate_options import StopOption
from ramson.cli.options import NetworkOption, resolve_network
from ramson.cli.service import LogLevel, serve
from ramson.cli.terminal import JsonOption, note, progress, result, result_json, run
from ramson.errors import LocalError

if TYPE_CHECKING:
    from ramson.network import NetworkProfile
    from ramson.protocol.nodes import NodeRecord
    from ramson.servers.bridge.config import BridgeConfig
    from ramson.world import World

bridge_app = typer.Typer(
    name="bridge", help="Bridges: web sites that bring blocked people into the network.", no_args_is_help=True
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", exists=True, dir_okay=False, metavar="FILE", help="Settings, TOML; see docs/bridge.md."),
]
DirOption = Annotated[
    Path | None, typer.Option("--dir", file_okay=False, help="Where the bridge keeps its secrets and what it needs.")
]
SiteOption = Annotated[
    str, typer.Option("--site", metavar="URL", help="The URL of the site, as visitors see it, with a slash at its end.")
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="LINK|FILE|IMAGE|-",
        help="The link, a file or message it is in, a picture of its QR code, or - to paste it.",
        show_default=False,
    ),
]


def bridges_file() -> Path:
    """Return where the bridges are kept that this person was given."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ramson" / "bridges"


# For volunteers.


@bridge_app.command("run")
def run_bridge(
    config_file: ConfigOption = None,
    directory: DirOption = None,
    site: SiteOption = "",
    *,
    cover: Annotated[
        Path | None, typer.Option("--cover", file_okay=False, help="The site's files; default a page to write on.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer; default 127.0.0.1:8080.")
    ] = "",
    certificate: Annotated[
        Path | None, typer.Option("--certificate", dir_okay=False, help="Certificate chain, PEM; else plain HTTP.")
    ] = None,
    private_key: Annotated[Path | None, typer.Option("--private-key", dir_okay=False, help="Its key, PEM.")] = None,
    node_list: Annotated[
        Path | None,
        typer.Option("--node-list", dir_okay=False, help="The signed list of nodes to hand out; else its own."),
    ] = None,
    metrics: Annotated[
        str, typer.Option("--metrics", metavar="HOST:PORT", help="Show counts there, on this machine only.")
    ] = "",
    network: Annotated[
        str, typer.Option("--network", metavar="mainnet|testnet|FILE", help="The network to lead to.")
    ] = "",
    obfs4: Annotated[
        str, typer.Option("--obfs4", metavar="HOST:PORT", help="Let obfs4proxy listen there and lead to the bridge.")
    ] = "",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Lead to nodes at private addresses as well, as in a devnet.")
    ] = False,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="How much to tell on standard error.")
    ] = LogLevel.INFO,
    stop_with_input: StopOption = False,
) -> None:
    """Run a web site that is also a bridge, until told to stop (Ctrl-C or SIGTERM)."""
    from ramson.servers.bridge.service import BridgeService  # noqa: PLC0415 - an extra, for this command only
    from ramson.world import real  # noqa: PLC0415 - as above

    settings = _settings(
        config_file,
        directory=directory,
        site=site,
        cover=cover,
        listen=listen,
        certificate=certificate,
        private_key=private_key,
        node_list=node_list,
        metrics=metrics,
        network=network,
        obfs4=obfs4,
        allow_private=allow_private,
    )
    serve(lambda: BridgeService(real.world(), settings), level=log_level, stop_with_input=stop_with_input)


@bridge_app.command("keygen")
def keygen(
    config_file: ConfigOption = None,
    directory: DirOption = None,
    *,
    label: Annotated[str, typer.Option("--label", help="What you call the link that this secret is for.")] = "friends",
) -> None:
    """Make the secret of a new link; a running bridge knows it after its next start."""
    from ramson.servers.bridge import keys  # noqa: PLC0415 - an extra
    from ramson.world import real  # noqa: PLC0415 - as above

    place = _settings(config_file, directory=directory).directory
    keys.add(place, label, real.world().entropy)
    note(f"The secret of {label!r} is in {place / keys.KEYS_FILE}. Restart the bridge, then: ramson bridge link")


@bridge_app.command("link")
def show_link(
    config_file: ConfigOption = None,
    directory: DirOption = None,
    site: SiteOption = "",
    *,
    label: Annotated[str | None, typer.Option("--label", help="Which link; the first, unless said.")] = None,
    certificate: Annotated[
        Path | None, typer.Option("--pin", dir_okay=False, help="Pin this certificate's key (PEM) in the link.")
    ] = None,
    front: Annotated[str | None, typer.Option("--front", help="A name of the same CDN to show to onlookers.")] = None,
    network: Annotated[
        str, typer.Option("--network", metavar="mainnet|testnet|FILE", help="The network it leads to.")
    ] = "",
    obfs4: Annotated[
        str,
        typer.Option(
            "--obfs4", metavar="HOST:PORT", help="Print what reach.toml needs to come by obfs4 to this address."
        ),
    ] = "",
    qr: Annotated[bool, typer.Option("--qr", help="Draw a QR code as well.")] = False,
    image: Annotated[
        Path | None, typer.Option("--image", dir_okay=False, help="Write a QR code to this .png or .svg.")
    ] = None,
) -> None:
    """Print the link to hand out. It is a secret: who has it can use the bridge, and find it."""
    from ramson.cli import bridge_links  # noqa: PLC0415 - for this command only
    from ramson.protocol.bridge import link  # noqa: PLC0415 - as above
    from ramson.servers.bridge import keys  # noqa: PLC0415 - as above
    from ramson.servers.bridge.transport import LINE_FILE  # noqa: PLC0415 - as above

    settings = _settings(config_file, directory=directory, site=site, network=network)
    if obfs4 and not settings.certificate:  # what is behind the transport speaks plain HTTP
        settings = replace(settings, site=f"http://{settings.listen}/")
    if not settings.site:
        raise LocalError("no site", remedy="Set `site`, or give --site https://…/.")
    key = keys.find(keys.required(settings.directory), label)
    profile = resolve_network(settings.network)
    pin = None if certificate is None else _pin(certificate)
    made = link.make(settings.site, key.secret, profile.name, pin=pin, front=front)
    if obfs4:
        result(bridge_links.transport_table(settings.directory / LINE_FILE, obfs4, made))
        return
    if image is not None:
        bridge_links.write_qr(made, image)
    if qr:
        bridge_links.show_qr(made)
    result(made.uri)


@bridge_app.command("check")
def check(
    source: SourceArgument,
    network: NetworkOption = "mainnet",
    *,
    ask_seeds: Annotated[
        bool, typer.Option("--ask-seeds", help="Get nodes to ask from the seeds, by your usual way out.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Test a bridge from outside: its site, nodes through it, what strangers see; exit code 1 if anything fails."""
    from ramson.cli import bridge_check, bridge_links  # noqa: PLC0415 - for this command only
    from ramson.world import real  # noqa: PLC0415 - as above

    found, profile = bridge_links.take(source), resolve_network(network)
    if found.network != profile.name:
        raise LocalError("the bridge leads to another network", remedy="Say which with --network.")

    async def look() -> list[bridge_check.Step]:
        world = real.world()
        try:
            nodes = await _from_seeds(world, profile) if ask_seeds else profile.bundled
            return await bridge_check.check(world, found, nodes, profile.authority)
        finally:
            await world.net.close()

    with progress("Looking…"):
        steps = run(look())
    if json:
        result_json([asdict(step) for step in steps])
    else:
        for step in steps:
            result(f"{step.verdict.value:<7} {step.what}: {printable(step.found)}")  # a bridge had a word in it
    if any(step.verdict is bridge_check.Verdict.FAILED for step in steps):
        raise typer.Exit(1)


# For everybody.


@bridge_app.command("add")
def add(
    source: SourceArgument,
    *,
    label: Annotated[str | None, typer.Option("--label", help="What to call it; bridge-1, …, unless said.")] = None,
) -> None:
    """Keep a bridge that you were given."""
    from ramson.cli import bridge_links  # noqa: PLC0415 - for this command only
    from ramson.reach import bridge_book  # noqa: PLC0415 - as above

    result(bridge_book.add(bridges_file(), bridge_links.take(source), label))


@bridge_app.command("list")
def list_bridges(*, json: JsonOption = False) -> None:
    """Show the labels of your bridges, and the networks they lead to."""
    from ramson.reach import bridge_book  # noqa: PLC0415 - for this command only

    known = bridge_book.load(bridges_file())
    if json:
        result_json([{"label": each.label, "network": each.link.network} for each in known])
        return
    for each in known:
        result(f"{each.label}  {each.link.network}")


@bridge_app.command("remove")
def remove(label: Annotated[str, typer.Argument(help="The bridge's label.", show_default=False)]) -> None:
    """Forget a bridge."""
    from ramson.reach import bridge_book  # noqa: PLC0415 - for this command only

    bridge_book.remove(bridges_file(), label)


def _settings(config_file: Path | None, **given: object) -> BridgeConfig:
    from ramson.servers.bridge import config  # noqa: PLC0415 - an extra

    overrides: dict[str, Any] = {name: value if value is True else str(value) for name, value in given.items() if value}
    return config.parse(config.read(config_file) if config_file else "", overrides)


def _pin(path: Path) -> bytes:
    from ramson.world import Certificate  # noqa: PLC0415 - for one option only
    from ramson.world.pins import pin_of  # noqa: PLC0415 - as above

    try:
        return pin_of(Certificate(path.read_bytes(), b""))
    except (OSError, ValueError):
        raise LocalError(f"{path} is not a certificate in PEM") from None


async def _from_seeds(world: World, profile: NetworkProfile) -> tuple[NodeRecord, ...]:
    from ramson.cli.way_out import reach_settings  # noqa: PLC0415 - for one option only
    from ramson.network import MemoryCache, Network  # noqa: PLC0415 - as above
    from ramson.reach import open_entry  # noqa: PLC0415 - as above

    reach = reach_settings().for_network(profile.name)
    async with (
        open_entry(world, reach, bridges_file().with_name("transports")) as entry,
        Network(world, profile, MemoryCache(), entry=entry) as network,
    ):
        await network.ready()
        return network.nodes

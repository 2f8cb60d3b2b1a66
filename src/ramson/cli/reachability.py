"""`ramson report`: telling others what can be reached from here, if one wants to, and nothing else.

Nothing is measured or sent of itself.  What would be sent is shown to the last character before, and is sent through
the onion network only, after a while that nobody can foresee.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from ramson.cli.doctor import SecondsOption, YesOption, examined
from ramson.cli.options import NetworkOption, confirm, data_directory, resolve_network
from ramson.cli.terminal import following, note, progress, result, run
from ramson.cli.way_out import reach_settings
from ramson.errors import LocalError
from ramson.network import FileCache, Network, NetworkProfile
from ramson.protocol import reach_report
from ramson.protocol.onion import ServerDestination
from ramson.protocol.reach_report import ReachReport
from ramson.reach import ReachSettings, bridge_lists, open_entry, report
from ramson.world import real

report_app = typer.Typer(
    name="report",
    help="Tell others what can be reached from here: shown before, sent only if you say so.",
    no_args_is_help=True,
)

CountryOption = Annotated[
    str, typer.Option("--country", metavar="XX", help="Put this country into the report; otherwise there is none.")
]
ProviderOption = Annotated[
    str,
    typer.Option(
        "--provider", metavar="AS64500", help="Put this internet provider into the report; otherwise there is none."
    ),
]
CollectorOption = Annotated[
    str,
    typer.Option(
        "--collector",
        metavar="URL#KEY",
        envvar="RAMSON_COLLECTOR",
        help="Who gets it: a URL, #, and the collector's key; whoever runs one tells both.",
    ),
]


@report_app.callback()
def _report() -> None:
    """Tell others what can be reached from here: shown before, sent only if you say so."""


@report_app.command("show")
def show(
    network: NetworkOption = "mainnet",
    *,
    country: CountryOption = "",
    provider: ProviderOption = "",
    seconds: SecondsOption = 60.0,
    yes: YesOption = False,
) -> None:
    """Examine what can be reached, as `ramson doctor` does, and show the report of it.  Nothing is sent."""
    made = _measure(network, country, provider, seconds, yes=yes)
    if made is not None:
        result(reach_report.encode(made).decode().rstrip())


@report_app.command("save")
def save(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to write it.")],
    network: NetworkOption = "mainnet",
    *,
    country: CountryOption = "",
    provider: ProviderOption = "",
    seconds: SecondsOption = 60.0,
    yes: YesOption = False,
) -> None:
    """Examine what can be reached and write the report to a file, to be read, given to somebody, or sent later."""
    if file.exists():
        raise LocalError(f"{file} is there already", remedy="Name a file that is not.")
    made = _measure(network, country, provider, seconds, yes=yes)
    if made is None:
        return
    try:
        with file.open("xb") as out:
            out.write(reach_report.encode(made))
    except OSError as error:
        raise LocalError(f"{file} cannot be written: {error.strerror}", remedy="Name another place.") from None


@report_app.command("send")
def send(
    collector: CollectorOption,
    network: NetworkOption = "mainnet",
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", exists=True, dir_okay=False, help="Send this report, saved before, and examine nothing."
        ),
    ] = None,
    country: CountryOption = "",
    provider: ProviderOption = "",
    seconds: SecondsOption = 60.0,
    yes: YesOption = False,
    sending_agreed: Annotated[
        bool, typer.Option("--send-unasked", help="Do not ask before sending; the report is shown all the same.")
    ] = False,
    delay: Annotated[
        float, typer.Option("--delay", min=0, max=86_400, help="Wait a random part of so many seconds before sending.")
    ] = report.DELAY,
) -> None:
    """Examine what can be reached, show the report, and after your yes send it through the onion network.

    A random token of this month is in it, by which a collector counts each device once; next month has another.
    """
    to = report.collector(collector)
    if file is not None and (country or provider):
        raise LocalError("a saved report is sent as it is", remedy="Leave --country and --provider out.")
    if not sending_agreed and not sys.stdin.isatty():
        raise LocalError("nobody is there to be asked", remedy="Save the report and look at it, or say --send-unasked.")
    made = _measure(network, country, provider, seconds, yes=yes) if file is None else _saved(file)
    if made is None:
        return
    world = real.world()
    directory = data_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = report.token_of(made.month, FileCache(directory / "reporter.json"), world.entropy)
    made = reach_report.with_reporter(made, token)
    result(reach_report.encode(made).decode().rstrip())
    if not sending_agreed and not confirm("Send exactly this?"):
        return
    run(_send(resolve_network(network), reach_settings(), to, made, delay))
    note("It was sent.")


def _measure(network: str, country: str, provider: str, seconds: float, *, yes: bool) -> ReachReport | None:
    world = real.world()
    now = world.clock.now()
    found = run(examined(network, "", seconds, dry_run=False, yes=yes, json=True))
    return None if found is None else report.make_report(found, now_ms=now, country=country, provider=provider)


def _saved(file: Path) -> ReachReport:
    with file.open("rb") as source:
        return report.read_saved(source.read(reach_report.MAX_SIZE + 1))


async def _send(
    profile: NetworkProfile, reach: ReachSettings, to: ServerDestination, made: ReachReport, delay: float
) -> None:
    world = real.world()
    directory = data_directory()
    cache = FileCache(directory / f"nodes-{profile.fingerprint[:16]}.json")
    ways = FileCache(directory / f"ways-{profile.fingerprint[:16]}.json")
    reach = reach.for_network(profile.name)
    lists = profile.with_lists(bridge_lists(world, reach))
    try:
        with progress("Waiting for a while that nobody can foresee, and then sending…") as show:
            await asyncio.sleep(world.entropy.uniform(0, delay))
            async with (
                open_entry(world, reach, directory / "transports", ways) as entry,
                Network(world, lists, cache, entry=entry, policy=reach.hops, pinned=reach.path) as network,
                following(network.watch(), show),
                asyncio.timeout(120),
            ):
                await network.ready()
                await report.send(network, to, made)
    except TimeoutError:
        raise report.NotCollected(
            "there is no way into the network", remedy="Save the report and send it later."
        ) from None
    finally:
        await world.net.close()

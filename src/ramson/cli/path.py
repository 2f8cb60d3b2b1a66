"""`ramson path`: the way messages take, and what a person can say about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from ramson.cli.harmless import printable
from ramson.cli.options import JsonOption, NetworkOption, data_directory, resolve_network
from ramson.cli.terminal import following, progress, result, result_json, run, run_until_stopped
from ramson.cli.way_out import reach_settings
from ramson.errors import LocalError, RemoteError
from ramson.network import FileCache, Light, Network, NetworkProfile, PathStatus, Place
from ramson.network.countries import country_of
from ramson.network.hop_policy import HopPolicy
from ramson.network.paths import Path
from ramson.reach import ReachSettings, bridge_lists, kept, open_entry
from ramson.world import real

ELSEWHERE = "The pinned path is not in use: its nodes are gone, do not answer, or are not to be hops."


class NoWay(RemoteError):
    """There is no path in the time given."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be done with the paths before they are shown."""

    seconds: float
    watch: bool
    reroll: bool
    guards: bool
    pin: bool


def path(
    network: NetworkOption = "mainnet",
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing them, each change as it comes.")] = False,
    reroll: Annotated[
        bool, typer.Option("--reroll", help="Make paths of other nodes behind the same guards; forget a pinned path.")
    ] = False,
    guards: Annotated[
        bool,
        typer.Option("--guards", help="With --reroll: other guards too. Each new one learns your address."),
    ] = False,
    avoid: Annotated[
        list[str] | None,
        typer.Option("--avoid", metavar="XX|NETWORK", help="No hops in this country or network; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="XX|NETWORK", help="Hops in these countries or networks alone."),
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep to the present path, now and at the next starts.")] = False,
    unpin: Annotated[bool, typer.Option("--unpin", help="Forget the path that was pinned.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to look for a path.")] = 60.0,
    json: JsonOption = False,
) -> None:
    """Build paths into the network and show them: the light, and the nodes on the way.  No account is used.

    Rules about hops for all commands and programs stand in the settings, see docs/reach.md; so does a path that was
    pinned.
    """
    if guards and not reroll:
        raise LocalError("--guards says how to reroll", remedy="Say --reroll too.")
    if pin and (unpin or watch):
        raise LocalError("--pin goes neither with --unpin nor with --watch")
    if unpin or reroll:
        kept.unpin_path(kept.settings_directory(os.environ))
    reach = reach_settings()
    if avoid or only:
        reach = replace(reach, hops=HopPolicy.parse(avoid=avoid or (), only=only or ()))
    wish = _Wish(timeout, watch, reroll, guards, pin)
    profile = resolve_network(network)
    with _display(as_json=json, live=watch) as shown:
        if watch:
            run_until_stopped(_look(profile, reach, wish, shown))
            return
        status = run(_look(profile, reach, wish, shown))
    if status.light is Light.RED:
        raise NoWay(f"no way into the network was found in {timeout:g} s", remedy="`ramson doctor` says what helps.")


Shown = Callable[[Network, ReachSettings, PathStatus], None]


async def _look(profile: NetworkProfile, reach: ReachSettings, wish: _Wish, shown: Shown) -> PathStatus:
    """Wait for two paths, be content with what there is when the time is over, and show it."""
    world = real.world()
    directory = data_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache = FileCache(directory / f"nodes-{profile.fingerprint[:16]}.json")
    state = directory / "transports"
    ways = FileCache(directory / f"ways-{profile.fingerprint[:16]}.json")
    reach = reach.for_network(profile.name)
    lists = profile.with_lists(bridge_lists(world, reach))
    try:
        async with (
            open_entry(world, reach, state, ways) as entry,
            Network(world, lists, cache, entry=entry, policy=reach.hops, pinned=reach.path) as network,
        ):
            if wish.watch and not wish.reroll:
                async for status in network.watch():
                    shown(network, reach, status)
            await _green(network, wish.seconds)
            if wish.reroll:
                network.reroll(guards=wish.guards)
                await _green(network, wish.seconds)
            if wish.pin and network.status.paths:
                kept.pin_path(
                    kept.settings_directory(os.environ), [node.ed25519 for node in network.status.paths[0].hops]
                )
            shown(network, reach, network.status)
            if wish.watch:
                async for status in _later(network.watch()):
                    shown(network, reach, status)
            return network.status
    finally:
        await world.net.close()


async def _green(network: Network, seconds: float) -> None:
    with progress("Looking for a way into the network…") as show:
        async with following(network.watch(), show):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    async for status in network.watch():
                        if status.light is Light.GREEN:
                            break


async def _later(statuses: AsyncIterator[PathStatus]) -> AsyncIterator[PathStatus]:
    """Iterate over what follows the present status."""
    await anext(statuses)
    async for status in statuses:
        yield status


@contextlib.contextmanager
def _display(*, as_json: bool, live: bool) -> Iterator[Shown]:
    """Give what shows a status: a JSON object, some lines, or on a terminal lines in place of the last ones."""
    if as_json:
        yield lambda network, reach, status: result_json(_fields(network, reach, status))
    elif live and sys.stdout.isatty():
        from rich.live import Live  # noqa: PLC0415 - costs a fifth of a short command's time
        from rich.text import Text  # noqa: PLC0415 - as above

        with Live(auto_refresh=False) as display:
            yield lambda network, reach, status: display.update(
                Text("\n".join(_lines(network, reach, status))), refresh=True
            )
    else:
        yield lambda network, reach, status: result("\n".join(_lines(network, reach, status)))


def _lines(network: Network, reach: ReachSettings, status: PathStatus) -> Iterator[str]:
    yield f"{status.light.value}: {printable(status.reason)}"
    if status.way:
        yield f"  way out: {status.way}"
    for number, each in enumerate(status.paths, 1):
        hops = [
            f"{node.ip} ({', '.join(filter(None, (place.value, country_of(node.ip))))})"
            for place, node in zip(Place, each.hops, strict=True)
        ]
        mark = ", pinned" if each == network.pinned else ""
        yield f"  path {number}{mark}: " + " → ".join(["you", *hops, "destination"])
    yield from (f"  {line}" for line in _cautions(network, reach, status))


def _cautions(network: Network, reach: ReachSettings, status: PathStatus) -> Iterator[str]:
    """Say what a choice of hops costs, and whether a pinned path is in use."""
    if network.nodes and (warning := network.crowd.warning):
        yield warning
    if reach.path and status.paths and network.pinned is None:
        yield ELSEWHERE


def _fields(network: Network, reach: ReachSettings, status: PathStatus) -> dict[str, object]:
    return {
        "light": status.light.value,
        "reason": status.reason,
        "way": status.way,
        "paths": [_hops(each) for each in status.paths],
        "pinned": network.pinned is not None,
        "cautions": list(_cautions(network, reach, status)),
    }


def _hops(each: Path) -> list[dict[str, str | None]]:
    return [
        {"place": place.value, "ip": node.ip, "country": country_of(node.ip), "ed25519": node.ed25519.hex()}
        for place, node in zip(Place, each.hops, strict=True)
    ]

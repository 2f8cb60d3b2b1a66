"""`ramson path`: the way messages take."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ramson.cli.options import JsonOption, NetworkOption, data_directory, resolve_network
from ramson.cli.terminal import following, progress, result, result_json, run
from ramson.cli.way_out import reach_settings
from ramson.errors import RemoteError
from ramson.network import FileCache, Light, Network, NetworkProfile, PathStatus, Place
from ramson.network.paths import Path
from ramson.reach import ReachSettings, bridge_lists, open_entry
from ramson.world import real


class NoWay(RemoteError):
    """There is no path in the time given."""


def path(
    network: NetworkOption = "mainnet",
    *,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to look for a path.")] = 60.0,
    json: JsonOption = False,
) -> None:
    """Build paths into the network and show them: the light, and the nodes on the way.  No account is used."""
    status = run(_look(resolve_network(network), reach_settings(), timeout))
    if json:
        result_json(_fields(status))
    else:
        result(_text(status))
    if status.light is Light.RED:
        raise NoWay("there is no way into the network", remedy=status.reason)


async def _look(profile: NetworkProfile, reach: ReachSettings, seconds: float) -> PathStatus:
    """Wait for two paths, and be content with what there is when the time is over."""
    world = real.world()
    directory = data_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache = FileCache(directory / f"nodes-{profile.fingerprint[:16]}.json")
    state = directory / "transports"
    ways = FileCache(directory / f"ways-{profile.fingerprint[:16]}.json")
    reach = reach.for_network(profile.name)
    try:
        async with (
            open_entry(world, reach, state, ways) as entry,
            Network(world, profile.with_lists(bridge_lists(world, reach)), cache, entry=entry) as network,
        ):
            with progress("Looking for a way into the network…") as show:
                async with following(network.watch(), show):
                    try:
                        async with asyncio.timeout(seconds):
                            async for status in network.watch():
                                if status.light is Light.GREEN:
                                    break
                    except TimeoutError:
                        pass
            return network.status
    finally:
        await world.net.close()


def _text(status: PathStatus) -> str:
    lines = [f"{status.light.value}: {status.reason}"]
    for number, each in enumerate(status.paths, 1):
        hops = [f"{node.ip} ({place.value})" for place, node in zip(Place, each.hops, strict=True)]
        lines.append(f"path {number}: " + " → ".join(["you", *hops, "destination"]))
    return "\n".join(lines)


def _fields(status: PathStatus) -> dict[str, object]:
    return {
        "light": status.light.value,
        "reason": status.reason,
        "paths": [_hops(each) for each in status.paths],
    }


def _hops(each: Path) -> list[dict[str, str]]:
    return [
        {"place": place.value, "ip": node.ip, "ed25519": node.ed25519.hex()}
        for place, node in zip(Place, each.hops, strict=True)
    ]

"""`ramson node status`: how a running node is doing, read from its metrics port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ramson.cli.operate_options import ConfigOption
from ramson.cli.operate_settings import read_written
from ramson.cli.terminal import JsonOption, result, result_json, run, run_until_stopped
from ramson.errors import ParseError, RemoteError
from ramson.node.metrics_server import STATUS_PATH
from ramson.node.settings import SettingsError, parse_endpoint
from ramson.protocol import strict_json
from ramson.world import Endpoint, HttpRequest, NetError, World, real

APART: Final = 1.0  # seconds between the two looks that rates are made of
TIMEOUT: Final = 5.0
CLEAR: Final = "\x1b[H\x1b[2J"

_WATCH_HELP = "Look again every so many seconds, until Ctrl-C."


class NoStatus(RemoteError):
    """The node does not tell how it is doing."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the node said at one moment (seconds)."""

    at: float
    status: Mapping[str, Any]


def status(
    config_file: ConfigOption = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="HOST:PORT", help="The node's metrics port.")
    ] = None,
    *,
    watch: Annotated[float | None, typer.Option("--watch", metavar="SECONDS", min=0.5, help=_WATCH_HELP)] = None,
    json: JsonOption = False,
) -> None:
    """Show swarm, peers, mailbox and rates of a running node; it must have been given a metrics port."""
    endpoint = _endpoint(config_file, metrics)
    show = _show(endpoint, watch, as_json=json)
    if watch is None:
        run(show)
    else:
        run_until_stopped(show)


def _endpoint(config_file: Path | None, metrics: str | None) -> Endpoint:
    text = metrics or (read_written(config_file).get("metrics.listen", "") if config_file else "")
    if not text:
        raise SettingsError(
            "it is not known where the node shows its status",
            remedy="set metrics.listen in its configuration and name that with --config, or give --metrics HOST:PORT",
        )
    return parse_endpoint(str(text), "the metrics port")


async def _show(endpoint: Endpoint, watch: float | None, *, as_json: bool) -> None:
    world = real.world()
    try:
        before = await _look(world, endpoint)
        while True:
            await asyncio.sleep(watch or APART)
            now = await _look(world, endpoint)
            shown = {**now.status, "rates": rates(before, now)}
            if as_json:
                result_json(shown)
            else:
                result((CLEAR if watch else "") + render(shown))
            if watch is None:
                return
            before = now
    finally:
        await world.net.close()


async def _look(world: World, endpoint: Endpoint) -> Look:
    try:
        reply = await world.net.request(endpoint, HttpRequest("GET", STATUS_PATH), tls=None, timeout=TIMEOUT)
        if reply.status != 200:
            raise NoStatus(f"what listens at {endpoint} is not a node's metrics port")
        return Look(world.clock.monotonic(), strict_json.decode_object(reply.body))
    except NetError as error:
        raise NoStatus(
            f"the node's metrics port at {endpoint} does not answer: {error}",
            remedy="is the node running, and metrics.listen set?",
        ) from None
    except ParseError:
        raise NoStatus(f"what listens at {endpoint} is not a node's metrics port") from None


def rates(before: Look, now: Look) -> dict[str, float]:
    """Return what happened a second between two looks."""
    seconds = max(now.at - before.at, 0.001)

    def rate(*path: str) -> float:
        return max(0.0, (_total(now.status, path) - _total(before.status, path)) / seconds)

    return {
        "requests": rate("counters", "requests"),
        "stored": rate("counters", "stored"),
        "retrieved": rate("counters", "retrieved"),
        "onions": rate("counters", "onions"),
        "cpu": rate("process", "cpu_seconds"),
    }


def _total(status: Mapping[str, Any], path: tuple[str, ...]) -> float:
    value: Any = status
    for name in path:
        value = value[name]
    return float(sum(value.values()) if isinstance(value, Mapping) else value)


def render(shown: Mapping[str, Any]) -> str:
    """Write a status for a person."""
    counters, process, mailbox, rate = shown["counters"], shown["process"], shown["mailbox"], shown["rates"]
    ready = "serving" if not shown["unready"] else f"not serving: {'; '.join(shown['unready'])}"
    rows = [
        ("node", f"{shown['ed25519'][:8]}…, ramson {shown['version']}, up {duration(shown['uptime'])}, {ready}"),
        ("swarm", f"{shown['swarm']}, {len(shown['peers']) + 1} members, here for {duration(shown['swarm_seconds'])}"),
        *(("  peer", _peer(peer)) for peer in shown["peers"]),
        ("network", f"{shown['listed_nodes']} nodes at block {shown['list_height']}, {shown['failing_peers']} failing"),
        *_daemon(shown["daemon"]),
        ("pinged", ", ".join(_pinged(shown, name) for name in shown["silence"])),
        ("mailbox", "cannot be read" if mailbox is None else _mailbox(mailbox)),
        ("stored", f"{rate['stored']:.1f}/s, {counters['stored']} new in all, {counters['store_failures']} failed"),
        ("retrieved", f"{rate['retrieved']:.1f}/s, {counters['retrieved']} in all"),
        (
            "requests",
            f"{rate['requests']:.1f}/s, {counters['refused']} refused, {counters['rate_limited']} over the rate",
        ),
        ("onions", f"{rate['onions']:.1f}/s; " + _nonzero(counters["onions"])),
        ("peer tests", _nonzero(counters["peer_tests"])),
        ("storage tests", _nonzero(counters["storage_tests"])),
        ("connections", f"{shown['connections']} HTTPS, {shown['subscriptions']} subscriptions"),
        (
            "process",
            f"{100 * rate['cpu']:.0f} % of a core, {size(process['resident'])} memory, {process['open_files']} files",
        ),
        ("disk", f"{size(process['disk_free'])} free"),
    ]
    return "\n".join(f"{name:<14} {text}" for name, text in rows)


def _pinged(shown: Mapping[str, Any], name: str) -> str:
    since = duration(shown["silence"][name])
    return f"over {name} {since} ago" if shown["pinged"][name] else f"never over {name}, for {since}"


def _peer(peer: Mapping[str, Any]) -> str:
    test = "answers" if not peer["failures"] else f"failed {peer['failures']} tests in a row"
    return f"{peer['name']} {test}, {peer['replication_failures']} failed replications"


def _daemon(daemon: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if daemon is None:
        return []
    state = "connected" if daemon["connected"] else "away"
    return [("oxend", "; ".join([f"{state}, block {daemon['block']}", *daemon["problems"]]))]


def _mailbox(mailbox: Mapping[str, Any]) -> str:
    share = 100 * mailbox["used_bytes"] / mailbox["max_bytes"]
    kept = f"{mailbox['messages']} messages of {mailbox['accounts']} accounts"
    full = f"; FULL: new messages are refused ({mailbox['turned_away']} so far)" if mailbox["full"] else ""
    return f"{kept}, {size(mailbox['used_bytes'])} ({share:.0f} %){full}"


def _nonzero(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none yet"


def duration(seconds: float) -> str:
    """Write seconds in the unit that fits."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Write bytes in the unit that fits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"

"""A reachability report from what the doctor found, the token that goes with it, and where it is sent.

What goes into a report is counts and kinds; labels, names, addresses and the clock stay here.  A token is made
at random on this device for each month, and says only that two reports of one month came from one device.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ramson._version import __version__
from ramson.errors import LocalError, ParseError, RemoteError
from ramson.network.cache import Cache
from ramson.network.network import Network
from ramson.protocol import reach_report
from ramson.protocol.file_server import BadServerUrl, FileServer
from ramson.protocol.onion import ServerDestination
from ramson.protocol.reach_report import Failure, Measured, ReachReport, RungResult, Status, Way
from ramson.protocol.server_v4 import ServerRequest
from ramson.reach.doctor import Findings, Subject, Trial
from ramson.reach.route import Rung

TARGET: Final = "/report"
SECONDS: Final = 20.0
DELAY: Final = 600.0  # seconds; a report waits for a random part of it
TOKEN_SIZE: Final = 16  # bytes
KEPT_MONTHS: Final = 2

_COLLECTOR: Final = re.compile(r"(https?://[^#?\s]{1,255})#([0-9a-f]{64})", re.ASCII)
_MAX_TOKENS: Final = 4096  # bytes


class NotCollected(RemoteError):
    """The collector did not take the report; the text says why."""


class _Tokens(msgspec.Struct, forbid_unknown_fields=True):
    months: dict[str, str]


def make_report(findings: Findings, *, now_ms: int, country: str = "", provider: str = "") -> ReachReport:
    """Make a report; `country` (IR) and `provider` (AS64500) are in it only if they are given.  Raises LocalError."""
    country, provider = country.upper(), provider.upper()
    if country and not reach_report.is_country(country):
        raise LocalError("a country is written with two letters", remedy="Such as IR; see ISO 3166.")
    if provider and not reach_report.is_provider(provider):
        raise LocalError("a provider is written by its AS number", remedy="Such as AS64500.")
    # What a proxy or bridge reached says nothing of what can be reached from here.
    seeds = findings.of(Subject.SEED) if findings.straight else ()
    nodes = findings.of(Subject.NODE) if findings.straight else ()
    routes = [trial for trial in findings.of(Subject.ROUTE) if not (trial.optional and trial.failed)]
    answering = _well(nodes)
    keys = Measured(
        session_seed_total=_count(len(seeds)),
        session_seed_accessible=_count(_well(seeds)),
        session_snode_sampled=_count(len(nodes)),
        session_snode_accessible=_count(answering),
        session_snode_frozen=max(0, min(_count(answering), findings.long_frozen)),
        session_onion_status=_onion(routes),
        session_rungs=tuple(_rung(rung, routes) for rung in Rung if any(trial.rung is rung for trial in routes)),
    )
    seconds = max((trial.seconds for trial in findings.trials), default=0.0)
    return reach_report.new_report(
        keys, now_ms=now_ms, seconds=seconds, version=__version__, country=country, provider=provider
    )


def token_of(month: str, cache: Cache, entropy: random.Random) -> str:
    """Return this device's token of a month, made if there is none.  Raises OSError."""
    try:
        data = cache.load() or b""
        tokens = msgspec.json.decode(data[:_MAX_TOKENS], type=_Tokens).months
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        tokens = {}
    if month not in tokens:
        tokens[month] = entropy.randbytes(TOKEN_SIZE).hex()
        kept = dict(sorted(tokens.items())[-KEPT_MONTHS:])
        cache.save(msgspec.json.encode(_Tokens(kept | {month: tokens[month]})))
    return tokens[month]


def collector(text: str) -> ServerDestination:
    """Read where a collector is: its URL, `#`, and its X25519 key in hex.  Raises LocalError."""
    match = _COLLECTOR.fullmatch(text.strip())
    remedy = "It is a URL, then #, then its key of 64 hex digits."
    if match is None:
        raise LocalError("not the address of a collector", remedy=remedy)
    try:
        return FileServer(match[1], bytes.fromhex(match[2])).destination
    except BadServerUrl:
        raise LocalError("not the address of a collector", remedy=remedy) from None


async def send(network: Network, to: ServerDestination, report: ReachReport) -> None:
    """Send a report through the onion network.  Raises NotCollected, RequestFailed, NoPath."""
    if not report.reporter:
        raise LocalError("a report is sent with a token")
    headers = {"content-type": "application/json"}
    request = ServerRequest("POST", TARGET, headers, reach_report.encode(report))
    reply = await network.call_server(to, request, seconds=SECONDS, repeatable=True)
    if reply.code != 200:
        raise NotCollected(f"the collector refused the report (status {reply.code})")


def read_saved(data: bytes) -> ReachReport:
    """Read a report that was saved.  Raises LocalError: it was changed, or is something else."""
    try:
        return reach_report.decode(data)
    except ParseError:
        raise LocalError("this is not a reachability report", remedy="Make one with `ramson report save`.") from None


def _count(number: int) -> int:
    return min(number, reach_report.MAX_COUNT)


def _well(trials: Iterable[Trial]) -> int:
    return sum(trial.failed is None for trial in trials)


def _onion(routes: Iterable[Trial]) -> Status:
    outcomes = [trial.failed for trial in routes]
    if not outcomes:
        return Status.UNTESTED
    return Status.OK if None in outcomes else Status.FAILED


def _rung(rung: Rung, routes: Iterable[Trial]) -> RungResult:
    """Sum up the ways of one kind, so that it is not told how many there are."""
    trials = [trial for trial in routes if trial.rung is rung]
    best = next((trial for trial in trials if trial.failed is None), trials[0])
    failure = None if best.failed is None else Failure[best.failed.name]
    status = Status.OK if failure is None else Status.FAILED
    return RungResult(Way[rung.name], status, failure, reach_report.coarse(best.seconds))

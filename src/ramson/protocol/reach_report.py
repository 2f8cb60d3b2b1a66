"""Reachability reports as they travel: what was found of ways into the network, in OONI's measurement envelope.

A report says how many seeds and nodes answered and which kinds of ways out worked: never an address, an account, a
bridge, or a time finer than 100 ms or a day.  What is read here is read strictly, so that a report holds
nothing else: whoever shows one has shown all of it.  Spec: REACH *What the person sees*; OONI df-000-base.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from ramson.errors import ParseError

MAX_SIZE: Final = 8 * 1024  # bytes
MAX_COUNT: Final = 1000  # of seeds or nodes
MAX_SECONDS: Final = 300.0
NO_COUNTRY: Final = "ZZ"
NO_PROVIDER: Final = "AS0"
NO_ADDRESS: Final = "127.0.0.1"
TEST_NAME: Final = "session_reachability"
SOFTWARE: Final = "ramson"

_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_PROVIDER: Final = re.compile(r"AS(?:0|[1-9][0-9]{0,9})", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}(?:[a-z0-9.+-]{0,16})", re.ASCII)
_TOKEN: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) 00:00:00", re.ASCII)


class Way(StrEnum):
    """Kinds of ways out."""

    DIRECT = "direct"
    SPLIT = "split"
    PROXY = "proxy"
    BRIDGE = "bridge"
    TRANSPORT = "transport"


class Status(StrEnum):
    """How a test ended."""

    OK = "ok"
    FAILED = "failed"
    UNTESTED = "untested"


class Failure(StrEnum):
    """Where something failed."""

    NAME = "name"
    TCP = "tcp"
    PROXY = "proxy"
    HELLO = "hello"
    TLS = "tls"
    FROZEN = "frozen"
    HTTP = "http"
    ONION = "onion"


class RungResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the best way of a kind did; `seconds` are tenths of a second at the finest."""

    rung: Way
    status: Status
    failure: Failure | None
    seconds: float

    def __post_init__(self) -> None:
        if self.status is Status.UNTESTED or (self.failure is None) != (self.status is Status.OK):
            raise ValueError("a way out worked, or failed somewhere")
        _check_seconds(self.seconds)


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found."""

    session_seed_total: int
    session_seed_accessible: int
    session_snode_sampled: int
    session_snode_accessible: int
    session_snode_frozen: int
    session_onion_status: Status
    session_rungs: tuple[RungResult, ...]

    def __post_init__(self) -> None:
        pairs = (
            (self.session_seed_accessible, self.session_seed_total),
            (self.session_snode_accessible, self.session_snode_sampled),
            (self.session_snode_frozen, self.session_snode_accessible),
        )
        if not all(0 <= part <= whole <= MAX_COUNT for part, whole in pairs):
            raise ValueError("counts that cannot be")
        if len({each.rung for each in self.session_rungs}) != len(self.session_rungs):
            raise ValueError("a way out is named twice")


class ReachReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement.

    `annotations` hold nothing but the reporter's token of the month, and that only when it is sent.
    """

    annotations: dict[str, str]
    data_format_version: str
    input: None
    measurement_start_time: str
    probe_asn: str
    probe_cc: str
    probe_ip: str
    report_id: str
    software_name: str
    software_version: str
    test_keys: Measured
    test_name: str
    test_runtime: float
    test_start_time: str
    test_version: str

    def __post_init__(self) -> None:
        fixed = (
            self.data_format_version == "0.2.0"
            and self.probe_ip == NO_ADDRESS
            and self.report_id == ""
            and self.software_name == SOFTWARE
            and self.test_name == TEST_NAME
            and self.test_version == "0.1.0"
            and self.test_start_time == self.measurement_start_time
        )
        told = (
            is_country(self.probe_cc)
            and is_provider(self.probe_asn)
            and _VERSION.fullmatch(self.software_version) is not None
            and self.annotations.keys() <= {"reporter"}
            and all(map(_TOKEN.fullmatch, self.annotations.values()))
        )
        if not fixed or not told:
            raise ValueError("a field says what it cannot")
        _check_seconds(self.test_runtime)
        day_of(self.measurement_start_time)

    @property
    def reporter(self) -> str:
        """The reporter's token of this month; empty if it has none."""
        return self.annotations.get("reporter", "")

    @property
    def month(self) -> str:
        """The month of the measurement, as in `2026-11`."""
        return self.measurement_start_time[:7]

    @property
    def day(self) -> str:
        """The day of the measurement, as in `2026-11-25`."""
        return self.measurement_start_time[:10]


def new_report(
    keys: Measured, *, now_ms: int, seconds: float, version: str, country: str, provider: str
) -> ReachReport:
    """Put what was found into the envelope.  Raises ValueError for a country or provider that is none."""
    day = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d} 00:00:00"
    return ReachReport(
        annotations={},
        data_format_version="0.2.0",
        input=None,
        measurement_start_time=day,
        probe_asn=provider or NO_PROVIDER,
        probe_cc=country or NO_COUNTRY,
        probe_ip=NO_ADDRESS,
        report_id="",
        software_name=SOFTWARE,
        software_version=version,
        test_keys=keys,
        test_name=TEST_NAME,
        test_runtime=coarse(seconds),
        test_start_time=day,
        test_version="0.1.0",
    )


def with_reporter(report: ReachReport, token: str) -> ReachReport:
    """Return the report with the token that tells one reporter from another this month."""
    return msgspec.structs.replace(report, annotations={"reporter": token})


def encode(report: ReachReport) -> bytes:
    """Write a report as the indented JSON in which it is shown."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode(data: bytes) -> ReachReport:
    """Read a report.  Raises ParseError for anything that is not one, to the last field."""
    if len(data) > MAX_SIZE:
        raise ParseError("reachability report: too long")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ParseError("reachability report: not one") from None


def is_country(text: str) -> bool:
    """Whether this is how a country is written: two capital letters."""
    return _COUNTRY.fullmatch(text) is not None


def is_provider(text: str) -> bool:
    """Whether this is how an autonomous system is written, as in AS64500."""
    return _PROVIDER.fullmatch(text) is not None


def coarse(seconds: float) -> float:
    """Return a time to the tenth of a second, 0 to `MAX_SECONDS`."""
    return round(min(MAX_SECONDS, max(0.0, seconds if seconds == seconds else 0.0)), 1)  # noqa: PLR0124 - not a number


def day_of(text: str) -> datetime:
    """Read the day of a measurement.  Raises ValueError."""
    match = _DAY.fullmatch(text)
    if match is None:
        raise ValueError("a time finer than a day")
    return datetime.strptime(match[1], "%Y-%m-%d").replace(tzinfo=UTC)


def _check_seconds(seconds: float) -> None:
    if coarse(seconds) != seconds:
        raise ValueError("a time that is too fine, or none")


_decoder: Final = msgspec.json.Decoder(ReachReport, strict=True)

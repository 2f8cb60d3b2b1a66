"""Reachability reports: what is in them, and above all what never is."""

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ramson.errors import LocalError, ParseError
from ramson.network import MemoryCache
from ramson.protocol import reach_report
from ramson.reach import Rung, Symptom
from ramson.reach.doctor import Findings, NameCheck, Subject, Trial
from ramson.reach.report import collector, make_report, read_saved, token_of

NOW = 1_763_997_000_123  # 24 November 2025, some time of the day
FINDINGS = Findings(
    (
        Trial(Subject.SEED, "seed1.example", None, 0.4),
        Trial(Subject.SEED, "seed2.example", Symptom.TCP, 8.0),
        *(Trial(Subject.NODE, f"node {i}", None if i < 7 else Symptom.TCP, 0.2) for i in range(10)),
        Trial(Subject.ROUTE, "the straight way", Symptom.TCP, 8.0, Rung.DIRECT),
        Trial(Subject.ROUTE, "bridge 1", Symptom.HTTP, 1.0, Rung.BRIDGE),
        Trial(Subject.ROUTE, "bridge 2", None, 0.7, Rung.BRIDGE),
        Trial(Subject.ROUTE, "Tor", Symptom.PROXY, 0.0, Rung.PROXY, optional=True),
    ),
    (NameCheck("seed1.example", agrees=False),),
    long_tried=2,
    long_frozen=1,
    clock_ahead_ms=1234,
)

WORDS = {
    *reach_report.Way,
    *reach_report.Status,
    *reach_report.Failure,
    "0.2.0",
    "0.1.0",
    "127.0.0.1",
    "ZZ",
    "AS0",
    "",
    "ramson",
    "session_reachability",
}
DAY = re.compile(r"\d{4}-\d\d-\d\d 00:00:00")


def walk(value):
    """Yield every key and every value of a JSON document."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield key
            yield from walk(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from walk(inside)
    else:
        yield value


def keys_of(value):
    return {key for key in walk(value) if isinstance(key, str) and key.startswith(("session_", "probe_"))}


def test_what_a_report_says():
    report = json.loads(reach_report.encode(make_report(FINDINGS, now_ms=NOW)))
    assert (report["probe_cc"], report["probe_asn"], report["probe_ip"]) == ("ZZ", "AS0", "127.0.0.1")
    assert report["measurement_start_time"] == "2025-11-24 00:00:00"
    assert report["annotations"] == {}
    assert report["test_keys"] == {
        "session_seed_total": 2,
        "session_seed_accessible": 1,
        "session_snode_sampled": 10,
        "session_snode_accessible": 7,
        "session_snode_frozen": 1,
        "session_onion_status": "ok",
        "session_rungs": [
            {"rung": "direct", "status": "failed", "failure": "tcp", "seconds": 8.0},
            {"rung": "bridge", "status": "ok", "failure": None, "seconds": 0.7},  # how many there are is not told
        ],
    }


def test_what_was_asked_through_something_else_is_not_counted():
    keys = make_report(replace(FINDINGS, straight=False), now_ms=NOW).test_keys
    assert (keys.session_seed_total, keys.session_snode_sampled, keys.session_snode_frozen) == (0, 0, 0)
    assert [each.rung for each in keys.session_rungs] == ["direct", "bridge"]


def test_country_and_provider_are_in_it_only_if_somebody_says_so():
    report = make_report(FINDINGS, now_ms=NOW, country="ir", provider="as64500")
    assert (report.probe_cc, report.probe_asn) == ("IR", "AS64500")
    for bad in ({"country": "Iran"}, {"provider": "64500"}, {"provider": "AS1; 10.0.0.1"}, {"country": "I1"}):
        with pytest.raises(LocalError):
            make_report(FINDINGS, now_ms=NOW, **bad)


HOSTILE = st.sampled_from(
    [
        "05" + "ab" * 32,
        "ramson-bridge:https://site.example/secret/?v=1&net=mainnet&key=S0tL",
        "socks5://user:SECRET@192.0.2.1:1080",
        "192.168.1.7",
        "fe80::1%eth0",
        "alice",
        '"}],"x":"',
    ]
) | st.text(max_size=40)
TRIALS = st.builds(
    Trial,
    st.sampled_from(Subject),
    HOSTILE,
    st.none() | st.sampled_from(Symptom),
    st.floats(),
    st.none() | st.sampled_from(Rung),
    st.booleans(),
    st.booleans(),
)
ANY = st.builds(
    Findings,
    st.lists(TRIALS, max_size=20).map(tuple),
    st.lists(st.builds(NameCheck, HOSTILE, st.none() | st.booleans()), max_size=3).map(tuple),
    st.integers(-5, 5),
    st.integers(-5, 5),
    st.none() | st.integers(),
    st.booleans(),
)


@given(ANY, st.integers(0, 4_000_000_000_000))
@example(Findings((Trial(Subject.ROUTE, "x", None, float("nan"), Rung.BRIDGE),)), NOW)
def test_nothing_forbidden_is_ever_in_a_report(findings, now_ms):
    """Every word in it is one of a few that are known beforehand, every number a count or a tenth of a second."""
    data = reach_report.encode(make_report(findings, now_ms=now_ms))
    report = json.loads(data)
    names = set(json.loads(reach_report.encode(make_report(FINDINGS, now_ms=NOW)))) | keys_of(report)
    names |= {"rung", "status", "failure", "seconds"}
    assert keys_of(report) <= keys_of(json.loads(reach_report.encode(make_report(FINDINGS, now_ms=NOW))))
    for found in walk(report):
        match found:
            case str():
                assert found in WORDS or found in names or DAY.fullmatch(found), found
            case int() | float():
                assert 0 <= found <= 1000
                assert round(found, 1) == found
            case _:
                assert found is None
    assert reach_report.decode(data) == make_report(findings, now_ms=now_ms)


VALID = json.loads(reach_report.encode(make_report(FINDINGS, now_ms=NOW)))


def changed(path, value):
    document = json.loads(json.dumps(VALID))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["probe_ip"], "192.0.2.1"),
        (["probe_cc"], "Iran"),
        (["probe_asn"], "AS01"),
        (["probe_asn"], "AS1\n"),
        (["measurement_start_time"], "2025-11-24 10:11:12"),
        (["measurement_start_time"], "2025-13-44 00:00:00"),
        (["test_start_time"], "2025-11-23 00:00:00"),
        (["test_runtime"], 0.123),
        (["test_runtime"], 1e9),
        (["report_id"], "me"),
        (["input"], "https://bridge.example"),
        (["account"], "05aa"),
        (["annotations"], {"reporter": "me"}),
        (["annotations"], {"name": "ab" * 16}),
        (["software_version"], "1.0 of alice"),
        (["test_keys", "session_seed_accessible"], 3),
        (["test_keys", "session_snode_sampled"], 5000),
        (["test_keys", "bridge"], "https://bridge.example"),
        (["test_keys", "session_rungs", 0, "seconds"], 0.05),
        (["test_keys", "session_rungs", 0, "failure"], None),
        (["test_keys", "session_rungs", 1, "rung"], "direct"),
        (["test_keys", "session_rungs", 1, "label"], "bridge 1"),
        (["test_keys", "session_onion_status"], "yes"),
    ],
)
def test_what_is_no_report_to_the_last_field_is_refused(path, value):
    assert reach_report.decode(json.dumps(VALID).encode()).day == "2025-11-24"
    with pytest.raises(ParseError):
        reach_report.decode(changed(path, value))
    with pytest.raises(LocalError):
        read_saved(changed(path, value))


@given(st.binary(max_size=200) | st.just(b"[" * 5000) | st.just(b" " * 9000))
def test_any_bytes_are_a_report_or_refused(data):
    with pytest.raises(ParseError):
        reach_report.decode(data)


def test_a_token_lasts_a_month_and_is_a_new_one_in_the_next():
    cache, entropy = MemoryCache(), random.Random(1)
    november = token_of("2025-11", cache, entropy)
    assert token_of("2025-11", cache, entropy) == november
    december = token_of("2025-12", cache, entropy)
    assert december != november
    token_of("2026-01", cache, entropy)
    assert november.encode() not in cache.data  # nothing of it is kept
    reach_report.with_reporter(make_report(FINDINGS, now_ms=NOW), december)
    assert token_of("2026-01", MemoryCache(b"{broken"), entropy)


def test_the_address_of_a_collector():
    to = collector("http://collector.example:8080#" + "ab" * 32)
    assert (to.host, to.port, to.protocol, to.x25519) == ("collector.example", 8080, "http", b"\xab" * 32)
    assert collector("https://collector.example#" + "ab" * 32).protocol == "https"
    for bad in (
        "collector.example",
        "http://x.example",
        "http://x.example#ab",
        "ftp://x#" + "ab" * 32,
        "http://#" + "ab" * 32,
    ):
        with pytest.raises(LocalError):
            collector(bad)

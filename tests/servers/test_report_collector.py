"""The collector: reports that come through three hops, what is kept of them, and what of a month is published."""

import asyncio
import json
import random
from dataclasses import replace

import pytest

from ramson.network import MemoryCache, Network
from ramson.protocol import reach_report
from ramson.protocol.onion import ServerDestination
from ramson.protocol.reach_report import ReachReport
from ramson.protocol.server_v4 import ServerRequest
from ramson.reach import Rung, Symptom
from ramson.reach.doctor import Findings, Subject, Trial
from ramson.reach.report import NotCollected, make_report, send
from ramson.servers.keys import ServerKeys
from ramson.servers.reports import ReportService
from ramson.servers.reports.publication import Count, as_json, as_page, published
from ramson.servers.reports.store import ReportStore, Taken
from ramson.sim import SimulatedNetwork
from ramson.world import Endpoint, HttpRequest, real
from ramson.world.simulated import Simulation

COLLECTOR = Endpoint("10.1.0.9", 80)
KEYS = ServerKeys.from_seed(bytes(range(32)))
DAY = 86_400_000


def report(number: int, now_ms: int, *, works: bool = True, country: str = "IR", provider: str = "") -> ReachReport:
    """Return the report of the reporter with this number."""
    failed = None if works else Symptom.TCP
    found = Findings((Trial(Subject.ROUTE, "x", failed, 0.1, Rung.DIRECT),))
    made = make_report(found, now_ms=now_ms, country=country, provider=provider)
    return reach_report.with_reporter(made, random.Random(number).randbytes(16).hex())


def ms(day: str) -> int:
    return round(reach_report.day_of(f"{day} 00:00:00").timestamp() * 1000)


# ---- what is published


def count(reporters: int) -> Count:
    return Count("2026-10", "IR", "AS0", "direct", "failed", reporters)


@pytest.mark.parametrize(("reporters", "shown"), [(1, None), (9, None), (10, 10), (19, 10), (20, 20), (137, 130)])
def test_only_what_ten_say_alike_is_published_and_in_tens(reporters, shown):
    assert [each.reporters for each in published([count(reporters)])] == ([] if shown is None else [shown])


def test_as_json_and_as_a_page():
    assert json.loads(as_json([count(20)]))["counts"][0]["reporters"] == 20
    page = as_page([replace(count(20), country="<b>")]).decode()
    assert "20+" in page
    assert "<b>" not in page
    assert "<script" not in page


# ---- what is kept


@pytest.fixture
async def store(tmp_path):
    made = ReportStore(tmp_path / "reports.sqlite", real.world().disk(), random.Random(1))
    await made.open()
    yield made
    await made.close()


async def test_a_month_is_published_once_and_then_forgotten(store, tmp_path):
    october = ms("2026-10-05")
    for number in range(12):
        assert await store.add(report(number, october, works=number < 11)) is Taken.NEW
    for number in range(30, 39):
        await store.add(report(number, october, country="TM"))
    assert await store.published() == []
    token = report(0, october).reporter
    assert bytes.fromhex(token) not in (tmp_path / "reports.sqlite").read_bytes()
    assert await store.close_before("2026-11") == ["2026-10"]
    assert await store.published() == [Count("2026-10", "IR", "AS0", "direct", "ok", 10)]
    kept = (tmp_path / "reports.sqlite").read_bytes()
    assert b"TM" not in kept  # nine are too few, and nothing is left of them
    assert await store.close_before("2026-11") == []
    assert await store.add(report(50, october)) is Taken.CLOSED


async def test_a_reporter_counts_once_with_the_latest_word_and_one_report_a_day(store):
    for day in ("2026-10-05", "2026-10-06"):
        for number in range(10):
            assert await store.add(report(number, ms(day), works=day.endswith("6"))) is Taken.NEW
    assert await store.add(report(0, ms("2026-10-06"), works=False)) is Taken.KNOWN
    assert await store.add(report(0, ms("2026-10-05"), works=False)) is Taken.KNOWN
    await store.close_before("2026-11")
    assert [(each.status, each.reporters) for each in await store.published()] == [("ok", 10)]


async def test_providers_are_counted_apart_and_no_total_is_published(store):
    for number in range(18):
        await store.add(report(number, ms("2026-10-05"), provider=f"AS{1 + number % 2}"))
    await store.close_before("2026-11")
    assert await store.published() == []


# ---- the whole way


def play(tmp_path, scene):
    """Run a scene with a client's network, a collector, and the place of the collector."""
    sim = Simulation(4)
    town = SimulatedNetwork(sim, tmp_path / "nodes", nodes=9, swarms=2, tests=False)
    running = []

    async def collect(world):
        async with ReportService(world, KEYS, COLLECTOR, tmp_path / "collector") as service:
            running.append(service)
            await asyncio.Event().wait()

    sim.host(COLLECTOR.host).start(collect)
    world = town.client_world(0)

    async def main():
        await town.up()
        async with Network(world, town.profile, MemoryCache()) as network:
            await network.ready()
            to = ServerDestination(host=COLLECTOR.host, x25519=KEYS.x25519.public, protocol="http", port=COLLECTOR.port)
            return await scene(world, network, to)

    return sim.run(main())


def test_reports_come_through_the_network(tmp_path):
    async def scene(world, network, to):
        await send(network, to, report(0, world.clock.now()))
        await send(network, to, report(0, world.clock.now()))  # again: it is known, and that is no fault
        shown = await world.net.request(COLLECTOR, HttpRequest("GET", "/reports.json"), tls=None, timeout=5)
        return json.loads(shown.body)["counts"]

    assert play(tmp_path, scene) == []


def test_a_month_is_published_some_days_after_its_end(tmp_path):
    sim = Simulation(4, time_limit=60 * DAY / 1000)
    world = sim.world(COLLECTOR.host)

    async def main():
        async with ReportService(world, KEYS, COLLECTOR, tmp_path / "collector") as service:
            for number in range(10):
                body = reach_report.encode(report(number, world.clock.now()))
                assert (await service.answer(ServerRequest("POST", "/report", {}, body))).code == 200
            assert (await get(service, "/reports.json"))["counts"] == []
            await asyncio.sleep(45 * DAY / 1000)
            (shown,) = (await get(service, "/reports.json"))["counts"]
            page = await service.handle(HttpRequest("GET", "/"))
            assert b"IR" in page.body
            return shown

    async def get(service, path):
        return json.loads((await service.handle(HttpRequest("GET", path))).body)

    shown = sim.run(main())
    assert (shown["country"], shown["rung"], shown["status"], shown["reporters"]) == ("IR", "direct", "ok", 10)


def test_what_is_no_report_or_too_old_is_refused(tmp_path):
    async def scene(world, network, to):
        now = world.clock.now()
        with pytest.raises(NotCollected, match="400"):
            await send(network, to, report(1, now - 100 * DAY))
        with pytest.raises(NotCollected, match="400"):
            await send(network, to, report(1, now + 40 * DAY))
        requests = (
            ServerRequest("POST", "/report", {}, b"{}"),
            ServerRequest("POST", "/report", {}, reach_report.encode(make_report(Findings(), now_ms=now))),
            ServerRequest("GET", "/report"),
            ServerRequest("POST", "/else", {}, b"{}"),
        )
        answers = [(await network.call_server(to, request)).code for request in requests]
        direct = await world.net.request(COLLECTOR, HttpRequest("POST", "/report", body=b"{}"), tls=None, timeout=5)
        return [*answers, direct.status]

    assert play(tmp_path, scene) == [400, 400, 405, 404, 404]

"""The ways out of a simulated host: what passes by each, what a censor sees of it, and what it can do."""

import asyncio

import pytest

from ramson.errors import LocalError
from ramson.world import (
    Certificate,
    Endpoint,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    NetError,
    ProxyAddress,
    ProxyKind,
    Stage,
    Tls,
    TransportFailed,
    TransportProgram,
)
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Flow, Verdict
from ramson.world.simulated.fabric import SEGMENT

CLIENT, SERVER, PROXY = "10.0.0.1", "10.0.1.1", "10.0.2.1"
SITE = Endpoint("site.example", 443)
BIG = 60_000


class Watcher:
    """A censor that writes down what it sees and does as it is told."""

    def __init__(self, verdict=lambda _flow: Verdict.PASS, names=None):
        self.verdict, self.names = verdict, names or {}
        self.flows: dict[Flow, None] = {}
        self.looked_up: list[str] = []

    def look_up(self, _origin, name):
        self.looked_up.append(name)
        return self.names.get(name)

    def judge(self, flow):
        self.flows[flow] = None
        return self.verdict(flow)


@pytest.fixture
def sim(certificate: Certificate):
    simulation = Simulation(3)

    async def serve(world):
        def answer(request):
            return HttpResponse(200, {"x-peer": request.peer}, bytes(BIG) if request.target == "/big" else b"fine")

        for port, shown in ((443, certificate), (80, None)):
            await world.net.listen(Endpoint("0.0.0.0", port), answer, certificate=shown, limits=HttpLimits())
        await asyncio.Event().wait()

    simulation.host(SERVER).start(serve)
    simulation.name(SITE.host, SERVER)
    simulation.host(PROXY).proxy(1080)
    simulation.host(PROXY).proxy(3128, ProxyKind.HTTP, {"user": "pass"})
    simulation.host(PROXY).transport_end(9000, "obfs4", Endpoint(SERVER, 80), {"cert": "c"})
    simulation.host(CLIENT).programs["obfs4proxy"] = frozenset({"obfs4"})
    return simulation


def ask(sim, way, *, target="/", tls=Tls(), endpoint=SITE, timeout=5.0):  # noqa: B008 - a value
    """Make one request by `way(outlets)` and return the response or the NetError."""

    async def main():
        await asyncio.sleep(1)
        net = way(sim.world(CLIENT).outlets)
        if asyncio.iscoroutine(net):
            net = await net
        try:
            return await net.request(endpoint, HttpRequest("GET", target), tls=tls, timeout=timeout)
        except NetError as error:
            return error

    return sim.run(main())


def through(url):
    return lambda outlets: outlets.through(ProxyAddress.parse(url))


async def obfs4(outlets, cert="c"):
    running = await outlets.start(TransportProgram(("obfs4proxy",), ("obfs4",), "/state"))
    return running.through("obfs4", Endpoint(PROXY, 9000), {"cert": cert})


WAYS = [
    (lambda outlets: outlets.direct(), CLIENT, SERVER, "tls", SITE.host, [SITE.host]),
    (lambda outlets: outlets.split(), CLIENT, SERVER, "tls", SITE.host, [SITE.host]),
    (through(f"socks5://{PROXY}:1080"), PROXY, PROXY, "socks5", "", []),
    (through(f"tor://{PROXY}:1080"), PROXY, PROXY, "socks5", "", []),
    (through(f"http://user:pass@{PROXY}:3128"), PROXY, PROXY, "http-proxy", "", []),
]


@pytest.mark.parametrize(("way", "peer", "target", "spoken", "name", "looked_up"), WAYS)
def test_what_passes_and_what_is_seen_of_it(sim, way, peer, target, spoken, name, looked_up):
    watcher = Watcher()
    sim.censor(watcher)
    reply = ask(sim, way, target="/big")
    assert (reply.status, reply.headers["x-peer"], len(reply.body)) == (200, peer, BIG)
    (flow,) = watcher.flows
    assert (flow.origin, flow.target.host, flow.spoken, flow.server_name) == (CLIENT, target, spoken, name)
    assert flow.received > BIG
    assert watcher.looked_up == looked_up


def test_a_split_hello_is_told_from_a_whole_one(sim):
    sim.censor(Watcher(lambda flow: Verdict.RESET if flow.server_name and not flow.split else Verdict.PASS))

    async def outcome(net):
        try:
            return (await net.request(SITE, HttpRequest("GET", "/"), tls=Tls(), timeout=5)).status
        except NetError as error:
            return error.stage, error.received

    async def both():
        await asyncio.sleep(1)
        outlets = sim.world(CLIENT).outlets
        return [await outcome(net) for net in (outlets.direct(), outlets.split())]

    assert sim.run(both()) == [(Stage.TLS, 0), 200]


def test_a_transport_leads_to_what_stands_behind_the_bridge(sim):
    watcher = Watcher()
    sim.censor(watcher)
    reply = ask(sim, obfs4, tls=None, endpoint=Endpoint("whatever.example", 80))
    assert (reply.status, reply.headers["x-peer"]) == (200, PROXY)
    assert [(flow.target, flow.spoken) for flow in watcher.flows] == [(Endpoint(PROXY, 9000), "obfs4")]
    assert watcher.looked_up == []


def test_a_transport_without_the_right_arguments(sim):
    assert ask(sim, lambda outlets: obfs4(outlets, "wrong"), tls=None).stage is Stage.PROXY


@pytest.mark.parametrize(("command", "method"), [("other", "obfs4"), ("obfs4proxy", "snowflake")])
def test_a_program_that_is_not_there(sim, command, method):
    async def main():
        await asyncio.sleep(1)
        await sim.world(CLIENT).outlets.start(TransportProgram((command,), (method,), "/state"))

    with pytest.raises(TransportFailed):
        sim.run(main())


def test_a_transport_that_was_closed(sim):
    async def main(outlets):
        running = await outlets.start(TransportProgram(("obfs4proxy",), ("obfs4",), "/state"))
        net = running.through("obfs4", Endpoint(PROXY, 9000), {"cert": "c"})
        await running.close()
        return net

    assert ask(sim, main, tls=None).stage is Stage.PROXY


@pytest.mark.parametrize(
    "url", [f"socks5://{PROXY}:3128", f"http://user:wrong@{PROXY}:3128", f"socks5://{PROXY}:1", "socks5://10.9.9.9:1"]
)
def test_proxies_that_refuse_or_are_not_there(sim, url):
    assert ask(sim, through(url)).stage is Stage.PROXY


@pytest.mark.parametrize(
    ("endpoint", "stage"),
    [
        (Endpoint("no.example", 443), Stage.NAME),
        (Endpoint(SERVER, 9), Stage.CONNECT),
        (Endpoint("10.9.9.9", 1), Stage.CONNECT),
    ],
)
def test_what_is_behind_a_proxy_has_its_own_stage(sim, endpoint, stage):
    assert ask(sim, through(f"socks5://{PROXY}:1080"), endpoint=endpoint).stage is stage


def test_addresses_cannot_be_chosen_behind_a_proxy(sim):
    async def main():
        await asyncio.sleep(1)
        net = sim.world(CLIENT).outlets.through(ProxyAddress.parse(f"socks5://{PROXY}:1080"))
        await net.request(SITE, HttpRequest("GET", "/"), tls=Tls(), timeout=5, allow=lambda _: True)

    with pytest.raises(LocalError):
        sim.run(main())


@pytest.mark.parametrize(
    ("verdict", "reached", "received"),
    [
        (lambda _flow: Verdict.DROP, Stage.CONNECT, 0),
        (lambda flow: Verdict.DROP if flow.hello else Verdict.PASS, Stage.TLS, 0),
        (lambda flow: Verdict.DROP if flow.received > 16_000 else Verdict.PASS, Stage.REPLY, 16_000),
    ],
)
def test_silence_tells_how_far_it_came(sim, verdict, reached, received):
    sim.censor(Watcher(verdict))
    error = ask(sim, lambda outlets: outlets.direct(), target="/big")
    assert (error.stage, error.reached) == (Stage.TIMEOUT, reached)
    assert received - SEGMENT <= error.received <= received
    assert bool(error.replied) == bool(received)
    assert sim.faults["censored"]


@pytest.mark.parametrize(("answer", "stage"), [("", Stage.NAME), (PROXY, Stage.CONNECT)])
def test_names_can_be_answered_falsely(sim, answer, stage):
    sim.censor(Watcher(names={SITE.host: answer}))
    assert ask(sim, lambda outlets: outlets.direct()).stage is stage


def test_networks_have_names():
    sim = Simulation(3)
    outlets = sim.world(CLIENT).outlets
    before = outlets.gateway()
    assert before == outlets.gateway() != sim.world(PROXY).outlets.gateway()
    sim.host(CLIENT).gateway = "another"
    assert outlets.gateway() != before

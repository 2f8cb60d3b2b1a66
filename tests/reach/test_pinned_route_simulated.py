"""One pinned route against a censor that stops everything but what the route uses, in virtual time."""

import asyncio
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.network import Light, MemoryCache, Network
from ramson.protocol.bridge.link import make
from ramson.reach import ReachSettings, Rung, open_entry
from ramson.reach.route import CannotFetch
from ramson.reach.settings import TransportBridge
from ramson.reach.transport import open_transport
from ramson.reach.transport_line import TransportLine
from ramson.sim import SimulatedNetwork
from ramson.world import Endpoint, HttpRequest, TransportFailed
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

PROXY = "10.99.0.1"
KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")


class OnlyTo:
    """Lets clients reach one address and nothing else, and no name."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.stopped = set()

    def look_up(self, _origin, _name):
        return ""

    def judge(self, flow):
        if not flow.origin.startswith("10.2.") or flow.target.host == self.allowed:
            return Verdict.PASS
        self.stopped.add(flow.target.host)
        return Verdict.DROP


class NoName:
    """Resets whoever names a server in one piece, or talks to a node with a hello in one piece."""

    def look_up(self, _origin, _name):
        return None

    def judge(self, flow):
        return Verdict.RESET if flow.hello and not flow.split and flow.origin.startswith("10.2.") else Verdict.PASS


def play(tmp_path, settings, censor, seconds=120):
    """Be a client by this way out; return its light and whether a message could be stored, and the censor."""
    sim = Simulation(5)
    tmp_path.mkdir(exist_ok=True)
    town = SimulatedNetwork(sim, tmp_path, nodes=6, swarms=1)
    sim.host(PROXY).proxy(1080)
    sim.censor(censor)
    world = town.client_world(0)

    async def main():
        await town.up()
        async with (
            open_entry(world, settings, tmp_path) as entry,
            Network(world, town.profile, MemoryCache(), entry=entry) as network,
        ):
            try:
                async with asyncio.timeout(seconds):
                    await network.ready()
                    return network.status.light, (await network.store(KEYS.id, b"x", ttl_ms=86_400_000)).hash != ""
            except TimeoutError:
                return network.status.light, False

    return sim.run(main())


def test_through_a_proxy_where_nothing_else_passes(tmp_path):
    light, stored = play(tmp_path, ReachSettings().changed(proxy=f"socks5://{PROXY}:1080"), OnlyTo(PROXY))
    assert light is not Light.RED
    assert stored


@pytest.mark.parametrize("route", ["direct", "split"])
def test_a_pinned_route_is_never_left(tmp_path, route):
    censor = OnlyTo(PROXY)
    assert play(tmp_path, ReachSettings().changed(route=route), censor) == (Light.RED, False)
    assert PROXY not in censor.stopped


def test_with_a_split_hello_where_a_whole_one_is_cut_off(tmp_path):
    assert play(tmp_path / "a", ReachSettings().changed(route="direct"), NoName()) == (Light.RED, False)
    assert play(tmp_path / "b", ReachSettings().changed(route="split"), NoName())[1]


# ---- starting transports


LINE = TransportLine.parse("obfs4 10.99.0.2:9000 cert=c")
LINK = make("http://127.0.0.1:8080/x/", b"K" * 32, "private")


def opened(program=(), programs=None):
    """Open the route on a host that has these programs; return what it says of itself."""
    sim = Simulation(1)
    sim.host("10.2.0.1").programs.update(programs or {})

    async def main():
        route = await open_transport(sim.world("10.2.0.1"), TransportBridge(LINE, LINK, program), Path("/state"))
        with pytest.raises(CannotFetch):
            await route.fetch(Endpoint("seed.example", 443), HttpRequest("GET", "/"), tls=None, timeout=1)
        await route.close()
        return route.rung, route.label

    return sim.run(main())


def test_the_first_usual_program_that_is_there_speaks_the_transport():
    assert opened(programs={"lyrebird": frozenset({"obfs4"})}) == (Rung.TRANSPORT, "obfs4 bridge")


def test_a_program_that_was_named_is_the_only_one():
    assert opened(("/opt/own",), {"/opt/own": frozenset({"obfs4"})})[0] is Rung.TRANSPORT
    with pytest.raises(TransportFailed):
        opened(("/opt/own",), {"obfs4proxy": frozenset({"obfs4"})})


def test_without_a_program_there_is_no_such_route():
    with pytest.raises(TransportFailed):
        opened()

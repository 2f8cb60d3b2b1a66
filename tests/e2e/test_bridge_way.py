"""People whose only way out is a web bridge write to each other, in virtual time and on sockets."""

import asyncio
import contextlib
import re
import sys
from dataclasses import replace

import pytest

from ramson.cli import main
from ramson.crypto.keys import Ed25519KeyPair
from ramson.devnet import Devnet
from ramson.messenger import Client, KeyCost, State
from ramson.network import NetworkProfile
from ramson.node import certificate
from ramson.protocol import node_list
from ramson.protocol.bridge import link
from ramson.protocol.node_list import ListAuthority, SignedNodeList
from ramson.reach import ReachSettings
from ramson.servers.bridge.bridge import Bridge
from ramson.servers.bridge.config import Limits
from ramson.servers.bridge.guards import SeedGuards
from ramson.servers.bridge.handler import BridgeHandler
from ramson.servers.bridge.memory import Nonces, Parcels
from ramson.servers.sqlite_file import IN_MEMORY
from ramson.sim import SimulatedNetwork
from ramson.sim.network import shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpResponse, real
from ramson.world.pins import pin_of
from ramson.world.simulated import Simulation
from ramson.world.simulated.censorship import Verdict

SECRET = bytes(range(32))
CHEAP = KeyCost(passes=1, memory=13)
LONG = "a long letter, " * 120


def blocked(profile):
    """Return the network as somebody knows it who cannot reach its seeds: from a list that came another way."""
    return replace(profile, seeds=())


async def correspond(profile, settings, place, worlds):
    """Have two people write to each other over the same bridge."""
    options = {"passphrase": "correct horse", "network": blocked(profile), "cost": CHEAP, "reach": settings}
    async with (
        Client.create(place / "alice", world=worlds[0], **options) as alice,
        Client.create(place / "bob", world=worlds[1], **options) as bob,
    ):
        assert (await alice.send(bob.account_id, LONG)).state is State.SENT
        async for message in bob.messages():
            assert message.body == LONG
            await message.reply("read")
            break
        async for message in alice.messages():
            if message.incoming:
                assert message.body == "read"
                break


class Wall:
    """Lets two hosts reach nothing but the bridge, and freezes what gets long."""

    def __init__(self, inside, bridge, *, freeze):
        self.inside, self.bridge, self.freeze = inside, bridge, freeze
        self.flows, self.forbidden = set(), []

    def look_up(self, origin, name):
        return None

    def judge(self, flow):
        if flow.origin not in self.inside:
            return Verdict.PASS
        if flow.target != self.bridge:
            self.forbidden.append(flow.target)
            return Verdict.DROP
        self.flows.add(flow)
        frozen = self.freeze and flow.sent + flow.received > 16_000
        return Verdict.DROP if frozen else Verdict.PASS


@pytest.mark.sim
@pytest.mark.timeout(300)
@pytest.mark.parametrize("knows_nodes", [True, False], ids=["knows nodes", "first start"])
@pytest.mark.parametrize("freeze", [False, True], ids=["open", "freezing"])
def test_in_virtual_time(tmp_path, freeze, knows_nodes):
    """At a first start nothing is known but the bridge, and a signer's key: the list comes over the bridge, too."""
    simulation = Simulation(7)
    network = SimulatedNetwork(simulation, tmp_path / "nodes")
    simulation.name("site.example", "10.9.0.1")
    worlds = [network.client_world(number) for number in (1, 2)]
    wall = Wall({"10.2.0.2", "10.2.0.3"}, Endpoint("10.9.0.1", 443), freeze=freeze)
    callers = set()
    signer = Ed25519KeyPair.from_seed(SECRET)
    authority = ListAuthority("simulated", frozenset([signer.public]), 1)
    statement = node_list.state("simulated", network.records, height=1, time_ms=worlds[0].clock.now())
    signed = node_list.encode(SignedNodeList(statement, {}).signed_by(signer))

    async def site(world):
        bridge = Bridge(
            world,
            (SECRET,),
            SeedGuards(world, network.file.seeds, None),
            Nonces(IN_MEMORY, world.disk()),
            Parcels(IN_MEMORY, world.disk(), world.clock, capacity=Limits().max_kept),
            limits=Limits(),
            allow_private=True,
            node_list=lambda: signed,
        )
        handler = BridgeHandler(bridge, lambda _request: HttpResponse(404))

        async def serve(request):
            callers.add(request.peer)
            return await handler(request)

        async with bridge:
            await world.net.listen(
                Endpoint("10.9.0.1", 443), serve, certificate=shared_certificate(), limits=HttpLimits()
            )
            await asyncio.Event().wait()

    simulation.host("10.9.0.1").start(site)

    async def session():
        await network.up()
        simulation.censor(wall)
        profile = replace(network.profile, bundled=network.records if knows_nodes else (), signers=authority)
        pin = pin_of(shared_certificate())
        known = link.make("https://site.example/", SECRET, profile.name, pin=pin)
        settings = ReachSettings(bridges=(known,)).changed(route="bridge")
        (tmp_path / "people").mkdir()
        async with asyncio.timeout(600):
            await correspond(profile, settings, tmp_path / "people", worlds)

    simulation.run(session())
    assert callers == wall.inside
    assert not wall.forbidden
    assert wall.flows


CONNECTIONS = []  # while it has a set, that is told of every connection this process makes


def _notice(event, arguments):
    if event == "socket.connect" and CONNECTIONS:
        CONNECTIONS[0].add(arguments[1])


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_on_sockets(tmp_path, monkeypatch, capsys):
    """The devnet's nodes and the bridge are processes of their own: what this one connects to, the clients do."""
    made = certificate.create(real.world().clock.now())
    chain, key, home = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "bridge"
    chain.write_bytes(made.certificate)
    key.write_bytes(made.private_key)
    async with Devnet(real.world(), tmp_path / "network", nodes=8, swarms=2) as devnet:
        place = ["--dir", str(home), "--network", str(devnet.network_path)]

        def ramson(*arguments):
            monkeypatch.setattr(sys, "argv", ["ramson", "bridge", *arguments])
            with contextlib.suppress(SystemExit):
                main()
            return capsys.readouterr().out.strip()

        ramson("keygen", "--dir", str(home))
        command = [sys.executable, "-c", "from ramson.cli import main; main()", "bridge", "run", *place]
        command += ["--certificate", str(chain), "--private-key", str(key), "--allow-private", "--stop-with-input"]
        command += ["--listen", "127.0.0.1:0"]
        pipe = asyncio.subprocess.PIPE
        bridge, log = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe), b""
        try:
            while not (found := re.search(rb"at=127\.0\.0\.1:(\d+)", log)):
                line = await bridge.stderr.readline()
                assert line, log
                log += line
            port = int(found[1])
            uri = ramson("link", *place, "--site", f"https://localhost:{port}/", "--pin", str(chain))
            profile = NetworkProfile.from_file(devnet.network)
            nodes = tuple(node.record for node in devnet.network.nodes)
            settings = ReachSettings().changed(bridge=uri, route="bridge")
            (tmp_path / "people").mkdir()
            sys.addaudithook(_notice)  # for good, as hooks are
            CONNECTIONS.append(connections := set())
            async with asyncio.timeout(200):
                worlds = [real.world(), real.world()]
                await correspond(replace(profile, bundled=nodes), settings, tmp_path / "people", worlds)
            reached = {address for address in connections if isinstance(address, tuple)}
        finally:
            CONNECTIONS.clear()
            log += (await bridge.communicate(b""))[1]
        assert reached
        assert {address[1] for address in reached} == {port}, "something went another way than the bridge"
        assert b"ERROR" not in log
        assert b"Traceback" not in log

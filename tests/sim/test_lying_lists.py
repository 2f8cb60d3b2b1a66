"""Lies about who is in the network, by seed, mirror and bridge, told to real clients beside real nodes.

Whoever chooses a client's nodes can surround it.  In one run a client for each combination of a liar, a lie, and
another channel that tells the truth looks for its nodes for as long as it takes to renew a list.  The liars
run nodes, which would answer.  `test_network_judge` has the whole table of the decision alone.
"""

import asyncio
import functools
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from ramson.crypto.keys import Ed25519KeyPair
from ramson.network import Light, MemoryCache, Network
from ramson.network.profile import SeedUrl
from ramson.network.trace import ListAdopted, PathBuilt, PathPatched
from ramson.protocol import node_list
from ramson.protocol.node_list import DAY_MS, ListAuthority, SignedNodeList
from ramson.protocol.nodes import NodeRecord
from ramson.reach import ReachSettings, bridge_lists
from ramson.reach.node_lists import Mirror
from ramson.registry import FileRegistry, SeedService
from ramson.sim import SimulatedNetwork
from ramson.sim.bridges import SimulatedWebBridge
from ramson.sim.network import SEED_PORT, shared_certificate
from ramson.world import Endpoint, HttpLimits, HttpResponse
from ramson.world.simulated import Simulation

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

NODES, THEIRS = 30, 12
LONG = 330.0  # seconds: lists are renewed after five minutes
SIGNERS = [Ed25519KeyPair.from_seed(b"signer" + bytes([n]) * 26) for n in range(3)]
STRANGERS = [Ed25519KeyPair.from_seed(b"nobody" + bytes([n]) * 26) for n in range(3)]
AUTHORITY = ListAuthority("simulated", frozenset(each.public for each in SIGNERS), 2)
MIRRORS = "10.8.0.1"

CHANNELS = ("seed", "mirror", "bridge")
LIES = ("only their own", "cut short to nodes they run", "long out of date")
TRUTH = "true"
DRESSES = {"bare": (), "one signature too few": (SIGNERS[0], *STRANGERS), "signed": tuple(SIGNERS[:2])}


@dataclass(frozen=True)
class Said:
    """What a channel says: a list of nodes, and how it is dressed up."""

    channel: str
    what: str
    dress: str


@dataclass
class Client:
    """Somebody who hears some channels, and what happened to him."""

    hears: tuple[Said, ...]
    events: list = field(default_factory=list)
    light: Light = Light.RED
    nodes: frozenset[bytes] = frozenset()

    @property
    def hops(self) -> list[list[bytes]]:
        """The keys of the nodes of each path it ever had."""
        built = [event.path for event in self.events if isinstance(event, PathBuilt)]
        patched = [event.after for event in self.events if isinstance(event, PathPatched)]
        return [[hop.ed25519 for hop in path.hops] for path in built + patched]


def dresses(channel: str, what: str) -> list[str]:
    """A seed's answer is bare; liars do not have enough of the signers' keys."""
    if channel == "seed":
        return ["bare"]
    return ["bare", "signed"] if what == TRUTH else ["bare", "one signature too few"]


def beside_the_truth() -> list[Client]:
    """Every lie by every channel, in every dress, beside the truth by every other channel."""
    return [
        Client((Said(liar, lie, lie_dress), Said(honest, TRUTH, true_dress)))
        for liar, honest in itertools.permutations(CHANNELS, 2)
        for lie in LIES
        for lie_dress in dresses(liar, lie)
        for true_dress in dresses(honest, TRUTH)
    ]


class Town:
    """The network, the liars' nodes, and all the channels."""

    def __init__(self, directory) -> None:
        self.sim = Simulation(5)
        self.network = SimulatedNetwork(self.sim, directory, nodes=NODES, spare=THEIRS, swarms=4, tests=False)
        listed, others = self.network.entries[:NODES], self.network.entries[NODES:]
        swarm = listed[0].record.swarm_id
        theirs = tuple(replace(each, record=replace(each.record, swarm_id=swarm)) for each in others)
        gone = [replace(each, record=_departed(each.record, i)) for i, each in enumerate(listed)]
        self.lists = {
            TRUTH: listed,
            "only their own": theirs,
            "cut short to nodes they run": listed[:10],
            "long out of date": (*listed[:8], *gone[:22]),
        }
        for number in range(NODES, NODES + THEIRS):  # they serve whoever comes
            self.network.announce(replace(self.network.file, nodes=theirs), number)
        self.honest = frozenset(each.record.ed25519 for each in listed)
        self._files: dict[str, bytes] = {}
        self._seeds: dict[str, SeedUrl] = {TRUTH: self.network.profile.seeds[0]}
        self._bridges: dict[tuple[str, str], SimulatedWebBridge] = {}
        for number, lie in enumerate(LIES):
            address = f"10.8.1.{number + 1}"
            pins = self.network.profile.seeds[0].pins
            self._seeds[lie] = SeedUrl(f"https://{address}:{SEED_PORT}/json_rpc", pins)
            self.sim.host(address).start(functools.partial(self._lying_seed, address, lie))
        for what, dress in itertools.product(self.lists, DRESSES):
            data = self._written(what, dress)
            self._files[f"/{what}/{dress}/simulated.nodes".replace(" ", "-")] = data
            number = len(self._bridges)
            self._bridges[what, dress] = SimulatedWebBridge(
                self.sim, self.network, number, node_list=lambda data=data: data
            )
        self.sim.host(MIRRORS).start(self._mirrors)

    def _written(self, what: str, dress: str) -> bytes:
        now, days = self.sim.world(MIRRORS).clock.now(), 20 if what == "long out of date" else 1
        records = [each.record for each in self.lists[what]]
        made = SignedNodeList(node_list.state("simulated", records, height=1, time_ms=now - days * DAY_MS))
        for signer in DRESSES[dress]:
            made = made.signed_by(signer)
        return node_list.encode(made)

    async def _lying_seed(self, address, lie, world) -> None:
        registry = FileRegistry(replace(self.network.file, nodes=self.lists[lie]))
        async with SeedService(world, registry, Endpoint(address, SEED_PORT), shared_certificate()):
            await asyncio.Event().wait()

    async def _mirrors(self, world) -> None:
        def give(request):
            data = self._files.get(request.target)
            return HttpResponse(404) if data is None else HttpResponse(200, body=data)

        await world.net.listen(Endpoint(MIRRORS, 80), give, certificate=None, limits=HttpLimits())
        await asyncio.Event().wait()

    def _profile(self, client: Client, world):
        seeds = tuple(self._seeds[each.what] for each in client.hears if each.channel == "seed")
        profile = replace(self.network.profile, seeds=seeds, signers=AUTHORITY)
        for each in client.hears:
            path = f"{each.what}/{each.dress}".replace(" ", "-")
            if each.channel == "mirror":
                profile = profile.with_lists([Mirror(f"http://{MIRRORS}/{path}", "simulated")])
            elif each.channel == "bridge":
                settings = ReachSettings(bridges=(self._bridges[each.what, each.dress].link,))
                profile = profile.with_lists(bridge_lists(world, settings))
        return profile

    def run(self, clients: list[Client]) -> None:
        """Let all clients look for their nodes at the same time."""

        async def session():
            await self.network.up()
            async with AsyncExitStack() as stack:
                networks = []
                for number, client in enumerate(clients):
                    world = self.network.client_world(number)
                    network = Network(world, self._profile(client, world), MemoryCache(), trace=client.events.append)
                    networks.append(await stack.enter_async_context(network))
                await asyncio.sleep(LONG)
                for client, network in zip(clients, networks, strict=True):
                    client.light = network.status.light
                    client.nodes = frozenset(node.ed25519 for node in network.nodes)

        self.sim.run(session())


def _departed(like: NodeRecord, number: int) -> NodeRecord:
    """Make up a node that was there once."""
    keys = Ed25519KeyPair.from_seed(b"gone" + bytes([number]) * 28)
    return replace(like, ed25519=keys.public, x25519=keys.to_x25519().public, ip=f"10.200.{number}.1")


def test_beside_one_true_source_no_client_ever_has_a_path_of_the_liars_choice(tmp_path):
    town, clients = Town(tmp_path), beside_the_truth()
    town.run(clients)
    for client in clients:
        _, truth = client.hears
        if truth.dress == "signed":
            assert client.light is Light.GREEN, client.hears
            assert client.nodes == town.honest, client.hears
            assert all(town.honest.issuperset(path) for path in client.hops), client.hears
        else:  # nobody can tell who lies, and nothing is risked
            assert not client.hops, client.hears
            assert not [event for event in client.events if isinstance(event, ListAdopted)], client.hears
    assert len(clients) == 48


def test_a_liar_heard_alone_and_one_who_has_enough_signers_keys_are_believed(tmp_path):
    """What remains, and the proof that these lies would work."""
    alone = [Client((Said(channel, lie, "bare"),)) for channel in CHANNELS for lie in LIES[:2]]
    forged = [
        Client((Said("mirror", lie, "signed"), Said(honest, TRUTH, "bare")))
        for lie in LIES[:2]
        for honest in ("seed", "bridge")
    ]
    town = Town(tmp_path)
    town.run(alone + forged)
    for client in alone + forged:
        lie = client.hears[0].what
        assert client.hops, client.hears
        assert client.nodes <= {each.record.ed25519 for each in town.lists[lie]}, client.hears

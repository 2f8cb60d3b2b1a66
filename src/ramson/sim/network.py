"""A whole Session network in a simulation: a seed, nodes in swarms, and addresses for clients.

Everything that runs is the real code; only its `World` is simulated.  Keys come from the simulation's
seed.  All nodes and the seed share one certificate, made once in a process from the system's randomness:
making one for each would cost more than most scenarios, and nothing that goes over the simulated wire
depends on it.
"""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

from ramson.errors import LocalError
from ramson.network import NetworkProfile
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol.file_server import FileServer
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry, SeedService
from ramson.servers.files import FileServerConfig, FileService
from ramson.servers.keys import ServerKeys
from ramson.world import Certificate, Endpoint, World
from ramson.world.pins import pin_of
from ramson.world.simulated import SimulatedFiles, Simulation

HTTPS_PORT, OMQ_PORT, SEED_PORT = 22021, 22020, 4443  # as on the public network
SEED_ADDRESS = "10.1.0.1"
FILES_ADDRESS, FILES_PORT = "10.1.0.2", 80
MAX_NODES = MAX_CLIENTS = 50_000
RING = 2**64


@functools.cache
def shared_certificate() -> Certificate:
    """Return the certificate of every simulated listener of this process."""
    return certificate.create(0)


class SimulatedNetwork:
    """`nodes` service nodes dealt evenly over `swarms` swarms, and a seed, as hosts of `simulation`.

    The nodes keep their databases under `directory`, one folder a node.  They start with the run.  All go by `file`
    until they are told of another list, each at its own moment (`announce`).  `spare` nodes more run beside them,
    which the file does not list.  With `tests` off nodes do not test each other.  With `file_server` there is one, at
    `FILES_ADDRESS`.
    """

    def __init__(
        self,
        simulation: Simulation,
        directory: Path,
        *,
        nodes: int = 12,
        swarms: int = 3,
        spare: int = 0,
        tests: bool = True,
        file_server: bool = False,
    ) -> None:
        if not 1 <= swarms <= nodes <= MAX_NODES - spare:
            raise LocalError(f"{nodes} nodes cannot form {swarms} swarms", remedy="have a node for every swarm")
        running = nodes + spare
        self._simulation = simulation
        self._tests = tests
        self._homes = [directory / f"n{i}" for i in range(running)]
        self._lives = [0] * running
        self._up = [asyncio.Event() for _ in range(running)]
        self._keys = [NodeKeys.generate(simulation.world(_node_address(i)).entropy) for i in range(running)]
        pin = pin_of(shared_certificate())
        self.entries = tuple(
            NetworkNode(f"n{i}", NodeState.ACTIVE, _record(keys, i, RING // swarms * (i * swarms // nodes) + 0x1000))
            for i, keys in enumerate(self._keys)
        )
        self.file = NetworkFile(
            nodes=self.entries[:nodes],
            seeds=(Seed(f"https://{SEED_ADDRESS}:{SEED_PORT}/json_rpc", pin),),
            file_server=self._file_server(directory / "files") if file_server else None,
        )
        self._known = [self.file] * running
        self._registries: dict[int, FileRegistry] = {}
        self.profile = NetworkProfile.from_file(self.file, name="simulated")
        simulation.host(SEED_ADDRESS).start(self._run_seed)
        for i in range(running):
            simulation.host(_node_address(i)).start(functools.partial(self._run_node, i))

    @property
    def records(self) -> tuple[NodeRecord, ...]:
        """The nodes as the network lists them, in the order of their numbers."""
        return tuple(node.record for node in self.file.nodes)

    async def up(self) -> None:
        """Wait until every node that was not killed serves."""
        for i, serving in enumerate(self._up):
            if self._simulation.host(_node_address(i)).life.alive:
                await serving.wait()

    def client_world(self, number: int, *, skew_ms: int = 0) -> World:
        """Return the world of the client host with this number, its clock `skew_ms` ahead."""
        return self._simulation.world(self.client_address(number), skew_ms=skew_ms)

    def client_address(self, number: int) -> str:
        """Return the address of the client host with this number."""
        if not 0 <= number < MAX_CLIENTS:
            raise LocalError(f"there is no client number {number}")
        return f"10.2.{number // 250}.{number % 250 + 1}"

    def kill(self, number: int) -> None:
        """End a node's process at this instant."""
        self._simulation.crash(_node_address(number))
        self._up[number].clear()

    def interrupt(self, number: int, files: SimulatedFiles, *, power: bool) -> None:
        """End a node's process in the middle of what its disk is doing; with `power` its machine goes down too.

        Its database is then in the state that `files` would leave it in, in a new folder.
        """
        host = self._simulation.host(_node_address(number))
        self._lives[number] += 1
        found = self._homes[number].with_name(f"n{number}.{self._lives[number]}")
        files.interrupt(self._homes[number], found, host.work_begun(), power=power)
        self._homes[number] = found
        self.kill(number)

    def restart(self, number: int) -> None:
        """Start a killed node again, on the same database."""
        self._simulation.restart(_node_address(number))

    def announce(self, file: NetworkFile, number: int) -> None:
        """Let a node learn of a new list, at once or, when it is down, at its start."""
        self._known[number] = file
        if (registry := self._registries.get(number)) is not None:
            registry.replace(file)

    def home(self, number: int) -> Path:
        """Return the folder in which a node keeps its database now."""
        return self._homes[number]

    def address(self, number: int) -> str:
        """Return a node's address."""
        return _node_address(number)

    def _file_server(self, home: Path) -> FileServer:
        keys = ServerKeys.from_seed(self._simulation.world(FILES_ADDRESS).entropy.randbytes(32))
        endpoint = Endpoint(FILES_ADDRESS, FILES_PORT)

        async def serve(world: World) -> None:
            async with FileService(world, keys, FileServerConfig(endpoint, home)):
                await asyncio.Event().wait()

        self._simulation.host(FILES_ADDRESS).start(serve)
        return FileServer(f"http://{endpoint}", keys.x25519.public, ranges=True, resumable=True)

    async def _run_seed(self, world: World) -> None:
        registry = FileRegistry(self.file, entropy=world.entropy)
        async with SeedService(world, registry, Endpoint(SEED_ADDRESS, SEED_PORT), shared_certificate()):
            await asyncio.Event().wait()

    async def _run_node(self, number: int, world: World) -> None:
        address = _node_address(number)
        config = NodeConfig(
            https=Endpoint(address, HTTPS_PORT),
            omq=Endpoint(address, OMQ_PORT),
            data_dir=self._homes[number],
            testnet=self.file.testnet,
            allow_private_relay=True,
            test_peers=self._tests,
            test_storage=self._tests,
        )
        registry = self._registries[number] = FileRegistry(self._known[number], entropy=world.entropy)
        async with Node(world, self._keys[number], shared_certificate(), config, registry):
            self._up[number].set()
            await asyncio.Event().wait()


def _node_address(number: int) -> str:
    """Give each node a /24 of its own, as path diversity wants."""
    return f"10.{3 + number // 250}.{number % 250 + 1}.1"


def _record(keys: NodeKeys, number: int, swarm_id: int) -> NodeRecord:
    return NodeRecord(
        ed25519=keys.ed25519.public,
        x25519=keys.x25519.public,
        legacy=keys.legacy,
        ip=_node_address(number),
        https_port=HTTPS_PORT,
        omq_port=OMQ_PORT,
        swarm_id=swarm_id,
    )

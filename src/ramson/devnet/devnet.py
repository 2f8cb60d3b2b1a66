"""A whole network on this machine: keys, addresses, `network.json`, and the processes that make it real.

Everything lives in one directory: `network.json` (public, in the conformance suite's format), and a folder a node
with its keys, database and log.  Processes end with the `Devnet` that started them.  With `in_process` there is one
process for all, the launcher's own: see `residents`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from ramson.devnet import layout
from ramson.devnet.layout import HTTPS_PORT, Layout, Place
from ramson.devnet.processes import DevnetError, Worker
from ramson.devnet.residents import Resident
from ramson.node import certificate
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys
from ramson.node.node import Node
from ramson.protocol import network_file
from ramson.protocol.file_server import FileServer
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState, Seed
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry, SeedService
from ramson.servers.files import FileServerConfig, FileService
from ramson.servers.keys import ServerKeys
from ramson.world import (
    CannotListen,
    Certificate,
    Endpoint,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    Listener,
    World,
    real,
)
from ramson.world.pins import pin_of

SEED = "seed"
FILES = "files"
BLOCKS = range(64, 250)  # second bytes of 127.x addresses to choose from
_AT_ONCE = 4  # processes starting at the same time


class Devnet:
    """One test network; an async context manager that starts it and, at the end, stops all of it.

    `nodes` dealt over `swarms`, or the shape of the conformance suite.  An existing directory is used again: its
    keys and databases stay, its addresses are drawn anew.  With `file_server` it has one, called `files`.  `block` (the
    first two bytes, such as `198.18`) puts it on addresses of a network namespace instead of the loopback's.
    """

    def __init__(
        self,
        world: World,
        directory: Path,
        *,
        nodes: int = 12,
        swarms: int = 2,
        conformance: bool = False,
        file_server: bool = False,
        in_process: bool = False,
        block: str | None = None,
    ) -> None:
        self._block = block
        self._world = world
        self.directory = directory
        self._shape = (nodes, swarms, conformance)
        self._with_files = file_server
        self._in_process = in_process
        self._reserved: list[Listener] = []
        self._workers: dict[str, Worker | Resident] = {}
        self._network: NetworkFile | None = None

    @property
    def network(self) -> NetworkFile:
        """The network as written to `network_path`."""
        if self._network is None:
            raise DevnetError("the network has not been started")
        return self._network

    @property
    def network_path(self) -> Path:
        """Where the network is described for clients and tests."""
        return self.directory / "network.json"

    @property
    def nodes(self) -> tuple[NetworkNode, ...]:
        """All nodes that the network lists."""
        return self.network.nodes

    def node(self, ed25519: bytes) -> NetworkNode:
        """Find a node by its Ed25519 key.  Raises DevnetError."""
        for node in self.nodes:
            if node.record.ed25519 == ed25519:
                return node
        raise DevnetError("no node of this network has that key")

    def running(self, name: str) -> bool:
        """Whether the process of a node is alive."""
        return name in self._workers and self._workers[name].running

    def pid(self, name: str) -> int:
        """Return the process id of a running node.  Raises DevnetError."""
        return self._worker(name).pid

    async def kill(self, name: str) -> None:
        """End a node as a crash would."""
        await self._worker(name).kill()

    async def restart(self, name: str) -> None:
        """Start a node again that was killed, with the keys and the database it had."""
        await self._worker(name).start()

    def _worker(self, name: str) -> Worker | Resident:
        if name not in self._workers:
            raise DevnetError(f"this network runs no node called {name}")
        return self._workers[name]

    async def __aenter__(self) -> Self:
        try:
            plan = await self._plan()
            self._network = self._write(plan)
            self._workers = self._prepare_residents(plan) if self._in_process else self._prepare(plan)
            if self._with_files:
                self._workers[FILES] = self._resident_files(plan) if self._in_process else self._prepare_files(plan)
            gate = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as starting:
                for worker in self._workers.values():
                    starting.create_task(self._start(worker, gate))
        except BaseExceptionGroup as group:
            await self._close()
            raise group.exceptions[0] from None
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @staticmethod
    async def _start(worker: Worker | Resident, gate: asyncio.Semaphore) -> None:
        async with gate:
            await worker.start()

    async def _close(self) -> None:
        async with asyncio.TaskGroup() as stopping:
            for worker in self._workers.values():
                stopping.create_task(worker.stop())
        await self._free_ports()

    async def _plan(self) -> Layout:
        nodes, swarms, conformance = self._shape
        block = self._block or await self._free_block()
        ports: list[int] = []
        if block is None:
            for _ in range(2 * nodes + 2):
                self._reserved.append(await self._hold(Endpoint("127.0.0.1", 0)))
            ports = [listener.endpoint.port for listener in self._reserved]
            await self._free_ports()
        if conformance:
            return layout.conformance(block=block, free_port=ports.pop)
        return layout.plain(nodes, swarms, block=block, free_port=ports.pop)

    async def _free_block(self) -> str | None:
        """Reserve addresses 127.x no other network of this machine uses; None where only 127.0.0.1 exists."""
        for block in self._world.entropy.sample(BLOCKS, len(BLOCKS)):
            with contextlib.suppress(CannotListen):
                self._reserved.append(await self._hold(Endpoint(f"127.{block}.255.254", HTTPS_PORT)))
                return f"127.{block}"
        return None

    async def _hold(self, endpoint: Endpoint) -> Listener:
        return await self._world.net.listen(endpoint, _nobody, certificate=None, limits=HttpLimits())

    async def _free_ports(self) -> None:
        while self._reserved:
            await self._reserved.pop().close()

    def _write(self, plan: Layout) -> NetworkFile:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        pin = pin_of(certificate.load_or_create(self.directory / SEED, self._world.clock.now()))
        url = f"https://{plan.seed}/json_rpc"
        network = NetworkFile(
            nodes=tuple(self._node(place) for place in plan.places),
            seeds=(Seed(url, pin),),
            diversity=plan.diversity,
            ons=_known_name(),
            file_server=self._file_server(plan) if self._with_files else None,
        )
        self.network_path.write_bytes(network_file.encode(network))
        return network

    def _file_server(self, plan: Layout) -> FileServer:
        keys = ServerKeys.load_or_create(self.directory / FILES, self._world.entropy)
        return FileServer(f"http://{plan.files}", keys.x25519.public, ranges=True, resumable=True)

    def _node(self, place: Place) -> NetworkNode:
        keys = NodeKeys.load_or_create(self.directory / place.name, self._world.entropy)
        record = NodeRecord(
            ed25519=keys.ed25519.public,
            x25519=keys.x25519.public,
            legacy=keys.legacy,
            ip=place.ip,
            https_port=place.https_port,
            omq_port=place.omq_port,
            swarm_id=place.swarm_id,
        )
        secret = keys.x25519.secret if place.state is NodeState.PHANTOM else None
        return NetworkNode(place.name, place.state, record, secret)

    def _prepare(self, plan: Layout) -> dict[str, Worker | Resident]:
        seed = self.directory / SEED
        options = ("--network", str(self.network_path), "--dir", str(seed), "--stop-with-input")
        workers: dict[str, Worker | Resident] = {SEED: Worker(SEED, ("ramson", "seed", "run", *options), seed / "log")}
        for place in plan.places:
            if place.runs:
                home = self.directory / place.name
                command = (
                    *("ramson.cli.node_process", "--stop-with-input", "relay.allow_private=true"),
                    *(f"data_dir={home}", f"network.file={self.network_path}", f"network.name={place.name}"),
                )
                workers[place.name] = Worker(place.name, command, home / "log")
        return workers

    def _prepare_files(self, plan: Layout) -> Worker:
        home = self.directory / FILES
        command = ("ramson", "servers", "files", "--stop-with-input", "--listen", str(plan.files), "--dir", str(home))
        return Worker(FILES, command, home / "log")

    def _prepare_residents(self, plan: Layout) -> dict[str, Worker | Resident]:
        # What all may share, they share: the node list, and a certificate, which tells nodes of a network from nobody.
        registry = FileRegistry(self.network)
        chain = certificate.load_or_create(self.directory / SEED, self._world.clock.now())
        seed = partial(SeedService, self._world, registry, plan.seed, chain)
        residents: dict[str, Worker | Resident] = {SEED: Resident(SEED, seed)}
        for place in plan.places:
            if place.runs:
                make = partial(self._live, place, registry, chain)
                residents[place.name] = Resident(place.name, make)
        return residents

    def _resident_files(self, plan: Layout) -> Resident:
        home = self.directory / FILES
        keys = ServerKeys.load_or_create(home, self._world.entropy)
        return Resident(FILES, partial(FileService, self._world, keys, FileServerConfig(plan.files, home)))

    @contextlib.asynccontextmanager
    async def _live(self, place: Place, registry: FileRegistry, chain: Certificate) -> AsyncIterator[None]:
        home = self.directory / place.name
        config = NodeConfig(
            https=Endpoint(place.ip, place.https_port),
            omq=Endpoint(place.ip, place.omq_port),
            data_dir=home,
            testnet=self.network.testnet,
            allow_private_relay=True,
        )
        world = real.world(place.ip if self.network.diversity else None)
        keys = NodeKeys.load_or_create(home, self._world.entropy)
        try:
            async with Node(world, keys, chain, config, registry):
                yield
        finally:
            await world.net.close()


def _nobody(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(404)


def _known_name() -> dict[str, object]:
    """Return the one name this network's stand-in for the daemon resolves; its (made-up) value opens for nobody."""
    return {
        "name_hash": "c0" * 32,
        "result": {"encrypted_value": "ab" * 49, "nonce": "cd" * 24},
    }

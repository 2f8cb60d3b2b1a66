"""The scenario on this machine: a seed and twelve nodes as processes, twenty clients, real sockets and time."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ramson.devnet import Devnet
from ramson.network import NetworkProfile
from ramson.world import World, real

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from scenario import play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass
class Sockets:
    devnet: Devnet
    directory: Path
    worlds: list[World] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        return len(self.devnet.nodes)

    @property
    def profile(self) -> NetworkProfile:
        return NetworkProfile.from_file(self.devnet.network)

    def world(self, _number: int) -> World:
        self.worlds.append(real.world())
        return self.worlds[-1]

    async def kill(self, node: int) -> None:
        await self.devnet.kill(self.devnet.nodes[node].name)


async def test_every_message_is_delivered_exactly_once(tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    async with Devnet(real.world(), tmp_path / "network", nodes=12, swarms=3) as devnet:
        stage = Sockets(devnet, people)
        await play(stage, seed=1, patience=400)
        assert sum(devnet.running(node.name) for node in devnet.nodes) == stage.nodes - 2
        for world in stage.worlds:
            await world.net.close()

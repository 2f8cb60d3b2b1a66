"""Each feature once on this machine: a seed, eight nodes and a file server as processes, real sockets and time."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ramson.devnet import Devnet
from ramson.network import NetworkProfile
from ramson.protocol import network_file
from ramson.world import World, real

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from features import play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass
class Sockets:
    profile: NetworkProfile
    directory: Path
    worlds: list[World] = field(default_factory=list)

    def world(self, _number, _skew_ms):
        self.worlds.append(real.world())
        return self.worlds[-1]


async def test_both_devices_end_equal_and_nothing_is_lost_or_doubled(tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    async with Devnet(real.world(), tmp_path / "network", nodes=8, swarms=2, file_server=True) as devnet:
        place = Sockets(NetworkProfile.from_file(network_file.parse(devnet.network_path.read_bytes())), people)
        await play(place)
        for world in place.worlds:
            await world.net.close()

"""A test network of real processes: started, described in network.json, killed and started again."""

import asyncio
import os
import stat
import subprocess
import sys

import pytest

from ramson.devnet import Devnet, DevnetError
from ramson.protocol import network_file
from ramson.world import Endpoint, HttpRequest, NetError, Tls, real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def ping(world, node):
    endpoint = Endpoint(node.record.ip, node.record.https_port)
    return (await world.net.request(endpoint, HttpRequest("POST", "/ping_test/v1"), tls=Tls(), timeout=10)).status


async def test_a_network_comes_up_is_described_and_goes_with_its_launcher(tmp_path):
    world = real.world()
    async with Devnet(world, tmp_path, nodes=3, swarms=1) as devnet:
        described = network_file.parse(devnet.network_path.read_bytes())
        assert described == devnet.network
        assert [await ping(world, node) for node in described.nodes] == [200] * 3
        for node in described.nodes:
            assert stat.S_IMODE((tmp_path / node.name / "keys.json").stat().st_mode) == 0o600

        victim = described.nodes[1]
        pid = devnet.pid(victim.name)
        await devnet.kill(victim.name)
        assert not devnet.running(victim.name)
        with pytest.raises(NetError):
            await ping(world, victim)
        await devnet.restart(victim.name)
        assert devnet.pid(victim.name) != pid
        assert await ping(world, victim) == 200
        pids = [devnet.pid(node.name) for node in described.nodes]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    await world.net.close()


async def test_a_node_that_cannot_start_is_named_with_its_last_words(tmp_path):
    home = tmp_path / "n0"
    home.mkdir(mode=0o700)
    (home / "mailbox.db").mkdir()
    with pytest.raises(DevnetError, match=r"n0 did not start: .*mailbox"):
        async with Devnet(real.world(), tmp_path, nodes=1, swarms=1):
            pass


async def test_the_demo_ends_well(tmp_path):
    command = [sys.executable, "-m", "ramson", "demo", "--dir", str(tmp_path)]
    finished = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    assert "All of it happened" in finished.stdout
    assert finished.stdout.count("members of") >= 3

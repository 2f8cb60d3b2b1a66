"""Whole nodes beside a daemon: the conformance suite's own mock, in a process of its own."""

import asyncio
import json
import os
import random
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.node import certificate
from ramson.node.beside_oxend import fetch_keys, node_beside_oxend
from ramson.node.config import NodeConfig
from ramson.protocol import network_file
from ramson.registry import Announcement, OxendRegistry, RegistryError
from ramson.world import DaemonAddress, Endpoint, HttpRequest, Tls, real

TOOLS = Path(__file__).parents[1] / "conformance" / "tools"
FIRST_IP = os.environ["RAMSON_TESTS_BLOCK"] + ".91.1"


@pytest.fixture
async def town(tmp_path):
    """The directory of a network with its mock daemon, which finds a block every half second."""
    gen = [sys.executable, TOOLS / "gen_network.py", tmp_path, "--first-ip", FIRST_IP]
    await asyncio.to_thread(subprocess.run, gen, check=True)
    mock = await asyncio.create_subprocess_exec(
        sys.executable, TOOLS / "mock_oxend.py", tmp_path, "--block-time", "0.5", stdout=subprocess.PIPE
    )
    try:
        assert await mock.stdout.readline() == b"mock oxend ready\n"
        yield tmp_path
    finally:
        mock.kill()
        await mock.wait()


def address(town, i):
    return DaemonAddress.parse(f"ipc://{town}/oxend-{i}.sock")


async def test_the_registry_with_the_mock(world, town):
    network = network_file.parse((town / "network.json").read_bytes())
    keys = await fetch_keys(world, address(town, 3))
    assert keys.ed25519.public == network.nodes[3].record.ed25519
    assert keys.legacy == network.nodes[3].record.legacy
    async with OxendRegistry(world, address(town, 3), Announcement(keys.ed25519.public, 1, 2), testnet=True) as nodes:
        first = nodes.current()
        assert {node.ed25519: node for node in first.nodes} == {n.record.ed25519: n.record for n in network.nodes}
        assert first.hardfork == (19, 4)
        second = await nodes.wait_change(first)
        assert second.height > first.height
        assert nodes.block_hash(second.height) == second.block_hash
        assert await nodes.call("ons_resolve", {"name_hash": network.ons["name_hash"]}) == network.ons["result"]
        with pytest.raises(RegistryError, match="name_hash must be"):
            await nodes.call("ons_resolve", {})
        assert nodes.health.ping_reply == "OK"
        assert await nodes.report_peer_status(keys.legacy, passed=True)


async def test_nodes_beside_the_mock_serve(town):
    network = network_file.parse((town / "network.json").read_bytes())
    chain = certificate.create(1_700_000_000_000)
    async with AsyncExitStack() as stack:
        for i in (6, 7):  # the swarm of two
            record = network.nodes[i].record
            config = NodeConfig(
                https=Endpoint(record.ip, record.https_port),
                omq=Endpoint(record.ip, record.omq_port),
                data_dir=town / f"n{i}",
                testnet=True,
            )
            world = real.world(record.ip)
            node = node_beside_oxend(world, address(town, i), chain, config, seeds=[])
            await stack.enter_async_context(node)

        client = real.world()
        nodes = network.node_list()
        rng = random.Random(1)
        account = AccountKeys.generate(rng)
        while nodes.swarm_of(account.id.raw)[0] != network.nodes[6].record.swarm_id:
            account = AccountKeys.generate(rng)
        body = {
            "method": "store",
            "params": {"pubkey": account.id.hex, "data": "aGk=", "ttl": 60_000, "timestamp": client.clock.now()},
        }
        record = network.nodes[6].record
        reply = await client.net.request(
            Endpoint(record.ip, record.https_port),
            HttpRequest("POST", "/storage_rpc/v1", body=json.dumps(body).encode()),
            tls=Tls(verify=False),
            timeout=10,
        )
        assert reply.status == 200
        stored = json.loads(reply.body)["swarm"]
        assert len(stored) == 2
        assert not any("failed" in entry for entry in stored.values())
        await client.net.close()

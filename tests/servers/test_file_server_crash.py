"""A file server that is killed at any moment has every file it acknowledged, and no half one."""

import asyncio
import os
import random
import signal
import sys

import pytest

from ramson.protocol.file_server import content_id, parse_info
from ramson.world import Endpoint, HttpLimits, HttpRequest, NetError, real

KILLS = 4


async def start(directory, port):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ramson", "servers", "files", "--dir", str(directory), "--stop-with-input"),
        *("--listen", f"127.0.0.1:{port}", "--log-level", "warning"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert (await process.stdout.readline()).strip() == b"ready"
    return process


@pytest.mark.timeout(120)
async def test_nothing_acknowledged_is_lost(tmp_path):
    world, entropy = real.world(), random.Random(1)
    spare = await world.net.listen(Endpoint("127.0.0.1", 0), lambda _: None, certificate=None, limits=HttpLimits())
    port = spare.endpoint.port
    await spare.close()
    endpoint = Endpoint("127.0.0.1", port)
    acknowledged: dict[str, bytes] = {}
    heard = asyncio.Event()

    async def upload(stop):
        while not stop.is_set():
            content = entropy.randbytes(entropy.randrange(1, 200_000))
            try:
                request = HttpRequest("POST", "/file", {}, content)
                reply = await world.net.request(endpoint, request, tls=None, timeout=10)
            except NetError:
                return
            if reply.status == 200:
                acknowledged[parse_info(reply.body).id] = content
                heard.set()

    for _ in range(KILLS):
        process = await start(tmp_path / "server", port)
        for file_id, content in acknowledged.items():
            reply = await world.net.request(endpoint, HttpRequest("GET", f"/file/{file_id}"), tls=None, timeout=10)
            assert (reply.status, reply.body) == (200, content)
        stop, before = asyncio.Event(), len(acknowledged)
        async with asyncio.TaskGroup() as uploads:
            for _ in range(4):
                uploads.create_task(upload(stop))
            while len(acknowledged) < before + 8:
                heard.clear()
                await heard.wait()
            await asyncio.sleep(entropy.random() * 0.05)
            os.kill(process.pid, signal.SIGKILL)
            stop.set()
        await process.wait()

    process = await start(tmp_path / "server", port)
    assert len(acknowledged) >= 8 * KILLS
    for file_id, content in acknowledged.items():
        assert file_id == content_id(content)
        reply = await world.net.request(endpoint, HttpRequest("GET", f"/file/{file_id}"), tls=None, timeout=10)
        assert (reply.status, reply.body) == (200, content)
    process.stdin.close()
    assert await process.wait() == 0
    assert not list((tmp_path / "server").rglob("*.part"))
    await world.net.close()

"""A file server that is killed at any moment has every file it acknowledged, and no half one."""

import asyncio
import os
import random
import signal
import sys

import pytest

from ramson.protocol.file_server import content_id, parse_info
from ramson.protocol.resumable_uploads import MIN_PIECE
from ramson.world import Endpoint, HttpRequest, NetError, real

KILLS = 4


async def start(directory, endpoint):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ramson", "servers", "files", "--dir", str(directory), "--stop-with-input"),
        *("--listen", str(endpoint), "--log-level", "warning"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert (await process.stdout.readline()).strip() == b"ready"
    return process


@pytest.mark.timeout(120)
async def test_nothing_acknowledged_is_lost(tmp_path):
    world, entropy = real.world(), random.Random(1)
    endpoint = Endpoint(os.environ["RAMSON_TESTS_BLOCK"] + ".45.1", 8080)
    acknowledged: dict[str, bytes] = {}
    begun: dict[str, tuple[bytes, int]] = {}  # uploads in pieces: the content, and how much of it was acknowledged
    heard = asyncio.Event()

    async def ask(method, target, headers, body=b""):
        return await world.net.request(endpoint, HttpRequest(method, target, headers, body), tls=None, timeout=10)

    async def go_on(place):
        content, least = begun[place]
        looked = await ask("HEAD", place, {})
        assert looked.status == 204
        offset = int(looked.headers["upload-offset"])
        assert offset >= least
        while place in begun:
            piece = content[offset : offset + MIN_PIECE]
            last = offset + len(piece) == len(content)
            headers = {"upload-offset": str(offset), "upload-complete": "?1" if last else "?0"}
            reply = await ask("PATCH", place, headers, piece)
            if reply.status == 503:  # busy: nothing is acknowledged
                return
            if last:
                assert parse_info(reply.body).id == content_id(content)
                acknowledged[content_id(content)] = content
                del begun[place]
            else:
                assert reply.status == 204
                offset += len(piece)
                begun[place] = (content, offset)
            heard.set()

    async def upload_in_pieces(stop):
        while not stop.is_set():
            content = entropy.randbytes(entropy.randrange(2 * MIN_PIECE, 12 * MIN_PIECE))
            headers = {"upload-complete": "?0", "upload-length": str(len(content))}
            try:
                reply = await ask("POST", "/file", headers, content[:MIN_PIECE])
                if reply.status == 503:
                    continue
                begun[reply.headers["location"]] = (content, MIN_PIECE)
                await go_on(reply.headers["location"])
            except NetError:  # it was killed; or this machine stood still for long
                continue

    async def upload(stop):
        while not stop.is_set():
            content = entropy.randbytes(entropy.randrange(1, 200_000))
            try:
                request = HttpRequest("POST", "/file", {}, content)
                reply = await world.net.request(endpoint, request, tls=None, timeout=10)
            except NetError:
                continue
            if reply.status == 200:
                acknowledged[parse_info(reply.body).id] = content
                heard.set()

    resumed = 0
    for _ in range(KILLS):
        process = await start(tmp_path / "server", endpoint)
        for file_id, content in acknowledged.items():
            reply = await world.net.request(endpoint, HttpRequest("GET", f"/file/{file_id}"), tls=None, timeout=10)
            assert (reply.status, reply.body) == (200, content)
        resumed += len(begun)
        for place in list(begun):
            await go_on(place)
        stop, before = asyncio.Event(), len(acknowledged)
        async with asyncio.TaskGroup() as uploads:
            for _ in range(4):
                uploads.create_task(upload(stop))
                uploads.create_task(upload_in_pieces(stop))
            while len(acknowledged) < before + 8:
                heard.clear()
                await heard.wait()
            await asyncio.sleep(entropy.random() * 0.05)
            os.kill(process.pid, signal.SIGKILL)
            stop.set()
        await process.wait()

    process = await start(tmp_path / "server", endpoint)
    resumed += len(begun)
    assert resumed
    for place in list(begun):
        await go_on(place)
    assert not begun
    assert len(acknowledged) >= 8 * KILLS
    for file_id, content in acknowledged.items():
        assert file_id == content_id(content)
        reply = await world.net.request(endpoint, HttpRequest("GET", f"/file/{file_id}"), tls=None, timeout=10)
        assert (reply.status, reply.body) == (200, content)
    process.stdin.close()
    assert await process.wait() == 0
    assert not list((tmp_path / "server").rglob("*.part"))
    await world.net.close()

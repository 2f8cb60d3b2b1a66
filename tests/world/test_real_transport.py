"""Pluggable transports as programs: a small one of ours that misbehaves, and obfs4 itself."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from ramson.world import Endpoint, HttpRequest, HttpResponse, NetError, Stage, TransportFailed, TransportProgram, real
from ramson.world.http import HttpLimits
from ramson.world.real import child, transport

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from obfs4 import needs_obfs4, obfs4_server

ASK = HttpRequest("POST", "/x", {}, b"body")
LOOPBACK = Endpoint("127.0.0.1", 0)
NAMED = Endpoint("site.example", 80)
FAKE = Path(__file__).parent / "fake_transport.py"


def echo(request):
    return HttpResponse(200, {"X-Host": request.headers["host"]}, request.body)


@pytest.fixture
async def server():
    listener = await real.world().net.listen(LOOPBACK, echo, certificate=None, limits=HttpLimits())
    yield listener
    await listener.close()


def fake(how, tmp_path, methods=("plain",)):
    return TransportProgram((sys.executable, str(FAKE), how), methods, str(tmp_path / "state"))


def runs(tmp_path):
    return [int(pid) for pid in (tmp_path / "state" / "RUNS").read_text().split()]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid):
    async with asyncio.timeout(20):
        while alive(pid):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def test_requests_go_to_the_bridge_whatever_they_name(server, tmp_path, monkeypatch):
    monkeypatch.setenv("RAMSON_PASSPHRASE", "secret")  # the program would refuse to run if it saw it
    running = await real.world().outlets.start(fake("well", tmp_path))
    arguments = {"cert": "a;b=c", "long": "x" * 300}
    net = running.through("plain", server.endpoint, arguments)
    reply = await net.request(NAMED, ASK, tls=None, timeout=5)
    assert reply.body == b"body"
    assert reply.headers["x-host"] == "site.example"
    (shown,) = (tmp_path / "state" / "LOG").read_text().splitlines()
    user, password = eval(shown)
    assert user + password == r"cert=a\;b=c;long=" + "x" * 300
    await net.close()
    bare = running.through("plain", server.endpoint, {})
    await bare.request(NAMED, ASK, tls=None, timeout=5)
    assert (tmp_path / "state" / "LOG").read_text().splitlines()[1] == "[]"
    await bare.close()
    await running.close()
    assert not alive(runs(tmp_path)[0])
    with pytest.raises(NetError) as caught:
        await net.request(NAMED, ASK, tls=None, timeout=5)
    assert caught.value.stage is Stage.PROXY


async def test_a_bridge_that_is_not_there_is_no_fault_of_a_guard(tmp_path):
    running = await real.world().outlets.start(fake("well", tmp_path))
    with pytest.raises(NetError) as caught:
        await running.through("plain", Endpoint("127.0.0.1", 1), {}).request(NAMED, ASK, tls=None, timeout=5)
    assert caught.value.stage is Stage.PROXY
    with pytest.raises(NetError, match="does not run"):
        await running.through("other", Endpoint("127.0.0.1", 1), {}).request(NAMED, ASK, tls=None, timeout=5)
    await running.close()


@pytest.mark.parametrize("how", ["old", "error", "elsewhere", "none", "chatty"])
async def test_programs_that_cannot_be_used(how, tmp_path):
    with pytest.raises(TransportFailed):
        await real.world().outlets.start(fake(how, tmp_path))
    assert not alive(runs(tmp_path)[0])


async def test_a_program_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    begin, begun = asyncio.create_subprocess_exec, []

    async def noted(*command, **options):
        begun.append(await begin(*command, **options))
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    monkeypatch.setattr(transport, "START_SECONDS", 1.0)
    with pytest.raises(TransportFailed):
        await real.world().outlets.start(fake("mute", tmp_path))
    assert [process.returncode is None for process in begun] == [False]


async def test_programs_that_are_not_there(tmp_path):
    for command in ("no-such-program", str(tmp_path)):
        with pytest.raises(TransportFailed, match="no program"):
            await real.world().outlets.start(TransportProgram((command,), ("plain",), str(tmp_path)))
    (tmp_path / "file").write_text("")
    with pytest.raises(TransportFailed, match="directory"):
        await real.world().outlets.start(TransportProgram((sys.executable,), ("plain",), str(tmp_path / "file" / "x")))


async def test_a_program_that_ends_is_started_anew(server, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "FIRST_PAUSE", 0.05)
    running = await real.world().outlets.start(fake("stops", tmp_path))
    net = running.through("plain", server.endpoint, {})
    async with asyncio.timeout(30):
        answered = set()
        while len(answered) < 2:  # by two runs of it
            with contextlib.suppress(NetError):
                assert (await net.request(NAMED, ASK, tls=None, timeout=5)).status == 200
                answered.add(runs(tmp_path)[-1])
            await asyncio.sleep(0.02)
    await net.close()
    await running.close()
    assert not any(map(alive, runs(tmp_path)))


async def test_a_program_that_does_not_want_to_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "GOODBYE", 0.2)
    running = await real.world().outlets.start(fake("deaf", tmp_path))
    (pid,) = runs(tmp_path)
    assert alive(pid)
    await running.close()
    await until_gone(pid)


async def test_a_program_ends_when_we_are_killed(tmp_path):
    """Nobody closes anything then: the program sees the end of its input."""
    script = f"""
import asyncio, os, sys
from ramson.world import TransportProgram, real
async def main():
    await real.world().outlets.start(
        TransportProgram((sys.executable, {str(FAKE)!r}, "well"), ("plain",), {str(tmp_path / "state")!r}))
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await child.wait() == -9
    (pid,) = runs(tmp_path)
    await until_gone(pid)


# ---- obfs4


@needs_obfs4
async def test_obfs4_carries_requests(server, tmp_path):
    process, bridge, arguments = await obfs4_server(tmp_path / "far", server.endpoint)
    running = await real.world().outlets.start(TransportProgram(("obfs4proxy",), ("obfs4",), str(tmp_path / "near")))
    net = running.through("obfs4", bridge, arguments)
    for body in (b"short", os.urandom(300_000)):
        reply = await net.request(NAMED, HttpRequest("POST", "/", {}, body), tls=None, timeout=20)
        assert reply.body == body
    await net.close()
    other = running.through("obfs4", bridge, arguments | {"cert": "A" * 70})
    with pytest.raises(NetError) as caught:  # whoever does not know the bridge's key learns nothing
        await other.request(NAMED, ASK, tls=None, timeout=2)
    assert caught.value.reached is Stage.PROXY
    await running.close()
    process.stdin.close()
    await process.wait()

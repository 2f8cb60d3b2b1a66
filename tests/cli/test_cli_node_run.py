"""`ramson node run` as a process: ready, busy, told to stop, started again; and what it writes in its log."""

import asyncio
import io
import json
import logging
import os
import random
import signal
import sys

import pytest

from ramson.cli import logs
from ramson.cli.logs import JsonFormatter, LogFormat, TextFormatter
from ramson.crypto.account import AccountKeys
from ramson.errors import RamsonError
from ramson.node.keys import NodeKeys
from ramson.protocol import network_file, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.world import Endpoint, HttpRequest, Tls, real

HOST = os.environ["RAMSON_TESTS_BLOCK"] + ".98.1"
DAY = 86_400_000


@pytest.fixture
def home(tmp_path):
    keys = NodeKeys.generate(random.Random(1))
    keys.save(tmp_path / "node")
    record = NodeRecord(keys.ed25519.public, keys.x25519.public, keys.legacy, HOST, 22021, 22020, 7)
    network = NetworkFile((NetworkNode("n0", NodeState.ACTIVE, record),))
    (tmp_path / "network.json").write_bytes(network_file.encode(network))
    (tmp_path / "node.toml").write_text(
        f'data_dir = "{tmp_path}/node"\n[network]\nfile = "{tmp_path}/network.json"\nname = "n0"\n'
        f'[log]\nlevel = "debug"\nformat = "json"\n'
    )
    return tmp_path


async def start(home, *more):
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ramson", "node", "run", "--config", home / "node.toml", *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await asyncio.wait_for(node.stdout.readline(), 60) == b"ready\n"
    return node


async def test_a_node_told_to_stop_finishes_and_its_successor_has_everything(home):
    world, alice = real.world(), AccountKeys.generate(random.Random(1))

    async def rpc(request):
        body = json.dumps(storage.to_json(request)).encode()
        post = HttpRequest("POST", "/storage_rpc/v1", {}, body)
        return await world.net.request(Endpoint(HOST, 22021), post, tls=Tls(), timeout=20)

    def store(number):
        now = world.clock.now()
        return storage.Store(
            account=alice.id.raw, data=b"secret text %d" % number, timestamp=now, expiry=now + DAY, namespace=0
        )

    node = await start(home)
    stores = [asyncio.ensure_future(rpc(store(i))) for i in range(40)]
    await asyncio.wait(stores, return_when=asyncio.FIRST_COMPLETED)
    node.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(node.communicate(), 20)
    assert node.returncode == 0
    replies = await asyncio.gather(*stores, return_exceptions=True)
    answered = [reply for reply in replies if not isinstance(reply, RamsonError)]
    assert answered
    assert {reply.status for reply in answered} == {200}

    events = [json.loads(line) for line in log.decode().splitlines()]
    assert {"time", "level", "logger", "event"} <= set(events[0])
    assert events[-1]["event"] == "node stopped"
    for secret in (alice.id.hex, alice.id.hex[2:], "secret text", "127.0.0.1"):
        assert secret.encode() not in log

    node = await start(home, "--log-format", "text", "--log-level", "info")
    try:
        request = storage.sign(storage.Retrieve(account=alice.id.raw, namespace=0, timestamp=world.clock.now()), alice)
        kept = storage.read_reply(request, (await rpc(request)).body).messages
        assert len(kept) >= len(answered)
    finally:
        node.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(node.communicate(), 20)
        await world.net.close()
    assert log.decode().splitlines()[-1].endswith("INFO ramson.node.node node stopped")


# ---- the log


def fail_with_secrets():
    secret = "05" + "ab" * 32
    raise ValueError(f"no such account: {secret}")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_exception_is_told_by_kind_and_place_without_its_text(formatter):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.getLogger("test of formatters")
    log.addHandler(handler)
    try:
        fail_with_secrets()
    except ValueError:
        log.exception("request failed: path=%s", "/x")
    finally:
        log.removeHandler(handler)
    written = stream.getvalue()
    assert "ValueError" in written
    assert "fail_with_secrets" in written
    assert "request failed: path=/x" in written
    assert "abab" not in written
    assert "no such account" not in written


def test_json_is_one_object_a_line_whatever_the_event_holds():
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, 'two\nlines "and" %s', ("ünïcode",), None)
    record.created = 1_700_000_000.5
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "warning",
        "logger": "a.b",
        "event": 'two\nlines "and" ünïcode',
    }


def test_the_log_is_set_up_for_level_and_format(monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    logs.set_up("error", LogFormat.JSON)
    assert isinstance(root.handlers[0].formatter, JsonFormatter)
    assert root.level == logging.ERROR

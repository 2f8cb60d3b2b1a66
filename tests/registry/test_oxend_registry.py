"""The registry over a daemon: start, blocks, restarts, and daemons that misbehave."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import replace

import pytest
from oxend_stand_in import StandIn, block_hash, state

from ramson.crypto.keys import X25519KeyPair
from ramson.errors import LocalError, ParseError
from ramson.protocol.swarms import UNASSIGNED
from ramson.registry import Announcement, OxendRegistry, RegistryError
from ramson.registry.oxend import MAX_CALLS, Timing
from ramson.world import DaemonAddress

QUICK = Timing(renew=0.1, request=0.3, seed=0.5, first_retry=0.02, longest_retry=0.1, spacing=0.01, silence=0.5)
OWN = Announcement(b"\x09" * 32, 22021, 22020)
NEVER = replace(QUICK, renew=60.0)  # so that nothing happens but what blocks and reconnections cause

PING, LIST, SUBSCRIBE = "admin.storage_server_ping", "rpc.get_service_nodes", "sub.block"


def registry(world, url, timing=QUICK, **more):
    return OxendRegistry(world, DaemonAddress.parse(url), OWN, testnet=True, timing=timing, **more)


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the stand-in lives in a thread
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
async def nothing_hangs():
    async with asyncio.timeout(30):
        yield


# ---- starting


async def test_entering_brings_the_list(world, oxend, url):
    oxend.states.append(state(50, swarm_id=UNASSIGNED))
    async with registry(world, url) as nodes:
        current = nodes.current()
        assert (current.height, current.block_hash, current.hardfork) == (1000, block_hash(1000), (21, 2))
        assert len(current.nodes) == 13
        assert len(current.swarm(7)) == 12
        assert current.nodes[0].ip == "10.0.0.1"
        await until(lambda: nodes.health.ping_reply == "OK")
        health = nodes.health
        assert health.connected
        assert (health.block, health.list_height, health.list_nodes, health.problems) == (1000, 1000, 13, ())
        assert abs(health.list_confirmed_ms - world.clock.now()) < 5000


async def test_the_list_is_asked_for_as_storage_servers_do(world, oxend, url):
    async with registry(world, url):
        pass
    fields = (
        *("block_hash", "funded", "hardfork", "height", "pubkey_ed25519", "pubkey_x25519", "public_ip"),
        *("service_node_pubkey", "snode_revision", "storage_lmq_port", "storage_port", "swarm_id"),
    )
    assert oxend.params(LIST)[0] == {"active_only": False, "fields": dict.fromkeys(fields, True)}


async def test_it_waits_for_a_daemon_that_is_not_there_yet(world, url):
    nodes = registry(world, url)
    with pytest.raises(LocalError, match="no node list yet"):
        nodes.current()
    entering = asyncio.ensure_future(nodes.__aenter__())
    await asyncio.sleep(0.5)
    assert not entering.done()
    assert not nodes.health.connected
    assert "there is no connection to the daemon" in nodes.health.problems[0]
    async with StandIn(url):
        await entering
        assert nodes.current().height == 1000
        await nodes.__aexit__(None, None, None)


async def test_waiting_for_the_first_list_can_be_cancelled(world, oxend, url):
    oxend.silent.add("*")
    entering = asyncio.ensure_future(registry(world, url).__aenter__())
    await until(lambda: oxend.asked)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering


async def test_an_impossible_address(world):
    with pytest.raises(LocalError, match="cannot connect"):
        await registry(world, "ipc://" + "x" * 200).__aenter__()


async def test_run_ends_when_cancelled(world, oxend, url):
    nodes = registry(world, url)
    running = asyncio.ensure_future(nodes.run())
    await until(lambda: nodes.health.list_height)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    asked = -1
    while asked != len(oxend.asked):  # what was on its way still comes; if anything went on, so would this
        asked = len(oxend.asked)
        await asyncio.sleep(0.3)


async def test_with_curve(world, tmp_path):
    secret, identity = b"\x11" * 32, X25519KeyPair.from_secret(b"\x12" * 32)
    daemon = StandIn(f"ipc://{tmp_path}/curve.sock", secret=secret)
    key = X25519KeyPair.from_secret(secret).public
    async with daemon, registry(world, f"ipc+curve://{tmp_path}/curve.sock/{key.hex()}", identity=identity) as nodes:
        assert nodes.current().height == 1000


# ---- lists


async def test_unusable_entries_are_left_out(world, oxend, url):
    oxend.states += [
        state(60, funded=False),
        state(61, pubkey_ed25519=""),
        state(62, pubkey_x25519=None),
        state(63, service_node_pubkey=None),
        "nonsense",
    ]
    async with registry(world, url) as nodes:
        assert len(nodes.current().nodes) == 12


async def test_entries_without_address_are_kept_and_inherit(world, oxend, url):
    bare = {"public_ip": None, "storage_port": None, "storage_lmq_port": None}
    async with registry(world, url) as nodes:
        first = nodes.current()
        oxend.states[0] = state(1, **bare)
        oxend.states[1] = state(2, public_ip="0.0.0.0", storage_port=0, storage_lmq_port=0)
        oxend.states[2] = state(3, storage_lmq_port=0)
        oxend.states[3] = state(4, public_ip="10.9.9.9")
        oxend.states.append(state(70, **bare))
        oxend.block()
        second = await nodes.wait_change(first)
        assert second.nodes[:3] == first.nodes[:3]
        assert second.nodes[3].ip == "10.9.9.9"
        new = second.nodes[12]
        assert (new.ip, new.https_port, new.omq_port) == ("0.0.0.0", 0, 0)
        oxend.block()  # what was inherited once is inherited again
        assert (await nodes.wait_change(second)).nodes[:3] == first.nodes[:3]


async def test_an_empty_list_is_not_believed(world, oxend, url):
    async with registry(world, url) as nodes:
        oxend.states = []
        oxend.block()
        await until(lambda: nodes.health.problems)
        assert nodes.health.problems == ("node list: the daemon lists no usable node",)
        assert len(nodes.current().nodes) == 12


async def test_a_daemon_that_syncs_anew_is_not_believed(world, oxend, url):
    async with registry(world, url) as nodes:
        oxend.height = 100
        oxend.block()
        await until(lambda: nodes.health.problems)
        assert "syncing anew" in nodes.health.problems[0]
        assert nodes.current().height == 1000
        oxend.height = 990  # but a reorganisation happens
        oxend.block()
        await until(lambda: nodes.current().height == 991)
        await until(lambda: not nodes.health.problems)


# ---- blocks


async def test_a_block_brings_a_new_list(world, oxend, url):
    async with registry(world, url, NEVER) as nodes:
        first = nodes.current()
        waiting = [asyncio.ensure_future(nodes.wait_change(first)) for _ in range(2)]
        await until(lambda: oxend.renewals)
        await asyncio.sleep(0.05)
        oxend.states.append(state(80))
        oxend.block()
        assert [len(new.nodes) for new in await asyncio.gather(*waiting)] == [13, 13]
        assert nodes.health.block == 1001
        assert oxend.params(LIST)[-1]["poll_block_hash"] == block_hash(1000)


async def test_many_blocks_at_once_make_few_fetches(world, oxend, url):
    async with registry(world, url, replace(NEVER, spacing=0.2)) as nodes:
        await until(lambda: oxend.renewals)
        await asyncio.sleep(0.5)
        before, began = oxend.count(LIST), world.clock.monotonic()
        for _ in range(30):  # in 0.6 s, or more on a busy machine
            oxend.block()
            await asyncio.sleep(0.02)
        await until(lambda: nodes.current().height == 1030)
        await asyncio.sleep(0.5)
        assert oxend.count(LIST) - before <= (world.clock.monotonic() - began) / 0.2 + 2


async def test_a_missed_block_is_noticed(world, oxend, url, caplog):
    async with registry(world, url, NEVER) as nodes:
        await until(lambda: oxend.renewals)
        oxend.block()
        await until(lambda: nodes.current().height == 1001)
        oxend.block(tell=False)
        oxend.block(tell=False)
        oxend.block()
        await until(lambda: nodes.current().height == 1004)
        assert "missed 2 blocks before block 1004" in caplog.text
        await until(lambda: nodes.block_hash(1003))
        assert [nodes.block_hash(height) for height in (1002, 1003)] == [block_hash(1002), block_hash(1003)]


async def test_silence_is_not_trusted(world, oxend, url):
    async with registry(world, url) as nodes:
        await until(lambda: oxend.renewals)
        oxend.block(tell=False)
        await until(lambda: nodes.current().height == 1001)


async def test_hashes_of_recent_blocks(world, oxend, url):
    async with registry(world, url) as nodes:
        await until(lambda: nodes.block_hash(999))
        assert [nodes.block_hash(height) for height in range(995, 1001)] == [block_hash(h) for h in range(995, 1001)]
        assert nodes.block_hash(994) is None
        for _ in range(40):
            oxend.block()
            await until(lambda: nodes.block_hash(oxend.height))
        assert nodes.block_hash(1005) is None
        assert nodes.block_hash(1015) == block_hash(1015)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"1001",),
        (b"x", bytes(32)),
        (b"-5", bytes(32)),
        (b"", bytes(32)),
        (b"9" * 5000, bytes(32)),
        (b"1001", b"short"),
        (b"1001", bytes(32), b"more"),
    ],
)
async def test_malformed_notifications_are_ignored(world, oxend, url, parts):
    async with registry(world, url) as nodes:
        await until(lambda: oxend.renewals)
        oxend.tell(*parts)
        oxend.block()
        await until(lambda: nodes.current().height == 1001)


# ---- attending


async def test_ping_at_once_and_again(world, oxend, url):
    async with registry(world, url):
        await until(lambda: oxend.count(PING) >= 3)
    assert oxend.params(PING)[0] == {
        "version": [2, 8, 0],
        "pubkey_ed25519": "09" * 32,
        "https_port": 22021,
        "omq_port": 22020,
    }
    assert oxend.renewals[:3] == [b"OK", b"ALREADY", b"ALREADY"]


async def test_one_ping_suffices_at_the_start(world, oxend, url):
    async with registry(world, url, NEVER):
        await until(lambda: oxend.count(PING))
        await asyncio.sleep(0.1)
        assert (oxend.count(PING), oxend.count(SUBSCRIBE)) == (1, 1)


async def test_the_daemons_verdict_is_shown(world, oxend, url, caplog):
    oxend.ping_status = "Outdated Storage Server. Current: 2.8.0 Required: 2.9.0"
    async with registry(world, url) as nodes:
        await until(lambda: oxend.count(PING) > 3)
        assert nodes.health.ping_reply == oxend.ping_status
        assert len([r for r in caplog.records if "Outdated" in r.getMessage()]) == 1
        oxend.ping_status = "OK"
        await until(lambda: nodes.health.ping_reply == "OK")
        assert nodes.health.problems == ()


async def test_a_node_can_declare_itself_unwell(world, oxend, url):
    async with registry(world, url, NEVER) as nodes:
        await until(lambda: oxend.count(PING) == 1)
        nodes.declare_unwell("disk full")
        await until(lambda: oxend.count(PING) == 2)
        assert oxend.params(PING)[-1]["error"] == "disk full"
        nodes.declare_unwell("")
        await until(lambda: oxend.count(PING) == 3)
        assert "error" not in oxend.params(PING)[-1]


async def test_a_daemon_without_subscriptions_still_gets_pings_and_blocks_are_found(world, oxend, url):
    oxend.replies[SUBSCRIBE] = [b"WHAT"]
    async with registry(world, url) as nodes:
        await until(lambda: oxend.count(PING) >= 2)
        oxend.block()
        await until(lambda: nodes.current().height == 1001)
        assert "block subscription" in nodes.health.problems[0]


# ---- the daemon goes away


async def test_a_restart(world, oxend, url, caplog):
    caplog.set_level(logging.INFO)
    async with registry(world, url, NEVER) as nodes:
        await until(lambda: oxend.renewals and oxend.count(PING))
        await oxend.stop()
        await until(lambda: not nodes.health.connected)
        assert "the node list of block 1000 stays in use" in caplog.text
        assert nodes.current().height == 1000
        oxend.block(tell=False)
        oxend.start()
        await until(lambda: nodes.current().height == 1001)  # missed while away
        await until(lambda: oxend.renewals == [b"OK", b"OK"])
        oxend.block()
        await until(lambda: nodes.current().height == 1002)  # subscribed again
        assert oxend.count(PING) == 2
        assert nodes.health.connected


async def test_a_forgotten_subscription_is_noticed(world, oxend, url):
    async with registry(world, url, replace(QUICK, silence=60)) as nodes:
        await until(lambda: oxend.renewals)
        await asyncio.sleep(0.05)
        oxend.block(tell=False)
        oxend._subscribers.clear()
        await until(lambda: nodes.current().height == 1001)
        assert oxend.renewals.count(b"OK") == 2


async def test_a_silent_daemon_leaves_a_stale_list_and_warnings(world, oxend, url, caplog):
    async with registry(world, url) as nodes:
        await until(lambda: oxend.renewals)
        oxend.silent.add("*")
        await until(lambda: "the node list is stale" in caplog.text)
        assert nodes.health.connected
        assert any("does not answer" in problem for problem in nodes.health.problems)
        assert len(nodes.current().nodes) == 12
        oxend.silent.clear()
        oxend.block()
        await until(lambda: nodes.current().height == 1001)
        await until(lambda: not nodes.health.problems)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"200"],
        [b"200", b""],
        [b"200", b"{"],
        [b"200", b"[]"],
        [b"200", b"{}"],
        [b"200", b"{}", b"more"],
        [b"200", b'{"service_node_states":5,"height":5}'],
        [b"200", b'{"service_node_states":[]}'],
        [b"200", b'{"unchanged":true}'],
        [b"200", b'{"status":"BUSY"}'],
        [b"200", b'{"status":{"a":1}}'],
        [b"200", b"[" * 100_000],
        [b"200", json.dumps({"service_node_states": [state(1)], "height": 2**80, "block_hash": "aa" * 32}).encode()],
        [b"200", json.dumps({"service_node_states": [state(1)], "height": 5, "block_hash": "zz" * 32}).encode()],
        [b"500", b"\xff" * 100_000],
        [b"", b""],
    ],
)
async def test_a_malformed_first_list_is_asked_for_again(world, oxend, url, parts):
    oxend.replies[LIST] = parts
    nodes = registry(world, url)
    entering = asyncio.ensure_future(nodes.__aenter__())
    await until(lambda: oxend.count(LIST) >= 2)
    assert not entering.done()
    problem = next(text for text in nodes.health.problems if text.startswith("node list"))
    assert len(problem) < 1100
    del oxend.replies[LIST]
    await entering
    assert nodes.current().height == 1000
    await nodes.__aexit__(None, None, None)


@pytest.mark.parametrize("name", [PING, SUBSCRIBE, "rpc.get_block_hash"])
@pytest.mark.parametrize("parts", [[], [b"200"], [b"200", b"5"], [b"200", b'{"status":5}'], [b"400", b"no"]])
async def test_other_malformed_replies_do_no_harm(world, oxend, url, name, parts):
    oxend.replies[name] = parts
    async with registry(world, url) as nodes:
        await until(lambda: oxend.count(name) >= 2 or name == "rpc.get_block_hash")
        for _ in range(2):
            oxend.block()
            await until(lambda: nodes.current().height == oxend.height)


# ---- calls


async def test_clients_calls_are_passed_on(world, oxend, url):
    async with registry(world, url) as nodes:
        params = {"name_hash": "00" * 32, "type": 0}
        assert await nodes.call("ons_resolve", params) == {"encrypted_value": "ab", "nonce": "cd"}
        assert oxend.params("rpc.ons_resolve") == [params]
        reply = await nodes.call("get_service_nodes", {"limit": 1, "anything": [1]})
        assert reply["service_node_states"] == oxend.states
        assert oxend.params(LIST)[-1] == {"limit": 1, "anything": [1]}


async def test_a_refusal_has_the_daemons_text(world, oxend, url):
    async with registry(world, url) as nodes:
        with pytest.raises(RegistryError, match=r"^Invalid request: name_hash is missing$"):
            await nodes.call("ons_resolve", {"type": 0})
        with pytest.raises(RegistryError, match="Unknown endpoint stop_daemon"):
            await nodes.call("stop_daemon", {})
        with pytest.raises(RegistryError, match="Invalid params"):
            await nodes.call("ons_resolve", {"deep": object()})


@pytest.mark.parametrize("parts", [[], [b"200"], [b"200", b"{"], [b"200", b"\xff"], [b"200", b"[" * 100_000]])
async def test_what_cannot_be_parsed_is_told_apart(world, oxend, url, parts):
    oxend.replies["rpc.ons_resolve"] = parts
    async with registry(world, url) as nodes:
        with pytest.raises(ParseError):
            await nodes.call("ons_resolve", {"type": 0})


async def test_calls_while_the_daemon_is_away_fail_at_once(world, oxend, url):
    async with registry(world, url) as nodes:
        await oxend.stop()
        await until(lambda: not nodes.health.connected)
        with pytest.raises(RegistryError, match="away"):
            await nodes.call("ons_resolve", {})
        assert not await nodes.report_peer_status(bytes(32), passed=True)


async def test_calls_are_limited(world, oxend, url):
    oxend.silent.add("rpc.ons_resolve")
    async with registry(world, url) as nodes:
        waiting = [asyncio.ensure_future(nodes.call("ons_resolve", {})) for _ in range(MAX_CALLS)]
        await asyncio.sleep(0)
        with pytest.raises(RegistryError, match="busy"):
            await nodes.call("ons_resolve", {})
        for failed in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(failed, RegistryError)
        oxend.silent.clear()
        assert await nodes.call("ons_resolve", {"name_hash": ""})


async def test_a_registry_that_was_not_entered(world, url):
    nodes = registry(world, url)
    with pytest.raises(RegistryError, match="away"):
        await nodes.call("ons_resolve", {})
    assert not await nodes.report_peer_status(bytes(32), passed=True)


async def test_reports_about_peers(world, oxend, url):
    async with registry(world, url) as nodes:
        assert await nodes.report_peer_status(b"\xab" * 32, passed=False)
        assert oxend.params("admin.report_peer_status") == [
            {"type": "storage", "pubkey": "ab" * 32, "passed": False},
        ]
        oxend.replies["admin.report_peer_status"] = [b"200", b'{"status":"Error: unknown"}']
        assert not await nodes.report_peer_status(b"\xab" * 32, passed=True)
        oxend.replies["admin.report_peer_status"] = [b"500", b"no"]
        assert not await nodes.report_peer_status(b"\xab" * 32, passed=True)

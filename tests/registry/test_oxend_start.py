"""Before there is a node list: fetching the node's keys, judging the first list, asking seeds."""

import asyncio
import json
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oxend_stand_in import StandIn, block_hash, state

from ramson.node.beside_oxend import fetch_keys
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.registry import MAINNET_SEEDS, TESTNET_SEEDS, Announcement, OxendRegistry, fetch_secrets
from ramson.registry.oxend import Timing
from ramson.registry.oxend_connect import Retry, ask_heights
from ramson.registry.oxend_lists import BlockHashes, Syncing, Verdict, inherit_addresses, is_sufficient
from ramson.world import DaemonAddress

KEYS = "admin.get_service_node_privkey"
QUICK = Timing(renew=0.1, request=0.3, seed=0.5, first_retry=0.02, longest_retry=0.1, spacing=0.01)


@pytest.fixture(autouse=True)
async def nothing_hangs():
    async with asyncio.timeout(30):
        yield


# ---- keys


async def test_the_keys_of_the_node(world, oxend, url):
    keys = await fetch_keys(world, DaemonAddress.parse(url))
    assert keys == oxend.keys
    assert keys.legacy_scalar == oxend.keys.legacy_scalar
    assert keys.ed25519.secret == oxend.keys.ed25519.secret
    assert oxend.asked == [(KEYS, None)]


async def test_no_key_is_shown(world, oxend, url, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = await fetch_secrets(world, DaemonAddress.parse(url))
    for secret in (secrets.ed25519_seed, secrets.legacy_scalar):
        assert secret.hex() not in caplog.text + repr(secrets)
        assert repr(secret) not in caplog.text + repr(secrets)


def reply(**changes):
    keys = StandIn("").keys
    good = {
        "service_node_privkey": keys.legacy_scalar.hex(),
        "service_node_ed25519_privkey": keys.ed25519.secret.hex(),
        "service_node_x25519_privkey": keys.x25519.secret.hex(),
        "status": "OK",
    }
    return [b"200", json.dumps(good | changes).encode()]


@pytest.mark.parametrize(
    "parts",
    [
        [b"500", b"this daemon is not a service node"],
        [b"200", b"nonsense"],
        reply(service_node_privkey=""),
        reply(service_node_ed25519_privkey="zz" * 64),
        reply(service_node_ed25519_privkey="00" * 64),
        reply(service_node_x25519_privkey="11" * 32),
        reply(service_node_x25519_privkey=5),
        reply(status="Failed"),
    ],
)
async def test_keys_are_asked_for_until_they_are_right(world, oxend, url, parts, caplog):
    oxend.replies[KEYS] = parts
    fetching = asyncio.ensure_future(fetch_secrets(world, DaemonAddress.parse(url), retry_seconds=0.02))
    while oxend.count(KEYS) < 3:  # noqa: ASYNC110 - the stand-in lives in a thread
        await asyncio.sleep(0.01)
    assert not fetching.done()
    assert len([r for r in caplog.records if "waiting for the daemon" in r.getMessage()]) == 1  # told once
    assert oxend.keys.ed25519.seed.hex() not in caplog.text
    del oxend.replies[KEYS]
    assert (await fetching).ed25519_seed == oxend.keys.ed25519.seed


async def test_keys_of_a_daemon_that_comes_late(world, url):
    fetching = asyncio.ensure_future(
        fetch_secrets(world, DaemonAddress.parse(url), retry_seconds=0.05, reply_seconds=0.1)
    )
    await asyncio.sleep(0.3)
    async with StandIn(url) as oxend:
        assert (await fetching).legacy_scalar == oxend.keys.legacy_scalar


def test_pauses_grow_to_a_limit_and_vary():
    retry = Retry(random.Random(1), 1.0, 5.0)
    pauses = [retry.pause() for _ in range(50)]
    for pause, middle in zip(pauses, [1, 2, 4, *[5] * 47], strict=True):
        assert 0.75 * middle <= pause <= 1.25 * middle
    assert len(set(pauses)) == 50
    retry.succeeded()
    assert retry.pause() <= 1.25


# ---- which list is good enough


def node(number, address=True):
    key = number.to_bytes(32, "big")
    return NodeRecord(key, key, key, "10.0.0.1" if address else "0.0.0.0", 22021 * address, 22020 * address, 7)


def nodes(count, without=0, height=100):
    listed = tuple(node(number, number >= without) for number in range(count))
    return NodeList(listed, height, "aa" * 32, (21, 2))


@pytest.mark.parametrize(
    ("listed", "testnet", "sufficient"),
    [
        (nodes(100), False, True),
        (nodes(99), False, False),
        (nodes(100, 3), False, True),
        (nodes(100, 4), False, False),
        (nodes(10), True, True),
        (nodes(9), True, False),
        (nodes(10, 1), True, False),
        (nodes(0), True, False),
    ],
)
def test_sufficient(listed, testnet, sufficient):
    assert is_sufficient(listed, testnet=testnet) == sufficient


def test_a_sufficient_list_is_used_at_once():
    assert Syncing(testnet=False).judge(nodes(100), 0) is Verdict.USE


def test_an_insufficient_list_waits_for_the_height_that_seeds_tell():
    syncing = Syncing(testnet=False)
    assert syncing.judge(nodes(5), 10) is Verdict.ASK_SEEDS
    syncing.seeds_answered([2**62, 200, 199], 10)
    assert syncing.judge(nodes(5, height=199), 20) is Verdict.WAIT
    assert syncing.judge(nodes(100, height=150), 20) is Verdict.WAIT
    assert syncing.judge(nodes(5, height=200), 20) is Verdict.USE


def test_after_an_hour_a_list_is_used_as_it_is():
    syncing = Syncing(testnet=False)
    syncing.judge(nodes(5), 1000)
    syncing.seeds_answered([200], 1000)
    assert syncing.judge(nodes(5), 1000 + 3599) is Verdict.WAIT
    assert syncing.judge(nodes(5), 1000 + 3600) is Verdict.USE


def test_without_seeds_a_list_is_used_as_it_is():
    syncing = Syncing(testnet=False)
    syncing.judge(nodes(5), 0)
    syncing.seeds_answered([], 0)
    assert syncing.judge(nodes(5), 0) is Verdict.USE


listed = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=20, unique_by=lambda entry: entry[0])


@given(listed, listed)
def test_inheriting_changes_addresses_only_and_only_missing_ones(new, old):
    new, old = (NodeList(tuple(node(*entry) for entry in entries), 1, "", (21, 0)) for entries in (new, old))
    made = inherit_addresses(new, old)
    known = {each.legacy: each for each in old.nodes}
    assert [each.legacy for each in made.nodes] == [each.legacy for each in new.nodes]
    for before, after in zip(new.nodes, made.nodes, strict=True):
        if before.contactable or before.legacy not in known:
            assert after == before
        else:
            assert after == known[before.legacy]
    assert inherit_addresses(new, None) is new


def test_block_hashes_are_bounded_whatever_the_heights():
    hashes = BlockHashes()
    for height in (5, 10**18, 0, *range(1000)):
        hashes.add(height, f"{height:x}")
    assert [hashes.get(height) for height in (969, 970, 999, 10**18)] == [None, "3ca", "3e7", None]
    assert hashes.missing(1001, 4) == [1000, 1001]
    assert BlockHashes().missing(2, 6) == [1, 2]


# ---- seeds


def test_the_seeds_of_the_networks():
    assert len(MAINNET_SEEDS) == 4
    assert {seed.place.port for seed in MAINNET_SEEDS} == {22027}
    assert all(len(seed.key) == 32 for seed in (*MAINNET_SEEDS, *TESTNET_SEEDS))


@pytest.fixture
async def seeds(tmp_path):
    """Two seeds: one is silent, the other two blocks ahead of the daemon."""
    made = [StandIn(f"ipc://{tmp_path}/seed{n}.sock", height=height).start() for n, height in enumerate((1003, 1002))]
    made[0].silent.add("*")
    yield made
    for seed in made:
        await seed.stop()


async def test_those_that_answer_tell_heights(world, seeds, tmp_path):
    addresses = [DaemonAddress.parse(seed.url) for seed in seeds]
    addresses += [DaemonAddress(f"{tmp_path}/nobody.sock"), DaemonAddress("x" * 200)]
    assert await ask_heights(world, addresses, reply_seconds=0.3) == [1002]
    assert await ask_heights(world, []) == []


async def test_a_syncing_daemon_is_waited_for(world, oxend, url, seeds):
    oxend.states = [state(n) for n in range(5)]
    registry = OxendRegistry(
        world,
        DaemonAddress.parse(url),
        Announcement(bytes(32), 1, 2),
        testnet=True,
        seeds=[DaemonAddress.parse(seed.url) for seed in seeds],
        timing=QUICK,
    )
    entering = asyncio.ensure_future(registry.__aenter__())
    while registry.health.sync_target is None:  # noqa: ASYNC110 - the stand-in lives in a thread
        await asyncio.sleep(0.01)
    assert registry.health.sync_target == 1002
    oxend.block()
    await asyncio.sleep(0.3)
    assert not entering.done()
    assert registry.health.problems == ("node list: the daemon is still syncing: waiting for block 1002",)
    assert oxend.count("admin.storage_server_ping")  # the daemon is attended all the same
    oxend.block()
    await entering
    assert registry.current().block_hash == block_hash(1002)
    assert registry.health.sync_target is None
    assert len(seeds[1].asked) == 1
    await registry.__aexit__(None, None, None)


async def test_without_an_answer_from_seeds_the_daemon_is_believed(world, oxend, url, caplog):
    oxend.states = [state(n) for n in range(5)]
    announcement = Announcement(bytes(32), 1, 2)
    async with OxendRegistry(world, DaemonAddress.parse(url), announcement, timing=QUICK) as registry:
        assert len(registry.current().nodes) == 5
        assert "there is no seed to compare with" in caplog.text

"""The client on a network of processes, by one pinned route after the other, and nothing beside that route.

A hook of the interpreter is told of every connection that this process makes and every name it looks up, whoever does
it; what the proxy of the test does is told apart by the context it runs in.
"""

import asyncio
import contextlib
import random
import sys
import threading
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import pytest

from ramson.crypto.account import AccountKeys
from ramson.devnet import Devnet
from ramson.messenger import Client, KeyCost
from ramson.network import Light, MemoryCache, Network, NetworkProfile
from ramson.protocol.bridge.link import make
from ramson.reach import ReachSettings, open_entry
from ramson.reach.settings import parse
from ramson.servers.bridge import keys
from ramson.servers.bridge.config import BridgeConfig
from ramson.servers.bridge.service import BridgeService
from ramson.world import Endpoint, HttpRequest, NetError, real

sys.path.insert(0, str(Path(__file__).parent.parent / "world"))  # tests are no package
from obfs4 import needs_obfs4, obfs4_server
from proxies import Connect, Socks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DAY = 86_400_000
KEYS = AccountKeys.from_entropy(b"sixteen bytes ok")
OURS = ContextVar("OURS", default=False)
SEEN: list[tuple[str, object]] = []
WATCHING = False
CONNECTING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
ASKING = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}


def notice(event, arguments):
    if event in CONNECTING and OURS.get():
        SEEN.append((event, arguments[1]))
    elif event in ASKING and WATCHING:  # names are looked up in threads, where the context is lost
        SEEN.append((event, arguments[0]))


sys.addaudithook(
    notice
)  # for good: the interpreter gives no way to take it away, but it does nothing outside `watched`


@contextlib.contextmanager
def watched():
    """Collect what the block, and the tasks it starts, connect to and look up."""
    global WATCHING  # noqa: PLW0603 - as the hook is global
    SEEN.clear()
    token, WATCHING = OURS.set(True), True
    try:
        yield SEEN
    finally:
        OURS.reset(token)
        WATCHING = False


@pytest.fixture(scope="module")
def devnet(tmp_path_factory):
    """A network of eight nodes, which runs on an event loop of its own in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    devnet = Devnet(real.world(), tmp_path_factory.mktemp("devnet"), nodes=8, swarms=2)
    try:
        asyncio.run_coroutine_threadsafe(devnet.__aenter__(), loop).result(120)
        yield devnet
    finally:
        asyncio.run_coroutine_threadsafe(devnet.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def profile(devnet):
    return NetworkProfile.from_file(devnet.network)


async def store_and_read(profile, settings, state):
    """Be a client by this way out; return what was connected to and looked up meanwhile."""
    world = real.world()
    with watched() as seen:
        async with (
            asyncio.timeout(120),
            open_entry(world, settings, state) as entry,
            Network(world, profile, MemoryCache(), entry=entry) as network,
        ):
            status = await network.ready()
            assert status.light is not Light.RED
            receipt = await network.store(KEYS.id, b"message", ttl_ms=DAY)
            polled = await network.poll(KEYS, [0], {})
            assert receipt.hash in {message.hash for message in polled.messages[0]}
        return list(seen)


@pytest.mark.parametrize("kind", [Socks, Connect])
async def test_by_a_proxy_everything_goes_to_the_proxy_and_no_name_is_looked_up(profile, tmp_path, kind):
    """The seed is given by a name here, that only the proxy knows."""
    seeds = tuple(replace(seed, url=seed.url.replace(seed.endpoint.host, "seed.invalid")) for seed in profile.seeds)
    names = {"seed.invalid": profile.seeds[0].endpoint.host}
    async with kind("user", "pass", names=names) as proxy:
        settings = ReachSettings().changed(proxy=f"{proxy.scheme}://user:pass@127.0.0.1:{proxy.port}")
        seen = await store_and_read(replace(profile, seeds=seeds), settings, tmp_path)
        assert {event for event, _ in seen} == {"socket.connect"}
        assert {address for _, address in seen} == {("127.0.0.1", proxy.port)}
        assert "seed.invalid" in {host for host, _ in proxy.asked}
        assert len(proxy.asked) >= 3


async def test_when_the_proxy_is_gone_nothing_goes_out_at_all(profile, tmp_path):
    async with Socks() as proxy:
        pass
    settings = ReachSettings().changed(proxy=f"socks5://127.0.0.1:{proxy.port}")
    world = real.world()
    with watched() as seen:
        async with (
            open_entry(world, settings, tmp_path) as entry,
            Network(world, profile, MemoryCache(), entry=entry) as network,
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await network.ready()
    assert {address for _, address in seen} == {("127.0.0.1", proxy.port)}


async def test_guards_behind_tor_have_a_circuit_each(profile, tmp_path):
    async with Socks() as proxy:
        settings = ReachSettings().changed(proxy=f"tor://127.0.0.1:{proxy.port}")
        await store_and_read(profile, settings, tmp_path)
        assert len({user for user, _ in proxy.logins}) == len(set(proxy.asked)) >= 3


@pytest.mark.parametrize("route", ["direct", "split"])
async def test_straight_and_with_a_split_hello(profile, tmp_path, route):
    seen = await store_and_read(profile, ReachSettings().changed(route=route), tmp_path)
    assert {event for event, _ in seen} == {"socket.connect"}
    assert len({address for _, address in seen}) >= 3  # the seed and two guards


async def test_a_name_that_is_looked_up_would_be_noticed(profile, tmp_path):
    seeds = tuple(replace(seed, url=seed.url.replace(seed.endpoint.host, "localhost")) for seed in profile.seeds)
    settings = ReachSettings().changed(route="direct")
    with watched() as seen, contextlib.suppress(NetError):
        async with open_entry(real.world(), settings, tmp_path) as entry:
            await entry.fetch(seeds[0].endpoint, HttpRequest("GET", "/"), tls=seeds[0].tls, timeout=5)
    assert ("socket.getaddrinfo", "localhost") in seen


async def test_two_people_write_to_each_other_one_by_a_proxy_and_one_with_a_split_hello(profile, tmp_path):
    async with Socks() as proxy, asyncio.timeout(200):
        by_proxy = ReachSettings().changed(proxy=f"socks5://127.0.0.1:{proxy.port}")
        split = ReachSettings().changed(route="split")
        cheap = {"passphrase": "correct horse", "cost": KeyCost(passes=1, memory=13), "network": profile}
        async with (
            Client.create(tmp_path / "alice", reach=by_proxy, **cheap) as alice,
            Client.create(tmp_path / "bob", reach=split, **cheap) as bob,
        ):
            await alice.send(bob.account_id, "by the proxy")
            async for message in bob.messages():
                assert message.body == "by the proxy"
                break
        assert proxy.asked


@needs_obfs4
async def test_by_a_bridge_behind_obfs4(devnet, profile, tmp_path):
    """The bridge stands behind the far end of obfs4 and is reached by nothing else; the nodes are known beforehand."""
    world, entropy = real.world(), random.SystemRandom()
    secret = keys.add(tmp_path / "bridge", "friends", entropy).secret
    config = BridgeConfig(
        tmp_path / "bridge",
        network=str(devnet.network_path),
        site="http://127.0.0.1/notes/",
        listen=Endpoint("127.0.0.1", 0),
        allow_private=True,
    )
    nodes = tuple(node.record for node in devnet.nodes)
    async with BridgeService(world, config) as service:
        process, far_end, arguments = await obfs4_server(tmp_path / "far", service.endpoint)
        link = make(f"http://127.0.0.1:{service.endpoint.port}/notes/", secret, "private")
        line = " ".join([f"obfs4 {far_end}", *(f"{key}={value}" for key, value in arguments.items())])
        text = f'route = "transport"\n[[transports]]\nline = "{line}"\nbridge = "{link.uri}"'
        seen = await store_and_read(replace(profile, seeds=(), bundled=nodes), parse(text.encode()), tmp_path / "near")
        reached = {address for _, address in seen}
        process.stdin.close()
        await process.wait()
    assert {event for event, _ in seen} == {"socket.connect"}
    assert len(reached) == 1  # the transport's own port on this machine
    assert not reached & {("127.0.0.1", far_end.port), ("127.0.0.1", service.endpoint.port)}

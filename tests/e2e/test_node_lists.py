"""With every seed dead a client starts from a signed list: from a file, from a web mirror, from DNS over HTTPS.

Mirror and resolver are aiohttp's servers on this machine, nothing of ours.
"""

import asyncio
import contextlib
import random
from dataclasses import replace

import dns.message
import dns.rrset
import pytest
from aiohttp import web

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.devnet import Devnet
from ramson.network import MemoryCache, Network, NetworkProfile
from ramson.network.judge import Standing
from ramson.network.trace import ListAdopted, ListFailed, PoolLoaded, SeedFailed, Source
from ramson.protocol import node_list
from ramson.protocol.list_channels import DnsChannel, ListChannels
from ramson.protocol.node_list import ListAuthority, SignedNodeList, state
from ramson.protocol.node_list_text import to_txt
from ramson.reach.node_lists import imported_path, with_lists
from ramson.world import real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NAME = "devnet-of-the-test"
SIGNERS = [Ed25519KeyPair.from_seed(b"signer" + bytes([n]) * 26) for n in range(3)]
AUTHORITY = ListAuthority(NAME, frozenset(each.public for each in SIGNERS), 2)
DAY_MS = 86_400_000
KEYS = AccountKeys.generate(random.Random(3))


@contextlib.asynccontextmanager
async def serving(*routes):
    """A web server of somebody else; yields its URL and what it was asked for."""
    asked = []

    @web.middleware
    async def note(request, handler):
        asked.append((request.method, request.path))
        return await handler(request)

    application = web.Application(middlewares=[note])
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}", asked
    finally:
        await runner.cleanup()


def mirror(data):
    async def give(_request):
        return web.Response(body=data)

    return web.get(f"/lists/{NAME}.nodes", give)


def resolver(data):
    async def answer(request):
        message = dns.message.make_response(dns.message.from_wire(await request.read()))
        records = [f'"{record}"' for record in to_txt(data)]
        message.answer.append(dns.rrset.from_text("nodes.example.org.", 300, "IN", "TXT", *records))
        return web.Response(body=message.to_wire(), content_type="application/dns-message")

    return web.post("/dns-query", answer)


async def test_a_client_starts_without_seeds_by_file_mirror_and_dns(tmp_path):
    world = real.world()
    async with Devnet(world, tmp_path / "network", nodes=12, in_process=True) as devnet:
        nodes = [node.record for node in devnet.nodes]
        signed = SignedNodeList(state(NAME, nodes, height=1, time_ms=world.clock.now()))
        plain = node_list.encode(signed)
        for signer in SIGNERS[1:]:
            signed = signed.signed_by(signer)
        data = node_list.encode(signed)
        await devnet.kill("seed")
        profile = replace(NetworkProfile.from_file(devnet.network), signers=AUTHORITY)
        home = tmp_path / "home"
        imported_path(home, NAME).parent.mkdir(parents=True)

        async def start(profile):
            """Start a client that knows nothing, store a message and read it; return what happened on the way."""
            events, text = [], random.Random(4).randbytes(20)
            async with (
                Network(world, profile, MemoryCache(), trace=events.append) as network,
                asyncio.timeout(120),
            ):
                await network.store(KEYS.id, text, ttl_ms=DAY_MS, keys=KEYS)
                retrieved = await network.retrieve(KEYS, [0], {})
                assert text in [message.data for message in retrieved.messages[0]]
            return events

        async with serving(mirror(data), resolver(data)) as (url, asked):
            by_file = with_lists(profile, directory=home)
            imported_path(home, NAME).write_bytes(data)
            events = await start(by_file)
            assert ListAdopted("imported list", Standing.SIGNED, stale=False) in events
            assert not asked
            assert not [event for event in events if isinstance(event, SeedFailed)]  # nobody had to be asked

            by_mirror = with_lists(profile, channels=ListChannels(AUTHORITY, mirrors=(f"{url}/lists",)))
            events = await start(by_mirror)
            assert ListAdopted("mirror 127.0.0.1", Standing.SIGNED, stale=False) in events
            assert [event for event in events if isinstance(event, SeedFailed)]
            assert asked == [("GET", f"/lists/{NAME}.nodes")]

            asked.clear()
            channel = DnsChannel("nodes.example.org", f"{url}/dns-query")
            by_dns = with_lists(profile, channels=ListChannels(AUTHORITY, dns=(channel,)))
            events = await start(by_dns)
            assert ListAdopted("DNS nodes.example.org", Standing.SIGNED, stale=False) in events
            assert asked == [("POST", "/dns-query")]

        # An unsigned list of a friend is a way in as well, and is not called more than it is.
        imported_path(home, NAME).write_bytes(plain)
        events = await start(by_file)
        assert ListAdopted("imported list", Standing.PROVISIONAL, stale=False) in events
        assert PoolLoaded(Source.LIST, 12) in events
        assert ListFailed("list in the package", "none was shipped for this network") in events
    await world.net.close()

"""One swarm of five processes, 64 clients that store without pause, and one member after the other killed.

What was acknowledged must be at every member in the end.  `make soak` goes on for a minute.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from ramson.crypto.account import AccountKeys
from ramson.devnet import Devnet
from ramson.errors import ParseError
from ramson.protocol import storage
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.strict_json import encode
from ramson.world import Endpoint, HttpRequest, NetError, Tls, World, real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MEMBERS, CLIENTS = 5, 64
SECONDS = 60 if os.environ.get("RAMSON_SOAK") else 20
TTL = 24 * 3600 * 1000
REPAIRED_WITHIN = 180.0  # seconds: two rounds of repair, and some for a loaded machine


@dataclass
class Client:
    """Somebody who stores to his own account, at whatever member he gets hold of."""

    number: int
    world: World
    keys: AccountKeys
    figures: Counter
    acknowledged: set[str] = field(default_factory=set)

    async def ask(self, node: NodeRecord, request: storage.Request, seconds: float = 10.0):
        """Return the typed reply, or None."""
        http = HttpRequest("POST", "/storage_rpc/v1", {}, encode(storage.to_json(request)))
        try:
            endpoint = Endpoint(node.ip, node.https_port)
            reply = await self.world.net.request(endpoint, http, tls=Tls(), timeout=seconds)
            return storage.read_reply(request, reply.body) if reply.status == 200 else None
        except (NetError, ParseError):
            return None

    async def store(self, nodes: list[NodeRecord], calm: asyncio.Event) -> None:
        chance = random.Random(self.number)
        while not calm.is_set():
            now = self.world.clock.now()
            request = storage.Store(
                account=self.keys.id.raw, data=chance.randbytes(300), timestamp=now, expiry=now + TTL
            )
            for attempt in itertools.count():
                reply = await self.ask(chance.choice(nodes), request)
                if reply is not None and reply.hash is not None:
                    self.acknowledged.add(reply.hash)
                    self.figures["acknowledged"] += 1
                    self.figures["acknowledged, but not by all"] += bool(reply.failed)
                    break
                self.figures["retried"] += 1
                if attempt > 20:
                    break
                await asyncio.sleep(chance.uniform(0.05, 0.5))

    async def everything(self, node: NodeRecord) -> dict[str, int] | None:
        """Return what a member has of this account: hashes and expiries."""
        found: dict[str, int] = {}
        last = ""
        while True:
            request = storage.Retrieve(account=self.keys.id.raw, timestamp=self.world.clock.now(), last_hash=last)
            reply = await self.ask(node, storage.sign(request, self.keys), seconds=30)
            if reply is None:
                return None
            found |= {message.hash: message.expiry for message in reply.messages}
            if not reply.more:
                return found
            last = reply.messages[-1].hash


async def test_nothing_acknowledged_is_lost_while_members_are_killed(tmp_path):
    figures: Counter[str] = Counter()
    async with Devnet(real.world(), tmp_path, nodes=MEMBERS, swarms=1) as devnet:
        nodes = [node.record for node in devnet.nodes]
        entropy = random.Random(1)
        clients = [  # from addresses of their own: nodes limit how much each may ask
            Client(i, real.world(f"127.0.77.{i + 1}"), AccountKeys.generate(entropy), figures) for i in range(CLIENTS)
        ]
        began, calm = time.monotonic(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.store(nodes, calm))
            await kill_one_after_the_other(devnet, figures)
            calm.set()
        ended = time.monotonic()
        while differing := await differences(clients, nodes):
            assert time.monotonic() < ended + REPAIRED_WITHIN, f"members still differ: {differing}"
            await asyncio.sleep(2)
        for client in clients:
            await client.world.net.close()
    print(
        f"\n{figures['acknowledged'] / (ended - began):.0f} stores/s; {dict(figures)}; "
        f"all members equal {time.monotonic() - ended:.0f} s after the last kill"
    )
    assert figures["retried"], "nobody noticed that members were killed"


async def kill_one_after_the_other(devnet: Devnet, figures: Counter) -> None:
    """Go on for `SECONDS`, and on a slow machine until there was enough fire."""
    until = time.monotonic() + SECONDS
    for node in itertools.cycle(devnet.nodes):
        await asyncio.sleep(random.uniform(0.5, 1.5))
        # while a member is down each store waits 5 s for its answer
        if time.monotonic() > until and figures["kills"] >= 3 and figures["acknowledged"] >= 5 * SECONDS:
            return
        await devnet.kill(node.name)
        figures["kills"] += 1
        await asyncio.sleep(random.uniform(0, 1))
        await devnet.restart(node.name)


async def differences(clients: list[Client], nodes: list[NodeRecord]) -> list[str]:
    """Say which acknowledged messages are missing where, and where members differ."""
    found: list[str] = []
    for client in clients:
        views = await asyncio.gather(*(client.everything(node) for node in nodes))
        for number, view in enumerate(views):
            if view is None:
                found.append(f"member {number} does not answer")
            elif missing := client.acknowledged - view.keys():
                found.append(f"client {client.number}: {len(missing)} acknowledged missing at member {number}")
            elif view != views[0]:
                found.append(f"client {client.number}: members {number} and 0 differ")
    return found


async def test_a_message_that_is_nowhere_would_be_noticed(tmp_path):
    async with Devnet(real.world(), tmp_path, nodes=2, swarms=2) as devnet:
        nodes = [node.record for node in devnet.nodes]
        client = Client(0, real.world(), AccountKeys.generate(random.Random(2)), Counter())
        client.acknowledged.add("n" * 43)
        assert await differences([client], nodes)
        await client.world.net.close()

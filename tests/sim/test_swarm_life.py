"""Swarm life in virtual time: whatever happens to swarms and their members, members end up with the same messages."""

import asyncio
import json
import random
from base64 import b64encode
from dataclasses import replace

import pytest

from ramson.crypto.account import AccountKeys
from ramson.node.config import NodeConfig
from ramson.node.node import Node
from ramson.node.swarm.peers import COMMAND
from ramson.protocol import storage
from ramson.protocol.swarms import UNASSIGNED, nearest, position
from ramson.registry import FileRegistry
from ramson.sim import SimulatedNetwork
from ramson.sim.network import HTTPS_PORT, OMQ_PORT, shared_certificate
from ramson.world import Endpoint, HttpRequest, NetError, PeerRefused, Tls
from ramson.world.simulated import ROUGH, Simulation

pytestmark = pytest.mark.sim

DAY = 86_400_000
LATE = 30  # seconds after which nothing arrives any more that could not be delivered
A, B, C = 0x1000, 2**64 // 3 + 0x1000, 2 * (2**64 // 3) + 0x1000


class ForeignLink:
    """A link that neither knows nor uses our additions."""

    def __init__(self, link):
        self._link = link

    def __getattr__(self, name):
        return getattr(self._link, name)

    async def request(self, peer, name, parts, *, timeout):  # noqa: ASYNC109 - the interface of a link
        if name == COMMAND:
            raise PeerRefused(b"UNKNOWNCOMMAND")
        return await self._link.request(peer, name, parts, timeout=timeout)


class ForeignNet:
    """The net of a node of another make: it takes batches of version 01 and ignores others."""

    def __init__(self, net, seen):
        self._net = net
        self._seen = seen

    def __getattr__(self, name):
        return getattr(self._net, name)

    async def link(self, identity, commands, *, listen, max_message=10 * 1024 * 1024):
        commands = {name: command for name, command in commands.items() if name != COMMAND}
        known = commands["sn.data"]

        def data(origin, parts):
            self._seen.append(parts[0][:1])
            return known.handle(origin, parts) if parts[0][:1] == b"\x01" else []

        commands["sn.data"] = replace(known, handle=data)
        return ForeignLink(await self._net.link(identity, commands, listen=listen, max_message=max_message))


class Town(SimulatedNetwork):
    """Twelve nodes in swarms A, B and C, and what clients do with single nodes."""

    def __init__(self, sim, place, *, foreign=(), **options):
        super().__init__(sim, place, **options)
        self.sim = sim
        self.running = {}
        self.foreign = foreign
        self.seen_by_foreign = []

    async def _run_node(self, number, world):
        address = self.address(number)
        config = NodeConfig(
            https=Endpoint(address, HTTPS_PORT),
            omq=Endpoint(address, OMQ_PORT),
            data_dir=self.home(number),
            test_peers=False,
            test_storage=False,
        )
        if number in self.foreign:
            world = replace(world, net=ForeignNet(world.net, self.seen_by_foreign))
        registry = self._registries[number] = FileRegistry(self._known[number], entropy=world.entropy)
        self.running[number] = Node(world, self._keys[number], shared_certificate(), config, registry)
        async with self.running[number]:
            self._up[number].set()
            await asyncio.Event().wait()

    # ---- swarms

    def swarms(self):
        return [record.swarm_id for record in self.records]

    def change(self, moves, *, tell=None):
        """Give nodes other swarms; all nodes learn of it, or those in `tell`."""
        nodes = tuple(
            replace(node, record=replace(node.record, swarm_id=moves.get(number, node.record.swarm_id)))
            for number, node in enumerate(self.file.nodes)
        )
        self.file = replace(self.file, nodes=nodes, height=self.file.height + 1)
        for number in range(len(nodes)) if tell is None else tell:
            self.announce(self.file, number)

    def members(self, swarm):
        return [number for number, own in enumerate(self.swarms()) if own == swarm]

    def account(self, swarm, also=None, seed=0):
        """An account of a swarm, which by the swarm ids `also` = (ids, swarm) will belong to another."""
        chance = random.Random(f"{swarm} {also} {seed}")
        ids = sorted(set(self.swarms()) - {UNASSIGNED})
        while True:
            keys = AccountKeys.generate(chance)
            point = position(keys.id.raw)
            if nearest(ids, point) == swarm and (also is None or nearest(sorted(also[0]), point) == also[1]):
                return keys

    # ---- requests to single nodes

    @property
    def client(self):
        return self.client_world(0)

    def now(self):
        return self.client.clock.now()

    async def ask(self, number, request):
        body = json.dumps(storage.to_json(request)).encode()
        http = HttpRequest("POST", "/storage_rpc/v1", {}, body)
        endpoint = Endpoint(self.address(number), HTTPS_PORT)
        reply = await self.client.net.request(endpoint, http, tls=Tls(), timeout=30.0)
        assert reply.status == 200, (reply.status, reply.body)
        return json.loads(reply.body)

    async def store(self, number, keys, data, *, namespace=0, days=7):
        now = self.now()
        request = storage.Store(
            account=keys.id.raw, data=data, timestamp=now, expiry=now + days * DAY, namespace=namespace
        )
        reply = await self.ask(number, storage.sign(request, keys))
        return reply["swarm"][self.records[number].ed25519.hex()]["hash"]

    async def delete(self, number, keys, *hashes):
        await self.ask(number, storage.sign(storage.Delete(account=keys.id.raw, messages=hashes), keys))

    async def expire(self, number, keys, text, expiry, **mode):
        request = storage.Expire(account=keys.id.raw, messages=(text,), expiry=(expiry,), **mode)
        await self.ask(number, storage.sign(request, keys))

    async def held(self, number, keys, *namespaces):
        """What a node holds of an account: data → expiry."""
        found = {}
        for namespace in namespaces or (0,):
            request = storage.Retrieve(account=keys.id.raw, namespace=namespace, timestamp=self.now(), max_size=-1)
            reply = await self.ask(number, storage.sign(request, keys))
            for message in reply["messages"]:
                found[message["data"]] = message["expiration"]
        return found

    async def all_hold(self, numbers, keys, want, *namespaces):
        held = [await self.held(number, keys, *namespaces) for number in numbers]
        return all(sorted(each) == sorted(base64(data) for data in want) for each in held)


def base64(data):
    return b64encode(data).decode()


def live(tmp_path, scenario, *, seed=1, model=None, **options):
    sim = Simulation(seed, **({} if model is None else {"model": model}))
    town = Town(sim, tmp_path, **options)

    async def main():
        await town.up()
        await scenario(town)

    sim.run(main())
    return town


# ---- handing over


def test_a_member_that_joins_gets_everything_with_its_namespaces(tmp_path):
    async def scenario(town):
        keys = [town.account(A, seed=number) for number in range(3)]
        for owner in keys:
            await town.store(0, owner, b"direct")
            await town.store(0, owner, b"config", namespace=2)
            gone = await town.store(0, owner, b"gone")
            await town.delete(0, owner, gone)
        town.change({4: A})
        await asyncio.sleep(40)
        for owner in keys:
            assert await town.all_hold([4], owner, [b"direct", b"config"], 0, 2)
        # What one member gave the others need not give again: it came once.
        sent = sum(town.running[number].swarm_life.messages_sent for number in range(4))
        assert sent <= 2 * len(keys)
        assert all(town.running[number].swarm_life.debts_paid for number in range(4))

    live(tmp_path, scenario)


def test_a_new_swarm_gets_what_is_now_its_own(tmp_path):
    new = A + 2**61

    async def scenario(town):
        ids = [A, B, C, new]
        moving, staying = town.account(A, (ids, new)), town.account(A, (ids, A))
        for owner in (moving, staying):
            await town.store(0, owner, b"hello")
            await town.store(1, owner, b"config", namespace=3)
        town.change({4: new, 8: new})
        await asyncio.sleep(40)
        assert await town.all_hold([4, 8], moving, [b"hello", b"config"], 0, 3)
        assert await town.all_hold([0, 1, 2, 3], staying, [b"hello", b"config"], 0, 3)

    live(tmp_path, scenario)


def test_a_dissolved_swarm_leaves_everything_to_its_heirs(tmp_path):
    async def scenario(town):
        to_b, to_c = town.account(A, ([B, C], B)), town.account(A, ([B, C], C))
        for owner in (to_b, to_c):
            await town.store(0, owner, b"hello")
            await town.store(0, owner, b"config", namespace=3)
        town.change({0: B, 1: B, 2: C, 3: C})
        await asyncio.sleep(60)
        assert await town.all_hold(town.members(B), to_b, [b"hello", b"config"], 0, 3)
        assert await town.all_hold(town.members(C), to_c, [b"hello", b"config"], 0, 3)

    live(tmp_path, scenario)


def test_a_node_that_moves_leaves_its_old_swarm_what_only_it_had(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        town.sim.partition([[town.address(0), "10.2.0.1"]])
        await town.store(0, bob, b"only here")
        await asyncio.sleep(LATE)
        town.sim.heal()
        town.change({0: B})
        await asyncio.sleep(30)
        assert await town.all_hold([1, 2, 3], bob, [b"only here"])

    live(tmp_path, scenario)


def test_nodes_that_learn_of_the_change_later_still_get_everything(tmp_path):
    async def scenario(town):
        heir = town.account(A, ([B, C], B))
        await town.store(0, heir, b"hello")
        town.change({0: B, 1: B, 2: C, 3: C}, tell=range(4))
        await asyncio.sleep(20)
        town.change({}, tell=range(12))
        await asyncio.sleep(60)
        assert await town.all_hold(town.members(B), heir, [b"hello"])

    live(tmp_path, scenario)


def test_a_change_while_the_node_was_down_is_noticed_at_its_start(tmp_path):
    async def scenario(town):
        heir = town.account(A, ([B, C], B))
        town.sim.partition([[town.address(0), "10.2.0.1"]])
        await town.store(0, heir, b"only here")
        town.kill(0)
        await asyncio.sleep(LATE)
        town.sim.heal()
        town.change({0: C, 1: B, 2: C, 3: C})
        await asyncio.sleep(600)
        town.restart(0)
        await town.up()
        await asyncio.sleep(60)
        assert await town.all_hold(town.members(B), heir, [b"only here"])

    live(tmp_path, scenario)


def test_a_skipped_block_loses_no_event(tmp_path):
    async def scenario(town):
        heir = town.account(A, ([B, C], B))
        await town.store(0, heir, b"hello")
        # Two changes at one instant: nobody sees the list between them.
        town.change({0: UNASSIGNED, 1: UNASSIGNED, 2: UNASSIGNED, 3: UNASSIGNED})
        town.change({0: C, 1: C, 2: C, 3: C})
        await asyncio.sleep(60)
        assert await town.all_hold(town.members(B), heir, [b"hello"])

    live(tmp_path, scenario)


def test_a_node_without_a_swarm_remembers_where_it_comes_from(tmp_path):
    async def scenario(town):
        heir = town.account(A, ([B, C], B))
        await town.store(0, heir, b"hello")
        town.change({0: UNASSIGNED, 1: UNASSIGNED, 2: UNASSIGNED, 3: UNASSIGNED})
        await asyncio.sleep(3600)
        town.change({0: C})
        await asyncio.sleep(60)
        assert await town.all_hold(town.members(B), heir, [b"hello"])

    live(tmp_path, scenario)


def test_a_peer_that_is_down_is_told_when_it_is_back(tmp_path):
    new = A + 2**61

    async def scenario(town):
        moving = town.account(A, ([A, B, C, new], new))
        await town.store(0, moving, b"hello")
        town.kill(4)
        town.change({4: new})
        await asyncio.sleep(1200)
        town.restart(4)
        await town.up()
        await asyncio.sleep(900)
        assert await town.all_hold([4], moving, [b"hello"])
        assert town.running[0].swarm_life.retries

    live(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(4))
def test_a_node_killed_while_it_hands_over_goes_on_after_its_restart(tmp_path, seed):
    """The giver is the only one that has the messages, and is killed again and again at random moments."""

    async def scenario(town):
        chance = random.Random(seed)
        heirs = [town.account(A, ([B, C], B), seed=number) for number in range(6)]
        town.sim.partition([[town.address(0), "10.2.0.1"]])
        for owner in heirs:
            await asyncio.gather(*(town.store(0, owner, b"%d" % number * 20_000) for number in range(8)))
        await asyncio.sleep(LATE)
        town.sim.heal()
        town.change({0: C, 1: C, 2: C, 3: C})
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.1, 4))
            town.kill(0)
            await asyncio.sleep(chance.uniform(0, 2))
            town.restart(0)
        await asyncio.sleep(240)
        for owner in heirs:
            assert await town.all_hold(town.members(B), owner, [b"%d" % number * 20_000 for number in range(8)])

    live(tmp_path, scenario, seed=seed)


# ---- nodes of another make


def test_foreign_members_are_handed_messages_as_they_know_them(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        await town.store(0, bob, b"hello")
        town.change({4: A})
        await asyncio.sleep(40)
        assert await town.all_hold([4], bob, [b"hello"])
        assert set(town.seen_by_foreign) == {b"\x01"}

    live(tmp_path, scenario, foreign={4})


def test_what_foreign_members_hand_over_is_taken(tmp_path):
    async def scenario(town):
        heir = town.account(A, ([B, C], B))
        await town.store(0, heir, b"hello")
        await town.store(0, heir, b"config", namespace=2)
        town.change({0: C, 1: C, 2: C, 3: C}, tell=range(4))
        await asyncio.sleep(5)  # the receivers' list comes later than the batch
        town.change({}, tell=range(12))
        await asyncio.sleep(30)
        assert await town.all_hold(town.members(B), heir, [b"hello", b"config"], 0, 2)

    live(tmp_path, scenario, foreign={0, 1, 2, 3})


def test_our_members_repair_one_another_beside_foreign_ones(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        town.kill(2)
        await town.store(0, bob, b"hello")
        await asyncio.sleep(LATE)
        town.restart(2)
        await town.up()
        await asyncio.sleep(120)
        assert await town.all_hold([0, 1, 2, 3], bob, [b"hello"])

    live(tmp_path, scenario, foreign={1, 3})


# ---- repair


def test_a_member_that_was_down_for_an_hour_is_whole_again_within_a_minute(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        old = await town.store(0, bob, b"old")
        kept = await town.store(0, bob, b"shortened")
        town.kill(3)
        for number in range(30):
            await town.store(number % 3, bob, b"new %d" % number)
            await asyncio.sleep(120)
        await town.store(1, bob, b"config", namespace=2)
        await town.delete(1, bob, old)
        soon = town.now() + DAY
        await town.expire(2, bob, kept, soon)
        await asyncio.sleep(LATE)
        town.restart(3)
        await town.up()
        await asyncio.sleep(60)
        want = [b"new %d" % number for number in range(30)] + [b"shortened", b"config"]
        assert await town.all_hold([3], bob, want, 0, 2)
        assert (await town.held(3, bob))[base64(b"shortened")] == soon

    live(tmp_path, scenario)


def test_what_reached_only_one_side_of_a_cut_reaches_all_when_it_is_healed(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        both = await town.store(0, bob, b"both")
        town.sim.partition([[town.address(0), town.address(1), "10.2.0.1"]])
        await town.store(0, bob, b"left")
        await town.delete(1, bob, both)
        await asyncio.sleep(LATE)
        town.sim.partition([[town.address(2), town.address(3), "10.2.0.1"]])
        await town.store(2, bob, b"right")
        assert await town.all_hold([2, 3], bob, [b"both", b"right"])
        await asyncio.sleep(LATE)
        town.sim.heal()
        await asyncio.sleep(600)
        assert await town.all_hold([0, 1, 2, 3], bob, [b"left", b"right"])
        await asyncio.sleep(3 * 3600)  # it does not come back
        assert await town.all_hold([0, 1, 2, 3], bob, [b"left", b"right"])

    live(tmp_path, scenario)


def test_stored_again_after_the_delete_it_is_there_for_all(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        text = await town.store(0, bob, b"x")
        town.kill(3)
        await town.delete(0, bob, text)
        await town.store(0, bob, b"x", days=3)
        want = await town.held(0, bob)
        await asyncio.sleep(LATE)
        town.restart(3)
        await town.up()
        await asyncio.sleep(60)
        assert await town.held(3, bob) == want

    live(tmp_path, scenario)


def test_expiries_changed_on_both_sides_of_a_cut_end_up_alike(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        first = await town.store(0, bob, b"first")
        second = await town.store(0, bob, b"second")
        town.sim.partition([[town.address(0), town.address(1), "10.2.0.1"]])
        await town.expire(0, bob, first, town.now() + DAY, shorten=True)
        await town.expire(0, bob, second, town.now() + 20 * DAY, extend=True)
        await asyncio.sleep(LATE)
        town.sim.partition([[town.address(2), town.address(3), "10.2.0.1"]])
        await town.expire(2, bob, first, town.now() + 20 * DAY, extend=True)
        await town.expire(2, bob, second, town.now() + 2 * DAY)
        await asyncio.sleep(LATE)
        town.sim.heal()
        await asyncio.sleep(600)
        held = [await town.held(number, bob) for number in range(4)]
        assert held == [held[0]] * 4
        # Lowering beats raising that did not know of it.
        assert max(held[0].values()) < town.now() + 3 * DAY

    live(tmp_path, scenario)


def test_a_message_made_to_run_out_does_not_come_back_from_who_did_not_hear_of_it(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        text = await town.store(0, bob, b"x")
        town.kill(3)
        await town.expire(0, bob, text, town.now() + 60_000)
        await asyncio.sleep(300)
        assert await town.all_hold([0, 1, 2], bob, [])
        await asyncio.sleep(LATE)
        town.restart(3)
        await town.up()
        await asyncio.sleep(120)
        assert await town.all_hold([0, 1, 2, 3], bob, [])

    live(tmp_path, scenario)


def test_revocations_reach_members_that_were_down(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        token = bytes([5, 3, 0, 0]) + bytes(range(32))
        town.kill(3)
        request = storage.RevokeSubaccount(account=bob.id.raw, tokens=(token,), timestamp=town.now())
        await town.ask(0, storage.sign(request, bob))
        await asyncio.sleep(LATE)
        town.restart(3)
        await town.up()
        await asyncio.sleep(60)
        undo = storage.UnrevokeSubaccount(account=bob.id.raw, tokens=(token,), timestamp=town.now())
        reply = await town.ask(3, storage.sign(undo, bob))
        assert [entry["count"] for entry in reply["swarm"].values()] == [1] * 4

    live(tmp_path, scenario)


def test_what_an_outbox_replaced_is_gone_for_all(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        await town.store(0, bob, b"old", namespace=-1)
        town.kill(3)
        await asyncio.sleep(1)
        await town.store(0, bob, b"new", namespace=-1)
        await asyncio.sleep(LATE)
        town.restart(3)
        await town.up()
        await asyncio.sleep(60)
        assert await town.all_hold([0, 1, 2, 3], bob, [b"new"], -1)

    live(tmp_path, scenario)


def test_members_that_agree_exchange_one_question_a_minute(tmp_path):
    async def scenario(town):
        bob = town.account(A)
        for number in range(20):
            await town.store(0, bob, b"%d" % number)
        await asyncio.sleep(300)
        before = sum(node.swarm_life.differences for node in town.running.values())
        await asyncio.sleep(3600)
        assert sum(node.swarm_life.differences for node in town.running.values()) == before
        assert not any(node.swarm_life.failed for node in town.running.values())

    live(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(3))
def test_a_rough_hour_leaves_all_members_alike(tmp_path, seed):
    async def scenario(town):
        chance = random.Random(seed)
        owners = [town.account(A, seed=number) for number in range(3)]
        hashes = {owner: [] for owner in owners}
        down = None
        for _ in range(60):
            owner = chance.choice(owners)
            number = chance.choice([each for each in range(4) if each != down])
            try:
                match chance.randrange(6):
                    case 0 if hashes[owner]:
                        await town.delete(number, owner, chance.choice(hashes[owner]))
                    case 1 if hashes[owner]:
                        text = chance.choice(hashes[owner])
                        await town.expire(number, owner, text, town.now() + chance.randrange(2, 9) * DAY)
                    case 2:
                        if down is None:
                            down = chance.randrange(4)
                            town.kill(down)
                        else:
                            town.restart(down)
                            down = None
                    case _:
                        hashes[owner].append(await town.store(number, owner, b"%d" % chance.randrange(20)))
            except (NetError, AssertionError):
                pass  # a request that was lost; whatever became of it, members will agree
            await asyncio.sleep(chance.uniform(0, 90))
        if down is not None:
            town.restart(down)
        await town.up()
        await asyncio.sleep(1800)
        for owner in owners:
            held = []
            for number in range(4):
                while True:
                    try:
                        held.append(await town.held(number, owner))
                        break
                    except NetError:
                        await asyncio.sleep(5)
            assert held == [held[0]] * 4

    live(tmp_path, scenario, seed=seed, model=ROUGH)

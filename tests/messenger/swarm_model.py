"""A model of one network of mailboxes, for many runs: nodes that lag, lose, repeat, reorder and crash, in virtual time.

It does what clients rely on and nothing else: a message is stored by some nodes at once and by the others a little
later; a node may be down for a while; a request or its answer may be lost; messages come back in the order in
which each node got them, some twice.  Nodes name messages by their hash and honour expiry, deletion and `expire`.
"""

import asyncio
import random
from types import SimpleNamespace

from ramson.crypto.hashing import message_hash
from ramson.network import NoPath, Polled, Retrieved
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.storage import RetrievedMessage

EPOCH_MS = 1_700_000_000_000


class Node:
    """A node's messages by account, each with the time of its arrival here."""

    def __init__(self, number):
        self.record = NodeRecord(bytes([number + 1]) * 32, bytes(32), bytes(32), f"10.0.{number}.1", 1, 2, 0)
        self.kept = {}  # account → {(namespace, hash): [data, stored_ms, expiry_ms]}, in order of arrival
        self.up = True

    def box(self, account):
        return self.kept.setdefault(account, {})


class Swarm:
    """All nodes; `trouble` from 0 to 1 says how often something goes wrong."""

    def __init__(self, seed, *, nodes=4, trouble=0.0):
        self.entropy = random.Random(seed)
        self.nodes = [Node(number) for number in range(nodes)]
        self.trouble = trouble
        self.gone = set()  # (account, hash) deleted everywhere

    def now(self):
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)

    def client(self, skew_ms=0):
        return Client(self, skew_ms)

    async def crashes(self):
        """Let nodes go down and come back, one at a time, until cancelled."""
        while True:
            await asyncio.sleep(self.entropy.uniform(5, 40))
            node = self.entropy.choice(self.nodes)
            node.up = False
            await asyncio.sleep(self.entropy.uniform(1, 60))
            node.up = True
            self.hand_over(node)

    def hand_over(self, node):
        """Give a node that was away what the others have, in any order."""
        for other in self.nodes:
            for account, box in other.kept.items():
                for key, value in self.entropy.sample(list(box.items()), len(box)):
                    if (account, key[1]) not in self.gone:
                        node.box(account).setdefault(key, list(value))
                        node.box(account)[key][2] = min(node.box(account)[key][2], value[2])
        for account, name in self.gone:
            for key in [key for key in node.box(account) if key[1] == name]:
                del node.box(account)[key]

    def bad_luck(self):
        return self.entropy.random() < self.trouble

    def later(self, work):
        asyncio.get_running_loop().call_later(self.entropy.uniform(0, 8) if self.trouble else 0.01, work)

    def put(self, account, namespace, data, ttl_ms):
        name = message_hash(account.raw, namespace, data)
        moment = self.now()

        def keep(node):
            if node.up and (account, name) not in self.gone:
                node.box(account).setdefault((namespace, name), [data, moment, moment + ttl_ms])

        first, *others = self.entropy.sample(self.nodes, len(self.nodes))
        if not first.up:
            raise NoPath("the node is down")
        keep(first)
        for node in others:
            self.later(lambda node=node: keep(node))
        return name

    def take(self, account, names):
        self.gone |= {(account, name) for name in names}
        for node in self.nodes:
            if node.up:
                for key in [key for key in node.box(account) if key[1] in names]:
                    del node.box(account)[key]


class Client:
    """What one device sees of the network; its clock is `skew_ms` ahead, which the network has found out nearly."""

    def __init__(self, swarm, skew_ms):
        self.swarm = swarm
        self.skew_ms = skew_ms
        self.online = True
        self.requests = []

    def now(self):
        return self.swarm.now() + self.skew_ms

    async def _travel(self, what):
        self.requests.append(what)
        await asyncio.sleep(self.swarm.entropy.uniform(0.05, 1.5 if self.swarm.trouble else 0.1))
        if not self.online or self.swarm.bad_luck():
            raise NoPath("lost on the way")

    def _answer(self):
        if self.swarm.bad_luck():
            raise NoPath("the answer was lost")

    async def store(self, account, data, *, ttl_ms, namespace=0):
        await self._travel("store")
        name = self.swarm.put(account, namespace, data, ttl_ms)
        self._answer()
        return SimpleNamespace(hash=name, stored_by=("a",), failed=(), timestamp=self.now())

    async def replace(self, keys, items, obsolete):
        await self._travel("replace")
        names = tuple(self.swarm.put(keys.id, item.namespace, item.data, item.ttl_ms) for item in items)
        self.swarm.take(keys.id, set(obsolete))
        self._answer()
        return names

    async def poll(self, keys, namespaces, last, *, extend=()):
        await self._travel("poll")
        nodes = [node for node in self.swarm.entropy.sample(self.swarm.nodes, 2) if node.up]
        if not nodes:
            raise NoPath("both are down")
        self._answer()
        return Polled(tuple(self._retrieve(node, keys.id, namespaces, last, extend) for node in nodes), {})

    def _retrieve(self, node, account, namespaces, last, extend):
        now = self.swarm.now()
        found, more = {}, False
        box = {key: value for key, value in node.box(account).items() if value[2] > now}
        for namespace in namespaces:
            names = [name for ns, name in box if ns == namespace]
            position = last.get(node.record.ed25519, {}).get(namespace)
            start = names.index(position) + 1 if position in names else 0
            page = names[start : start + 20]
            more |= start + 20 < len(names)
            messages = [
                RetrievedMessage(name, box[namespace, name][1], box[namespace, name][2], box[namespace, name][0])
                for name in page
            ]
            if messages and self.swarm.bad_luck():
                messages.insert(0, self.swarm.entropy.choice(messages))
            found[namespace] = tuple(messages)
        alive = frozenset(name for _, name in box).intersection(extend)
        for holder in self.swarm.nodes:
            for (_, name), value in holder.box(account).items():
                if name in alive and holder.up:
                    value[2] = now + 30 * 86_400_000
        return Retrieved(node.record, found, more, alive)

    async def delete(self, keys, hashes):
        await self._travel("delete")
        self.swarm.take(keys.id, set(hashes))
        self._answer()

    async def expire(self, keys, hashes, expiry, *, shorten=False, extend=False):
        await self._travel("expire")
        for node in self.swarm.nodes:
            for (_, name), value in node.box(keys.id).items():
                if name in hashes and node.up:
                    value[2] = min(value[2], expiry) if shorten else expiry
        self._answer()

    async def get_expiries(self, keys, hashes):
        await self._travel("get_expiries")
        node = self.swarm.entropy.choice([node for node in self.swarm.nodes if node.up])
        return {name: value[2] for (_, name), value in node.box(keys.id).items() if name in hashes}

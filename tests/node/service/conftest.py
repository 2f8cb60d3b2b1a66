"""A small network of storage services in one process: no transports, real mailboxes, a clock that stands still."""

import asyncio
import concurrent.futures
import json
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from ramson.crypto.account import AccountKeys
from ramson.crypto.keys import Ed25519KeyPair
from ramson.node.mailbox import Mailbox
from ramson.node.monitor import Monitor
from ramson.node.outcome import Outcome
from ramson.node.service import Service
from ramson.protocol import storage
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.registry import RegistryError
from ramson.world import PeerTimeout

HOME, ABROAD = 0x1000, 0x8000_0000_0000_0000
DAY = 86_400_000
START = 1_700_000_000_000


class Clock:
    def __init__(self):
        self.time = START

    def now(self):
        return self.time

    def monotonic(self):
        return self.time / 1000


class OneThread:
    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)

    async def run(self, work):
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def close(self):
        self.pool.shutdown()


class Daemon:
    """A registry whose list and answers tests may change."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.answer = None

    def current(self):
        return self.nodes

    async def call(self, endpoint, params):
        if isinstance(self.answer, Exception):
            raise self.answer
        if params.get("refuse"):
            raise RegistryError("the daemon says no")
        return self.answer


@dataclass
class Member:
    """One node: its key pair, record, service, mailbox and what it pushed."""

    pair: Ed25519KeyPair
    record: NodeRecord
    service: Service = None
    mailbox: Mailbox = None
    monitor: Monitor = None
    pushed: list = field(default_factory=list)
    answers: object = None  # a function of (method, body) that plays a misbehaving node

    @property
    def name(self):
        return self.pair.public.hex()


class Way:
    """The forwarder of one member: straight into the services of the others."""

    def __init__(self, network, own):
        self.network, self.own = network, own

    def peers(self, _account):
        return tuple(m.record for m in self.network.home if m is not self.own)

    async def forward(self, peer, method, body, _timeout):
        member = next(m for m in self.network.home if m.record is peer)
        if member.answers is not None:
            answer = member.answers(method, body)
        else:
            answer = member.service.handle_forwarded([method.encode(), body])
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            raise PeerTimeout("no answer")
        return answer


class Network:
    """A swarm of three (`home`) and one node of another swarm (`abroad`)."""

    def __init__(self, directory, *, testnet=False, members=3):
        self.directory, self.testnet = directory, testnet
        self.clock = Clock()
        pairs = [Ed25519KeyPair.from_seed(bytes([i + 1]) * 32) for i in range(members + 1)]
        records = [
            NodeRecord(
                pair.public,
                pair.to_x25519().public,
                bytes([0x70 + i]) * 32,
                f"192.0.2.{i + 1}",
                22021 + i,
                22020,
                HOME if i < members else ABROAD,
            )
            for i, pair in enumerate(pairs)
        ]
        self.nodes = NodeList(tuple(records), 100, "ab" * 32, (19, 4))
        self.daemon = Daemon(self.nodes)
        self.everyone = [Member(pair, record) for pair, record in zip(pairs, records, strict=True)]
        self.home, self.abroad = self.everyone[:-1], self.everyone[-1]

    def open(self):
        """Open the mailboxes, which stay open, and start the services."""
        for i, member in enumerate(self.everyone):
            member.mailbox = Mailbox(self.directory / f"{i}.db", OneThread(), self.clock)
        self.restart()

    def restart(self):
        """Make new services over the same mailboxes, with everything tests may have changed as it was."""
        self.clock.time = START
        self.daemon.nodes, self.daemon.answer = self.nodes, {"fine": True}
        for member in self.everyone:
            for replaced in ("store", "retrieve"):
                vars(member.mailbox).pop(replaced, None)
            member.answers = None
            member.pushed.clear()
            member.monitor = Monitor(
                clock=self.clock,
                push=lambda *push, member=member: member.pushed.append(push) or True,
                owns=lambda account: self.daemon.nodes.swarm_of(account)[0] == HOME,
                is_revoked=member.mailbox.is_revoked,
            )
            member.service = Service(
                clock=self.clock,
                signer=member.pair,
                mailbox=member.mailbox,
                registry=self.daemon,
                forwarder=Way(self, member),
                monitor=member.monitor,
                testnet=self.testnet,
            )

    async def close(self):
        for member in self.everyone:
            await member.mailbox.close()

    @property
    def now(self):
        return self.clock.time

    # ---- asking

    async def raw(self, body, member=0):
        """Post a body as it is; return the outcome."""
        outcome = self.everyone[member].service.handle_json(body)
        return outcome if isinstance(outcome, Outcome) else await outcome

    async def post(self, method, params, member=0):
        """Post {"method", "params"}; return (status, document or text)."""
        outcome = await self.raw(json.dumps({"method": method, "params": params}).encode(), member)
        return outcome.status, json.loads(outcome.body) if outcome.is_json else outcome.body.decode()

    async def ask(self, request, member=0):
        """Post a typed request; return (status, document or text)."""
        return await self.post(request.method.name, request.to_json_params(), member)

    async def ok(self, request, member=0):
        """Post a typed request that must succeed; return its typed reply."""
        status, document = await self.ask(request, member)
        assert status == 200, (status, document)
        return storage.read_reply(request, document)

    async def omq(self, method, *parts, member=0):
        """Ask as `storage.<method>`; return the reply's parts."""
        reply = self.everyone[member].service.handle_omq(method, list(parts))
        return reply if isinstance(reply, list) else await reply

    async def forwarded(self, *parts, member=0):
        """Ask as another member does."""
        reply = self.everyone[member].service.handle_forwarded(list(parts))
        return reply if reply is None or isinstance(reply, list) else await reply

    # ---- making requests

    def message(self, account, data=b"hello", namespace=0, **changes):
        """Make a store request for now, unsigned."""
        given = {"timestamp": self.now, "expiry": self.now + DAY, **changes}
        return storage.Store(account=account.raw, data=data, namespace=namespace, **given)

    async def store(self, account, data=b"hello", namespace=0, member=0, **changes):
        """Store a message, signed where that is needed; return its hash."""
        request = self.message(account, data, namespace, **changes)
        if namespace % 10:
            request = account.sign(request)
        return (await self.ok(request, member)).hash

    async def hashes(self, account, namespace=0, member=0):
        """Return the hashes in a namespace, in the member's order."""
        request = storage.Retrieve(account=account.raw, namespace=namespace, timestamp=self.now)
        return [message.hash for message in (await self.ok(account.sign(request), member)).messages]

    def person(self, swarm=HOME):
        """Make a Session account of a swarm."""
        return self._account(lambda seed: Person(AccountKeys.from_seed(seed)), swarm)

    def group(self, swarm=HOME):
        """Make a group account of a swarm."""
        return self._account(lambda seed: Group(Ed25519KeyPair.from_seed(seed)), swarm)

    def _account(self, make, swarm):
        while True:
            account = make(os.urandom(32))
            if self.daemon.nodes.swarm_of(account.raw)[0] == swarm:
                return account


class Account:
    """Somebody with a mailbox."""

    def sign(self, request):
        return storage.sign(request, self.keys)

    def token(self, flags, prefix=None):
        """Make a subaccount."""
        return Token(self, flags, self.raw[0] if prefix is None else prefix)


class Person(Account):
    def __init__(self, keys):
        self.keys, self.pair, self.raw = keys, keys.ed25519, keys.id.raw
        self.id, self.ed25519 = keys.id.hex, keys.ed25519.public


class Group(Account):
    def __init__(self, pair):
        self.keys, self.pair, self.raw = pair, pair, b"\x03" + pair.public
        self.id, self.ed25519 = self.raw.hex(), None


class Token:
    """A subaccount of `owner`, which signs in the owner's name."""

    def __init__(self, owner, flags, prefix):
        self.owner, self.raw, self.id = owner, owner.raw, owner.id
        self.pair = Ed25519KeyPair.from_seed(os.urandom(32))
        self.token = bytes([prefix, flags, 0, 0]) + self.pair.public
        self.signature = owner.pair.sign(self.token)

    def sign(self, request):
        return storage.sign_as_subaccount(
            request,
            token=self.token,
            token_signature=self.signature,
            signer=self.pair.sign,
            owner_ed25519=self.owner.ed25519,
        )


# Opening mailboxes waits for the disk: the tests of a module share them, each with accounts of its own.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mailboxes(tmp_path_factory):
    net = Network(tmp_path_factory.mktemp("network"))
    net.open()
    yield net
    await net.close()


@pytest.fixture
def network(mailboxes):
    mailboxes.restart()
    return mailboxes


@pytest_asyncio.fixture(loop_scope="module")
async def testnet(tmp_path):
    net = Network(tmp_path, testnet=True, members=1)
    net.open()
    yield net
    await net.close()


@pytest.fixture
def alice(network):
    return network.person()


@pytest.fixture
def group(network):
    return network.group()


@pytest.fixture(scope="session")
def make_network():
    """Make networks that live longer than one test."""
    return Network

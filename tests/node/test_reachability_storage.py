"""Storage tests between members: who holds a message proves it, who lacks it is noticed, the innocent are spared."""

import asyncio
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.account import AccountKeys
from ramson.crypto.hashing import message_hash
from ramson.errors import ParseError
from ramson.node import certificate, storage_audit
from ramson.node.config import NodeConfig
from ramson.node.counters import PeerTestOutcome, StorageTestOutcome
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox, NewMessage
from ramson.node.node import Node
from ramson.node.storage_proof import Challenge
from ramson.node.swarm.repair import Repair
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.world import Command, Endpoint, PeerAddress
from ramson.world.simulated import Simulation

CERTIFICATE = certificate.create(1_700_000_000_000)
DAY = 86_400_000
HOUR = 3600
HELD, MISSING, MOOT, SILENT, UNABLE = (StorageTestOutcome[n] for n in ("HELD", "MISSING", "MOOT", "SILENT", "UNABLE"))

ACCOUNT = b"\x05" + bytes(range(32))
CHALLENGE = Challenge(ACCOUNT, 0, message_hash(ACCOUNT, 0, b"data"), bytes(32))


# ---- the proof


@given(st.binary(min_size=33, max_size=33), st.integers(-(2**15), 2**15 - 1), st.binary(min_size=32, max_size=32))
def test_a_challenge_is_read_as_it_was_written(account, namespace, nonce):
    challenge = Challenge(account, namespace, message_hash(account, namespace, b""), nonce)
    assert Challenge.decode(challenge.encode()) == challenge


@given(st.binary(max_size=300))
def test_anything_else_is_a_parse_error(data):
    with pytest.raises(ParseError):
        Challenge.decode(data)


@pytest.mark.parametrize(("old", "new"), [(b"33:", b"32:"), (b"43:", b"42:"), (b"i0e", b"i99999e"), (b"1:#", b"1:$")])
def test_wrong_fields_are_parse_errors(old, new):
    data = CHALLENGE.encode()
    assert old in data
    with pytest.raises(ParseError):
        Challenge.decode(data.replace(old, new))


def test_a_proof_is_of_one_message_one_nonce_and_one_pair():
    a, b, c = (bytes([i]) * 32 for i in range(3))
    other = Challenge(CHALLENGE.account, 0, CHALLENGE.hash, b"\x01" * 32)
    proofs = {
        CHALLENGE.proof(a, b, b"data"),
        CHALLENGE.proof(a, b, b"datb"),
        CHALLENGE.proof(a, c, b"data"),
        CHALLENGE.proof(b, a, b"data"),
        other.proof(a, b, b"data"),
    }
    assert len(proofs) == 5
    assert {len(proof) for proof in proofs} == {32}


# ---- choosing a message


async def test_messages_are_picked_by_age_and_life_left(tmp_path, disk, clock):
    mailbox = Mailbox(tmp_path / "m.db", disk, clock)
    try:
        day = clock.now() + 86_400_000
        assert mailbox.newest() == 0
        assert mailbox.pick(0.5, mailbox.newest(), 0) is None
        for i in range(40):
            data = b"%d" % i
            name = message_hash(ACCOUNT, 0, data)
            await mailbox.store(NewMessage(ACCOUNT, 0, name, 1, day + i, data))
        mark = mailbox.newest()
        await mailbox.store(NewMessage(ACCOUNT, 0, message_hash(ACCOUNT, 0, b"late"), 1, 2 * day, b"late"))
        picked = {mailbox.pick(i / 400, mark, 0).data for i in range(400)}
        assert picked == {b"%d" % i for i in range(40)}
        assert {s.expiry for i in range(400) if (s := mailbox.pick(i / 400, mark, day + 20))} == set(
            range(day + 21, day + 40)
        )
        sample = mailbox.pick(0.1, mark, 0)
        assert mailbox.find(sample.account, sample.namespace, sample.hash) == sample
        await mailbox.expire_all(ACCOUNT, None, day - 1)
        assert mailbox.find(sample.account, sample.namespace, sample.hash).expiry == day - 1
        await mailbox.expire_all(ACCOUNT, None, clock.now())
        assert mailbox.find(sample.account, sample.namespace, sample.hash) is None  # it has run out
        await mailbox.delete_all(ACCOUNT, None)
        assert mailbox.find(sample.account, sample.namespace, sample.hash) is None
    finally:
        await mailbox.close()


# ---- whole swarms


class Swarm:
    """Members 0 … count−1, of which `strangers` are nodes of another program."""

    def __init__(self, place, count=5, strangers=(), stranger=None, test_peers=False):
        self.simulation = Simulation(5, time_limit=3 * 86_400.0)
        self.place = place
        self.test_peers = test_peers
        self.stranger = stranger or self.live_as_stranger
        self.keys = [NodeKeys.generate(random.Random(i)) for i in range(count)]
        self.records = [
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, f"10.0.{i}.1", 22021, 22020, 7)
            for i, k in enumerate(self.keys)
        ]
        self.file = NetworkFile(tuple(NetworkNode("n", NodeState.ACTIVE, record) for record in self.records))
        self.nodes, self.mailboxes = {}, {}
        for i in range(count):
            live = self.stranger if i in strangers else self.live
            self.simulation.host(self.records[i].ip).start(lambda world, i=i, live=live: live(i, world))

    async def live(self, i, world):
        config = NodeConfig(
            https=Endpoint("", 22021),
            omq=Endpoint("", 22020),
            data_dir=self.place / f"{i}",
            test_peers=self.test_peers,
        )
        async with Node(world, self.keys[i], CERTIFICATE, config, FileRegistry(self.file)) as node:
            self.nodes[i] = node
            await asyncio.Event().wait()

    async def live_as_stranger(self, i, world):
        answer = Command(lambda _o, _p: [b"invalid parameters"])
        await world.net.link(self.keys[i].x25519, {"sn.storage_test": answer}, listen=Endpoint("", 22020))
        await asyncio.Event().wait()

    async def fill(self, members, count=50):
        """Let these members hold messages."""
        for number in range(count):
            account = AccountKeys.generate(random.Random(number)).id.raw
            data = b"%d" % number
            now = self.simulation.world("10.9.9.9").clock.now()
            message = NewMessage(account, 0, message_hash(account, 0, data), now, now + 14 * DAY, data)
            for i in members:
                await self.mailboxes[i].store(message)

    def count(self, outcome, by=None):
        nodes = self.nodes.values() if by is None else [self.nodes[by]]
        return sum(node.counters.storage_tests[outcome] for node in nodes)

    def run(self, scenario):
        self.simulation.run(scenario)


@pytest.fixture(autouse=True)
def mailboxes(monkeypatch):
    """Let tests reach the mailbox a node opened."""
    opened = {}

    class Seen(Mailbox):
        def __init__(self, path, *args, **kw):
            super().__init__(path, *args, **kw)
            opened[int(path.parent.name)] = self

    monkeypatch.setattr("ramson.node.node.Mailbox", Seen)
    monkeypatch.setattr(Swarm, "mailboxes", opened, raising=False)
    return opened


@pytest.fixture(autouse=True)
def no_repair(request, monkeypatch):
    """Let what is missing stay missing, but where a test is about repair."""
    if "repair" not in request.function.__name__:
        monkeypatch.setattr(Repair, "run", lambda _self: asyncio.Event().wait())


def swarm_of(tmp_path, mailboxes, **kw):
    swarm = Swarm(tmp_path, **kw)
    swarm.mailboxes = mailboxes
    return swarm


def test_members_that_hold_their_messages_prove_it(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(5))
        await asyncio.sleep(0.9 * HOUR)
        assert sum(swarm.count(outcome) for outcome in StorageTestOutcome) == 0  # nobody is old enough
        await asyncio.sleep(2.1 * HOUR)
        assert 450 <= swarm.count(HELD) <= 750  # five testers, once a minute, two hours
        assert swarm.count(MISSING) == swarm.count(SILENT) == swarm.count(UNABLE) == 0
        assert sum(node.counters.storage_tests_answered for node in swarm.nodes.values()) == swarm.count(HELD)

    swarm.run(scenario())


def test_fresh_messages_and_those_about_to_expire_are_not_asked_for(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(2 * HOUR)
        await swarm.fill([0])  # the others never got them
        await asyncio.sleep(1500)
        assert sum(swarm.count(outcome) for outcome in StorageTestOutcome) == 0
        now = swarm.simulation.world("10.9.9.9").clock.now()
        for number in range(50):
            account = AccountKeys.generate(random.Random(number)).id.raw
            await swarm.mailboxes[0].expire_all(account, None, now + 10 * 60_000)
        await asyncio.sleep(2 * HOUR)
        assert sum(swarm.count(outcome) for outcome in StorageTestOutcome) == 0

    swarm.run(scenario())


def test_a_member_that_lost_its_messages_is_found_out_and_at_last_distrusted(tmp_path, mailboxes, caplog):
    swarm = swarm_of(tmp_path, mailboxes, test_peers=True)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(4))
        await asyncio.sleep(1.6 * HOUR)
        assert swarm.count(MISSING) > 0
        assert swarm.count(MOOT) == 0
        assert not swarm.nodes[0].counters.peer_tests[PeerTestOutcome.DISTRUSTED]  # too early to accuse
        await asyncio.sleep(2 * HOUR)
        testers = [swarm.nodes[i].counters.peer_tests for i in range(4)]
        assert all(tests[PeerTestOutcome.DISTRUSTED] > 0 for tests in testers)
        assert swarm.count(MISSING, by=4) == 0  # it holds nothing to ask for
        await swarm.fill([4])  # and it proves itself again
        await asyncio.sleep(900)
        distrusted = [tests[PeerTestOutcome.DISTRUSTED] for tests in testers]
        await asyncio.sleep(600)
        assert [tests[PeerTestOutcome.DISTRUSTED] for tests in testers] == distrusted

    swarm.run(scenario())
    said = [r for r in caplog.records if "a message is missing" in r.getMessage()]
    assert {r.levelno for r in said} == {logging.WARNING}  # the first two are worth only `info`
    assert all(swarm.keys[4].ed25519.public.hex()[:8] in r.getMessage() for r in said)


def test_repair_is_quicker_than_suspicion(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(4))
        await asyncio.sleep(3 * HOUR)
        assert swarm.mailboxes[4].stats().messages == 50
        assert swarm.count(HELD) > 100
        assert swarm.count(MISSING) == swarm.count(MOOT) == 0

    swarm.run(scenario())


def test_who_alone_holds_a_message_blames_nobody(tmp_path, mailboxes):
    """A member that was away when a message was deleted still has it: the others are right."""
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill([0])
        await asyncio.sleep(4 * HOUR)
        assert swarm.count(MOOT, by=0) > 10
        assert swarm.count(MISSING) == 0

    swarm.run(scenario())


def test_a_message_deleted_while_it_is_asked_for_is_no_ones_fault(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(5))
        await asyncio.sleep(HOUR)
        for number in range(50):  # each deletion reaches the members one after the other, the tester last
            account = AccountKeys.generate(random.Random(number)).id.raw
            for i in (4, 3, 2, 1, 0):
                await swarm.mailboxes[i].delete_all(account, None)
                await asyncio.sleep(7)
        assert swarm.count(MISSING) == 0
        assert swarm.count(MOOT) > 0

    swarm.run(scenario())


def test_nodes_of_another_program_are_left_alone(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes, strangers=(3, 4))

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(3))
        await asyncio.sleep(4 * HOUR)
        assert swarm.count(HELD) > 100
        assert swarm.count(MISSING) == 0
        assert 0 < swarm.count(UNABLE) <= 3 * 2 * 4  # once an hour each

    swarm.run(scenario())


def test_a_silent_member_is_not_said_to_lack_anything(tmp_path, mailboxes):
    swarm = swarm_of(tmp_path, mailboxes)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(5))
        await asyncio.sleep(HOUR)
        swarm.simulation.crash(swarm.records[4].ip)
        del swarm.nodes[4]
        await asyncio.sleep(HOUR)
        assert swarm.count(SILENT) > 10
        assert swarm.count(MISSING) == 0

    swarm.run(scenario())


def test_asking_another_member_does_not_help_a_member_that_lacks_a_message(tmp_path, mailboxes):
    """Member 4 keeps nothing and passes every challenge on to member 3."""
    passed_on = []

    async def cheat(i, world):
        link = None

        async def pass_on(_origin, parts):
            peer = swarm.records[3]
            address = PeerAddress(Endpoint(peer.ip, 22020), peer.x25519)
            passed_on.append(await link.request(address, "sn.storage_test", parts, timeout=3))
            return passed_on[-1]

        link = await world.net.link(
            swarm.keys[4].x25519, {"sn.storage_test": Command(pass_on)}, listen=Endpoint("", 22020)
        )
        await asyncio.Event().wait()

    swarm = swarm_of(tmp_path, mailboxes, strangers=(4,), stranger=cheat)

    async def scenario():
        await asyncio.sleep(10)
        await swarm.fill(range(4))
        await asyncio.sleep(3 * HOUR)
        assert [b"OK"] in [reply[:1] for reply in passed_on]
        assert swarm.count(MISSING) > 10
        assert swarm.count(UNABLE) == 0

    swarm.run(scenario())


def test_the_times_are_those_that_the_operator_is_told():
    assert storage_audit.DISTRUST_SECONDS == 65 * 60
    assert (storage_audit.SUSPECT_AFTER, storage_audit.DISTRUST_AFTER) == (3, 10)

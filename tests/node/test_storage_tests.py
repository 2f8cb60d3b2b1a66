"""Answers to storage tests, and the draw of who tests whom."""

import asyncio
import random
from base64 import b64decode

import pytest

from ramson.crypto.hashing import message_hash
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox, NewMessage
from ramson.node.standing import Standing
from ramson.node.storage_test import BlockSource, MersenneTwister64, StorageTests, pair_at
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry, OxendRegistry
from ramson.world import Origin

HEIGHT, BLOCK = 1000, "0123456789abcdef" * 4
ACCOUNT = b"\x05" + bytes(32)
TEXT = message_hash(ACCOUNT, 0, b"data")
RAW = b64decode(TEXT + "=")


def test_the_generator_is_the_networks():
    generator = MersenneTwister64(42)
    assert [generator.below(10) for _ in range(8)] == [7, 6, 7, 1, 9, 0, 5, 3]


@pytest.mark.parametrize("members", [2, 3, 6])
def test_nobody_tests_himself_and_all_have_their_turn(members):
    pairs = {pair_at(members, f"{i:064x}"[::-1]) for i in range(500)}
    assert pairs == {(a, b) for a in range(members) for b in range(members) if a != b}


@pytest.mark.parametrize(("members", "block"), [(0, BLOCK), (1, BLOCK), (5, ""), (5, "0123456")])
def test_no_pair_without_members_or_block(members, block):
    assert pair_at(members, block) is None


@pytest.fixture
async def mailbox(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    yield box
    await box.close()


class Swarm:
    """Five members, seen from the one that is to be tested at `BLOCK`."""

    def __init__(self, mailbox):
        keys = [NodeKeys.generate(random.Random(i)) for i in range(5)]
        self.members = sorted(
            (NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, "10.0.0.1", 1, 2, 7) for k in keys),
            key=lambda node: node.legacy,
        )
        self.registry = FileRegistry(self.file())
        tester, testee = pair_at(5, BLOCK)
        self.tester, self.stranger = self.members[tester], self.members[testee]
        standing = Standing(self.registry, self.members[testee].ed25519)
        self.tests = StorageTests(standing, mailbox, self.members[testee].x25519)

    def file(self, height=HEIGHT, block=BLOCK):
        nodes = tuple(NetworkNode("n", NodeState.ACTIVE, node) for node in self.members)
        return NetworkFile(nodes, height=height, block_hash=block)

    def ask(self, *parts, by=None):
        return self.tests.answer(Origin((by or self.tester).x25519, None), parts)

    def next_block(self, height, block):
        self.registry.replace(self.file(height, block))
        self.tests.observe(self.registry.current())


@pytest.fixture
def swarm(mailbox):
    return Swarm(mailbox)


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        ([], b"invalid parameters"),
        ([b"x"], b"invalid parameters"),
        ([b"100"], b"invalid parameters"),
        ([b"100", bytes(32), b""], b"invalid parameters"),
        ([b"xx", bytes(32)], b"invalid height"),
        ([b"-1", bytes(32)], b"invalid height"),
        ([b"100", b"x"], b"invalid msg hash"),
        ([b"100", bytes(32)], b"wrong request"),
    ],
)
async def test_refusals(swarm, parts, want):
    assert await swarm.ask(*parts) == [want]


async def test_the_right_tester_gets_the_message(swarm, mailbox):
    await mailbox.store(NewMessage(ACCOUNT, 0, TEXT, 1, 2**50, b"data"))
    assert await swarm.ask(b"%d" % HEIGHT, RAW) == [b"OK", b"data"]
    assert await swarm.ask(b"%d" % HEIGHT, RAW, by=swarm.stranger) == [b"wrong request"]


async def test_a_daemon_knows_blocks_of_which_no_list_came(swarm, mailbox):
    class Daemon:
        def block_hash(self, height):
            return {HEIGHT - 4: BLOCK, HEIGHT: "ff" * 32}.get(height)

    await mailbox.store(NewMessage(ACCOUNT, 0, TEXT, 1, 2**50, b"data"))
    assert await swarm.ask(b"%d" % (HEIGHT - 4), RAW) == [b"wrong request"]
    swarm.tests = StorageTests(swarm.tests._standing, mailbox, swarm.tests._own, blocks=Daemon())
    assert await swarm.ask(b"%d" % (HEIGHT - 4), RAW) == [b"OK", b"data"]
    assert await swarm.ask(b"%d" % HEIGHT, RAW) == [b"wrong request"]  # its word counts more than the list's
    assert await swarm.ask(b"%d" % (HEIGHT - 5), RAW) == [b"wrong request"]


def test_the_registry_beside_a_daemon_knows_them():
    assert issubclass(OxendRegistry, BlockSource)
    assert not issubclass(FileRegistry, BlockSource)


async def test_a_tester_of_another_swarm_need_not_wait_to_be_refused(swarm):
    outsider = NodeRecord(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, "10.0.0.2", 1, 2, 2**63)
    swarm.members.append(outsider)
    swarm.registry.replace(swarm.file())
    assert await swarm.ask(b"%d" % (HEIGHT + 1), RAW, by=outsider) == [b"wrong request"]


async def test_a_block_to_come_is_waited_for_and_old_ones_are_kept(swarm, mailbox):
    await mailbox.store(NewMessage(ACCOUNT, 0, TEXT, 1, 2**50, b"data"))
    waiting = asyncio.ensure_future(swarm.ask(b"%d" % (HEIGHT + 1), RAW))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    swarm.next_block(HEIGHT + 1, BLOCK)
    assert await waiting == [b"OK", b"data"]
    for i in range(2, 30):
        swarm.next_block(HEIGHT + i, "ff" * 32)
    assert await swarm.ask(b"%d" % HEIGHT, RAW) == [b"OK", b"data"]
    swarm.next_block(HEIGHT + 30, "ff" * 32)
    assert await swarm.ask(b"%d" % HEIGHT, RAW) == [b"wrong request"]


async def test_patience_ends(swarm, monkeypatch):
    monkeypatch.setattr("ramson.node.storage_test.PATIENCE_SECONDS", 0.05)
    assert await swarm.ask(b"%d" % HEIGHT, RAW) == [b"other"]

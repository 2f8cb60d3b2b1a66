"""Messages handed over by another node: what is taken, where it goes, and what is dropped."""

import random

import pytest

from ramson.crypto.hashing import message_hash
from ramson.node.handoff import HandoffReceiver
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox, NewMessage
from ramson.node.standing import Standing
from ramson.node.swarm.intake import Intake
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol import bt
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry

DAY = 86_400_000
OWN_SWARM, OTHER_SWARM = 0, 2**63
OURS, THEIRS = b"\x05" + bytes(31) + b"\x01", b"\x05" + b"\x80" + bytes(31)


@pytest.fixture
def standing():
    keys = [NodeKeys.generate(random.Random(i)) for i in range(2)]
    nodes = [
        NetworkNode("n", NodeState.ACTIVE, NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, "10.0.0.1", 1, 2, s))
        for k, s in zip(keys, (OWN_SWARM, OTHER_SWARM), strict=True)
    ]
    return Standing(FileRegistry(NetworkFile(tuple(nodes))), keys[0].ed25519.public)


@pytest.fixture
async def mailbox(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    yield box
    await box.close()


@pytest.fixture
def receiver(standing, mailbox, clock):
    intake = Intake(standing, mailbox, clock, SwarmLifeStats())
    return HandoffReceiver(standing, mailbox, clock, intake, patience=0)


def entry(clock, data, account=OURS, namespace=0, text=None, expiry=None):
    text = text or message_hash(account, namespace, data)
    return [account, text, clock.now() - 5, clock.now() + DAY if expiry is None else expiry, data]


def batch(*entries):
    return [b"\x01" + bt.encode(list(entries))]


def kept(mailbox, namespace=0, account=OURS):
    page = mailbox.retrieve(account, namespace, after=None, max_count=None, max_size=10**7)
    return [message.data for message in page.messages]


async def test_messages_are_taken_as_they_are(receiver, mailbox, clock):
    assert await receiver.receive(batch(entry(clock, b"one"), entry(clock, b"\x00two\xff"))) == []
    page = mailbox.retrieve(OURS, 0, after=None, max_count=None, max_size=10**7)
    assert [(m.data, m.timestamp, m.expiry) for m in page.messages] == [
        (b"one", clock.now() - 5, clock.now() + DAY),
        (b"\x00two\xff", clock.now() - 5, clock.now() + DAY),
    ]


async def test_known_messages_keep_their_expiry(receiver, mailbox, clock):
    text = message_hash(OURS, 0, b"known")
    await mailbox.store(NewMessage(OURS, 0, text, clock.now(), clock.now() + 99, b"known"))
    await receiver.receive(batch(entry(clock, b"known"), entry(clock, b"new")))
    assert mailbox.expiries(OURS, [text]) == {text: clock.now() + 99}
    assert kept(mailbox) == [b"known", b"new"]


@pytest.mark.parametrize("namespace", [0, 2, 5, 11, 14, -10, -1, -21, -11])
async def test_the_namespace_that_was_left_out_is_found_by_the_hash(receiver, mailbox, clock, namespace):
    await receiver.receive(batch(entry(clock, b"x", namespace=namespace)))
    assert kept(mailbox, namespace) == [b"x"]


async def test_expired_messages_are_taken_too(receiver, mailbox, clock):
    await receiver.receive(batch(entry(clock, b"old", expiry=clock.now() - DAY)))
    assert kept(mailbox) == [b"old"]


async def test_what_is_not_what_it_claims_is_dropped_alone(receiver, mailbox, clock):
    bad = [
        entry(clock, b"other", text=message_hash(OURS, 0, b"data")),
        entry(clock, b"x", text="?" * 43),
        entry(clock, b"foreign", account=THEIRS),
        entry(clock, b"forever", expiry=clock.now() + 31 * DAY),
        entry(clock, b"x" * 76_801),
    ]
    assert await receiver.receive(batch(*bad, entry(clock, b"good"))) == []
    assert kept(mailbox) == [b"good"]
    assert kept(mailbox, account=THEIRS) == []


@pytest.mark.parametrize("parts", [[], [b""], [b"\x03le"], [b"\x02"], [b"\x02le"], [b"\x02de"], [b"\x01le"]])
async def test_nothing_and_other_versions_are_acknowledged(receiver, parts):
    assert await receiver.receive(parts) == []


@pytest.mark.parametrize(
    "body", [b"", b"d", b"de", b"i5e", b"l", b"lle", b"llee", b"l5:abcdee", b"ll1:ae", b"lli5e1:ai1ei1e1:aee"]
)
async def test_what_cannot_be_decoded_gets_no_reply(receiver, mailbox, body):
    assert await receiver.receive([b"\x01" + body]) is None
    assert mailbox.stats().messages == 0


async def test_a_batch_that_was_not_stored_is_not_acknowledged(receiver, mailbox, clock):
    mailbox._writer._max_bytes = 1
    assert await receiver.receive(batch(entry(clock, b"x"))) is None

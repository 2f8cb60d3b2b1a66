"""What a node believes of others: proofs, batches, and members that lie."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Key, Mailbox, NewMessage, State, TokenState
from ramson.node.mailbox.lattice import fresh
from ramson.node.standing import Standing
from ramson.node.swarm import proofs
from ramson.node.swarm.batch import Batch, Entry, Receipt, TokenEntry, decode, decode_receipt
from ramson.node.swarm.changes import Neighbourhood
from ramson.node.swarm.intake import Intake
from ramson.node.swarm.peers import COMMAND, GREETING, HELLO, Peers
from ramson.node.swarm.repair import Answerer, Repair
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol import bt, storage
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry
from ramson.world import Origin, PeerRefused, PeerTimeout

DAY = 86_400_000
OWN, OTHER = 0, 2**63


def group(swarm=OWN):
    """A group's key pair and account in a swarm of ours."""
    chance = random.Random(swarm)
    while True:
        pair = Ed25519KeyPair.generate(chance)
        account = b"\x03" + pair.public
        if Neighbourhood(OTHER, OWN, OTHER).owns()(account) == (swarm == OWN):
            return pair, account


PAIR, ACCOUNT = group()
_, FOREIGN = group(OTHER)


def never(account, token):
    return False


def signed(kind, **fields):
    return storage.sign(kind(account=ACCOUNT, **fields), PAIR)


def key(data=b"x", namespace=0):
    return Key(ACCOUNT, namespace, message_hash(ACCOUNT, namespace, data))


def proof_of(request):
    return proofs.verify(proofs.write(request), never)


# ---- proofs


def requests(clock):
    now, names = clock.now(), (key().hash, key(b"y").hash)
    return [
        signed(storage.Delete, messages=names),
        signed(storage.DeleteAll, timestamp=now, namespace=None),
        signed(storage.DeleteBefore, before=now, namespace=7),
        signed(storage.ExpireAll, expiry=now),
        signed(storage.Expire, messages=names, expiry=(now, now + 1)),
        signed(storage.Store, data=b"secret", timestamp=now, expiry=now + DAY, namespace=-21),
        signed(storage.RevokeSubaccount, tokens=(bytes(36),), timestamp=now),
        signed(storage.UnrevokeSubaccount, tokens=(bytes(36),), timestamp=now),
    ]


def test_every_request_that_makes_less_is_its_own_proof(clock):
    for request in requests(clock):
        proof = proofs.verify(proofs.write(request), never)
        assert proof.request.signed_message() == request.signed_message()
        assert b"secret" not in proof.body


def test_a_changed_or_unsigned_request_is_no_proof(clock):
    for request in requests(clock):
        body = proofs.write(request)
        signature = request.credentials.signature
        assert proofs.verify(body.replace(signature, bytes(64)), never) is None
    assert proofs.write(storage.Delete(account=ACCOUNT, messages=("x" * 43,))) is None


def test_other_requests_prove_nothing(clock):
    for request in (
        signed(storage.Retrieve, timestamp=clock.now()),
        signed(storage.GetExpiries, messages=("x" * 43,), timestamp=clock.now()),
        signed(storage.Store, data=b"", timestamp=clock.now(), expiry=clock.now() + DAY, namespace=7),
    ):
        assert proofs.verify(proofs.write(request), never) is None


def test_a_request_that_is_too_long_is_not_kept():
    assert proofs.write(signed(storage.Delete, messages=("x" * 43,) * 7_000)) is None


@given(
    st.binary() | st.lists(st.binary() | st.integers(0, 9) | st.dictionaries(st.binary(), st.binary())).map(bt.encode)
)
def test_whatever_a_peer_calls_a_proof_harms_nobody(body):
    assert proofs.verify(body, never) is None


def test_a_delete_speaks_of_its_hashes(clock):
    proof = proof_of(signed(storage.Delete, messages=(key().hash,)))
    assert proof.warrant(key()).floor == 0
    assert proof.warrant(key(b"y")) is None
    assert proof.warrant(Key(FOREIGN, 0, key().hash)) is None


def test_requests_about_a_namespace_speak_of_what_was_there(clock):
    now = clock.now()
    everything = proof_of(signed(storage.DeleteAll, timestamp=now, namespace=None))
    assert everything.warrant(key(namespace=7)) == (0, now + 80_000)
    one = proof_of(signed(storage.DeleteAll, timestamp=now, namespace=7))
    assert one.warrant(key(namespace=7)) is not None
    assert one.warrant(key(namespace=8)) is None
    assert proof_of(signed(storage.DeleteBefore, before=now)).warrant(key()) == (0, now)
    assert proof_of(signed(storage.ExpireAll, expiry=now)).warrant(key()) == (now, now + 80_000)


def test_an_expire_lowers_to_what_it_says_and_one_that_only_extends_lowers_nothing(clock):
    now, names = clock.now(), (key().hash, key(b"y").hash)
    proof = proof_of(signed(storage.Expire, messages=names, expiry=(now + 1, now + 2), shorten=True))
    assert [proof.warrant(key()).floor, proof.warrant(key(b"y")).floor] == [now + 1, now + 2]
    proof = proof_of(signed(storage.Expire, messages=names, expiry=(now + 5,), extend=True))
    assert proof.warrant(key()) is None


def test_a_store_to_an_outbox_does_not_speak_of_the_message_it_stored(clock):
    now = clock.now()
    proof = proof_of(signed(storage.Store, data=b"new", timestamp=now, expiry=now + DAY, namespace=-1))
    assert proof.warrant(key(namespace=-1)).until == now - 1
    assert proof.warrant(key(namespace=-21)) is None


def test_a_token_proves_what_it_allows_until_it_is_revoked(clock):
    user = Ed25519KeyPair.generate(random.Random(5))

    def by_token(request, flags):
        token = bytes([3, flags, 0, 0]) + user.public
        return storage.sign_as_subaccount(request, token=token, token_signature=PAIR.sign(token), signer=user.sign)

    delete = storage.Delete(account=ACCOUNT, messages=(key().hash,))
    assert proof_of(by_token(delete, 4)) is not None
    assert proof_of(by_token(delete, 3)) is None
    assert proofs.verify(proofs.write(by_token(delete, 4)), lambda account, token: True) is None
    # Without the right to delete, expire only extends.
    expire = storage.Expire(account=ACCOUNT, messages=(key().hash,), expiry=(clock.now(),))
    assert proof_of(by_token(expire, 2)).warrant(key()) is None
    assert proof_of(by_token(expire, 6)).warrant(key()).floor == clock.now()


def test_a_revocation_speaks_of_its_time(clock):
    now, token = clock.now(), bytes(36)
    proof = proof_of(signed(storage.RevokeSubaccount, tokens=(token,), timestamp=now))
    assert proof.revokes(ACCOUNT, token, TokenState(now, True))
    assert proof.revokes(ACCOUNT, token, TokenState(now + 60_000, True))
    assert not proof.revokes(ACCOUNT, token, TokenState(now, False))
    assert not proof.revokes(ACCOUNT, token, TokenState(now - 1, True))
    assert not proof.revokes(ACCOUNT, token, TokenState(now + 200_000, True))  # an old word is no new one
    assert not proof.revokes(ACCOUNT, bytes(35) + b"x", TokenState(now, True))
    assert not proof.revokes(FOREIGN, token, TokenState(now, True))


# ---- batches

accounts = st.binary(min_size=33, max_size=33)
numbers = st.integers(0, 2**40)
times = st.integers(-(2**63), 2**63 - 1)
states = st.builds(lambda b, v, e: State(b, False, v, e), numbers, numbers, times)
keys = st.builds(Key, accounts, st.integers(-(2**15), 2**15 - 1), st.text("ab/+", min_size=43, max_size=43))
entries = st.builds(
    Entry, keys, states | states.map(State.killed), times, st.integers(0, 2**63 - 1), st.integers(-1, 1), st.none()
) | st.builds(Entry, keys, states, times, st.just(0), st.integers(-1, 1), st.binary())
tokens = st.builds(
    TokenEntry, accounts, st.binary(min_size=36, max_size=36), st.builds(TokenState, times, st.booleans()), st.just(0)
)
batches = st.builds(Batch, st.lists(entries).map(tuple), st.just((b"one", b"two")), st.lists(tokens).map(tuple))


@given(batches)
def test_a_batch_is_read_as_it_was_written(batch):
    assert decode(batch.encode()) == batch


@given(batches, st.randoms())
def test_a_damaged_batch_is_refused_or_read_but_nothing_else(batch, chance):
    body = bytearray(batch.encode())
    for _ in range(chance.randrange(1, 4)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    with contextlib.suppress(ParseError):
        decode(bytes(body))


@given(st.integers(0, 9), st.sets(st.integers(0, 9)))
def test_a_receipt_is_read_as_it_was_written(changed, wanted):
    receipt = Receipt(changed, 1, tuple(sorted(wanted)))
    assert decode_receipt(receipt.encode(), 10) == receipt
    if wanted:
        with pytest.raises(ParseError):
            decode_receipt(receipt.encode(), max(wanted))


# ---- taking


@pytest.fixture
def standing():
    keys = [NodeKeys.generate(random.Random(i)) for i in range(3)]
    nodes = [
        NetworkNode("n", NodeState.ACTIVE, NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, "10.0.0.1", 1, 2, s))
        for k, s in zip(keys, (OWN, OWN, OTHER), strict=True)
    ]
    return Standing(FileRegistry(NetworkFile(tuple(nodes))), keys[0].ed25519.public)


@pytest.fixture
async def mailbox(tmp_path, disk, clock):
    box = Mailbox(tmp_path / "m.db", disk, clock)
    await box.swarm.compute_digests(Neighbourhood(OTHER, OWN, OTHER).owns())
    yield box
    await box.close()


@pytest.fixture
def stats():
    return SwarmLifeStats()


@pytest.fixture
def intake(standing, mailbox, clock, stats):
    return Intake(standing, mailbox, clock, stats)


def whole(clock, data, state=None, account=ACCOUNT, namespace=0, timestamp=None):
    name = Key(account, namespace, message_hash(account, namespace, data))
    at = clock.now() if timestamp is None else timestamp
    return Entry(name, state or fresh(clock.now() + DAY), at, 0, -1, data)


def kept(mailbox, namespace=0, account=ACCOUNT):
    return [m.data for m in mailbox.retrieve(account, namespace, after=None, max_count=None, max_size=10**7).messages]


async def stored(mailbox, clock, data=b"x", namespace=0):
    name = key(data, namespace)
    await mailbox.store(NewMessage(*name, clock.now(), clock.now() + DAY, data))
    return name


async def test_messages_are_taken_with_their_namespaces(intake, mailbox, clock):
    taken = await intake.take(Batch((whole(clock, b"a"), whole(clock, b"b", namespace=11))))
    assert taken.changed == 2
    assert (kept(mailbox), kept(mailbox, 11)) == ([b"a"], [b"b"])


async def test_what_is_not_what_it_claims_to_be_is_refused_alone(intake, mailbox, clock, stats):
    lies = (
        whole(clock, b"a")._replace(data=b"another"),
        whole(clock, b"b", state=fresh(clock.now() + 31 * DAY)),
        whole(clock, b"c", timestamp=clock.now() + DAY),
        whole(clock, b"d", state=State(2**41, False, 0, clock.now() + DAY)),
        whole(clock, b"f", state=State(0, False, 1, clock.now() + DAY)),
    )
    taken = await intake.take(Batch((*lies, whole(clock, b"good"), whole(clock, b"theirs", account=FOREIGN))))
    assert kept(mailbox) == [b"good"]
    assert (taken.changed, taken.foreign, stats.refused) == (1, 1, len(lies))
    assert kept(mailbox) == [b"good"]


async def test_a_forged_delete_deletes_nothing(intake, mailbox, clock, stats):
    name = await stored(mailbox, clock)
    dead = mailbox.swarm.state(name).killed()
    stranger = Ed25519KeyPair.generate(random.Random(9))
    other = storage.sign(storage.Delete(account=b"\x03" + stranger.public, messages=(name.hash,)), stranger)
    bodies = (
        b"",
        proofs.write(other),
        proofs.write(signed(storage.Delete, messages=(key(b"y").hash,))),
        proofs.write(signed(storage.Expire, messages=(name.hash,), expiry=(clock.now() + 9,))),
        proofs.write(signed(storage.DeleteAll, timestamp=clock.now(), namespace=5)),
    )
    for place in range(-1, len(bodies)):
        entry = Entry(name, dead, clock.now() - DAY, clock.now() + DAY, place, None)
        assert (await intake.take(Batch((entry,), bodies))).changed == 0
    assert kept(mailbox) == [b"x"]
    assert stats.refused == len(bodies) + 1


async def test_a_request_from_before_a_message_does_not_delete_it(intake, mailbox, clock):
    name = await stored(mailbox, clock)
    bodies = (
        proofs.write(signed(storage.DeleteBefore, before=clock.now() - 1)),
        proofs.write(signed(storage.DeleteAll, timestamp=clock.now() - 80_001, namespace=None)),
    )
    for place in range(len(bodies)):
        dead = mailbox.swarm.state(name).killed()
        await intake.take(Batch((Entry(name, dead, clock.now() - DAY, clock.now() + DAY, place, None),), bodies))
        assert kept(mailbox) == [b"x"]


async def test_a_signed_delete_deletes(intake, mailbox, clock):
    name = await stored(mailbox, clock)
    body = proofs.write(signed(storage.Delete, messages=(name.hash,)))
    entry = Entry(name, mailbox.swarm.state(name).killed(), clock.now(), clock.now() + DAY, 0, None)
    assert (await intake.take(Batch((entry,), (body,)))).changed == 1
    assert kept(mailbox) == []
    (held,) = mailbox.swarm.held(ACCOUNT, ACCOUNT, None, 9)
    assert mailbox.swarm.proofs([held.proof]) == {held.proof: body}


async def test_an_expiry_may_rise_but_sinks_only_as_signed(intake, mailbox, clock):
    name = await stored(mailbox, clock)
    later = mailbox.swarm.state(name)._replace(expiry=clock.now() + 9 * DAY)
    assert (await intake.take(Batch((Entry(name, later, clock.now(), 0, -1, None),)))).changed == 1
    body = proofs.write(signed(storage.Expire, messages=(name.hash,), expiry=(clock.now() + 1000,)))
    for expiry, changed in ((999, 0), (1000, 1)):
        lowered = later.lowered(clock.now() + expiry)
        taken = await intake.take(Batch((Entry(name, lowered, clock.now(), 0, 0, None),), (body,)))
        assert taken.changed == changed
    assert mailbox.swarm.state(name).expiry == clock.now() + 1000


async def test_revocations_need_the_owners_word(intake, mailbox, clock, stats):
    token = bytes(36)
    body = proofs.write(signed(storage.RevokeSubaccount, tokens=(token,), timestamp=clock.now()))
    forged = TokenEntry(ACCOUNT, bytes(35) + b"x", TokenState(clock.now(), True), 0)
    true = TokenEntry(ACCOUNT, token, TokenState(clock.now(), True), 0)
    taken = await intake.take(Batch((), (body,), (forged, true)))
    assert (taken.changed, stats.refused) == (1, 1)
    assert mailbox.is_revoked(ACCOUNT, token)


# ---- members that answer, and members that lie


class OneMember:
    """The link to a member that answers as told."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def request(self, peer, name, parts, *, timeout):  # noqa: ASYNC109 - the interface of a link
        assert name in {COMMAND, "sn.ping"}
        self.asked.append(parts)
        answer = self.answer(name, parts)
        if isinstance(answer, Exception):
            raise answer
        return answer


def repairing(standing, mailbox, clock, intake, stats, answer):
    link = OneMember(answer)
    repair = Repair(
        standing=standing,
        mailbox=mailbox,
        intake=intake,
        peers=Peers(lambda: link, clock),
        entropy=random.Random(0),
        stats=stats,
    )
    return repair, link


def is_other(first, second):
    return b"".join((1 if n in {first, second} else 0).to_bytes(16, "big") for n in range(256))


LIES = {
    "short sums": lambda parts: [b"xx"],
    "no parts": lambda parts: [],
    "many parts": lambda parts: [b""] * 9,
    "copies that are no batch": lambda parts: [b"x", b""] if parts[0] in {b"copies", b"tokens"} else None,
    "a cursor that stands still": lambda parts: (
        [Batch().encode(), parts[2][:2]] if parts[0] in {b"copies", b"tokens"} else None
    ),
    "a cursor elsewhere": lambda parts: (
        [Batch().encode(), b"\xff\xff\xff"] if parts[0] in {b"copies", b"tokens"} else None
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_member_that_lies_ends_its_round(standing, mailbox, clock, intake, stats, lie):
    def answer(name, parts):
        if parts == [HELLO]:
            return [GREETING]
        said = lie(parts)
        if said is not None:
            return said
        return [is_other(3, 4)] if parts[0] == b"sums" else [Batch().encode(), b""]

    repair, link = repairing(standing, mailbox, clock, intake, stats, answer)
    (peer,) = standing.others
    repair._computed = Neighbourhood.of(standing.nodes.swarm_ids, OWN)
    await repair._round(peer)
    assert (stats.rounds, stats.failed, stats.copies_taken) == (1, 1, 0)
    assert len(link.asked) < 12


async def test_a_member_that_offers_messages_without_end_is_left_after_a_while(
    standing, mailbox, clock, intake, stats, monkeypatch
):
    monkeypatch.setattr("ramson.node.swarm.repair.MAX_PAGES", 20)

    def answer(name, parts):
        if parts == [HELLO]:
            return [GREETING]
        if parts[0] == b"sums":
            return [is_other(3, 4)]
        place = int.from_bytes(parts[3][2:] or b"\0", "big") + 1
        return [Batch().encode(), parts[2][:2] + place.to_bytes(4, "big")]

    repair, link = repairing(standing, mailbox, clock, intake, stats, answer)
    repair._computed = Neighbourhood.of(standing.nodes.swarm_ids, OWN)
    await repair._round(standing.others[0])
    assert len(link.asked) < 30


@pytest.mark.parametrize("silent", [False, True])
async def test_a_member_of_another_make_is_left_alone_for_an_hour(standing, mailbox, clock, intake, stats, silent):
    def answer(name, parts):
        if name == "sn.ping":
            return [b"pong"]
        return PeerTimeout("silent") if silent else PeerRefused(b"UNKNOWNCOMMAND")

    repair, link = repairing(standing, mailbox, clock, intake, stats, answer)
    await repair._round(standing.others[0])
    asked = len(link.asked)
    await repair._round(standing.others[0])
    assert (stats.rounds, len(link.asked)) == (0, asked)
    clock.time += 3_600_001
    await repair._round(standing.others[0])
    assert len(link.asked) > asked


async def test_a_member_that_is_away_is_not_taken_for_one_of_another_make(standing, mailbox, clock, intake, stats):
    repair, link = repairing(standing, mailbox, clock, intake, stats, lambda name, parts: PeerTimeout("away"))
    await repair._round(standing.others[0])
    link.answer = lambda name, parts: [GREETING] if parts == [HELLO] else [b"later"]
    await repair._round(standing.others[0])
    assert stats.rounds == 1


@pytest.fixture
def answerer(standing, mailbox):
    return Answerer(standing, mailbox, lambda: Neighbourhood.of(standing.nodes.swarm_ids, OWN))


def origin(i):
    return Origin(NodeKeys.generate(random.Random(i)).x25519.public, "route", "10.0.0.9")


RING = Neighbourhood(OTHER, OWN, OTHER).encode()


def test_only_members_of_the_swarm_are_answered(answerer):
    assert answerer.answer(origin(2), [HELLO]) == [GREETING]
    assert answerer.answer(origin(1), [b"sums", RING, b""]) == [bytes(4096)]
    assert answerer.answer(origin(2), [b"sums", RING, b""]) is None
    assert answerer.answer(origin(7), [b"sums", RING, b""]) is None


def test_a_member_with_another_list_is_asked_to_come_later(answerer):
    assert answerer.answer(origin(1), [b"sums", bytes(24), b""]) == [b"later"]
    assert answerer.answer(origin(1), [b"copies", bytes(24), b"aa", b""]) == [b"later"]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"sums"],
        [b"sums", RING, b"ab"],
        [b"copies", RING, b"", b""],
        [b"copies", RING, b"abc", b""],
        [b"copies", RING, b"bbaa", b""],
        [b"copies", RING, b"aaaa", b""],
        [b"copies", RING, b"aa", b"aaxx"],
        [b"whole", b"x"],
        [b"whole", bt.encode([[b"x", 0, b"y"]])],
        [b"whole", bt.encode([[ACCOUNT, 0, b"y"]] * 201)],
        [b"dance"],
    ],
)
def test_questions_that_make_no_sense_get_no_answer(answerer, parts):
    assert answerer.answer(origin(1), parts) is None


async def test_accounts_of_other_swarms_are_not_handed_out(answerer, mailbox, clock):
    name = Key(FOREIGN, 0, message_hash(FOREIGN, 0, b"x"))
    await mailbox.store(NewMessage(*name, clock.now(), clock.now() + DAY, b"x"))
    body, answered = answerer.answer(origin(1), [b"whole", bt.encode([name])])
    assert (decode(body).entries, answered) == ((), b"1")

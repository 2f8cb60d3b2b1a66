"""Signed node lists: one spelling, nothing beside it, and only known signers count."""

import dataclasses
import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.protocol import bt, node_list
from ramson.protocol.node_list import (
    DOMAIN,
    HARD_MS,
    MAGIC,
    SOFT_MS,
    BadList,
    ListAuthority,
    SignedNodeList,
    decode,
    encode,
    state,
)
from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED

NOW = 1_790_000_000_000


def a_node(number: int, **changes) -> NodeRecord:
    keys = Ed25519KeyPair.from_seed(number.to_bytes(32))
    record = NodeRecord(
        ed25519=keys.public,
        x25519=keys.to_x25519().public,
        legacy=b"",
        ip=f"10.{number >> 8 & 255}.{number & 255}.1",
        https_port=22021,
        omq_port=22020,
        swarm_id=UNASSIGNED,
    )
    return dataclasses.replace(record, **changes)


def signer(number: int) -> Ed25519KeyPair:
    return Ed25519KeyPair.from_seed(b"signer" + number.to_bytes(26))


def a_list(count: int = 5, signers: int = 2, **changes) -> SignedNodeList:
    wishes = {"network": "testing", "height": 100, "time_ms": NOW} | changes
    signed = SignedNodeList(state(nodes=[a_node(i) for i in range(count)], **wishes))
    for number in range(signers):
        signed = signed.signed_by(signer(number))
    return signed


AUTHORITY = ListAuthority("testing", frozenset(signer(i).public for i in range(3)), 2)


def spelled(**changes) -> bytes:
    """A list whose statement has some fields changed (None: left out), as somebody else might write it."""
    fields = bt.decode(a_list().statement.canonical) | {key.encode(): value for key, value in changes.items()}
    return packed(bt.encode({key: value for key, value in fields.items() if value is not None}))


def packed(statement: bytes, signatures: bytes = b"") -> bytes:
    return MAGIC + bt.encode({"l": zstandard.compress(statement), "s": signatures})


# ---- one spelling


@given(
    numbers=st.sets(st.integers(1, 60), min_size=1, max_size=20),
    height=st.integers(0, 2**63 - 1),
    time_ms=st.integers(0, 2**61),
    part=st.booleans(),
    port=st.integers(1, 65535),
    signers=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_can_be_read(numbers, height, time_ms, part, port, signers):
    nodes = [a_node(number, https_port=port) for number in numbers]
    signed = SignedNodeList(state("net-1.x", nodes, height=height, time_ms=time_ms, part=part))
    for number in range(signers):
        signed = signed.signed_by(signer(number))
    again = decode(encode(signed))
    assert again == signed
    assert again.statement.canonical == signed.statement.canonical


def test_the_order_in_which_nodes_are_given_does_not_matter():
    nodes = [a_node(number) for number in range(12)]
    shuffled = random.Random(1).sample(nodes * 2, 24)
    assert state("n", nodes, height=1, time_ms=NOW).canonical == state("n", shuffled, height=1, time_ms=NOW).canonical


def test_golden_vector():
    """The signed bytes of two nodes: whoever reads our lists can check themselves against this."""
    statement = a_list(2, 0).statement
    keys = bytes.fromhex(
        "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"
        "4cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29"
    )
    rest = bytes.fromhex("0a0000010a0001015605560556045604")
    assert statement.canonical == (
        b"d1:hi100e1:n7:testing1:pi0e1:r80:" + keys + rest + b"1:si1792592000000e1:ti1790000000000e1:vi1e"
        b"1:xi1805552000000ee"
    )
    assert statement.digest.hex() == "03f134f4fd0a50aa94a391be6b2fd53adbe6a0635bc582f9947424d88dca92be"
    assert a_list(2, 1).signatures[signer(0).public].hex() == (
        "403875aea6a60f83ede10162a16705226e202c4404e82645d6a6c7724b40e502"
        "7980e7762d6206c9bb2b9c398452ff82b4978ba1bf02480ee612d8453ba5560f"
    )


def test_nodes_without_address_and_nodes_about_to_leave_are_not_listed():
    leaving_soon = a_node(1, requested_unlock_height=100 + SOFT_MS // 120_000)
    leaving_later = a_node(2, requested_unlock_height=101 + SOFT_MS // 120_000)
    nowhere = a_node(3, ip="0.0.0.0")
    listed = state("n", [leaving_soon, leaving_later, nowhere, a_node(4)], height=100, time_ms=NOW)
    assert {node.ed25519 for node in listed.nodes} == {a_node(2).ed25519, a_node(4).ed25519}


@pytest.mark.parametrize(
    "changes",
    [
        {"network": ""},
        {"network": "Grün"},
        {"network": "x" * 65},
        {"height": -1},
        {"time_ms": -1},
        {"soft_ms": HARD_MS + 1},
        {"hard_ms": HARD_MS + 1},
        {"nodes": []},
        {"nodes": [a_node(1, x25519=b"X" * 32)]},
    ],
)
def test_what_makes_no_list_is_refused_when_it_is_made(changes):
    wishes = {"network": "n", "nodes": [a_node(1)], "height": 1, "time_ms": NOW} | changes
    with pytest.raises(BadList):
        state(**wishes)


# ---- nothing beside it


def test_every_cut_is_noticed():
    data = encode(a_list())
    for end in range(len(data)):
        with pytest.raises(ParseError):
            decode(data[:end])


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_every_changed_byte_is_noticed_or_costs_the_signatures(where, by):
    data = bytearray(encode(a_list()))
    data[where % len(data)] ^= by
    try:
        changed = decode(bytes(data))
    except ParseError:
        return
    if changed.statement == a_list().statement:  # a signature was hit, or an idle bit of the compression
        assert len(AUTHORITY.signers(changed)) <= 2
    else:
        assert not AUTHORITY.signers(changed)


@given(st.binary(max_size=400))
def test_noise_is_refused(noise):
    for data in (noise, MAGIC + noise, packed(noise)):
        with pytest.raises(ParseError):
            decode(data)


def test_trailing_bytes_are_refused_wherever_they_are():
    signed = a_list()
    statement = signed.statement.canonical
    for data in (
        encode(signed) + b"\0",
        packed(statement + b"\0"),
        MAGIC + bt.encode({"l": zstandard.compress(statement) + b"\0", "s": b""}),
        MAGIC + bt.encode({"l": zstandard.compress(statement) * 2, "s": b""}),
        packed(statement, b"\0"),
    ):
        with pytest.raises(ParseError):
            decode(data)


_NODES = bt.decode(a_list().statement.canonical)[b"r"]


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"p": 2},
        {"p": b"1"},
        {"z": 1},
        {"t": None},
        {"n": b"Testing"},
        {"n": "tësting"},
        {"n": 7},
        {"h": -1},
        {"h": 2**63},
        {"h": b"1"},
        {"t": 2**63},
        {"t": NOW + SOFT_MS + 1},
        {"s": NOW + HARD_MS + 1},
        {"x": NOW + HARD_MS + 1},
        {"x": NOW},
        {"r": b""},
        {"r": []},
        {"r": _NODES[:-1]},
        {"r": _NODES + b"\0"},
        {"r": _NODES[32:64] + _NODES[:32] + _NODES[64:]},  # unsorted
        {"r": _NODES[:32] * 2 + _NODES[64:]},  # one key twice
        {"r": _NODES[:160] + bytes(4) + _NODES[164:]},  # no address
        {"r": _NODES[:180] + bytes(2) + _NODES[182:]},  # no port
        {"r": bytes(32) + _NODES[32:]},  # no Ed25519 key
    ],
)
def test_a_statement_that_breaks_a_rule_is_refused(changes):
    decode(spelled())
    with pytest.raises(ParseError):
        decode(spelled(**changes))


def test_signatures_have_to_be_sorted_and_single():
    entries = sorted(key + signature for key, signature in a_list(signers=3).signatures.items())
    statement = a_list().statement.canonical
    assert len(decode(packed(statement, b"".join(entries))).signatures) == 3
    for wrong in ([entries[1], entries[0]], [entries[0]] * 2, [entries[0], entries[0][:32] + bytes(64)]):
        with pytest.raises(ParseError):
            decode(packed(statement, b"".join(wrong)))


def test_more_signatures_than_a_list_may_carry_are_refused():
    entries = b"".join(number.to_bytes(32) + bytes(64) for number in range(node_list.MAX_SIGNATURES + 1))
    with pytest.raises(ParseError):
        decode(packed(a_list().statement.canonical, entries))
    signed = a_list(signers=node_list.MAX_SIGNATURES)
    with pytest.raises(BadList):
        signed.signed_by(signer(99))


def test_a_small_list_that_unpacks_to_a_huge_one_is_refused_before_it_is_unpacked(monkeypatch):
    bomb = zstandard.compress(bytes(node_list.MAX_STATEMENT + 1))
    assert len(bomb) < 200
    unpacked = []
    monkeypatch.setattr(node_list.zstandard, "ZstdDecompressor", lambda **_: unpacked.append(1))
    with pytest.raises(ParseError, match="unpacks"):
        decode(MAGIC + bt.encode({"l": bomb, "s": b""}))
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(a_list().statement.canonical)
    with pytest.raises(ParseError, match="unpacks"):
        decode(MAGIC + bt.encode({"l": unsized, "s": b""}))
    assert not unpacked


def test_a_list_too_large_is_refused_unread():
    with pytest.raises(ParseError, match="too large"):
        decode(MAGIC + bytes(node_list.MAX_SIZE))


# ---- who signed


@pytest.mark.parametrize(("signers", "trusted"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_list_is_trusted_from_the_needed_number_of_signers_on(signers, trusted):
    assert AUTHORITY.trusts(decode(encode(a_list(signers=signers)))) is trusted


def test_unknown_signers_do_not_count():
    signed = a_list(signers=1)
    for number in range(10, 20):
        signed = signed.signed_by(signer(number))
    assert AUTHORITY.signers(signed) == {signer(0).public}
    assert not AUTHORITY.trusts(signed)


def test_signing_twice_counts_once():
    signed = a_list(signers=1).signed_by(signer(0)).signed_by(signer(0))
    assert len(signed.signatures) == 1
    assert not AUTHORITY.trusts(signed)


def test_a_signature_of_another_list_or_without_the_domain_does_not_count():
    signed, other = a_list(), a_list(6)
    stolen = dataclasses.replace(signed, signatures=other.signatures)
    assert not AUTHORITY.signers(stolen)
    bare = {signer(0).public: signer(0).sign(signed.statement.canonical)}
    assert not AUTHORITY.signers(dataclasses.replace(signed, signatures=bare))
    assert DOMAIN.endswith(b"\0")


def test_a_list_of_another_network_is_not_trusted():
    assert not AUTHORITY.trusts(a_list(network="other"))


def test_a_network_without_signers_trusts_no_list():
    nobody = ListAuthority("testing")
    assert not nobody.trusts(a_list(signers=3))


@pytest.mark.parametrize(("keys", "needed"), [(0, 1), (3, 0), (3, 4), (3, -1)])
def test_an_authority_that_could_never_or_always_agree_is_refused(keys, needed):
    with pytest.raises(BadList):
        ListAuthority("testing", frozenset(signer(i).public for i in range(keys)), needed)

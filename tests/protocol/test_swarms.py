"""Account to swarm (swarms §1-2) and what a node list knows (oxend-interface §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.errors import LocalError
from ramson.protocol import swarms
from ramson.protocol.nodes import NodeList, NodeRecord, base32z

RING = 2**64
ids = st.lists(st.integers(0, RING - 2), unique=True, min_size=1, max_size=12).map(sorted)


@pytest.mark.parametrize(
    ("account", "point"),
    [
        ("053506f4a71324b7dd114eddbf4e311f39dde243e1f2cb97c40db1961f70ebaae8", 17589930838143112648),
        ("05cf27da303a50ac8c4b2d43d27259505c9bcd73fc21cf2a57902c3d050730b604", 10370619079776428163),
    ],
)
def test_position_vectors(account, point):
    raw = bytes.fromhex(account)
    assert swarms.position(raw) == swarms.position(raw[1:]) == point


@pytest.mark.parametrize("size", [0, 31, 34])
def test_position_wants_an_account(size):
    with pytest.raises(LocalError):
        swarms.position(bytes(size))


@pytest.mark.parametrize(
    ("point", "swarm"),
    [(0x96, 100), (0x97, 200), (2**63, 694), (0xA000000000000000, 100), (2**64 - 1, 100), (0, 100), (100, 100)],
)
def test_nearest_vectors(point, swarm):
    assert swarms.nearest([100, 200, 300, 399, 498, 596, 694], point) == swarm


def test_few_swarms():
    assert swarms.nearest([], 5) is None
    assert swarms.nearest([7], 2**63) == 7


def test_ties_go_left_also_across_the_wrap():
    assert swarms.nearest([10, 20], 15) == 10
    assert swarms.nearest([2, RING - 2], 0) == RING - 2


@given(ids, st.integers(0, RING - 1))
def test_nearest_is_nearest_on_the_ring(swarm_ids, point):
    def distance(swarm_id: int) -> int:
        return min((swarm_id - point) % RING, (point - swarm_id) % RING)

    chosen = swarms.nearest(swarm_ids, point)
    assert distance(chosen) == min(map(distance, swarm_ids))


def node(number: int, swarm_id: int, **changes) -> NodeRecord:
    fields = {"ip": f"127.0.0.{number}", "https_port": 22021, "omq_port": 22020} | changes
    return NodeRecord(
        bytes([number]) * 32, bytes([number + 100]) * 32, bytes([number + 200]) * 32, **fields, swarm_id=swarm_id
    )


A, B, C = node(1, 300), node(2, 100), node(3, 300)
LOOSE = node(4, swarms.UNASSIGNED)
NODES = NodeList((A, B, C, LOOSE), 5, "ab" * 32, (19, 4))


def test_look_ups():
    assert NODES.by_ed25519[C.ed25519] is C
    assert NODES.by_x25519[LOOSE.x25519] is LOOSE
    assert NODES.swarm_ids == (100, 300)
    assert NODES.swarm(300) == (A, C)
    assert NODES.swarm(299) == NODES.swarm(swarms.UNASSIGNED) == ()


def test_the_swarm_of_an_account():
    assert NODES.swarm_of(b"\x05" + (250).to_bytes(32, "big")) == (300, (A, C))
    assert NODES.swarm_of((150).to_bytes(32, "big")) == (100, (B,))
    assert NodeList((LOOSE,), 5, "", (19, 4)).swarm_of(bytes(33)) == (None, ())


def test_equal_lists_are_equal_and_hashable():
    again = NodeList(NODES.nodes, 5, "ab" * 32, (19, 4))
    assert NODES.swarm_ids
    assert again == NODES
    assert hash(again) == hash(NODES)


def test_contactable():
    assert A.contactable
    assert not node(1, 0, ip="0.0.0.0").contactable
    assert not node(1, 0, ip="").contactable
    assert not node(1, 0, https_port=0).contactable


def test_snode_address_is_z_base_32():
    assert base32z(b"") == ""
    assert base32z(b"\xff") == "9h"
    assert base32z(bytes(range(5))) == "yyyoryar"
    assert A.snode_address == base32z(A.legacy) + ".snode"
    assert len(A.snode_address) == 52 + 6

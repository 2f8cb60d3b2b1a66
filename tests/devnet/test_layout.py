"""Where the nodes of a test network stand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramson.devnet import layout
from ramson.errors import LocalError
from ramson.protocol.network_file import NodeState
from ramson.protocol.swarms import UNASSIGNED


def ports():
    return itertools.count(30000).__next__


@given(nodes=st.integers(1, layout.MAX_NODES), data=st.data())
def test_nodes_are_dealt_evenly_and_each_has_a_subnet_of_its_own(nodes, data):
    swarms = data.draw(st.integers(1, nodes))
    plan = layout.plain(nodes, swarms, block="127.77", free_port=ports())
    sizes = [len(list(group)) for _, group in itertools.groupby(place.swarm_id for place in plan.places)]
    assert len(plan.places) == nodes
    assert len(sizes) == swarms
    assert max(sizes) - min(sizes) <= 1
    assert len({place.ip.rpartition(".")[0] for place in plan.places}) == nodes
    assert all(place.swarm_id != UNASSIGNED for place in plan.places)
    assert plan.diversity == 24
    assert plan.seed.host.startswith("127.77.0.")


def test_without_aliases_all_share_one_address_on_distinct_ports():
    plan = layout.plain(5, 1, block=None, free_port=ports())
    used = [port for place in plan.places for port in (place.https_port, place.omq_port)] + [plan.seed.port]
    assert {place.ip for place in plan.places} == {"127.0.0.1"}
    assert len(set(used)) == len(used)
    assert plan.diversity == 0


@pytest.mark.parametrize(("nodes", "swarms"), [(0, 1), (layout.MAX_NODES + 1, 1), (3, 4), (3, 0)])
def test_impossible_networks_are_refused(nodes, swarms):
    with pytest.raises(LocalError):
        layout.plain(nodes, swarms, block="127.77", free_port=ports())


def test_the_conformance_shape():
    plan = layout.conformance(block="127.77", free_port=ports())
    swarms = {}
    for place in plan.places:
        swarms.setdefault(place.swarm_id, []).append(place.state)
    active, dead = NodeState.ACTIVE, NodeState.DEAD
    assert sorted(map(sorted, swarms.values())) == sorted(
        [[active] * 6, [active] * 2, [active, dead], [NodeState.UNASSIGNED], [NodeState.PHANTOM]]
    )
    assert swarms[UNASSIGNED] == [NodeState.UNASSIGNED]
    (phantom,) = (place for place in plan.places if place.state is NodeState.PHANTOM)
    assert (phantom.ip, phantom.https_port, phantom.omq_port) == ("0.0.0.0", 0, 0)
    assert [place.runs for place in plan.places].count(False) == 2

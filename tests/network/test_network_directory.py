"""Lists on which several nodes agree."""

import dataclasses

import pytest

from ramson.network.directory import agree


def test_what_all_three_list_is_taken(nodes):
    listed = nodes(40)
    assert set(agree([listed, listed[2:], listed[:38]])) == set(listed[2:38])


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_fewer_than_three_answers_are_no_agreement(nodes, answers):
    assert agree([nodes(40)] * answers) == ()


def test_agreement_on_fewer_than_24_nodes_is_none(nodes):
    assert len(agree([nodes(24)] * 3)) == 24
    assert agree([nodes(23)] * 3) == ()


def test_one_liar_cannot_cut_the_list_down(nodes):
    assert agree([nodes(300), nodes(300), nodes(24)]) == ()
    assert len(agree([nodes(300), nodes(300), nodes(200)])) == 200


@pytest.mark.parametrize(
    "change", [{"ip": "10.9.9.9"}, {"https_port": 1}, {"x25519": b"?" * 32}, {"ed25519": b"?" * 32}]
)
def test_a_node_with_another_address_or_key_is_not_the_same(nodes, change):
    changed = [dataclasses.replace(nodes(40)[0], **change), *nodes(40)[1:]]
    assert set(agree([nodes(40), nodes(40), changed])) == set(nodes(40)[1:])

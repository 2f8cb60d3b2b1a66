"""What a network's description says about its signed node lists."""

import pytest

from ramson.errors import ParseError
from ramson.protocol import network_file
from ramson.protocol.list_channels import DnsChannel, ListChannels, from_document, to_document
from ramson.protocol.network_file import NetworkFile
from ramson.protocol.node_list import ListAuthority

KEYS = frozenset(bytes([n]) * 32 for n in range(3))
CHANNELS = ListChannels(
    ListAuthority("devnet-1", KEYS, 2),
    ("https://example.org/lists", "http://127.0.0.1:8080/"),
    (DnsChannel("nodes.example.org", "https://192.0.2.1/dns-query"),),
)


def test_channels_come_back_as_they_were():
    assert from_document(to_document(CHANNELS)) == CHANNELS
    nobody = ListChannels(ListAuthority("devnet-1"))
    assert from_document(to_document(nobody)) == nobody


def test_a_network_file_carries_them():
    file = NetworkFile(nodes=(), node_lists=CHANNELS)
    assert network_file.parse(network_file.encode(file)) == file
    assert network_file.parse(network_file.encode(NetworkFile(nodes=()))).node_lists is None


@pytest.mark.parametrize(
    "changes",
    [
        {"network": None},
        {"network": "No such name"},
        {"signers": "abc"},
        {"signers": ["xyz"]},
        {"signers": ["aa"]},
        {"signers": [7]},
        {"signers": ["00" * 32] * 17},
        {"needed": 0},
        {"needed": 4},
        {"needed": True},
        {"mirrors": ["ftp://example.org"]},
        {"mirrors": ["https://"]},
        {"mirrors": ["https://me:secret@example.org"]},
        {"mirrors": ["https://example.org:99999"]},
        {"dns": ["nodes.example.org"]},
        {"dns": [{"name": "nodes.example.org"}]},
        {"dns": [{"name": "nodes.example.org", "resolver": "192.0.2.1"}]},
    ],
)
def test_what_is_wrong_with_them_is_a_parse_error(changes):
    with pytest.raises(ParseError, match="node_lists"):
        from_document(to_document(CHANNELS) | changes)

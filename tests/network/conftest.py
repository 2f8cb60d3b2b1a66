"""Nodes for tests: number n has keys made of n and an address in a /24 of its own."""

from collections.abc import Callable

import pytest

from ramson.protocol.nodes import NodeRecord
from ramson.protocol.swarms import UNASSIGNED


def make_node(number: int, ip: str = "", swarm_id: int = UNASSIGNED) -> NodeRecord:
    return NodeRecord(
        ed25519=b"E" + number.to_bytes(31),
        x25519=b"X" + number.to_bytes(31),
        legacy=b"",
        ip=ip or f"10.{number >> 8 & 255}.{number & 255}.1",
        https_port=22021,
        omq_port=22020,
        swarm_id=swarm_id,
    )


@pytest.fixture(scope="session")
def node() -> Callable[..., NodeRecord]:
    return make_node


@pytest.fixture(scope="session")
def nodes() -> Callable[[int], list[NodeRecord]]:
    return lambda count: [make_node(number) for number in range(count)]

"""Where the nodes of a test network stand: addresses, ports, swarms and states.  Pure: nothing is started here.

Where the machine answers on every 127.x.y.z (Linux does), each node gets an address in a /24 of its own and the
ports of the public network, so that path diversity is the real thing.  The same goes for any other block of 2^16
addresses that somebody gave the machine.  Elsewhere all share 127.0.0.1 on distinct ports, and the network file drops
the diversity rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ramson.errors import LocalError
from ramson.protocol.network_file import NodeState
from ramson.protocol.swarms import UNASSIGNED
from ramson.world import Endpoint

HTTPS_PORT, OMQ_PORT, SEED_PORT = 22021, 22020, 4443  # as on the public network
FILES_PORT = 8080  # the public file server has port 80, which not everybody may listen at
MAX_NODES = 200
RING = 2**64


@dataclass(frozen=True, slots=True)
class Place:
    """One node's place in the network."""

    name: str
    ip: str
    https_port: int
    omq_port: int
    swarm_id: int
    state: NodeState = NodeState.ACTIVE

    @property
    def runs(self) -> bool:
        """Whether a process is started for it."""
        return self.state in (NodeState.ACTIVE, NodeState.UNASSIGNED)


@dataclass(frozen=True, slots=True)
class Layout:
    """All places, the endpoints of seed and file server, and the diversity rule that path building can keep here."""

    places: tuple[Place, ...]
    seed: Endpoint
    files: Endpoint
    diversity: int  # as in the network file: 0 switches the rule off


def swarm_ids(count: int) -> list[int]:
    """`count` swarm ids spread evenly over the ring of 2^64, none of them the unassigned one."""
    return [RING // count * i + 0x1000 for i in range(count)]


def _addresses(block: str | None, free_port: Callable[[], int]) -> Callable[[int], tuple[str, int, int]]:
    if block is None:
        return lambda _i: ("127.0.0.1", free_port(), free_port())
    return lambda i: (f"{block}.{i + 1}.1", HTTPS_PORT, OMQ_PORT)


def _seed(block: str | None, free_port: Callable[[], int]) -> Endpoint:
    return Endpoint("127.0.0.1", free_port()) if block is None else Endpoint(f"{block}.0.1", SEED_PORT)


def _files(block: str | None, free_port: Callable[[], int]) -> Endpoint:
    return Endpoint("127.0.0.1", free_port()) if block is None else Endpoint(f"{block}.0.2", FILES_PORT)


def plain(nodes: int, swarms: int, *, block: str | None, free_port: Callable[[], int]) -> Layout:
    """`nodes` active nodes dealt evenly over `swarms` swarms.

    `block` begins the addresses block.y.1 (`127.77`, say), or is None to put all on 127.0.0.1.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise LocalError(f"a devnet has 1 to {MAX_NODES} nodes, not {nodes}")
    if not 1 <= swarms <= nodes:
        raise LocalError(
            f"nodes make at most as many swarms as they are, and {nodes} not {swarms}",
            remedy="Take more nodes or fewer swarms.",
        )
    ids, address = swarm_ids(swarms), _addresses(block, free_port)
    places = [Place(f"n{i}", *address(i), swarm_id=ids[i * swarms // nodes]) for i in range(nodes)]
    return Layout(tuple(places), _seed(block, free_port), _files(block, free_port), 0 if block is None else 24)


def conformance(*, block: str | None, free_port: Callable[[], int]) -> Layout:
    """Lay out the shape that lets no test of the conformance suite skip.

    A main swarm of six; a second complete swarm of two; a swarm of one active and one dead node; an unassigned node;
    a phantom, alone in a fourth swarm.
    """
    main, second, partial, phantom = swarm_ids(4)
    shape = [(main, NodeState.ACTIVE)] * 6 + [(second, NodeState.ACTIVE)] * 2
    shape += [
        (partial, NodeState.ACTIVE),
        (partial, NodeState.DEAD),
        (UNASSIGNED, NodeState.UNASSIGNED),
        (phantom, NodeState.PHANTOM),
    ]
    address = _addresses(block, free_port)
    places = []
    for i, (swarm_id, state) in enumerate(shape):
        where = ("0.0.0.0", 0, 0) if state is NodeState.PHANTOM else address(i)
        places.append(Place(f"n{i}", *where, swarm_id=swarm_id, state=state))
    return Layout(tuple(places), _seed(block, free_port), _files(block, free_port), 0 if block is None else 24)

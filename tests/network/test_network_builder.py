"""Building paths: which guards are asked, and which are kept."""

import asyncio
import random

from ramson.network.builder import PathBuilder
from ramson.network.routing import Routing
from ramson.network.trace import PathBuilt, Source
from ramson.world.simulated import Simulation


class Entry:
    """Every node answers, some later than others."""

    def __init__(self, slow: bytes) -> None:
        self.slow = slow
        self.asked: list[bytes] = []

    async def test(self, node) -> bool:
        self.asked.append(node.ed25519)
        await asyncio.sleep(0.5 if node.ed25519 == self.slow else 0.1)
        return True


def test_a_guard_whose_path_is_rerolled_while_paths_are_built_stays_a_guard(node):
    nodes = [node(i) for i in range(6)]
    first, second = nodes[0].ed25519, nodes[1].ed25519
    entry = Entry(slow=second)
    rerolled = []

    def trace(event) -> None:
        if isinstance(event, PathBuilt) and not routing.missing and not rerolled:
            rerolled.append(event)
            routing.reroll(guards=False)

    routing = Routing(diversity=None, min_pool=4, entropy=random.Random(1), trace=trace)
    routing.load(nodes, Source.SEEDS)
    routing.remember_guards([first, second])

    async def scene() -> None:
        builder = PathBuilder(entry, None, routing, trouble=lambda _text: None, trace=lambda _event: None)
        task = asyncio.create_task(builder.run())
        await asyncio.sleep(20)
        task.cancel()

    Simulation(1).run(scene())
    assert rerolled
    assert set(routing.guards) == {first, second}
    assert {path.guard.ed25519 for path in routing.paths} == {first, second}
    assert set(entry.asked) == {first, second}  # nobody else has seen this client's address

"""What a layer of an onion costs a node in CPU: relaying a hop, and answering at the destination.

`python bench/bench_relay.py`.  The listener, TLS and the peer link are not in it.
"""

import asyncio
import random
import resource

from ramson.crypto.onion import EncType
from ramson.node.keys import NodeKeys
from ramson.node.outcome import Outcome
from ramson.node.relay import OnionRelay, Relayed
from ramson.node.standing import Standing
from ramson.protocol import onion
from ramson.protocol.network_file import NetworkFile, NetworkNode, NodeState
from ramson.protocol.nodes import NodeRecord
from ramson.registry import FileRegistry

ROUNDS = 2000


class Peers:
    """A link whose every request is answered at once."""

    async def request(self, *_parts, **_options):
        """Answer."""
        return [b"200", b"x" * 1500]


class Storage:
    """A service that has one answer."""

    def handle_json(self, _body):
        """Answer."""
        return Outcome(200, b'{"hf":[19,4],"messages":[],"more":false,"t":1700000000000}', is_json=True)


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(name, call):
    begin = cpu()
    for _ in range(ROUNDS):
        answer = call()
        if not isinstance(answer, Relayed):
            answer = await answer
        assert answer.status == 200, answer
    print(f"{name:<44}{(cpu() - begin) / ROUNDS * 1e6:>10.1f}")


async def main():
    keys = [NodeKeys.generate(random.Random(i)) for i in range(2000)]
    nodes = tuple(
        NetworkNode(
            "n",
            NodeState.ACTIVE,
            NodeRecord(k.ed25519.public, k.x25519.public, k.legacy, "10.0.0.1", 22021, 22020, i // 7),
        )
        for i, k in enumerate(keys)
    )
    relay = OnionRelay(
        identity=keys[0].x25519,
        standing=Standing(FileRegistry(NetworkFile(nodes)), keys[0].ed25519.public),
        service=Storage(),
        link=Peers,
        net=None,
        entropy=random.SystemRandom(),
    )
    entropy = random.Random(1)
    hops = [onion.NodeHop(k.ed25519.public, k.x25519.public) for k in keys[:3]]
    print(f"{'':<44}{'CPU µs':>10}")
    for enc_type in EncType:
        for size in (500, 10_000):
            payload = b'{"method":"store","params":{"data":"%s"}}' % (b"A" * size)
            entry = onion.build(hops[:1], hops[1], payload, entropy=entropy, enc_type=enc_type).body
            final = onion.build([], hops[0], payload, entropy=entropy, enc_type=enc_type).body
            frame = onion.decode_frame(entry)
            leg = onion.encode_hop(
                onion.ToNode(b"", frame.blob, enc_type, bytes.fromhex(frame.options["ephemeral_key"])), 1
            )
            await measure(f"entry relays {size} B, {enc_type}", lambda e=entry: relay.enter(e))
            await measure(f"hop relays {size} B, {enc_type}", lambda m=leg: relay.hop([m]))
            await measure(f"destination answers {size} B, {enc_type}", lambda f=final: relay.enter(f))


asyncio.run(main())

"""What building and peeling an onion of three hops costs: CPU µs.  `python bench/bench_onion.py`."""

import random
import time

from ramson.crypto.onion import EncType, node_cipher
from ramson.node.keys import NodeKeys
from ramson.protocol import onion

ROUNDS = 1000


def measure(name, work):
    began = time.process_time()
    for _ in range(ROUNDS):
        work()
    each = (time.process_time() - began) / ROUNDS
    print(f"{name:<40}{each * 1e6:>10.1f}{1 / each:>12.0f}")


def peel(keys, layer):
    return onion.parse_inner(node_cipher(layer.enc_type, keys.x25519, layer.ephemeral).decrypt(layer.ciphertext))


def peel_all(nodes, body):
    layer = onion.parse_entry(body)
    for number, keys in enumerate(nodes[:-1], 1):
        layer = onion.decode_hop(onion.encode_hop(peel(keys, layer), number))
    return peel(nodes[-1], layer)


def main():
    entropy = random.SystemRandom()
    nodes = [NodeKeys.generate(random.Random(number)) for number in range(3)]
    hops = [onion.NodeHop(keys.ed25519.public, keys.x25519.public) for keys in nodes]
    print(f"\n{'onion of three hops':<40}{'CPU µs':>10}{'a second':>12}")
    for cipher in EncType:
        for size in (100, 10_000):
            payload = b"x" * size

            def build(payload=payload, cipher=cipher):
                return onion.build(hops[:2], hops[2], payload, entropy=entropy, enc_type=cipher).body

            body = build()
            assert peel_all(nodes, body).payload == payload
            measure(f"build, {size} B, {cipher}", build)
            measure(f"peel at all three, {size} B, {cipher}", lambda body=body: peel_all(nodes, body))


if __name__ == "__main__":
    main()

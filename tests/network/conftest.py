"""Nodes for tests, and a small network of service nodes in virtual time that can be told to misbehave.

The nodes here are doubles: they peel onions and keep messages with the protocol's own functions, hand a peeled layer
to the next node by a call, and share one mailbox a swarm.  What they do wrong is set on them by the tests.
"""

import asyncio
import base64
import datetime as dt
import functools
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ramson.crypto.hashing import message_hash
from ramson.crypto.keys import Ed25519KeyPair
from ramson.crypto.onion import node_cipher
from ramson.errors import ParseError
from ramson.network import Network
from ramson.network.cache import MemoryCache
from ramson.network.profile import NetworkProfile, SeedUrl
from ramson.protocol import onion, seed, server_v4, strict_json
from ramson.protocol import storage as r
from ramson.protocol.nodes import NodeList, NodeRecord
from ramson.protocol.swarms import UNASSIGNED
from ramson.world import Certificate, Endpoint, HttpLimits, HttpRequest, HttpResponse, World
from ramson.world.simulated import CALM, Model, Simulation

PORT = 22021
CLIENT = "10.200.0.1"
LEG = 0.03  # seconds


def make_node(number: int, ip: str = "", swarm_id: int = UNASSIGNED) -> NodeRecord:
    """Node number n has keys made of n and an address in a /24 of its own."""
    return NodeRecord(
        ed25519=b"E" + number.to_bytes(31),
        x25519=b"X" + number.to_bytes(31),
        legacy=b"",
        ip=ip or f"10.{number >> 8 & 255}.{number & 255}.1",
        https_port=PORT,
        omq_port=22020,
        swarm_id=swarm_id,
    )


@pytest.fixture(scope="session")
def node() -> Callable[..., NodeRecord]:
    return make_node


@pytest.fixture(scope="session")
def nodes() -> Callable[[int], list[NodeRecord]]:
    return lambda count: [make_node(number) for number in range(count)]


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=9000))
    chain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(chain, key.private_bytes(*form))


def pin_of(certificate: Certificate) -> bytes:
    key = x509.load_pem_x509_certificate(certificate.certificate).public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key.public_bytes(*form)).digest()


@dataclass
class Mail:
    """A mailbox: messages by namespace and hash, in order of arrival."""

    messages: dict[int, dict[str, tuple[int, int, bytes]]] = field(default_factory=dict)


@dataclass(eq=False)
class FakeNode:
    """One node; the attributes after `record` are its faults."""

    network: "FakeNetwork"
    keys: Ed25519KeyPair
    record: NodeRecord
    silent: bool = False  # answers nothing, to nobody
    slow: float = 0.0  # seconds it takes to pass anything on
    relays: HttpResponse | None = None  # what it says instead of relaying
    blames: bytes | None = None  # the node it says it does not know, whatever the next one is
    garbled: bool = False  # its replies as a destination cannot be decrypted
    says: Callable[[r.Request], tuple[int, Any] | None] | None = None  # answers some requests itself
    behind_ms: int = 0  # how far its clock is behind
    unready: bool = False  # answers 503 to guard tests
    served: list[str] = field(default_factory=list)  # methods it has seen as a destination

    async def run(self, world: World) -> None:
        await world.net.listen(
            Endpoint("0.0.0.0", PORT), self.handle, certificate=self.network.certificate, limits=HttpLimits()
        )
        await asyncio.Event().wait()

    async def handle(self, request: HttpRequest) -> HttpResponse:
        self.network.contacted.append((request.peer, self, request.target, request.body))
        if self.silent:
            await asyncio.sleep(10_000)
        assert request.target == "/onion_req/v2"
        return await self.onion(onion.parse_entry(request.body))

    async def onion(self, layer: onion.Layer) -> HttpResponse:
        await asyncio.sleep(LEG + self.slow)
        if self.silent:
            await asyncio.sleep(10_000)
        cipher = node_cipher(layer.enc_type, self.keys.to_x25519(), layer.ephemeral)
        try:
            inner = onion.parse_inner(cipher.decrypt(layer.ciphertext))
        except ParseError:
            return HttpResponse(400, {}, b"Invalid ciphertext")
        if isinstance(inner, onion.ForMe):
            if layer.hop_no == 0 and self.unready:
                return HttpResponse(503, {}, b"Service node is not ready: not in any swarm; \n")
            plaintext = onion.encode_node_reply(*self.serve(inner.payload), is_json=True, options=inner)
            sealed = cipher.encrypt(plaintext, bytes(cipher.nonce_size))
            return HttpResponse(200, {}, base64.b64encode(sealed[::-1] if self.garbled else sealed))
        if self.relays is not None:
            return self.relays
        if isinstance(inner, onion.ToServer):
            return self.network.outside(inner)
        missing = self.blames or (inner.destination if inner.destination not in self.network.by_key else None)
        if missing is not None:
            return HttpResponse(502, {}, b"Next node not found: " + missing.hex().encode())
        follower = self.network.by_key[inner.destination]
        return await follower.onion(onion.Layer(inner.ciphertext, inner.enc_type, inner.ephemeral, layer.hop_no + 1))

    # As a destination.

    def serve(self, payload: bytes) -> tuple[int, bytes]:
        request = r.parse_rpc_json(payload, testnet=True)
        assert isinstance(request, r.Batch)
        results = []
        for each in request.requests:
            self.served.append(each.method.name)
            code, body = (self.says and self.says(each)) or self.execute(each)
            results.append({"code": code, "body": body})
        return 200, strict_json.encode({"results": results})

    def execute(self, request: r.Request) -> tuple[int, Any]:
        network, now = self.network, self.network.now_ms() - self.behind_ms
        stamp = {"t": now, "hf": [19, 4]}
        if isinstance(request, r.Info):
            return 200, {"version": [2, 8, 0], "timestamp": now, **stamp}
        if isinstance(request, r.OxendRequest):
            query = seed.query_of("get_service_nodes", request.params)
            return 200, {"result": seed.service_nodes_result(network.listed, query, random.Random(1)), **stamp}
        swarm = network.swarm(request.account)
        if isinstance(request, r.GetSwarm) or self not in swarm:
            return (200 if isinstance(request, r.GetSwarm) else 421), {**network.named(swarm), **stamp}
        mail = network.mail.setdefault(request.account, Mail())
        match request:
            case r.Store():
                if abs(request.timestamp - now) > 60_000:
                    return 406, "Timestamp error: check your clock"
                name = message_hash(request.account, request.namespace, request.data)
                box = mail.messages.setdefault(request.namespace, {})
                box.setdefault(name, (request.timestamp, request.expiry, request.data))
                entry: Any = r.StoreEntry(hash=name, expiry=request.expiry)
                return 200, {"swarm": network.reports(swarm, request, entry), "hash": name, **stamp}
            case r.Retrieve():
                if abs((request.timestamp or 0) - now) > 60_000:
                    return 406, "retrieve timestamp too far from current time"
                listed = list(mail.messages.get(request.namespace, {}).items())
                names = [name for name, _ in listed]
                start = names.index(request.last_hash) + 1 if request.last_hash in names else 0
                page = listed[start : start + network.page]
                messages = [
                    {"hash": name, "timestamp": sent, "expiration": end, "data": base64.b64encode(data).decode()}
                    for name, (sent, end, data) in page
                ]
                return 200, {"messages": messages, "more": start + len(page) < len(listed), **stamp}
            case r.Delete():
                gone = [name for box in mail.messages.values() for name in request.messages if box.pop(name, None)]
                entry = r.DeletedEntry(hashes=tuple(sorted(gone)))
                return 200, {"swarm": network.reports(swarm, request, entry), **stamp}
            case r.Expire():
                updated = []
                for box in mail.messages.values():
                    for name in request.messages:
                        if name in box:
                            box[name] = (box[name][0], request.expiry[0], box[name][2])
                            updated.append(name)
                entry = r.ExpireEntry(updated=tuple(sorted(updated)), expiry=request.expiry[0])
                return 200, {"swarm": network.reports(swarm, request, entry), **stamp}
            case r.GetExpiries():
                known = {
                    name: box[name][1] for box in mail.messages.values() for name in request.messages if name in box
                }
                return 200, {"expiries": known}
        return 400, "no method"


class FakeNetwork:
    """Nodes, seeds and a client in one simulation."""

    def __init__(
        self, certificate: Certificate, *, count: int = 30, swarms: int = 5, model: Model = CALM, seed: int = 11
    ) -> None:
        self.certificate = certificate
        self.sim = Simulation(seed, model=model)
        self.mail: dict[bytes, Mail] = {}
        self.page = 100
        self.contacted: list[tuple[str, FakeNode, str, bytes]] = []
        self.seed_queries: list[HttpRequest] = []
        self.lies: dict[str, NodeList] = {}  # what some seeds list, by their addresses
        self.outside: Callable[[onion.ToServer], HttpResponse] = lambda _: HttpResponse(502, {}, b"no such host")
        self.events: list[Any] = []
        self.nodes = [self._node(i, (i % swarms) * 2**60) for i in range(count)]
        self.by_key = {each.keys.public: each for each in self.nodes}
        for each in self.nodes:
            self.sim.host(each.record.ip).start(each.run)
        for i in (1, 2, 3):
            self.sim.name(f"seed{i}.test", f"10.100.0.{i}")
            self.sim.host(f"10.100.0.{i}").start(functools.partial(self._seed, f"10.100.0.{i}"))
        pin = frozenset([pin_of(certificate)])
        self.profile = NetworkProfile(
            "test", tuple(SeedUrl(f"https://seed{i}.test:4443/json_rpc", pin) for i in (1, 2, 3)), testnet=True
        )
        self.cache = MemoryCache()
        self.world = self.sim.world(CLIENT)

    def _node(self, number: int, swarm_id: int) -> FakeNode:
        keys = Ed25519KeyPair.from_seed(number.to_bytes(32))
        record = NodeRecord(keys.public, keys.to_x25519().public, b"L" * 32, f"10.1.{number}.1", PORT, 22020, swarm_id)
        return FakeNode(self, keys, record)

    async def _seed(self, address: str, world: World) -> None:
        def answer(request: HttpRequest) -> HttpResponse:
            self.seed_queries.append(request)
            query = seed.parse_query(request.body)
            listed = self.lies.get(address, self.listed)
            return HttpResponse(200, {}, seed.encode_service_nodes(listed, query, random.Random(1)))

        await world.net.listen(Endpoint("0.0.0.0", 4443), answer, certificate=self.certificate, limits=HttpLimits())
        await asyncio.Event().wait()

    @property
    def listed(self) -> NodeList:
        return NodeList(tuple(each.record for each in self.by_key.values()), 100, "ab" * 32, (19, 4))

    def now_ms(self) -> int:
        return self.sim.world("10.100.0.1").clock.now()

    def swarm(self, account: bytes) -> list[FakeNode]:
        return [self.by_key[each.ed25519] for each in self.listed.swarm_of(account)[1]]

    def named(self, nodes: list[FakeNode]) -> dict[str, Any]:
        """The body of get_swarm that names these nodes."""
        snodes = [
            {
                "pubkey_ed25519": each.keys.public.hex(),
                "pubkey_x25519": each.record.x25519.hex(),
                "pubkey_legacy": each.record.legacy.hex(),
                "ip": each.record.ip,
                "port": str(PORT),
                "port_https": PORT,
                "port_omq": 22020,
            }
            for each in nodes
        ]
        return {"snodes": snodes, "swarm": "1000000000000000"}

    def reports(self, swarm: list[FakeNode], request: Any, entry: Any) -> dict[str, Any]:
        def report(each: FakeNode) -> dict[str, Any]:
            if each.silent:
                return {"failed": True, "timeout": True}
            signature = each.keys.sign(entry.signed_message(request))
            return {**entry.fields(), "signature": base64.b64encode(signature).decode()}

        return {each.keys.public.hex(): report(each) for each in swarm}

    def client(self, **changes: Any) -> Network:
        return Network(self.world, changes.pop("profile", self.profile), self.cache, trace=self.events.append)

    def run(self, main: Callable[[Network], Any], **changes: Any) -> Any:
        """Run `main(network)` as the client, with paths standing."""

        async def session() -> Any:
            async with self.client(**changes) as network:
                await network.ready()
                return await main(network)

        return self.sim.run(session())

    def of_kind(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def fake(certificate: Certificate) -> FakeNetwork:
    return FakeNetwork(certificate)


@pytest.fixture
def make_fake(certificate: Certificate) -> Callable[..., FakeNetwork]:
    return lambda **wishes: FakeNetwork(certificate, **wishes)


@pytest.fixture(scope="session")
def server_reply() -> Callable[[Ed25519KeyPair, onion.ToServer, server_v4.ServerResponse], bytes]:
    """How a server opens a request that a node relays to it, and answers it."""

    def reply(keys: Ed25519KeyPair, relayed: onion.ToServer, response: server_v4.ServerResponse) -> bytes:
        frame = onion.decode_frame(relayed.frame)
        cipher = node_cipher(
            onion.EncType.parse(frame.options["enc_type"]),
            keys.to_x25519(),
            bytes.fromhex(frame.options["ephemeral_key"]),
        )
        server_v4.decode_request(cipher.decrypt(frame.blob))
        return cipher.encrypt(server_v4.encode_response(response), bytes(cipher.nonce_size))

    return reply

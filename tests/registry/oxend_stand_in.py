"""A stand-in for oxend that speaks real OxenMQ: blocks on demand, restarts, silence, nonsense.

It runs in a thread, so that a test's event loop may be asyncio's or uvloop, and shows what it was asked in `asked`.
"""

import asyncio
import hashlib
import json
import threading

import zmq

from ramson.crypto.keys import Ed25519KeyPair
from ramson.node.keys import NodeKeys


def block_hash(height):
    return hashlib.blake2b(b"block %d" % height, digest_size=32).hexdigest()


def state(number, *, swarm_id=7, **changes):
    """One entry of the node list; a change to None leaves the field out."""
    pair = Ed25519KeyPair.from_seed(number.to_bytes(32, "big"))
    entry = {
        "service_node_pubkey": hashlib.sha256(b"legacy %d" % number).hexdigest(),
        "pubkey_ed25519": pair.public.hex(),
        "pubkey_x25519": pair.to_x25519().public.hex(),
        "public_ip": f"10.0.{number // 256}.{number % 256}",
        "storage_port": 22021,
        "storage_lmq_port": 22020,
        "swarm_id": swarm_id,
        "funded": True,
    }
    return {name: value for name, value in (entry | changes).items() if value is not None}


class StandIn:
    """`start` and `stop` as often as a test likes; a restart forgets the subscriptions, as oxend does."""

    def __init__(self, url, *, nodes=12, height=1000, secret=None):
        self.url = url
        self.secret = secret
        self.height = height
        self.states = [state(n) for n in range(1, nodes + 1)]
        self.keys = NodeKeys.from_secrets(b"\x07" * 32, b"\x05" + bytes(31))
        self.asked = []  # (name, params)
        self.ping_status = "OK"
        self.silent = set()  # names that get no reply; "*" for all
        self.replies = {}  # name → parts of the reply, instead of the right one
        self.renewals = []  # what each subscription was answered
        self._subscribers = {}
        self._outbox = []
        self._thread = None

    # ---- for tests

    def start(self):
        self._stopping = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        if self.secret is not None:
            self._socket.curve_server = True
            self._socket.curve_secretkey = self.secret
        self._socket.bind(self.url)
        self.url = self._socket.last_endpoint.rstrip(b"\0").decode()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    async def stop(self):
        if self._thread is None:
            return
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        self._subscribers.clear()
        self._socket.close(0)
        await asyncio.to_thread(self._context.term)

    async def __aenter__(self):
        return self.start()

    async def __aexit__(self, *_):
        await self.stop()

    def block(self, *, tell=True):
        """Find a block."""
        self.height += 1
        if tell:
            self.tell(b"%d" % self.height, bytes.fromhex(block_hash(self.height)))

    def tell(self, *parts):
        """Push `notify.block` with these parts to whoever subscribed."""
        self._outbox.append([b"notify.block", *parts])

    def count(self, name):
        return sum(asked == name for asked, _ in self.asked)

    def params(self, name):
        return [params for asked, params in self.asked if asked == name]

    # ---- in its thread

    def _serve(self):
        while not self._stopping.is_set():
            while self._socket.poll(5):
                route, name, *parts = self._socket.recv_multipart()
                self._answer(route, name.decode(), parts)
            while self._outbox:
                message = self._outbox.pop(0)
                for route in self._subscribers:
                    self._socket.send_multipart([route, *message])

    def _answer(self, route, name, parts):
        if name == "HI":
            self._socket.send_multipart([route, b"HELLO"])
            return
        tag, *data = parts
        self.asked.append((name, json.loads(data[0]) if data else None))
        if name in self.silent or "*" in self.silent:
            return
        if name in self.replies:
            self._socket.send_multipart([route, b"REPLY", tag, *self.replies[name]])
        elif name == "sub.block":
            self.renewals.append(b"ALREADY" if route in self._subscribers else b"OK")
            self._subscribers[route] = True
            self._socket.send_multipart([route, b"REPLY", tag, self.renewals[-1]])
        else:
            answer = self._call(name, self.asked[-1][1])
            if answer is None:
                self._socket.send_multipart([route, b"UNKNOWNCOMMAND", name.encode()])
            elif isinstance(answer, ValueError):
                self._socket.send_multipart([route, b"REPLY", tag, b"400", str(answer).encode()])
            else:
                self._socket.send_multipart([route, b"REPLY", tag, b"200", json.dumps(answer).encode()])

    def _call(self, name, params):
        match name:
            case "admin.get_service_node_privkey":
                keys = self.keys
                return {
                    "service_node_privkey": keys.legacy_scalar.hex(),
                    "service_node_ed25519_privkey": keys.ed25519.secret.hex(),
                    "service_node_x25519_privkey": keys.x25519.secret.hex(),
                    "status": "OK",
                }
            case "rpc.get_service_nodes":
                return self.service_nodes(params)
            case "rpc.get_block_hash":
                return block_hash(params["height"][0])
            case "rpc.ons_resolve":
                if "name_hash" not in params:
                    return ValueError("Invalid request: name_hash is missing")
                return {"encrypted_value": "ab", "nonce": "cd"}
            case "admin.storage_server_ping":
                return {"status": self.ping_status}
            case "admin.report_peer_status":
                return {"status": "OK"}
        return None

    def service_nodes(self, params):
        top = {
            "height": self.height,
            "block_hash": block_hash(self.height),
            "hardfork": 21,
            "snode_revision": 2,
            "status": "OK",
        }
        if params.get("poll_block_hash") == top["block_hash"]:
            return top | {"unchanged": True}
        return top | {"service_node_states": self.states}

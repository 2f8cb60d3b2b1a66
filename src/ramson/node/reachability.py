"""Testing whether the other nodes can be reached, and telling those who judge them.

Theory of operation.  `Rotation` says who is due; a test asks the node's OxenMQ, HTTPS and, from hardfork 19.4, QUIC
listeners at the same time (`Probe`) and passes only if all answer.  A missing answer over QUIC counts only while other
nodes do answer over it: where none has for ten minutes, it is this machine that lets no UDP through, or speaks a QUIC
that nobody understands, and it would be wrong to accuse everybody of that.  A node without QUIC does not test it.  The
result of every test and retest goes to the `PeerReporter`, which is the daemon where there is one.  Without one,
results are only counted and logged.  Tests begin on a grid of 200 ms.  A node outside all swarms tests nobody: it would
be refused.  Nodes without an address are left alone.

What it never does: judge a node by itself, or use the result for its own routing.
Spec: testing-and-uptime.md §1–2.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from ramson.crypto.keys import Ed25519KeyPair
from ramson.errors import ParseError
from ramson.node.counters import Counters, PeerTestOutcome
from ramson.node.quic_routes import HARDFORK, PING
from ramson.node.rotation import Rotation
from ramson.node.standing import Standing, peer_address
from ramson.protocol.key_text import parse_key
from ramson.protocol.nodes import NodeList, NodeRecord, base32z
from ramson.protocol.swarms import UNASSIGNED
from ramson.world import Clock, Endpoint, HttpRequest, Net, NetError, PeerLink, PeerRefused, PeerTimeout, Tls

TICK_SECONDS: Final = 0.2
PING_SECONDS: Final = 5.0
PING_PATH: Final = "/ping_test/v1"
MAX_REPLY: Final = 64 * 1024  # bytes; a ping's answer is empty
QUIC_SECONDS: Final = 600.0  # for so long an answer over QUIC proves that this machine can get one
LOOK_SECONDS: Final = 10.0  # how soon a change of the node list is noticed, if no test comes sooner

log = logging.getLogger(__name__)


@runtime_checkable
class PeerReporter(Protocol):
    """Who is told of test results: a daemon's registry."""

    async def report_peer_status(self, legacy: bytes, *, passed: bool) -> bool:
        """Take the result of a test of the node with this legacy key; False when it could not be taken."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Over which transports a node answered; `quic` is None where it was not asked over QUIC."""

    omq: bool
    https: bool
    quic: bool | None = None


class Probe:
    """Pings one node.

    `link` returns the link of this node, which is made later; `identity` is its key if it speaks QUIC.
    """

    def __init__(self, link: Callable[[], PeerLink], net: Net, identity: Ed25519KeyPair | None = None) -> None:
        self._link = link
        self._net = net
        self._identity = identity

    async def test(self, node: NodeRecord, *, quic: bool = False) -> Reached:
        """Ping over all transports at the same time, 5 s each at most; raises nothing of the network's.

        `quic` says whether nodes have to answer over QUIC by now.
        """
        async with asyncio.TaskGroup() as pings:
            omq = pings.create_task(self._ping_omq(node))
            https = pings.create_task(self._ping_https(node))
            asked = pings.create_task(self._ping_quic(node, self._identity)) if quic and self._identity else None
        return Reached(omq.result(), https.result(), None if asked is None else asked.result())

    async def _ping_quic(self, node: NodeRecord, identity: Ed25519KeyPair) -> bool:
        place = Endpoint(node.ip, node.omq_port)
        try:
            answer = await self._net.ask_quic(place, node.ed25519, PING, b"", identity=identity, timeout=PING_SECONDS)
        except NetError:
            return False
        return answer.body == b"pong" and not answer.failed

    async def _ping_omq(self, node: NodeRecord) -> bool:
        address = peer_address(node)
        if address is None:
            return False
        try:
            await self._link().request(address, "sn.ping", [], timeout=PING_SECONDS)
        except (PeerTimeout, PeerRefused):
            return False
        return True  # any reply will do

    async def _ping_https(self, node: NodeRecord) -> bool:
        # A connection of its own: what a kept one proves is that the listener was there earlier.
        headers = {"Host": f"{base32z(node.ed25519)}.snode", "Connection": "close"}
        try:
            reply = await self._net.request(
                Endpoint(node.ip, node.https_port),
                HttpRequest("POST", PING_PATH, headers),
                tls=Tls(),
                timeout=PING_SECONDS,
                max_reply=MAX_REPLY,
            )
            shown = parse_key(reply.headers.get("x-oxen-snode-pubkey", ""))
        except (NetError, ParseError):
            return False
        return reply.status == 200 and shown == node.legacy


class Reachability:
    """The tests that this node makes.

    `distrusted` names nodes that count as failing although they answer pings: those that repeatedly lacked messages
    they should hold (`storage_audit`).
    """

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: random.Random,
        standing: Standing,
        probe: Probe,
        reporter: PeerReporter | None,
        distrusted: Callable[[bytes], bool],
        counters: Counters,
    ) -> None:
        self._clock = clock
        self._standing = standing
        self._probe = probe
        self._reporter = reporter
        self._distrusted = distrusted
        self._counters = counters
        self._rotation = Rotation(entropy, clock.monotonic())
        self._followed: NodeList | None = None
        self._sooner = asyncio.Event()
        self._quic_answered: float | None = None  # when a node last answered over QUIC

    @property
    def failing(self) -> int:
        """How many nodes failed their last test."""
        return self._rotation.failing

    def failures(self, ed25519: bytes) -> int:
        """How often in a row a node has failed."""
        return self._rotation.failures(ed25519)

    async def run(self) -> None:
        """Test until cancelled."""
        async with asyncio.TaskGroup() as tests:
            while True:
                self._follow()
                for key in self._rotation.due(self._clock.monotonic()):
                    tests.create_task(self._test(self._standing.nodes.by_ed25519[key]), name="peer test")
                await self._pause()

    async def _pause(self) -> None:
        """Wait for the tick at or after the next test."""
        ahead = self._rotation.next_at() - self._clock.monotonic()
        ticks = max(1, math.ceil(min(ahead, LOOK_SECONDS) / TICK_SECONDS))
        with suppress(TimeoutError):
            async with asyncio.timeout(ticks * TICK_SECONDS):
                await self._sooner.wait()
        self._sooner.clear()

    def _follow(self) -> None:
        nodes = self._standing.nodes
        if nodes is self._followed:
            return
        self._followed = nodes
        active = self._standing.swarm_id != UNASSIGNED
        self._rotation.follow(frozenset(node.ed25519 for node in nodes.nodes if active and self._may_test(node)))

    def _may_test(self, node: NodeRecord) -> bool:
        return node.ed25519 != self._standing.ed25519 and bool(node.legacy) and peer_address(node) is not None

    async def _test(self, node: NodeRecord) -> None:
        reached = self._judge(await self._probe.test(node, quic=self._standing.nodes.hardfork >= HARDFORK))
        distrusted = self._distrusted(node.ed25519)
        passed = reached.omq and reached.https and reached.quic is not False and not distrusted
        self._counters.peer_tests[_outcome(reached, distrusted=distrusted)] += 1
        known = self._rotation.failures(node.ed25519)
        self._rotation.tested(node.ed25519, self._clock.monotonic(), passed=passed)
        self._sooner.set()
        if passed and known:
            log.info("peer answers again: node=%s failures=%d", _name(node), known)
        elif not passed and not known:
            log.info(
                "peer failed a test: node=%s omq=%s https=%s quic=%s distrusted=%s",
                _name(node),
                reached.omq,
                reached.https,
                reached.quic,
                distrusted,
            )
        if self._reporter is not None:
            taken = await self._reporter.report_peer_status(node.legacy, passed=passed)
            self._counters.peer_reports += taken
            self._counters.peer_reports_lost += not taken

    def _judge(self, reached: Reached) -> Reached:
        """Take a missing answer over QUIC for what it may be: a fault of this machine."""
        now = self._clock.monotonic()
        if reached.quic:
            self._quic_answered = now
        elif reached.quic is False and (self._quic_answered is None or now - self._quic_answered > QUIC_SECONDS):
            return replace(reached, quic=None)
        return reached


def _outcome(reached: Reached, *, distrusted: bool) -> PeerTestOutcome:
    match reached:
        case Reached(omq=True, https=True, quic=False):
            return PeerTestOutcome.NO_QUIC
        case Reached(omq=True, https=True):
            return PeerTestOutcome.DISTRUSTED if distrusted else PeerTestOutcome.PASSED
        case Reached(omq=True):
            return PeerTestOutcome.NO_HTTPS
        case Reached(https=True):
            return PeerTestOutcome.NO_OMQ
        case _:
            return PeerTestOutcome.NEITHER


def _name(node: NodeRecord) -> str:
    """Name a node in logs: the beginning of its public key."""
    return node.ed25519.hex()[:8]

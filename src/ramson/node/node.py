"""A service node: its parts, put together, started and stopped.

Theory of operation.  A node has a mailbox, a service that answers requests about it, a relay for onions, a link to
the other nodes and an HTTPS listener.  It is up between entering and leaving it as a context manager; `run` does both.
It opens to the world last and closes to it first: on the way out requests in progress are answered, then the link
goes, then the mailbox finishes its writes.  Killing the process instead loses nothing that was acknowledged.

The node touches nothing but its `World`, so it is the same node on sockets and in the simulated world.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from ramson.errors import LocalError
from ramson.node import http_routes, metrics_server, omq_routes
from ramson.node.config import NodeConfig
from ramson.node.counters import Counters
from ramson.node.handoff import HandoffReceiver
from ramson.node.http_routes import HttpRoutes
from ramson.node.incoming_pings import IncomingPings, Transport
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.metrics_server import MetricsServer
from ramson.node.monitor import Monitor
from ramson.node.private_files import make_private_directory
from ramson.node.ratelimit import RateLimiter
from ramson.node.reachability import PeerReporter, Probe, Reachability
from ramson.node.relay import OnionRelay
from ramson.node.replication import SwarmForwarder
from ramson.node.service import Service
from ramson.node.standing import Standing
from ramson.node.status import Observer, Status
from ramson.node.storage_audit import StorageAudit
from ramson.node.storage_test import StorageTests
from ramson.node.swarm.life import SwarmLife
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.registry import Registry
from ramson.world import Certificate, Endpoint, Listener, Origin, PeerLink, PeerTimeout, World

MAILBOX_FILE: Final = "mailbox.db"
SWEEP_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Node:
    """One service node, with its own keys, in the network that `registry` knows.

    Entering raises LocalError when it cannot listen or cannot open its mailbox.
    """

    def __init__(
        self, world: World, keys: NodeKeys, certificate: Certificate, config: NodeConfig, registry: Registry
    ) -> None:
        self._world = world
        self._keys = keys
        self._certificate = certificate
        self._config = config
        self._registry = registry
        self._stack = AsyncExitStack()
        self._link: PeerLink | None = None
        self._listener: Listener | None = None
        self._observer: Observer | None = None
        self.standing = Standing(registry, keys.ed25519.public)
        self.counters = Counters()
        self.swarm_life = SwarmLifeStats()

    @property
    def https_endpoint(self) -> Endpoint:
        """Where it serves HTTPS, with the port that was really bound."""
        return self._config.https if self._listener is None else self._listener.endpoint

    async def run(self) -> None:
        """Be up until cancelled."""
        async with self:
            await asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        try:
            await self._start(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        self._link = self._listener = self._observer = None
        log.info("node stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        world, config, standing, counters = self._world, self._config, self.standing, self.counters
        make_private_directory(config.data_dir)
        mailbox = Mailbox(
            config.data_dir / MAILBOX_FILE,
            world.disk(),
            world.clock,
            max_bytes=config.max_database_bytes,
            on_commit=counters.commit,
        )
        stack.push_async_callback(mailbox.close)

        limiter = RateLimiter(world.clock)
        monitor = Monitor(clock=world.clock, push=self._push, owns=standing.owns, is_revoked=mailbox.is_revoked)
        service = Service(
            clock=world.clock,
            signer=self._keys.ed25519,
            mailbox=mailbox,
            registry=self._registry,
            forwarder=SwarmForwarder(standing, self._the_link),
            monitor=monitor,
            testnet=config.testnet,
            counters=counters,
        )
        relay = OnionRelay(
            identity=self._keys.x25519,
            standing=standing,
            service=service,
            link=self._the_link,
            net=world.net,
            entropy=world.entropy,
            allow_private=config.allow_private_relay,
            counters=counters,
        )
        life = SwarmLife(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            registry=self._registry,
            mailbox=mailbox,
            link=self._the_link,
        )
        self.swarm_life = life.stats
        tests = StorageTests(standing, mailbox, self._keys.x25519.public, counters)
        pings = IncomingPings(world.clock, standing)
        audit = StorageAudit(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            mailbox=mailbox,
            link=self._the_link,
            own=self._keys.x25519.public,
            counters=counters,
        )
        reachability = Reachability(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            probe=Probe(self._the_link, world.net),
            reporter=self._registry if isinstance(self._registry, PeerReporter) else None,
            distrusted=audit.distrusts,
            counters=counters,
        )
        observer = Observer(
            clock=world.clock,
            data_dir=config.data_dir,
            standing=standing,
            registry=self._registry,
            mailbox=mailbox,
            monitor=monitor,
            pings=pings,
            reachability=reachability,
            audit=audit,
            counters=counters,
            swarm_life=life.stats,
            connections=lambda: 0 if self._listener is None else self._listener.connections,
        )

        await _begin(
            stack,
            {
                "sweep": self._sweep(mailbox, monitor, limiter),
                "watch the registry": self._watch(tests, observer),
                "watch for pings": pings.watch(),
            },
        )
        self._link = await world.net.link(
            self._keys.x25519,
            omq_routes.commands(
                standing=standing,
                service=service,
                relay=relay,
                handoff=HandoffReceiver(standing, mailbox, world.clock, life.intake, counters=counters),
                repair=life.answerer,
                tests=tests,
                monitor=monitor,
                limiter=limiter,
                pinged=partial(pings.heard, Transport.OMQ),
                counters=counters,
            ),
            listen=config.omq,
        )
        stack.push_async_callback(self._link.close)
        await _begin(stack, {"swarm life": life.run()})
        routes = HttpRoutes(
            service=service,
            relay=relay,
            standing=standing,
            limiter=limiter,
            legacy=self._keys.legacy,
            pinged=partial(pings.heard, Transport.HTTPS),
            counters=counters,
        )
        self._listener = await world.net.listen(
            config.https,
            routes.handle,
            certificate=self._certificate,
            limits=http_routes.limits(config.max_connections, config.max_connections_per_address),
        )
        stack.push_async_callback(self._listener.close)
        # Tests end before the link does, or a node that stops would call all others unreachable.
        testing: dict[str, Coroutine[Any, Any, None]] = {}
        if config.test_peers:
            testing["test peers"] = reachability.run()
        if config.test_storage:
            testing["test storage"] = audit.run()
        await _begin(stack, testing)
        if config.metrics is not None:
            server = MetricsServer(observer.status)
            shown = await world.net.listen(
                config.metrics, server.handle, certificate=None, limits=metrics_server.LIMITS
            )
            stack.push_async_callback(shown.close)
        self._observer = observer
        log.info("node up: https=%s omq=%s swarm=%x", self.https_endpoint, config.omq, standing.swarm_id)

    def status(self) -> Status:
        """How the node is doing.  Raises LocalError unless it is up."""
        if self._observer is None:
            raise LocalError("the node is not up")
        return self._observer.status()

    def _the_link(self) -> PeerLink:
        if self._link is None:
            raise PeerTimeout("the node is not up yet")
        return self._link

    def _push(self, origin: Origin, name: str, parts: list[bytes]) -> bool:
        return self._link is not None and self._link.push(origin, name, parts)

    async def _sweep(self, mailbox: Mailbox, monitor: Monitor, limiter: RateLimiter) -> None:
        """Forget what has run out: messages, subscriptions, callers."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            limiter.sweep()
            monitor.sweep()
            try:
                swept = await mailbox.sweep(self._world.clock.now())
            except MailboxError as error:
                log.error("sweep failed: %s", error)  # noqa: TRY400 - the mailbox has logged the cause
            else:
                self.counters.swept += swept
                if swept:
                    log.info("swept %d expired messages", swept)

    async def _watch(self, tests: StorageTests, observer: Observer) -> None:
        """Follow the node list: remember its blocks, and log when this node's swarm changes."""
        nodes, swarm_id = self.standing.nodes, self.standing.swarm_id
        while True:
            nodes = await self._registry.wait_change(nodes)
            tests.observe(nodes)
            if self.standing.swarm_id != swarm_id:
                swarm_id = self.standing.swarm_id
                observer.swarm_changed()
                log.info("swarm changed: swarm=%x", swarm_id)


async def _begin(stack: AsyncExitStack, chores: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Let chores run until `stack` is unwound to here."""
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    for name, chore in chores.items():
        stack.callback(tasks.create_task(chore, name=name).cancel)

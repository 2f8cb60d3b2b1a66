"""A service node: its parts, put together, started and stopped.

Theory of operation.  A node has a mailbox, a service that answers requests about it, a relay for onions, a link to
the other nodes, an HTTPS listener and, if it is to have one, a QUIC listener.  It is up between entering and leaving it
as a context manager; `run` does both.  It opens to the world last and closes to it first: on the way out requests in
progress are answered, then the link goes, then the mailbox finishes its writes.  Killing the process instead loses
nothing that was acknowledged.

The node touches nothing but its `World`, so it is the same node on sockets and in the simulated world.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from ramson.errors import LocalError
from ramson.node import http_routes, metrics_server, quic_routes
from ramson.node.config import NodeConfig
from ramson.node.counters import Counters
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.metrics_server import MetricsServer
from ramson.node.parts import Parts, Surroundings
from ramson.node.private_files import make_private_directory
from ramson.node.standing import Standing
from ramson.node.status import Observer, Status
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.registry import Registry
from ramson.world import (
    Certificate,
    Endpoint,
    Listener,
    Origin,
    PeerLink,
    PeerTimeout,
    QuicListener,
    QuicRoute,
    World,
)

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
        self._quic: QuicListener | None = None
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
        self._link = self._listener = self._quic = self._observer = None
        log.info("node stopped")

    async def _start(self, stack: AsyncExitStack) -> None:
        """Open one thing after the other; `stack` closes them in the opposite order."""
        parts = Parts.of(
            Surroundings(
                world=self._world,
                keys=self._keys,
                config=self._config,
                registry=self._registry,
                standing=self.standing,
                counters=self.counters,
                mailbox=(mailbox := self._open_mailbox(stack)),
                link=self._the_link,
                push=self._push,
                connections=lambda: 0 if self._listener is None else self._listener.connections,
                quic_connections=lambda: 0 if self._quic is None else self._quic.connections,
            )
        )
        self.swarm_life = parts.life.stats
        await _begin(
            stack,
            {
                "sweep": self._sweep(mailbox, parts),
                "watch the registry": self._watch(parts),
                "watch for pings": parts.pings.watch(),
            },
        )
        self._link = await self._world.net.link(self._keys.x25519, parts.commands, listen=self._config.omq)
        stack.push_async_callback(self._link.close)
        await _begin(stack, {"swarm life": parts.life.run()})
        await self._listen(stack, parts)
        # Tests end before the link does, or a node that stops would call all others unreachable.
        await _begin(stack, self._testing(parts))
        await self._show(stack, parts.observer)
        self._observer = parts.observer
        log.info("node up: https=%s omq=%s swarm=%x", self.https_endpoint, self._config.omq, self.standing.swarm_id)

    def _open_mailbox(self, stack: AsyncExitStack) -> Mailbox:
        directory = self._config.data_dir
        make_private_directory(directory)
        mailbox = Mailbox(
            directory / MAILBOX_FILE,
            self._world.disk(),
            self._world.clock,
            max_bytes=self._config.max_database_bytes,
            on_commit=self.counters.commit,
        )
        stack.push_async_callback(mailbox.close)
        return mailbox

    async def _listen(self, stack: AsyncExitStack, parts: Parts) -> None:
        config = self._config
        if config.quic and self._link is not None:
            place = Endpoint(config.omq.host, (self._link.endpoint or config.omq).port)
            self._quic = await self._world.net.listen_quic(
                place, self._keys.ed25519, parts.quic.handle, limits=quic_routes.limits()
            )
            stack.push_async_callback(self._quic.close)
        self._listener = await self._world.net.listen(
            config.https,
            parts.routes.handle,
            certificate=self._certificate,
            limits=http_routes.limits(config.max_connections, config.max_connections_per_address),
        )
        stack.push_async_callback(self._listener.close)

    def _testing(self, parts: Parts) -> dict[str, Coroutine[Any, Any, None]]:
        chores: dict[str, Coroutine[Any, Any, None]] = {}
        if self._config.test_peers:
            chores["test peers"] = parts.reachability.run()
        if self._config.test_storage:
            chores["test storage"] = parts.audit.run()
        return chores

    async def _show(self, stack: AsyncExitStack, observer: Observer) -> None:
        if self._config.metrics is not None:
            server = MetricsServer(observer.status)
            shown = await self._world.net.listen(
                self._config.metrics, server.handle, certificate=None, limits=metrics_server.LIMITS
            )
            stack.push_async_callback(shown.close)

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
        if isinstance(origin.route, QuicRoute):
            return self._quic is not None and self._quic.push(origin, quic_routes.PUSHED, parts[0])
        return self._link is not None and self._link.push(origin, name, parts)

    async def _sweep(self, mailbox: Mailbox, parts: Parts) -> None:
        """Forget what has run out: messages, subscriptions, callers."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            parts.limiter.sweep()
            parts.monitor.sweep()
            try:
                swept = await mailbox.sweep(self._world.clock.now())
            except MailboxError as error:
                log.error("sweep failed: %s", error)  # noqa: TRY400 - the mailbox has logged the cause
            else:
                self.counters.swept += swept
                if swept:
                    log.info("swept %d expired messages", swept)

    async def _watch(self, parts: Parts) -> None:
        """Follow the node list: remember its blocks, and log when this node's swarm changes."""
        nodes, swarm_id = self.standing.nodes, self.standing.swarm_id
        while True:
            nodes = await self._registry.wait_change(nodes)
            parts.tests.observe(nodes)
            if self.standing.swarm_id != swarm_id:
                swarm_id = self.standing.swarm_id
                parts.observer.swarm_changed()
                log.info("swarm changed: swarm=%x", swarm_id)


async def _begin(stack: AsyncExitStack, chores: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Let chores run until `stack` is unwound to here."""
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    for name, chore in chores.items():
        stack.callback(tasks.create_task(chore, name=name).cancel)

"""The parts of a node and how they know one another: made here, started and stopped by `node`.

Nothing here runs, listens or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

from ramson.node import omq_routes
from ramson.node.config import NodeConfig
from ramson.node.counters import Counters
from ramson.node.handoff import HandoffReceiver
from ramson.node.http_routes import HttpRoutes
from ramson.node.incoming_pings import IncomingPings, Transport
from ramson.node.keys import NodeKeys
from ramson.node.mailbox import Mailbox
from ramson.node.monitor import Monitor, Push
from ramson.node.quic_routes import QuicRoutes
from ramson.node.ratelimit import RateLimiter
from ramson.node.reachability import PeerReporter, Probe, Reachability
from ramson.node.relay import OnionRelay
from ramson.node.replication import SwarmForwarder
from ramson.node.service import Service
from ramson.node.standing import Standing
from ramson.node.status import Observer
from ramson.node.storage_audit import StorageAudit
from ramson.node.storage_test import BlockSource, StorageTests
from ramson.node.swarm.life import SwarmLife
from ramson.registry import Registry
from ramson.world import Command, PeerLink, World


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts of a node have in common.

    `link` returns the link to the other nodes, which is made after the parts and from them; `push` sends a command
    back along a connection of it; `connections` counts those of the HTTPS listener, and
    `quic_connections` those of the QUIC listener.
    """

    world: World
    keys: NodeKeys
    config: NodeConfig
    registry: Registry
    standing: Standing
    counters: Counters
    mailbox: Mailbox
    link: Callable[[], PeerLink]
    push: Push
    connections: Callable[[], int]
    quic_connections: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a node starts, stops or asks."""

    commands: Mapping[str, Command]  # what the link answers
    routes: HttpRoutes
    quic: QuicRoutes
    monitor: Monitor
    limiter: RateLimiter
    pings: IncomingPings
    life: SwarmLife
    tests: StorageTests
    audit: StorageAudit
    reachability: Reachability
    observer: Observer

    @classmethod
    def of(cls, around: Surroundings) -> Self:
        """Make them all."""
        world, registry, standing = around.world, around.registry, around.standing
        mailbox, counters, own = around.mailbox, around.counters, around.keys.x25519.public
        limiter = RateLimiter(world.clock)
        pings = IncomingPings(world.clock, standing, quic=around.config.quic)
        monitor = Monitor(clock=world.clock, push=around.push, owns=standing.owns, is_revoked=mailbox.is_revoked)
        service = Service(
            clock=world.clock,
            signer=around.keys.ed25519,
            mailbox=mailbox,
            registry=registry,
            forwarder=SwarmForwarder(standing, around.link),
            monitor=monitor,
            testnet=around.config.testnet,
            counters=counters,
        )
        relay = OnionRelay(
            identity=around.keys.x25519,
            standing=standing,
            service=service,
            link=around.link,
            net=world.net,
            entropy=world.entropy,
            allow_private=around.config.allow_private_relay,
            counters=counters,
        )
        life = SwarmLife(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            registry=registry,
            mailbox=mailbox,
            link=around.link,
        )
        blocks = registry if isinstance(registry, BlockSource) else None
        tests = StorageTests(standing, mailbox, own, counters, blocks)
        audit = StorageAudit(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            mailbox=mailbox,
            link=around.link,
            own=own,
            counters=counters,
        )
        reachability = Reachability(
            clock=world.clock,
            entropy=world.entropy,
            standing=standing,
            probe=Probe(around.link, world.net, around.keys.ed25519 if around.config.quic else None),
            reporter=registry if isinstance(registry, PeerReporter) else None,
            distrusted=audit.distrusts,
            counters=counters,
        )
        commands = omq_routes.commands(
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
        )
        return cls(
            commands=commands,
            quic=QuicRoutes(
                commands=commands, relay=relay, standing=standing, pinged=partial(pings.heard, Transport.QUIC)
            ),
            routes=HttpRoutes(
                service=service,
                relay=relay,
                standing=standing,
                limiter=limiter,
                legacy=around.keys.legacy,
                pinged=partial(pings.heard, Transport.HTTPS),
                counters=counters,
            ),
            monitor=monitor,
            limiter=limiter,
            pings=pings,
            life=life,
            tests=tests,
            audit=audit,
            reachability=reachability,
            observer=Observer(
                clock=world.clock,
                data_dir=around.config.data_dir,
                standing=standing,
                registry=registry,
                mailbox=mailbox,
                monitor=monitor,
                pings=pings,
                reachability=reachability,
                audit=audit,
                counters=counters,
                swarm_life=life.stats,
                connections=around.connections,
                quic_connections=around.quic_connections,
            ),
        )

"""A node that lives beside a real oxend: its keys and its node list come from the daemon, and nothing of them is kept.

What `ramson node run --oxend ADDRESS` runs.  Spec: oxend-interface.md §3.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ramson.errors import ParseError
from ramson.node.config import NodeConfig
from ramson.node.keys import NodeKeys, NodeKeysError
from ramson.node.node import Node
from ramson.node.service import VERSION
from ramson.registry import (
    MAINNET_SEEDS,
    TESTNET_SEEDS,
    Announcement,
    OxendRegistry,
    fetch_secrets,
)
from ramson.world import Certificate, DaemonAddress, World

log = logging.getLogger(__name__)


async def fetch_keys(world: World, address: DaemonAddress) -> NodeKeys:
    """Ask the daemon for the node's keys until it gives them; they stay in memory.  Raises LocalError, ParseError."""
    secrets = await fetch_secrets(world, address)
    try:
        return NodeKeys.from_secrets(secrets.ed25519_seed, secrets.legacy_scalar)
    except NodeKeysError as error:
        raise ParseError(f"the daemon's keys cannot be used: {error}") from None


@asynccontextmanager
async def node_beside_oxend(
    world: World,
    address: DaemonAddress,
    certificate: Certificate,
    config: NodeConfig,
    *,
    seeds: Sequence[DaemonAddress] | None = None,
) -> AsyncIterator[Node]:
    """Give a node that is up, once the daemon at `address` has told its keys and a first node list.

    The daemon is told the ports of `config`, so they must be those that other nodes reach.  `seeds` replaces those of
    the network.  Raises LocalError for an address that can never be connected to, and what entering a node raises.
    """
    log.info("waiting for the keys of this node from the daemon at %s", address)
    keys = await fetch_keys(world, address)
    announcement = Announcement(keys.ed25519.public, config.https.port, config.omq.port, VERSION)
    if seeds is None:
        seeds = TESTNET_SEEDS if config.testnet else MAINNET_SEEDS
    async with (
        OxendRegistry(world, address, announcement, testnet=config.testnet, seeds=seeds) as registry,
        Node(world, keys, certificate, config, registry) as node,
    ):
        yield node

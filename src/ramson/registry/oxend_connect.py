"""Short conversations with daemons: fetching a node's own keys, and asking seeds how long the chain is.

Spec: oxend-interface.md §3.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ramson.errors import RamsonError, RemoteError
from ramson.registry.oxend_rpc import NodeSecrets, Oxend
from ramson.world import DaemonAddress, World

logger = logging.getLogger(__name__)

KEYS_RETRY_SECONDS: Final = 5.0
KEYS_TIMEOUT: Final = 15.0
SEED_TIMEOUT: Final = 10.0

MAINNET_SEEDS: Final = tuple(
    DaemonAddress.parse(address)
    for address in (
        "curve://public.loki.foundation:22027/3c157ed3c675f56280dc5d8b2f00b327b5865c127bf2c6c42becc3ca73d9132b",
        "curve://imaginary.stream:22027/449a8011d3abcb97f5db6d91529b1106b0590d2f2a86635104fe7059ffeeef47",
        "curve://storage.seed1.loki.network:22027/6d4146b51404576efa6f582ea0562532b25ba4aceddb0d5d12bc127360678551",
        "curve://storage.seed3.loki.network:22027/146fb2840583c32f7e281b81d8c5568cc7bb04155fb9968987bb265b6ca9816e",
    )
)
TESTNET_SEEDS: Final = (
    DaemonAddress.parse(
        "curve://public.loki.foundation:38161/80adaead94db3b0402a6057869bdbe63204a28e93589fd95a035480ed6c03b45"
    ),
)


@dataclass(slots=True)
class Retry:
    """How long to wait before trying again: `first` seconds, then twice as long each time, up to `longest`.

    Each pause is up to a quarter shorter or longer, so that nodes that lost one daemon do not return as one.
    """

    entropy: random.Random
    first: float
    longest: float
    _failures: int = 0

    def pause(self) -> float:
        """Return how long to wait after one more failure."""
        pause: float = min(self.first * 2.0 ** min(self._failures, 32), self.longest)
        self._failures += 1
        return pause * self.entropy.uniform(0.75, 1.25)

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self._failures = 0


async def fetch_secrets(
    world: World,
    address: DaemonAddress,
    *,
    retry_seconds: float = KEYS_RETRY_SECONDS,
    reply_seconds: float = KEYS_TIMEOUT,
) -> NodeSecrets:
    """Ask the daemon for the node's private keys until it gives them, over connections of their own.

    Raises LocalError for an address that can never be connected to.
    """
    retry = Retry(world.entropy, retry_seconds, retry_seconds)
    told = ""
    while True:
        link = await world.net.dial(address, {})
        try:
            return await Oxend(link, reply_seconds).secrets()
        except RemoteError as error:
            if str(error) != told:
                told = str(error)
                logger.warning("waiting for the daemon to give this node its keys: %s", told)
        finally:
            await link.close()
        await asyncio.sleep(retry.pause())


async def ask_heights(
    world: World, seeds: Sequence[DaemonAddress], *, reply_seconds: float = SEED_TIMEOUT
) -> list[int]:
    """Ask all seeds at once how long the chain is; return what those said that answered."""

    async def ask(seed: DaemonAddress) -> int | None:
        try:
            link = await world.net.dial(seed, {})
            try:
                return await Oxend(link, reply_seconds).height()
            finally:
                await link.close()
        except RamsonError as error:
            logger.info("a seed did not tell its height: %s", error)
            return None

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(seed)) for seed in seeds]
    return [height for task in asking if (height := task.result()) is not None]

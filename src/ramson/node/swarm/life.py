"""A node's life in its swarm, put together: what it owes is noted and paid, what it misses is fetched.

Theory of operation.  The list that was acted upon last stands in the database, and every new one is compared with it:
so a block that was skipped, or a change while the node was down, is a change like any other.  What it entails
(`changes`) is noted in the same transaction as the list, then paid (`handover`) while members compare what they
have (`repair`).  A node without a swarm notes nothing, so that when it has one again it knows where it comes from.

Spec: swarms.md §4–5.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from ramson.errors import ParseError
from ramson.node.mailbox import Mailbox, MailboxError
from ramson.node.standing import Standing
from ramson.node.swarm.changes import Swarms, debts
from ramson.node.swarm.handover import Handover
from ramson.node.swarm.intake import Intake
from ramson.node.swarm.peers import Peers
from ramson.node.swarm.repair import Answerer, Repair
from ramson.node.swarm.stats import SwarmLifeStats
from ramson.protocol.nodes import NodeList
from ramson.registry import Registry
from ramson.world import Clock, PeerLink

SEEN: Final = "swarms"  # the name under which the last list is remembered
AGAIN_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class SwarmLife:
    """Made with a node, and run while its link to the others is up.  `link` returns that link."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: random.Random,
        standing: Standing,
        registry: Registry,
        mailbox: Mailbox,
        link: Callable[[], PeerLink],
    ) -> None:
        self._standing = standing
        self._registry = registry
        self._mailbox = mailbox
        self.stats = SwarmLifeStats()
        self.intake = Intake(standing, mailbox, clock, self.stats)
        peers = Peers(link, clock)
        self._handover = Handover(
            standing=standing, mailbox=mailbox, peers=peers, clock=clock, entropy=entropy, stats=self.stats
        )
        self._repair = Repair(
            standing=standing, mailbox=mailbox, intake=self.intake, peers=peers, entropy=entropy, stats=self.stats
        )
        self.answerer = Answerer(standing, mailbox, self._repair.neighbourhood)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="watch the swarms")
            tasks.create_task(self._handover.run(), name="hand over")
            tasks.create_task(self._repair.run(), name="repair")

    async def _watch(self) -> None:
        while True:
            nodes = self._standing.nodes
            noted = await self._note(nodes)
            self._repair.wake()
            self._handover.wake()
            if noted:
                await self._registry.wait_change(nodes)
            else:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _note(self, nodes: NodeList) -> bool:
        """Note what a list changes; False when the database did not take it."""
        own = nodes.by_ed25519.get(self._standing.ed25519)
        if own is None or not own.assigned:
            return True
        now = Swarms.of(nodes)
        written = now.encode()
        view = self._mailbox.swarm
        try:
            seen = view.recall(SEEN)
            if seen == written:
                return True
            before = now if seen is None else Swarms.decode(seen)
            owed = debts(before, now, own.ed25519)
            void = [
                opened.number
                for opened in view.open_debts()
                if opened.debt.peer not in now.members.get(opened.debt.swarm, ())
            ]
            await view.note_change(SEEN, written, owed, void=void, restart=before.ids != now.ids)
        except (MailboxError, ParseError) as error:
            log.error("a change of swarms was not noted: %s", error)  # noqa: TRY400 - the mailbox's own words
            return False
        self.stats.debts_dropped += len(void)
        if owed:
            log.info("swarms changed: messages are owed to %d peers", len(owed))
        return True

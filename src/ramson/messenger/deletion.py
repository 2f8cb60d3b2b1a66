"""Deleting all that an account's swarm keeps, until each of its nodes has confirmed it.

Theory of operation.  Whoever is asked deletes its own, asks the other members, and waits for each of them before it
answers: 5 s for a silent one, or 15 if it is of another make.  So several are asked at once, and the first answer that
leaves nobody out is enough.  A member that `ANSWERS` of them did not hear from is not there.  Nobody is taken for
deleted who did not sign: neither a member that an answer leaves out although we know it, nor one that we have given up
asking things because it failed too often.  Spec: identity.md (deleting an account).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ramson.crypto.account import AccountKeys
from ramson.errors import RemoteError
from ramson.network import DeleteReceipt, Network
from ramson.protocol.nodes import NodeRecord

# One attempt by a path with a dead node takes 20 s, and there may be several; and this is done once in a life.
SECONDS: Final = 180.0
ASKED: Final = 3  # members at once
ANSWERS: Final = 2  # after so many, nodes that have not confirmed will not


@dataclass(frozen=True, slots=True)
class Deletion:
    """Which nodes of our swarm have confirmed that they deleted everything, and which have not.

    The account file was deleted too, unless there are `failed` nodes: then try again, or delete it on this device only.
    """

    confirmed: tuple[NodeRecord, ...] = ()
    failed: tuple[NodeRecord, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that was to be deleted is."""
        return not self.failed


Tell = Callable[[Deletion], None]


async def delete_swarm(network: Network, keys: AccountKeys, tell: Tell) -> Deletion:
    """Ask the swarm of an account to delete everything, and `tell` how far that is each time there is news.

    Raises RemoteError if no node could be asked.
    """
    deleting = _Deleting(network, keys, tell)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            while not deleting.over:
                await deleting.ask()
    if not deleting.answers:
        raise deleting.failure or RemoteError("no node of our swarm could be asked", remedy="Try again in a minute.")
    return deleting.state


class _Deleting:
    def __init__(self, network: Network, keys: AccountKeys, tell: Tell) -> None:
        self._network = network
        self._keys = keys
        self._tell = tell
        self._members: dict[bytes, NodeRecord] = {}
        self._confirmed: dict[bytes, NodeRecord] = {}
        self.answers = 0
        self.failure: RemoteError | None = None

    @property
    def state(self) -> Deletion:
        """Who has confirmed, and who has not yet."""
        left = (node for key, node in self._members.items() if key not in self._confirmed)
        return Deletion(tuple(self._confirmed.values()), tuple(left))

    @property
    def over(self) -> bool:
        """Whether all have confirmed, or those that have not will not."""
        return self.answers >= ANSWERS or (self.answers > 0 and self.state.complete)

    async def ask(self) -> None:
        """Ask some members at once; if nothing came of it, leave them alone for a second."""
        try:
            members = await self._network.swarm(self._keys.id)
        except RemoteError as error:
            self.failure = error
            members = ()
        self._expect(members)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._ask(member), name="deletion") for member in members[:ASKED]]
            for answer in asyncio.as_completed(asking):
                await answer
                if self.over:
                    break
            for task in asking:
                task.cancel()
        if not self.over:
            await asyncio.sleep(1)

    async def _ask(self, member: NodeRecord) -> None:
        try:
            receipt = await self._network.delete_all(self._keys, only=member)
        except RemoteError as error:
            self.failure = error
        else:
            self._heard(receipt)

    def _heard(self, receipt: DeleteReceipt) -> None:
        self.answers += 1
        self._confirmed |= {node.ed25519: node for node in receipt.deleted_by}
        self._expect((*receipt.deleted_by, *receipt.failed))

    def _expect(self, members: Iterable[NodeRecord]) -> None:
        self._members |= {node.ed25519: node for node in members}
        self._tell(self.state)

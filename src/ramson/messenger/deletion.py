"""Deleting all that an account's swarm keeps, until each of its nodes has confirmed it.

Spec: identity.md (deleting an account).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from ramson.crypto.account import AccountKeys
from ramson.errors import RemoteError
from ramson.network import DeleteReceipt, Network
from ramson.protocol.nodes import NodeRecord

# Others give up after 15 s.  One attempt by a path with a dead node takes 10 s, or does not come back at all while a
# member waits for a dead one; and this is done once in a life.
SECONDS: Final = 180.0
ANSWERS: Final = 3  # after so many, nodes that have not confirmed will not


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


async def delete_swarm(network: Network, keys: AccountKeys) -> Deletion:
    """Ask the swarm of an account to delete everything.  Raises RemoteError if no node could be asked."""
    confirmed: dict[NodeRecord, None] = {}
    receipt: DeleteReceipt | None = None
    failure: RemoteError | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            answers = 0
            while answers < ANSWERS:
                try:
                    receipt = await network.delete_all(keys)
                except RemoteError as error:
                    failure = error
                else:
                    answers += 1
                    confirmed |= dict.fromkeys(receipt.deleted_by)
                    if all(node in confirmed for node in receipt.failed):
                        break
                await asyncio.sleep(1)
    if receipt is None:
        raise failure or RemoteError("no node of our swarm could be asked", remedy="Try again in a minute.")
    return Deletion(tuple(confirmed), tuple(node for node in receipt.failed if node not in confirmed))

"""Which nodes keep an account's mailbox, as far as it is known.

Pure, and in memory only: the accounts in it are a person's contacts, and no file on disk should list them.
Spec: bootstrap-and-paths.md §2.7.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from ramson.protocol.nodes import NodeRecord

ENOUGH = 3  # known good members; with fewer the swarm is asked for anew
REMEMBERED = 2000  # accounts


@dataclass(slots=True)
class _Swarm:
    size: int  # when it was learned
    members: list[NodeRecord]


class SwarmCache:
    """Members of the swarms of the accounts last used, by the account's 33 bytes."""

    def __init__(self) -> None:
        self._swarms: dict[bytes, _Swarm] = {}

    def members(self, account: bytes) -> tuple[NodeRecord, ...]:
        """Return the members that are left; none for an unknown account."""
        known = self._swarms.get(account)
        return tuple(known.members) if known else ()

    def enough(self, account: bytes) -> bool:
        """Whether at least three members are left, or all that a smaller swarm had."""
        known = self._swarms.get(account)
        return known is not None and len(known.members) >= min(ENOUGH, known.size) > 0

    def replace(self, account: bytes, members: Sequence[NodeRecord]) -> None:
        """Set the swarm of an account; the account unused for longest is forgotten when there are too many."""
        self._swarms.pop(account, None)
        self._swarms[account] = _Swarm(len(members), list(members))
        while len(self._swarms) > REMEMBERED:
            self._swarms.pop(next(iter(self._swarms)))

    def drop_member(self, account: bytes, ed25519: bytes) -> None:
        """Take a node out of one account's swarm."""
        if known := self._swarms.get(account):
            known.members = [node for node in known.members if node.ed25519 != ed25519]

    def drop_node(self, ed25519: bytes) -> None:
        """Take a node out of every swarm."""
        for account in self._swarms:
            self.drop_member(account, ed25519)

    def keep_only(self, known: Container[bytes]) -> None:
        """Take every node out whose key is not known."""
        for swarm in self._swarms.values():
            swarm.members = [node for node in swarm.members if node.ed25519 in known]

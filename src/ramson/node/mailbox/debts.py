"""What the node must not forget over a restart: the network it saw last, and what it still owes to which peers.

Functions of a connection inside a transaction.  What the values mean is the business of `node.swarm`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import apsw

from ramson.node.mailbox.copies import rows


class Debt(NamedTuple):
    """What is owed to a peer (by Ed25519 key): all messages of its swarm, or only those it may have missed."""

    peer: bytes
    swarm: int
    only_missed: bool


class OpenDebt(NamedTuple):
    """A debt that is not paid yet; what comes before `cursor` is."""

    number: int
    debt: Debt
    cursor: bytes | None


def recall(db: apsw.Connection, name: str) -> bytes | None:
    """Return what was remembered under a name."""
    found = rows(db, "SELECT value FROM memory WHERE name = ?", (name,))
    return found[0][0] if found else None


def remember(db: apsw.Connection, name: str, value: bytes) -> None:
    """Remember a value."""
    db.execute("INSERT OR REPLACE INTO memory (name, value) VALUES (?, ?)", (name, value))


def owe(db: apsw.Connection, debts: Iterable[Debt], *, restart: bool) -> None:
    """Add debts; one that was open begins anew.  With `restart` all others do too, under new numbers."""
    if restart:
        for kept in open_debts(db):
            _put(db, kept.debt)
    for debt in debts:
        _put(db, debt)


def open_debts(db: apsw.Connection) -> list[OpenDebt]:
    """Return what is not paid yet, oldest first."""
    found = rows(db, "SELECT id, peer, swarm, only_missed, cursor FROM handoff ORDER BY id", ())
    return [
        OpenDebt(number, Debt(peer, int.from_bytes(swarm, "big"), bool(only_missed)), cursor)
        for number, peer, swarm, only_missed, cursor in found
    ]


def advance(db: apsw.Connection, number: int, cursor: bytes) -> bool:
    """Note how far a debt is paid; False when it is no longer open."""
    db.execute("UPDATE handoff SET cursor = ? WHERE id = ?", (cursor, number))
    return bool(db.changes())


def settle(db: apsw.Connection, number: int) -> None:
    """Forget a debt."""
    db.execute("DELETE FROM handoff WHERE id = ?", (number,))


def _put(db: apsw.Connection, debt: Debt) -> None:
    known = rows(
        db, "SELECT only_missed FROM handoff WHERE peer = ? AND swarm = ?", (debt.peer, debt.swarm.to_bytes(8, "big"))
    )
    only_missed = debt.only_missed and all(missed for (missed,) in known)
    db.execute(
        "INSERT OR REPLACE INTO handoff (peer, swarm, only_missed) VALUES (?, ?, ?)",
        (debt.peer, debt.swarm.to_bytes(8, "big"), only_missed),
    )

"""Single copies of messages in the database: how one stands, and the steps by which it changes.

Functions of a connection inside a transaction, and of the digests that have to follow every row.  A message is in
`message` with its data, or its ghost is in `ghost`, never both.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import apsw

from ramson.node.mailbox.digests import Digests, of_message
from ramson.node.mailbox.lattice import State
from ramson.protocol.namespaces import DAY_MS

SQLiteValue = int | str | bytes | None

GHOST_LIFE_MS: Final = 30 * DAY_MS

_ROW: Final = (
    "SELECT id, birth, version, expiry, timestamp, proof FROM message WHERE account = ? AND namespace = ? AND hash = ?"
)
_GHOST: Final = (
    "SELECT birth, dead, version, expiry, timestamp, proof FROM ghost WHERE account = ? AND namespace = ? AND hash = ?"
)
_BURY: Final = (
    "INSERT OR REPLACE INTO ghost (account, namespace, hash, timestamp, birth, dead, version, expiry, until, proof)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Key(NamedTuple):
    """What a message is known by."""

    account: bytes
    namespace: int
    hash: str


class Copy(NamedTuple):
    """One copy: its row in `message` (None: a ghost), its state, its timestamp (ms) and the number of its proof."""

    row: int | None
    state: State
    timestamp: int
    proof: int | None


def rows(db: apsw.Connection, sql: str, values: Sequence[SQLiteValue]) -> list[Any]:
    """Return all rows of a query."""
    return db.execute(sql, values).fetchall()


def find(db: apsw.Connection, key: Key) -> Copy | None:
    """Return the copy of a message, with data or not."""
    found = rows(db, _ROW, key)
    if found:
        row, birth, version, expiry, timestamp, proof = found[0]
        return Copy(row, State(birth, dead=False, version=version, expiry=expiry), timestamp, proof)
    found = rows(db, _GHOST, key)
    if found:
        birth, dead, version, expiry, timestamp, proof = found[0]
        return Copy(None, State(birth, bool(dead), version, expiry), timestamp, proof)
    return None


def update(db: apsw.Connection, digests: Digests, key: Key, copy: Copy, state: State, proof: int | None) -> None:
    """Give a message that is there another state."""
    db.execute(
        "UPDATE message SET birth = ?, version = ?, expiry = ?, proof = ? WHERE id = ?",
        (state.birth, state.version, state.expiry, proof, copy.row),
    )
    digests.change(key.account, of_message(*key, state) - of_message(*key, copy.state))


def insert(
    db: apsw.Connection,
    digests: Digests,
    key: Key,
    state: State,
    *,
    timestamp: int,
    data: bytes,
    proof: int | None,
    ghost: Copy | None,
) -> None:
    """Keep a message that is not there, in the place of its ghost if it had one."""
    if ghost is not None:
        forget_ghost(db, digests, key, ghost.state)
    db.execute(
        "INSERT INTO message (account, namespace, hash, timestamp, expiry, data, birth, version, proof)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, timestamp, state.expiry, data, state.birth, state.version, proof),
    )
    digests.change(key.account, of_message(*key, state))


def bury(
    db: apsw.Connection,
    digests: Digests,
    key: Key,
    copy: Copy | None,
    state: State,
    *,
    timestamp: int,
    until: int,
    proof: int | None,
) -> None:
    """Leave a ghost of a message, until `until` (ms); what was there of it goes."""
    if copy is not None and copy.row is not None:
        db.execute("DELETE FROM message WHERE id = ?", (copy.row,))
    db.execute(_BURY, (*key, timestamp, *state, until, proof))
    digests.change(key.account, of_message(*key, state) - (of_message(*key, copy.state) if copy else 0))


def forget_ghost(db: apsw.Connection, digests: Digests, key: Key, state: State) -> None:
    """Let a ghost go."""
    db.execute("DELETE FROM ghost WHERE account = ? AND namespace = ? AND hash = ?", key)
    digests.change(key.account, -of_message(*key, state))


def proof_number(db: apsw.Connection, account: bytes, body: bytes | None) -> int | None:
    """Return the number of a proof, kept once however many rows it serves; None for no proof."""
    if body is None:
        return None
    digest = proof_digest(account, body)
    db.execute("INSERT OR IGNORE INTO proof (digest, account, body) VALUES (?, ?, ?)", (digest, account, body))
    ((number,),) = rows(db, "SELECT id FROM proof WHERE digest = ?", (digest,))
    return int(number)


def proof_digest(account: bytes, body: bytes) -> bytes:
    """Return what a proof is known by."""
    return blake2b(account + body, digest_size=32).digest()

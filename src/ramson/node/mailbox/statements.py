"""What each mailbox operation of clients does to the database, as functions of a connection inside a transaction.

Nothing here begins or ends a transaction; an SQLite error is left to the caller, who rolls back.  What goes leaves a
ghost, with the request that asked for it as its proof.  Rules: storage-rpc §3 (outboxes) and §4 (store, delete…,
expire…); `lattice` for the states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from ramson.node.mailbox import copies
from ramson.node.mailbox.copies import GHOST_LIFE_MS, Copy, Key, SQLiteValue, proof_number, rows
from ramson.node.mailbox.digests import Digests, of_fresh, of_message
from ramson.node.mailbox.lattice import State
from ramson.node.mailbox.values import ExpireMode, ExpireResult, NewMessage, Stored

_INSERT: Final = (
    "INSERT INTO message (account, namespace, hash, timestamp, expiry, data) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, namespace, hash) DO NOTHING"
)
_HAS_GHOST: Final = "SELECT 1 FROM ghost WHERE account = ? AND namespace = ? AND hash = ?"
_GONE: Final = " RETURNING namespace, hash, birth, version, expiry, timestamp"


def store_alone(db: apsw.Connection, digests: Digests, message: NewMessage, now: int, proof: bytes | None) -> Stored:
    """Store in an outbox: whatever else is there is deleted."""
    where = "account = ? AND namespace = ? AND hash <> ?"
    values = (message.account, message.namespace, message.hash)
    _delete_where(db, digests, message.account, where, values, now, proof)
    return store(db, digests, message)


def store(db: apsw.Connection, digests: Digests, message: NewMessage) -> Stored:
    """Insert, or keep the later of two expiries of a message already there; one that was deleted is born again."""
    if _insert(db, digests, message):
        return Stored(new=True, expiry=message.expiry)
    key = Key(message.account, message.namespace, message.hash)
    known = copies.find(db, key)
    assert known is not None  # noqa: S101 - or it would have been inserted
    state = known.state.stored(message.expiry)
    if known.row is None:
        copies.insert(
            db,
            digests,
            key,
            state,
            timestamp=message.timestamp,
            data=message.data,
            proof=known.proof,
            ghost=known,
        )
    elif state != known.state:
        copies.update(db, digests, key, known, state, known.proof)
    return Stored(new=known.row is None, expiry=state.expiry)


def store_many(db: apsw.Connection, digests: Digests, messages: Sequence[NewMessage]) -> int:
    """Insert what nothing is known of yet, not even a ghost, and return how many that were."""
    return sum(_insert(db, digests, message) for message in messages)


def delete(
    db: apsw.Connection, digests: Digests, account: bytes, hashes: Iterable[str], now: int, proof: bytes | None
) -> list[str]:
    """Delete these hashes in every namespace and return those that were there, sorted."""
    places = _namespaces(db, account)
    found = [(key, copy) for text in hashes for key, copy in _find_anywhere(db, account, places, text)]
    number = proof_number(db, account, proof) if found else None
    for key, copy in dict(found).items():
        until = max(copy.state.expiry, now + GHOST_LIFE_MS)
        copies.bury(db, digests, key, copy, copy.state.killed(), timestamp=copy.timestamp, until=until, proof=number)
    return sorted({key.hash for key, _ in found})


def delete_all(
    db: apsw.Connection,
    digests: Digests,
    account: bytes,
    namespace: int | None,
    now: int,
    proof: bytes | None,
    until: int | None = None,
) -> dict[int, list[str]]:
    """Delete all messages (with a timestamp ≤ `until`) and return their hashes, sorted, by namespace."""
    where, values = _scope(account, namespace)
    if until is not None:
        where += " AND timestamp <= ?"
        values = (*values, until)
    return _by_namespace(_delete_where(db, digests, account, where, values, now, proof))


def expire_all(
    db: apsw.Connection, digests: Digests, account: bytes, namespace: int | None, expiry: int, proof: bytes | None
) -> dict[int, list[str]]:
    """Lower later expiries to `expiry` and return the hashes of the messages concerned, sorted, by namespace."""
    where, values = _scope(account, namespace)
    sql = f"SELECT namespace, hash, id, birth, version, expiry, timestamp FROM message WHERE {where} AND expiry > ?"  # noqa: S608 - constants
    found = rows(db, sql, (*values, expiry))
    number = proof_number(db, account, proof) if found else None
    for place, text, row, birth, version, known, timestamp in found:
        copy = Copy(row, State(birth, dead=False, version=version, expiry=known), timestamp, None)
        copies.update(db, digests, Key(account, place, text), copy, copy.state.lowered(expiry), number)
    return _by_namespace((place, text) for place, text, *_ in found)


def expire(
    db: apsw.Connection,
    digests: Digests,
    account: bytes,
    changes: Iterable[tuple[str, int]],
    mode: ExpireMode,
    proof: bytes | None,
) -> ExpireResult:
    """Change the expiries of single messages, in whatever namespaces they are."""
    places = _namespaces(db, account)
    updated: dict[str, int] = {}
    unchanged: dict[str, int] = {}
    number: int | None = None
    for text, expiry in changes:
        for key, copy in _find_anywhere(db, account, places, text):
            known = copy.state.expiry
            if (mode is ExpireMode.SHORTEN and expiry >= known) or (mode is ExpireMode.EXTEND and expiry <= known):
                unchanged[text] = max(known, unchanged.get(text, known))
                continue
            updated[text] = expiry
            if expiry < known:
                number = number or proof_number(db, account, proof)
                copies.update(db, digests, key, copy, copy.state.lowered(expiry), number)
            elif expiry > known:
                copies.update(db, digests, key, copy, copy.state._replace(expiry=expiry), copy.proof)
    return ExpireResult(dict(sorted(updated.items())), {k: v for k, v in sorted(unchanged.items()) if k not in updated})


def sweep(db: apsw.Connection, digests: Digests, now: int, limit: int) -> int:
    """Let up to `limit` messages go that have run out and return how many did.

    One that was ever deleted or lowered leaves a ghost: other members may have a copy that did not hear of it.
    """
    gone = rows(
        db,
        "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE expiry <= ? ORDER BY expiry LIMIT ?)"
        " RETURNING account, namespace, hash, birth, version, expiry, timestamp, proof",
        (now, limit),
    )
    for account, namespace, text, birth, version, expiry, timestamp, proof in gone:
        key, state = Key(account, namespace, text), State(birth, dead=False, version=version, expiry=expiry)
        if state.is_fresh:
            digests.change(account, -of_message(*key, state))
        else:
            # The row has gone, and its state stays: the digest does not change.
            copies.bury(
                db,
                digests,
                key,
                Copy(None, state, timestamp, proof),
                state,
                timestamp=timestamp,
                until=now + GHOST_LIFE_MS,
                proof=proof,
            )
    return len(gone)


def sweep_ghosts(db: apsw.Connection, digests: Digests, now: int, limit: int) -> int:
    """Let up to `limit` ghosts go whose time is over, the first to end first, and return how many did."""
    gone = rows(
        db,
        "SELECT account, namespace, hash, birth, dead, version, expiry FROM ghost WHERE until <= ?"
        " ORDER BY until LIMIT ?",
        (now, limit),
    )
    for account, namespace, text, birth, dead, version, expiry in gone:
        copies.forget_ghost(db, digests, Key(account, namespace, text), State(birth, bool(dead), version, expiry))
    return len(gone)


def sweep_proofs(db: apsw.Connection, after: int, limit: int) -> int:
    """Look at `limit` proofs from the one after number `after`; forget those that nothing needs.

    Returns the number of the last one looked at, 0 at the end.
    """
    numbers = [
        number for (number,) in rows(db, "SELECT id FROM proof WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    ]
    if not numbers:
        return 0
    db.execute(
        "DELETE FROM proof WHERE id > ?1 AND id <= ?2"
        " AND NOT EXISTS (SELECT 1 FROM message WHERE proof = proof.id)"
        " AND NOT EXISTS (SELECT 1 FROM ghost WHERE proof = proof.id)"
        " AND NOT EXISTS (SELECT 1 FROM token WHERE proof = proof.id)",
        (after, numbers[-1]),
    )
    return int(numbers[-1])


def find_data(db: apsw.Connection, text: str, now: int) -> bytes | None:
    """Return the data of some message with this hash that has not expired at `now` (ms), of whatever account."""
    sql = "SELECT data FROM message WHERE id = (SELECT id FROM message WHERE hash = ? AND expiry > ? LIMIT 1)"
    found = rows(db, sql, (text, now))
    return found[0][0] if found else None


def find_anywhere(db: apsw.Connection, account: bytes, hashes: Iterable[str]) -> dict[str, int]:
    """Return the expiries of those hashes that are there, in whatever namespaces (the latest counts)."""
    places = _namespaces(db, account)
    found: dict[str, int] = {}
    for text in hashes:
        for _, copy in _find_anywhere(db, account, places, text):
            found[text] = max(copy.state.expiry, found.get(text, copy.state.expiry))
    return found


def _insert(db: apsw.Connection, digests: Digests, message: NewMessage) -> bool:
    """Insert a message of which nothing is known."""
    account, namespace, text, expiry = message.account, message.namespace, message.hash, message.expiry
    if db.execute(_HAS_GHOST, (account, namespace, text)).fetchone() is not None:
        return False
    db.execute(_INSERT, (account, namespace, text, message.timestamp, expiry, message.data))
    if not db.changes():
        return False
    digests.change(account, of_fresh(account, namespace, text, expiry))
    return True


def _delete_where(
    db: apsw.Connection,
    digests: Digests,
    account: bytes,
    where: str,
    values: Sequence[SQLiteValue],
    now: int,
    proof: bytes | None,
) -> list[tuple[int, str]]:
    """Delete messages of an account and return their namespaces and hashes."""
    gone = rows(db, f"DELETE FROM message WHERE {where}{_GONE}", values)  # noqa: S608 - constants
    number = proof_number(db, account, proof) if gone else None
    for namespace, text, birth, version, expiry, timestamp in gone:
        copy = Copy(None, State(birth, dead=False, version=version, expiry=expiry), timestamp, None)
        copies.bury(
            db,
            digests,
            Key(account, namespace, text),
            copy,
            copy.state.killed(),
            timestamp=timestamp,
            until=max(expiry, now + GHOST_LIFE_MS),
            proof=number,
        )
    return [(namespace, text) for namespace, text, *_ in gone]


def _namespaces(db: apsw.Connection, account: bytes) -> list[int]:
    """Return the account's namespaces, by one seek each: a hash alone does not say where its message is."""
    places: list[int] = []
    sql = "SELECT min(namespace) FROM message WHERE account = ? AND namespace > ?"
    last = -(2**15) - 1
    while True:
        ((found,),) = rows(db, sql, (account, last))
        if found is None:
            return places
        last = found
        places.append(last)


def _find_anywhere(db: apsw.Connection, account: bytes, places: Sequence[int], text: str) -> list[tuple[Key, Copy]]:
    """Return the messages with this hash; ghosts are none."""
    found: list[tuple[Key, Copy]] = []
    for namespace in places:
        key = Key(account, namespace, text)
        copy = copies.find(db, key)
        if copy is not None and copy.row is not None:
            found.append((key, copy))
    return found


def _scope(account: bytes, namespace: int | None) -> tuple[str, tuple[SQLiteValue, ...]]:
    if namespace is None:
        return "account = ?", (account,)
    return "account = ? AND namespace = ?", (account, namespace)


def _by_namespace(found: Iterable[Any]) -> dict[int, list[str]]:
    hashes: dict[int, list[str]] = {}
    for namespace, text in sorted(found):
        hashes.setdefault(namespace, []).append(text)
    return hashes

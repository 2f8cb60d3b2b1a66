"""What each mailbox operation does to the database, as functions of a connection inside a transaction.

Nothing here begins or ends a transaction; an SQLite error is left to the caller, who rolls back.
Rules: storage-rpc §3 (outboxes, revocations) and §4 (store, delete…, expire…).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from ramson.node.mailbox.values import ExpireMode, ExpireResult, NewMessage, Stored
from ramson.protocol.namespaces import is_public_outbox

SQLiteValue = int | str | bytes

KEPT_REVOCATIONS: Final = 50  # per account; the newest win

_INSERT: Final = (
    "INSERT INTO message (account, namespace, hash, timestamp, expiry, data) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, namespace, hash) DO NOTHING"
)
_FIND: Final = "SELECT id, expiry FROM message WHERE account = ? AND namespace = ? AND hash = ?"
_CLEAR_OUTBOX: Final = "DELETE FROM message WHERE account = ? AND namespace = ? AND hash <> ?"
_SET_EXPIRY: Final = "UPDATE message SET expiry = ? WHERE id = ?"


def rows(db: apsw.Connection, sql: str, values: Sequence[SQLiteValue]) -> list[Any]:
    """Return all rows of a query."""
    return db.execute(sql, values).fetchall()


def store(db: apsw.Connection, message: NewMessage) -> Stored:
    """Insert, or keep the later of two expiries of a message already there; an outbox keeps only this one."""
    account, namespace, expiry = message.account, message.namespace, message.expiry
    if is_public_outbox(namespace):
        db.execute(_CLEAR_OUTBOX, (account, namespace, message.hash))
    if _insert(db, message):
        return Stored(new=True, expiry=expiry)
    ((row, known),) = rows(db, _FIND, (account, namespace, message.hash))
    if expiry > known:
        db.execute(_SET_EXPIRY, (expiry, row))
    return Stored(new=False, expiry=max(expiry, known))


def store_many(db: apsw.Connection, messages: Sequence[NewMessage]) -> int:
    """Insert what is not there yet and return how many that were; an outbox keeps its latest message by timestamp."""
    inserted = 0
    for message in messages:
        if is_public_outbox(message.namespace) and _is_superseded(db, message):
            continue
        inserted += _insert(db, message)
    return inserted


def delete(db: apsw.Connection, account: bytes, hashes: Iterable[str]) -> list[str]:
    """Delete these hashes in every namespace and return those that were there, sorted."""
    places = _namespaces(db, account)
    return sorted(
        {
            text
            for text in hashes
            for row, _ in _find_anywhere(db, account, places, text)
            if _execute_count(db, "DELETE FROM message WHERE id = ?", (row,))
        }
    )


def delete_all(
    db: apsw.Connection, account: bytes, namespace: int | None, until: int | None = None
) -> dict[int, list[str]]:
    """Delete all messages (with a timestamp ≤ `until`) and return their hashes, sorted, by namespace."""
    where, values = _scope(account, namespace)
    if until is not None:
        where += " AND timestamp <= ?"
        values = (*values, until)
    return _by_namespace(db, f"DELETE FROM message WHERE {where} RETURNING namespace, hash", values)  # noqa: S608 - constants


def expire_all(db: apsw.Connection, account: bytes, namespace: int | None, expiry: int) -> dict[int, list[str]]:
    """Lower later expiries to `expiry` and return the hashes of the messages concerned, sorted, by namespace."""
    where, values = _scope(account, namespace)
    sql = f"UPDATE message SET expiry = ? WHERE {where} AND expiry > ? RETURNING namespace, hash"  # noqa: S608 - constants
    return _by_namespace(db, sql, (expiry, *values, expiry))


def expire(db: apsw.Connection, account: bytes, changes: Iterable[tuple[str, int]], mode: ExpireMode) -> ExpireResult:
    """Change the expiries of single messages, in whatever namespaces they are."""
    places = _namespaces(db, account)
    updated: dict[str, int] = {}
    unchanged: dict[str, int] = {}
    for text, expiry in changes:
        for row, known in _find_anywhere(db, account, places, text):
            if (mode is ExpireMode.SHORTEN and expiry >= known) or (mode is ExpireMode.EXTEND and expiry <= known):
                unchanged[text] = max(known, unchanged.get(text, known))
            else:
                db.execute(_SET_EXPIRY, (expiry, row))
                updated[text] = expiry
    return ExpireResult(dict(sorted(updated.items())), {k: v for k, v in sorted(unchanged.items()) if k not in updated})


def revoke(db: apsw.Connection, account: bytes, tokens: Iterable[bytes]) -> None:
    """Remember these tokens as the newest revoked ones, and forget the oldest beyond 50."""
    for token in tokens:
        db.execute("INSERT OR REPLACE INTO revoked (account, token) VALUES (?, ?)", (account, token))
    db.execute(
        "DELETE FROM revoked WHERE account = ?1 AND id NOT IN"
        " (SELECT id FROM revoked WHERE account = ?1 ORDER BY id DESC LIMIT ?2)",
        (account, KEPT_REVOCATIONS),
    )


def unrevoke(db: apsw.Connection, account: bytes, tokens: Iterable[bytes]) -> int:
    """Forget revocations and return how many there were."""
    return sum(
        _execute_count(db, "DELETE FROM revoked WHERE account = ? AND token = ?", (account, token)) for token in tokens
    )


def sweep(db: apsw.Connection, now: int, limit: int) -> int:
    """Delete up to `limit` messages that have expired and return how many were deleted."""
    return _execute_count(
        db,
        "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE expiry <= ? ORDER BY expiry LIMIT ?)",
        (now, limit),
    )


def find_data(db: apsw.Connection, text: str) -> bytes | None:
    """Return the data of some message with this hash, of whatever account."""
    found = rows(db, "SELECT data FROM message WHERE id = (SELECT id FROM message WHERE hash = ? LIMIT 1)", (text,))
    return found[0][0] if found else None


def find_anywhere(db: apsw.Connection, account: bytes, hashes: Iterable[str]) -> dict[str, int]:
    """Return the expiries of those hashes that are there, in whatever namespaces (the latest counts)."""
    places = _namespaces(db, account)
    found: dict[str, int] = {}
    for text in hashes:
        rows = _find_anywhere(db, account, places, text)
        if rows:
            found[text] = max(expiry for _, expiry in rows)
    return found


def _insert(db: apsw.Connection, message: NewMessage) -> bool:
    return bool(
        _execute_count(
            db,
            _INSERT,
            (message.account, message.namespace, message.hash, message.timestamp, message.expiry, message.data),
        )
    )


def _execute_count(db: apsw.Connection, sql: str, values: Sequence[SQLiteValue]) -> int:
    db.execute(sql, values)
    return db.changes()


def _is_superseded(db: apsw.Connection, message: NewMessage) -> bool:
    """Clear the outbox of what is older than `message`; tell whether something as new or newer is there."""
    key = (message.account, message.namespace, message.timestamp)
    db.execute("DELETE FROM message WHERE account = ? AND namespace = ? AND timestamp < ?", key)
    return bool(rows(db, "SELECT 1 FROM message WHERE account = ? AND namespace = ?", key[:2]))


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


def _find_anywhere(db: apsw.Connection, account: bytes, places: Sequence[int], text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for namespace in places:
        found += rows(db, _FIND, (account, namespace, text))
    return found


def _scope(account: bytes, namespace: int | None) -> tuple[str, tuple[SQLiteValue, ...]]:
    if namespace is None:
        return "account = ?", (account,)
    return "account = ? AND namespace = ?", (account, namespace)


def _by_namespace(db: apsw.Connection, sql: str, values: Sequence[SQLiteValue]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for namespace, text in sorted(rows(db, sql, values)):
        found.setdefault(namespace, []).append(text)
    return found

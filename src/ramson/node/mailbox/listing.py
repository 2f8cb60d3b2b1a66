"""Reading the mailbox through in the order of keys, a page at a time, for members that compare or hand over.

Functions of a connection that only read.  A page sees what is committed at its moment; the next one goes on behind
the last key, so whatever is there from the first page to the last is seen once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import apsw

from ramson.node.mailbox.copies import Key, rows
from ramson.node.mailbox.digests import of_message, of_token
from ramson.node.mailbox.lattice import State, TokenState

SMALL: Final = 5_000  # rows
_LAST: Final = b"\xff" * 33
_BEFORE: Final = Key(b"", 0, "")  # all keys come after it

_TABLES: Final = ("message", "ghost", "token")
_MESSAGES: Final = (
    "SELECT account, namespace, hash, birth, 0, version, expiry, timestamp, 0, proof, length(data) FROM message"
    " WHERE account BETWEEN ? AND ? AND (account, namespace, hash) > (?, ?, ?)"
    " ORDER BY account, namespace, hash LIMIT ?"
)
_GHOSTS: Final = (
    "SELECT account, namespace, hash, birth, dead, version, expiry, timestamp, until, proof, 0 FROM ghost"
    " WHERE account BETWEEN ? AND ? AND (account, namespace, hash) > (?, ?, ?)"
    " ORDER BY account, namespace, hash LIMIT ?"
)
_TOKENS: Final = (
    "SELECT account, token, stamp, revoked, proof FROM token WHERE account BETWEEN ? AND ?"
    " AND (account, token) > (?, ?) AND proof IS NOT NULL ORDER BY account, token LIMIT ?"
)


class Held(NamedTuple):
    """A copy as it is listed.

    `until` is when a ghost ends (ms; 0: a message), `proof` the number of its proof, `size` that of its data in bytes.
    """

    key: Key
    state: State
    timestamp: int
    until: int
    proof: int | None
    size: int


class HeldToken(NamedTuple):
    """A token as it is listed, with the number of its proof."""

    account: bytes
    token: bytes
    state: TokenState
    proof: int


def held(db: apsw.Connection, low: bytes, high: bytes, after: Key | None, limit: int) -> list[Held]:
    """Return up to `limit` copies of the accounts from `low` to `high` that come after a key."""
    after = after or _BEFORE
    values = (max(low, after.account), high, *after, limit)
    found = sorted(rows(db, _MESSAGES, values) + rows(db, _GHOSTS, values), key=lambda row: row[:3])
    return [Held(Key(*row[:3]), State(row[3], bool(row[4]), row[5], row[6]), *row[7:]) for row in found[:limit]]


def tokens(db: apsw.Connection, low: bytes, high: bytes, after: tuple[bytes, bytes], limit: int) -> list[HeldToken]:
    """Return up to `limit` tokens of the accounts from `low` to `high` that come after (account, token)."""
    found = rows(db, _TOKENS, (max(low, after[0]), high, *after, limit))
    return [
        HeldToken(account, token, TokenState(stamp, bool(revoked)), proof)
        for account, token, stamp, revoked, proof in found
    ]


def next_account(db: apsw.Connection, after: bytes) -> bytes | None:
    """Return the first account behind this one of which anything is held."""
    return _first(db, ">", after)


def ranges(db: apsw.Connection, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Return the ranges of accounts whose key begins with `prefix`: one for each network byte there is."""
    found: list[tuple[bytes, bytes]] = []
    network = 0
    while network < 256:
        account = _first(db, ">=", bytes([network]))
        if account is None:
            break
        network = account[0]
        low = bytes([network]) + prefix
        found.append((low, (low + _LAST)[:33]))
        network += 1
    return found


def data(db: apsw.Connection, key: Key) -> tuple[Held, bytes] | None:
    """Return a message with its data; None when there is no message, or only a ghost."""
    sql = (
        "SELECT birth, version, expiry, timestamp, proof, data FROM message"
        " WHERE account = ? AND namespace = ? AND hash = ?"
    )
    for birth, version, expiry, timestamp, proof, content in rows(db, sql, key):
        state = State(birth, dead=False, version=version, expiry=expiry)
        return Held(key, state, timestamp, 0, proof, len(content)), content
    return None


def proofs(db: apsw.Connection, numbers: Iterable[int]) -> dict[int, bytes]:
    """Return proofs by their numbers."""
    found: dict[int, bytes] = {}
    for number in numbers:
        for (body,) in rows(db, "SELECT body FROM proof WHERE id = ?", (number,)):
            found[number] = body
    return found


def is_small(db: apsw.Connection) -> bool:
    """Tell whether everything can be read through in one go."""
    counts: list[int] = [
        rows(db, f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT ?)", (SMALL,))[0][0]  # noqa: S608 - constants
        for table in _TABLES
    ]
    return sum(counts) < SMALL


def sums(db: apsw.Connection, prefix: bytes) -> Iterable[tuple[bytes, int]]:
    """Yield (account, what it adds to its digest) for everything of the accounts whose key begins with `prefix`."""
    for low, high in ranges(db, prefix):
        limits = (low, high)
        row: Any
        for row in db.execute(
            "SELECT account, namespace, hash, birth, version, expiry FROM message WHERE account BETWEEN ? AND ?", limits
        ):
            yield row[0], of_message(row[0], row[1], row[2], State(row[3], dead=False, version=row[4], expiry=row[5]))
        for row in db.execute(
            "SELECT account, namespace, hash, birth, dead, version, expiry FROM ghost WHERE account BETWEEN ? AND ?",
            limits,
        ):
            yield row[0], of_message(row[0], row[1], row[2], State(row[3], bool(row[4]), row[5], row[6]))
        for row in db.execute(
            "SELECT account, token, stamp, revoked FROM token WHERE account BETWEEN ? AND ? AND proof IS NOT NULL",
            limits,
        ):
            yield row[0], of_token(row[0], row[1], TokenState(row[2], bool(row[3])))


def _first(db: apsw.Connection, comparison: str, account: bytes) -> bytes | None:
    found = [
        rows(db, f"SELECT min(account) FROM {table} WHERE account {comparison} ?", (account,))[0][0]  # noqa: S608 - constants
        for table in _TABLES
    ]
    return min((account for account in found if account is not None), default=None)

"""Reading single messages for storage tests: some message that has been here for a while, or one by its key.

It only reads, and never more than a few rows.  Messages have no time of arrival; their ids grow with it, so whoever
wants messages of some age remembers how far the ids had come then.
"""

from __future__ import annotations

from typing import Final

import apsw
import msgspec

from ramson.node.mailbox.copies import rows

_LOOK_AT: Final = 20  # rows from the place that was drawn

_PICK: Final = (
    "SELECT account, namespace, hash, expiry, data FROM"
    " (SELECT * FROM message WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?) WHERE expiry > ? LIMIT 1"
)


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A message that is here; `expiry` in ms."""

    account: bytes
    namespace: int
    hash: str
    expiry: int
    data: bytes


def newest(db: apsw.Connection) -> int:
    """Return the id of the message that came last; 0 when there is none."""
    ((found,),) = rows(db, "SELECT ifnull(max(id), 0) FROM message", ())
    return int(found)


def pick(db: apsw.Connection, share: float, until: int, alive_at: int) -> Sample | None:
    """Return a message with an id up to `until` that expires after `alive_at` (ms); `share` (0…1) draws the place."""
    ((oldest,),) = rows(db, "SELECT ifnull(min(id), 0) FROM message", ())
    start = oldest + int(share * max(0, until - oldest + 1))
    found = rows(db, _PICK, (start, until, _LOOK_AT, alive_at))
    return Sample(*found[0]) if found else None


def find(db: apsw.Connection, account: bytes, namespace: int, text: str) -> Sample | None:
    """Return the message with this key."""
    sql = "SELECT expiry, data FROM message WHERE account = ? AND namespace = ? AND hash = ?"
    found = rows(db, sql, (account, namespace, text))
    return Sample(account, namespace, text, *found[0]) if found else None

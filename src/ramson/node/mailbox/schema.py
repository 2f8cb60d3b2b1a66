"""The mailbox file: how it is opened, its tables, and the steps from one version of them to the next.

WAL with synchronous=FULL: a transaction is on the disk when COMMIT returns, and a killed process leaves
nothing to repair.  A message's `id` grows with every insertion, so its order is the order of arrival;
since paging starts from a hash that is still there, an id freed at the end may be used again unharmed.
The account's key stands in every row rather than in a table of its own: that costs about a tenth in
space, and a store is one statement, an account needs no row to outlive its messages, and a revocation
is kept for accounts that hold nothing.

Since version 2 a message has its place in the lattice (`lattice`): birth, version and expiry in its row; a `ghost` is
what is left of it without data; a `token` is a revocation or its withdrawal.  Their `proof` is the request, signed
by the account, that lowered or deleted last; one request serves many rows.  `memory` holds what the node saw last of
the network, and `handoff` what it still owes to peers, so that a restart forgets neither.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import apsw

from ramson.node.mailbox.errors import MailboxError, explain

# One entry per version of the file, oldest first; each step brings user_version up by one.
MIGRATIONS: Final = (
    """
    CREATE TABLE message (
        id        INTEGER PRIMARY KEY,
        account   BLOB    NOT NULL,
        namespace INTEGER NOT NULL,
        hash      TEXT    NOT NULL,
        timestamp INTEGER NOT NULL,
        expiry    INTEGER NOT NULL,
        data      BLOB    NOT NULL,
        UNIQUE (account, namespace, hash)
    ) STRICT;
    CREATE INDEX message_by_arrival ON message (account, namespace, id);
    CREATE INDEX message_by_expiry ON message (expiry);
    CREATE TABLE revoked (
        id      INTEGER PRIMARY KEY,
        account BLOB NOT NULL,
        token   BLOB NOT NULL,
        UNIQUE (account, token)
    ) STRICT;
    """,
    """
    CREATE TABLE proof (
        id      INTEGER PRIMARY KEY,
        digest  BLOB NOT NULL UNIQUE,
        account BLOB NOT NULL,
        body    BLOB NOT NULL
    ) STRICT;
    ALTER TABLE message ADD COLUMN birth INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE message ADD COLUMN proof INTEGER;
    CREATE INDEX message_by_proof ON message (proof) WHERE proof IS NOT NULL;
    CREATE TABLE ghost (
        account   BLOB    NOT NULL,
        namespace INTEGER NOT NULL,
        hash      TEXT    NOT NULL,
        timestamp INTEGER NOT NULL,
        birth     INTEGER NOT NULL,
        dead      INTEGER NOT NULL,
        version   INTEGER NOT NULL,
        expiry    INTEGER NOT NULL,
        until     INTEGER NOT NULL,
        proof     INTEGER,
        PRIMARY KEY (account, namespace, hash)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ghost_by_end ON ghost (until);
    CREATE INDEX ghost_by_proof ON ghost (proof) WHERE proof IS NOT NULL;
    CREATE TABLE token (
        account BLOB    NOT NULL,
        token   BLOB    NOT NULL,
        stamp   INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        proof   INTEGER,
        PRIMARY KEY (account, token)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX token_by_proof ON token (proof) WHERE proof IS NOT NULL;
    INSERT INTO token (account, token, stamp, revoked) SELECT account, token, id, 1 FROM revoked;
    DROP TABLE revoked;
    CREATE TABLE memory (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE handoff (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        peer        BLOB    NOT NULL,
        swarm       BLOB    NOT NULL,
        only_missed INTEGER NOT NULL,
        cursor      BLOB,
        UNIQUE (peer, swarm)
    ) STRICT;
    """,
)

APPLICATION_ID: Final = 0x72616D73  # "rams"
BUSY_MS: Final = 15_000
CHECKPOINT_PAGES: Final = 4_000
CACHE_KIB: Final = 8_000  # of each connection; what is not in it mostly is in the system's cache of the file
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024


def open_writer(path: Path) -> apsw.Connection:
    """Open the file for writing, made if it is not there (mode 0600) and brought to the newest version.

    Raises MailboxError.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise MailboxError(
            f"the mailbox database cannot be opened: {error.strerror}",
            remedy="check that the data directory exists and is yours",
        ) from error
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(BUSY_MS)
        _keep_plans(db)
        _set_up(db)
        db.set_busy_timeout(0)
    except apsw.Error as error:
        raise explain(error) from error
    return db


def open_reader(path: Path) -> apsw.Connection:
    """Open the file for reading beside the writer.  Raises MailboxError."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        _keep_plans(db)
        db.pragma("cache_size", -CACHE_KIB)
        db.pragma("query_only", 1)
        db.execute("SELECT id FROM message LIMIT 1").fetchall()
    except apsw.Error as error:
        raise explain(error) from error
    return db


def _keep_plans(db: apsw.Connection) -> None:
    """Let a statement be planned once.

    SQLite built with STAT4 otherwise plans a query anew for every value that could change the plan, which takes twice
    as long as the query.  Each of ours has one good plan.
    """
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _set_up(db: apsw.Connection) -> None:
    version = db.pragma("user_version")
    if not isinstance(version, int) or not 0 <= version <= len(MIGRATIONS):
        raise MailboxError(
            f"the mailbox database has version {version}, this program knows {len(MIGRATIONS)}",
            remedy="use the program that last wrote it, or a newer one",
        )
    if db.pragma("journal_mode", "wal") != "wal":
        raise MailboxError("the mailbox needs a file system on which SQLite's write-ahead log works")
    db.pragma("synchronous", "full")
    db.pragma("cache_size", -CACHE_KIB)
    db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    db.pragma("journal_size_limit", WAL_LIMIT_BYTES)
    for step, statements in enumerate(MIGRATIONS[version:], version + 1):
        with db:
            db.execute(statements)
            db.pragma("user_version", step)
            db.pragma("application_id", APPLICATION_ID)

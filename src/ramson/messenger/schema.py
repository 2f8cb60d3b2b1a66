"""The tables of an account file, and how an older file becomes a newer one.

Migrations are SQL scripts, applied in order and each once; `PRAGMA user_version` counts those applied.  A
script that has been released is never edited: a change is a new script at the end.

* `identity`: one row, the account itself.
* `conversations`: one row per peer; the account's own id is the conversation with oneself.
* `messages`: what was said.  A message is (author, sent time) within its conversation.  `content` is the
  whole decrypted Content, so that a later version can show what this one does not understand.
  `delivered` turns 1 when a consumer of `Client.messages` is done with it.
* `outbox`: sealed envelopes on their way.  `data` is made once; an attempt never makes other bytes.  `held`
  rows wait until the row of the same message that is not held has been stored.
* `seen`: hashes of everything fetched from the swarm, readable or not.
* `positions`: how far each node of the swarm has been read.
* `meta`: single values.

Spec: none (local format); messaging.md §3.4 and §3.7 say what has to be remembered.
"""

from __future__ import annotations

import apsw

from ramson.messenger.vault import NotAnAccountFile

_MIGRATIONS = (
    """
    CREATE TABLE identity (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        entropy BLOB NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        peer BLOB NOT NULL UNIQUE
    ) STRICT;

    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        author BLOB NOT NULL,
        sent_ms INTEGER NOT NULL,
        body TEXT NOT NULL,
        attachments INTEGER NOT NULL DEFAULT 0,
        content BLOB NOT NULL,
        hash TEXT,
        state TEXT NOT NULL CHECK (state IN ('received', 'sending', 'sent', 'failed')),
        reason TEXT NOT NULL DEFAULT '',
        stored INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL CHECK (delivered IN (0, 1)),
        UNIQUE (author, sent_ms, conversation)
    ) STRICT;
    CREATE INDEX messages_by_time ON messages (conversation, sent_ms);
    CREATE INDEX messages_undelivered ON messages (sent_ms, id) WHERE delivered = 0;

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        message INTEGER NOT NULL REFERENCES messages (id),
        recipient BLOB NOT NULL,
        namespace INTEGER NOT NULL,
        ttl_ms INTEGER NOT NULL,
        data BLOB NOT NULL,
        held INTEGER NOT NULL CHECK (held IN (0, 1)),
        attempts INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX outbox_by_recipient ON outbox (recipient, id) WHERE held = 0;
    CREATE INDEX outbox_by_message ON outbox (message);

    CREATE TABLE seen (
        hash TEXT PRIMARY KEY,
        seen_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX seen_by_time ON seen (seen_ms);

    CREATE TABLE positions (
        node BLOB NOT NULL,
        namespace INTEGER NOT NULL,
        last_hash TEXT NOT NULL,
        PRIMARY KEY (node, namespace)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)


def migrate(connection: apsw.Connection) -> None:
    """Bring the tables to the newest form, in one transaction.

    Raises NotAnAccountFile when the file is of a version this one does not know.
    """
    version = connection.pragma("user_version")
    if version > len(_MIGRATIONS):
        raise NotAnAccountFile("this account file was made by a newer version", remedy="Update ramson.")
    if version == len(_MIGRATIONS):
        return
    with connection:
        for script in _MIGRATIONS[connection.pragma("user_version") :]:
            connection.execute(script)
        connection.pragma("user_version", len(_MIGRATIONS))

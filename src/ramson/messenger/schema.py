"""The tables of an account file, and how an older file becomes a newer one.

Migrations are SQL scripts, applied in order and each once; `PRAGMA user_version` counts those applied.  A
script that has been released is never edited: a change is a new script at the end.

* `identity`: one row, the account itself (the name in it is of version 1 and no longer read).
* `configs`: dumps of the configs that the account's devices share.  Who is a contact, and how, is there and
  nowhere else; `version` counts, so that another program with the file open notices a change.
* `conversations`: one row per peer; the account's own id is the conversation with oneself.
* `messages`: what was said, and notices.  A message is (author, sent time) within its conversation.  `content`
  is the whole decrypted Content, so that a later version can show what this one does not understand.
  `delivered` turns 1 when a consumer of `Client.messages` is done with it.  `hash` names it in the swarm of
  whom it was sent to, `own_hash` in our own.  A `held` one is not shown: its sender is nobody's contact, and
  it may be older than the removal.
* `outbox`: sealed envelopes on their way.  `data` is made once; an attempt never makes other bytes.  A row with
  a `leader` waits until that row has been stored.  Ids are never used again, neither here nor of messages: a
  parcel in hand, or a receipt, must not come to mean another one.
* `reactions`: the last word of each person about each emoji at each message, withdrawn ones included, so that
  it does not matter in which order they come.
* `unsent`, `receipts`: what came before the message it speaks of.
* `chores`: what is still to be changed in our own swarm.
* `texts`: the index for searching.
* `seen`: hashes of everything fetched from the swarm, readable or not.
* `positions`: how far each node of the swarm has been read.
* `files`: what a message of ours carries and no file server has yet, encrypted; `message` is NULL while the message is
  being written.  `blob` goes when it is uploaded, the row when the message is sealed.  `begun` is where the upload of
  just these bytes goes on, `sent` how many of them the server has said to have.
* `fetched`: what became of files that others sent: saved, or gone from the server.
* `profiles`: the latest profile that each person told this device, and how often the contact was put right since.
* `pictures`: profile pictures by where they are and what opens them; without `data` they could not be had at
  `tried_ms`.
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
    """
    ALTER TABLE conversations ADD COLUMN last_read_ms INTEGER NOT NULL DEFAULT 0;

    CREATE TEMP TABLE old_outbox AS
        SELECT id, message, recipient, namespace, ttl_ms, data, attempts,
            CASE held WHEN 1 THEN
                (SELECT first.id FROM outbox first WHERE first.message = outbox.message AND first.held = 0)
            END AS leader
        FROM outbox;
    CREATE TABLE new_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        author BLOB NOT NULL,
        sent_ms INTEGER NOT NULL,
        kind TEXT NOT NULL DEFAULT 'text',
        body TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT '',
        attachments INTEGER NOT NULL DEFAULT 0,
        content BLOB NOT NULL,
        hash TEXT,
        own_hash TEXT,
        state TEXT NOT NULL CHECK (state IN ('received', 'sending', 'sent', 'failed')),
        reason TEXT NOT NULL DEFAULT '',
        stored INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL CHECK (delivered IN (0, 1)),
        read INTEGER NOT NULL DEFAULT 0 CHECK (read IN (0, 1)),
        held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1)),
        mode INTEGER NOT NULL DEFAULT 0,
        timer_s INTEGER NOT NULL DEFAULT 0,
        expires_ms INTEGER,
        UNIQUE (author, sent_ms, conversation)
    ) STRICT;
    INSERT INTO new_messages (id, conversation, author, sent_ms, body, attachments, content, hash, own_hash, state,
            reason, stored, total, delivered)
        SELECT id, conversation, author, sent_ms, body, attachments, content, hash,
            CASE state WHEN 'received' THEN hash END, state, reason, stored, total, delivered
        FROM messages;
    DROP TABLE outbox;
    DROP TABLE messages;
    ALTER TABLE new_messages RENAME TO messages;
    CREATE INDEX messages_by_time ON messages (conversation, sent_ms);
    CREATE INDEX messages_undelivered ON messages (sent_ms, id) WHERE delivered = 0;
    CREATE INDEX messages_expiring ON messages (expires_ms) WHERE expires_ms IS NOT NULL;
    CREATE INDEX messages_by_own_hash ON messages (own_hash) WHERE own_hash IS NOT NULL;
    UPDATE conversations SET last_read_ms = coalesce(
        (SELECT max(sent_ms) FROM messages m WHERE m.conversation = conversations.id AND m.delivered = 1), 0
    );

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        message INTEGER REFERENCES messages (id) ON DELETE CASCADE,
        recipient BLOB NOT NULL,
        namespace INTEGER NOT NULL,
        ttl_ms INTEGER NOT NULL,
        data BLOB NOT NULL,
        leader INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO outbox (id, message, recipient, namespace, ttl_ms, data, leader, attempts)
        SELECT id, message, recipient, namespace, ttl_ms, data, leader, attempts FROM old_outbox;
    DROP TABLE old_outbox;
    CREATE INDEX outbox_by_recipient ON outbox (recipient, id) WHERE leader IS NULL;
    CREATE INDEX outbox_by_message ON outbox (message);
    CREATE INDEX outbox_by_leader ON outbox (leader) WHERE leader IS NOT NULL;

    CREATE TABLE configs (
        namespace INTEGER PRIMARY KEY,
        dump BLOB NOT NULL,
        version INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE reactions (
        conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        author BLOB NOT NULL,
        target_ms INTEGER NOT NULL,
        reactor BLOB NOT NULL,
        emoji TEXT NOT NULL,
        sent_ms INTEGER NOT NULL,
        removed INTEGER NOT NULL CHECK (removed IN (0, 1)),
        PRIMARY KEY (conversation, author, target_ms, reactor, emoji)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE unsent (
        author BLOB NOT NULL,
        sent_ms INTEGER NOT NULL,
        noted_ms INTEGER NOT NULL,
        PRIMARY KEY (author, sent_ms)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE receipts (
        conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        sent_ms INTEGER NOT NULL,
        noted_ms INTEGER NOT NULL,
        PRIMARY KEY (conversation, sent_ms)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE chores (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('delete', 'shorten', 'learn')),
        hash TEXT NOT NULL,
        expiry INTEGER NOT NULL,
        UNIQUE (kind, hash)
    ) STRICT;

    CREATE VIRTUAL TABLE texts USING fts5 (body, content = 'messages', content_rowid = 'id');
    INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1);
    INSERT INTO texts (texts) VALUES ('rebuild');
    CREATE TRIGGER texts_insert AFTER INSERT ON messages BEGIN
        INSERT INTO texts (rowid, body) VALUES (new.id, new.body);
    END;
    CREATE TRIGGER texts_delete AFTER DELETE ON messages BEGIN
        INSERT INTO texts (texts, rowid, body) VALUES ('delete', old.id, old.body);
    END;
    CREATE TRIGGER texts_update AFTER UPDATE OF body ON messages BEGIN
        INSERT INTO texts (texts, rowid, body) VALUES ('delete', old.id, old.body);
        INSERT INTO texts (rowid, body) VALUES (new.id, new.body);
    END;

    INSERT INTO meta SELECT 'wanted name', name FROM identity WHERE name <> '';
    INSERT INTO meta SELECT 'contacts to be made', 1 FROM conversations LIMIT 1;
    """,
    """
    CREATE TABLE files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        message INTEGER REFERENCES messages (id) ON DELETE CASCADE,
        place INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL,
        blob BLOB,
        url TEXT NOT NULL DEFAULT '',
        made_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX files_by_message ON files (message, place);

    CREATE TABLE fetched (
        message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('saved', 'gone')),
        PRIMARY KEY (message, place)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE pictures (
        url TEXT NOT NULL,
        key BLOB NOT NULL,
        data BLOB,
        tried_ms INTEGER NOT NULL,
        PRIMARY KEY (url, key)
    ) STRICT;
    """,
    """
    ALTER TABLE files ADD COLUMN begun TEXT NOT NULL DEFAULT '';
    ALTER TABLE files ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE profiles (
        conversation INTEGER PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        key BLOB NOT NULL,
        updated_s INTEGER NOT NULL,
        sent_ms INTEGER NOT NULL,
        mended INTEGER NOT NULL
    ) STRICT;
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

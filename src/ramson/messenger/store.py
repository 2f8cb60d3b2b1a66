"""The state of an account: every change is one transaction on its encrypted file.

Nothing that matters lives in an object: whoever is killed between two statements finds, on opening the
file again, either all of a change or nothing of it.  Several programs may have the same file open.

This module decides no policy: when to send, what to trust and how to read a message is known to the
outbox, the inbox and `letters`.  Tables: see `schema`.
Spec: messaging.md §3.4 (identity of a message, dedup), §3.7 (positions).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from ramson.crypto.account import ENTROPY_SIZE, AccountId, AccountKeys
from ramson.crypto.entropy import Entropy
from ramson.messenger import vault
from ramson.messenger.letters import Letter, Outgoing
from ramson.messenger.message import Message, Receipt, State
from ramson.messenger.schema import migrate
from ramson.messenger.vault import AccountFileError, KeyCost

DAY_MS = 86_400_000
SEEN_KEPT_MS = 31 * DAY_MS  # no namespace keeps a message longer than 30 days

_MESSAGE = "m.id, m.author, c.peer, m.body, m.sent_ms, m.hash, m.state, m.attachments"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A sealed envelope in the outbox: what to store where, for how long."""

    id: int
    message: int
    recipient: AccountId
    namespace: int
    ttl_ms: int
    data: bytes = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True)
class Position:
    """The hash up to which one node has been read in one namespace."""

    node: bytes
    namespace: int
    last_hash: str


class Store:
    """One open account file."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        migrate(connection)
        entropy, name = self._row("SELECT entropy, name FROM identity")
        self.name: str = name
        self.keys = (
            AccountKeys.from_entropy(entropy) if len(entropy) == ENTROPY_SIZE else AccountKeys.from_seed(entropy)
        )

    @staticmethod
    def create(
        path: Path, passphrase: str, keys: AccountKeys, *, name: str, now_ms: int, entropy: Entropy, cost: KeyCost
    ) -> None:
        """Make the file of an account; see `vault.create`."""

        def fill(connection: apsw.Connection) -> None:
            migrate(connection)
            connection.execute("INSERT INTO identity VALUES (1, ?, ?, ?)", (keys.entropy, name, now_ms))

        vault.create(path, passphrase, fill, entropy=entropy, cost=cost)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> Store:
        """Open the file of an account; see `vault.open_file`."""
        connection = vault.open_file(path, passphrase)
        try:
            return cls(connection)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._db.close()

    # Sending

    def queue(self, recipient: AccountId, body: str, now_ms: int, write: Callable[[int], Outgoing]) -> int:
        """Put a message of our own into its conversation and into the outbox; return its id.

        `write` is given the sent time, which is `now_ms` or later: the sent times of an account rise strictly.
        """
        own = self.keys.id.raw
        with self._transaction():
            sent_ms = max(now_ms, self._meta("last_sent_ms", 0) + 1)
            self._set_meta("last_sent_ms", sent_ms)
            outgoing = write(sent_ms)
            message = self._value(
                "INSERT INTO messages (conversation, author, sent_ms, body, content, state, delivered)"
                " VALUES (?, ?, ?, ?, ?, 'sending', 1) RETURNING id",
                (self._conversation(recipient), own, sent_ms, body, outgoing.content),
            )
            for letter in outgoing.sealed:
                self._db.execute(
                    "INSERT INTO outbox (message, recipient, namespace, ttl_ms, data, held) VALUES (?, ?, ?, ?, ?, ?)",
                    (message, letter.recipient.raw, letter.namespace, letter.ttl_ms, letter.data, letter.is_copy),
                )
        return int(message)

    def recipients(self) -> list[AccountId]:
        """Return everyone for whom something waits in the outbox, the longest waiting first."""
        rows = self._rows("SELECT recipient FROM outbox WHERE held = 0 GROUP BY recipient ORDER BY min(id)")
        return [AccountId.from_bytes(raw) for (raw,) in rows]

    def next_parcel(self, recipient: AccountId) -> Parcel | None:
        """Return what must go to `recipient` before anything else may."""
        rows = self._rows(
            "SELECT id, message, namespace, ttl_ms, data, attempts FROM outbox"
            " WHERE recipient = ? AND held = 0 ORDER BY id LIMIT 1",
            (recipient.raw,),
        )
        for number, message, namespace, ttl_ms, data, attempts in rows:
            return Parcel(number, message, recipient, namespace, ttl_ms, data, attempts)
        return None

    def parcel_stored(self, parcel: Parcel, *, hash: str, stored: int, total: int) -> None:  # noqa: A002 - its name
        """Note that a parcel is in its swarm: take it out of the outbox and let its copies go."""
        with self._transaction():
            if self._take_out(parcel):
                self._db.execute("UPDATE outbox SET held = 0 WHERE message = ?", (parcel.message,))
                self._db.execute(
                    "UPDATE messages SET state = 'sent', reason = '', hash = ?, stored = ?, total = ?"
                    " WHERE id = ? AND state = 'sending'",
                    (hash, stored, total, parcel.message),
                )

    def parcel_refused(self, parcel: Parcel, reason: str) -> None:
        """Note that no retry can help a parcel: take it out of the outbox, with the copies that wait for it."""
        with self._transaction():
            if self._take_out(parcel):
                self._db.execute("DELETE FROM outbox WHERE message = ? AND held = 1", (parcel.message,))
                self._db.execute(
                    "UPDATE messages SET state = 'failed', reason = ? WHERE id = ? AND state = 'sending'",
                    (reason, parcel.message),
                )

    def parcel_delayed(self, parcel: Parcel, reason: str) -> None:
        """Note why an attempt failed that will be repeated."""
        with self._transaction():
            self._db.execute("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?", (parcel.id,))
            self._db.execute(
                "UPDATE messages SET reason = ? WHERE id = ? AND state = 'sending'", (reason, parcel.message)
            )

    def receipt(self, message: int) -> Receipt:
        """Return what is known of one of our own messages, by its id."""
        row = self._row(
            "SELECT state, sent_ms, hash, stored, total, reason,"
            " coalesce((SELECT sum(attempts) FROM outbox WHERE outbox.message = messages.id), 0)"
            " FROM messages WHERE id = ?",
            (message,),
        )
        state, sent_ms, name, stored, total, reason, attempts = row
        return Receipt(State(state), sent_ms, name, stored, total, attempts, reason, message)

    def waiting(self) -> int:
        """Return how many of our messages have not reached their recipient's swarm yet."""
        return int(self._value("SELECT count(*) FROM messages WHERE state = 'sending'"))

    # Receiving

    def positions(self) -> dict[bytes, dict[int, str]]:
        """Return how far every node has been read: node → namespace → last hash."""
        found: dict[bytes, dict[int, str]] = {}
        for node, namespace, last_hash in self._rows("SELECT node, namespace, last_hash FROM positions"):
            found.setdefault(node, {})[namespace] = last_hash
        return found

    def unseen(self, hashes: Collection[str]) -> set[str]:
        """Return those of `hashes` that were never received."""
        return {name for name in hashes if not self._rows("SELECT 1 FROM seen WHERE hash = ?", (name,))}

    def receive(
        self, letters: Sequence[Letter], seen: Collection[str], positions: Sequence[Position], now_ms: int
    ) -> int:
        """Take in what was fetched and move the positions, in one transaction; return how many messages are new.

        `seen` holds the hashes of everything that was fetched, also of what could not be read.  A message
        whose (author, sent time) is known in its conversation is left out.
        """
        own = self.keys.id
        with self._transaction():
            new = 0
            for letter in letters:
                self._db.execute(
                    "INSERT INTO messages"
                    " (conversation, author, sent_ms, body, attachments, content, hash, state, delivered)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (
                        self._conversation(letter.conversation),
                        letter.sender.raw,
                        letter.sent_ms,
                        letter.body,
                        letter.attachments,
                        letter.content,
                        letter.hash,
                        State.SENT if letter.sender == own else State.RECEIVED,
                        letter.sender == own,
                    ),
                )
                new += self._db.changes()
            self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", ((name, now_ms) for name in seen))
            self._db.executemany(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                ((position.node, position.namespace, position.last_hash) for position in positions),
            )
        return new

    def forget_seen(self, now_ms: int) -> None:
        """Drop the hashes of what no swarm can hold any more."""
        with self._transaction():
            self._db.execute("DELETE FROM seen WHERE seen_ms < ?", (now_ms - SEEN_KEPT_MS,))

    def undelivered(self, in_hand: Collection[int]) -> tuple[int, Message] | None:
        """Return the id and the message a consumer should get next, leaving out those others have in hand."""
        query = f"SELECT {_MESSAGE} FROM messages m JOIN conversations c ON c.id = m.conversation WHERE m.delivered = 0"  # noqa: S608 - a constant
        with self._errors():
            for row in self._db.execute(f"{query} ORDER BY m.sent_ms, m.id"):
                if row[0] not in in_hand:
                    return row[0], self._message(row)
        return None

    def delivered(self, message: int) -> None:
        """Note that a consumer is done with this message."""
        with self._transaction():
            self._db.execute("UPDATE messages SET delivered = 1 WHERE id = ?", (message,))

    def history(self, peer: AccountId, limit: int) -> list[Message]:
        """Return the newest `limit` messages of a conversation, oldest first."""
        query = f"SELECT {_MESSAGE} FROM messages m JOIN conversations c ON c.id = m.conversation WHERE c.peer = ?"  # noqa: S608 - a constant
        rows = self._rows(f"{query} ORDER BY m.sent_ms DESC, m.id DESC LIMIT ?", (peer.raw, limit))
        return [self._message(row) for row in reversed(rows)]

    # Single values

    def load(self, key: str) -> bytes | None:
        """Return what `save` was given under this key."""
        value = self._meta(key, None)
        return None if value is None else bytes(value)

    def save(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`."""
        with self._transaction():
            self._set_meta(key, value)

    # Inside

    def _message(self, row: Sequence[Any]) -> Message:
        _, author, peer, body, sent_ms, name, state, attachments = row
        sender, conversation = AccountId.from_bytes(author), AccountId.from_bytes(peer)
        recipient = conversation if sender == self.keys.id else self.keys.id
        return Message(sender, recipient, body, sent_ms, name, State(state), conversation, attachments)

    def _conversation(self, peer: AccountId) -> int:
        self._db.execute("INSERT OR IGNORE INTO conversations (peer) VALUES (?)", (peer.raw,))
        return int(self._value("SELECT id FROM conversations WHERE peer = ?", (peer.raw,)))

    def _take_out(self, parcel: Parcel) -> bool:
        self._db.execute("DELETE FROM outbox WHERE id = ?", (parcel.id,))
        return self._db.changes() == 1

    def _meta(self, key: str, default: Any) -> Any:
        return next((value for (value,) in self._rows("SELECT value FROM meta WHERE key = ?", (key,))), default)

    def _set_meta(self, key: str, value: int | bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self._errors():
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[Any] = ()) -> Any:
        rows = self._rows(query, values)
        if not rows:
            raise AccountFileError("the account file lacks a row that must be there", remedy="Restore a backup of it.")
        return rows[0]

    def _value(self, query: str, values: Sequence[Any] = ()) -> Any:
        return self._row(query, values)[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._db:
            yield

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.ConnectionClosedError:
            raise AccountFileError("the account is closed", remedy="Use it inside `async with`.") from None
        except apsw.BusyError as error:
            raise AccountFileError(
                "another program keeps the account file to itself", remedy="Close that program and try again."
            ) from error
        except apsw.FullError as error:
            raise AccountFileError("there is no room for the account file", remedy="Free some disk space.") from error
        except apsw.Error as error:
            raise AccountFileError(f"the account file cannot be used: {error}") from error
